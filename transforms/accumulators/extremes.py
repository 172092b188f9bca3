"""Least and greatest values: `min` and `max`."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from schemas.errors import StoreError
from schemas.state import StateSpec
from transforms.accumulators.base import Finished, Inputs, Ints
from transforms.accumulators.blobs import VERSION, pack, unpack
from transforms.accumulators.counts import present
from transforms.accumulators.spans import Spans
from transforms.accumulators.values import from_sections, ranks, section_count, to_sections
from transforms.columns import integers

_FLOAT = 10  # bytes of a float64 extreme: version, length, value
_FLOAT_HEAD = VERSION | 8 << 8


class Extreme:
    """Least (`min`) or greatest (`max`) value that is not null, in the column's type; null when there is none.

    Floats: NaN is above every number and -0.0 is 0.0. Strings and bytes compare by their (UTF-8) bytes, false is below
    true. States are `pa.Array[m]` of the type, null for the empty state; merging states is folding their values.
    Bytes: the value as `values` has it.
    """

    def __init__(self, spec: StateSpec) -> None:
        self.spec = spec
        self.dtype: pa.DataType = spec.types[0]
        self._greatest = spec.operation == "max"

    def fold(self, inputs: Inputs, groups: Ints, n: int) -> pa.Array:
        """See `Accumulator`."""
        return self._best(inputs.columns[0], groups, n)

    def merge(self, states: pa.Array, groups: Ints, n: int) -> pa.Array:
        """See `Accumulator`."""
        return self._best(states, groups, n)

    def finish(self, states: pa.Array) -> Finished:
        """See `Accumulator`."""
        return Finished(states, np.zeros(len(states), np.bool_))

    def encode(self, states: pa.Array) -> pa.BinaryArray:
        """See `Accumulator`."""
        there = states.is_valid().to_numpy(zero_copy_only=False)
        return pack(to_sections(states.drop_null(), there.astype(np.int64)))

    def decode(self, blobs: pa.BinaryArray) -> pa.Array:
        """See `Accumulator`."""
        values, counts = from_sections(self.dtype, iter(unpack(blobs, section_count(self.dtype))))
        if (counts > 1).any():
            raise StoreError("a state is damaged: an extreme has more than one value")
        return values.take(pa.array(np.cumsum(counts) - 1, mask=counts == 0))

    def gather(self, spans: Spans, firsts: Ints) -> pa.Array:
        """See `gathered.Gathering`."""
        if self.dtype == pa.float64():
            sizes = spans.ends - spans.starts
            if ((sizes == _FLOAT) & (spans.words(spans.starts, "<u2") == _FLOAT_HEAD)).all():
                numbers = spans.words(spans.starts + 2, "<f8").astype(np.float64)
                with np.errstate(invalid="ignore"):
                    best = (np.maximum if self._greatest else np.fmin).reduceat(numbers, firsts)
                return pa.array(np.where(np.isnan(best), np.nan, best + 0.0), from_pandas=False)
        groups = np.repeat(np.arange(len(firsts)), np.diff(np.append(firsts, len(spans))))
        return self.merge(self.decode(spans.blobs()), groups, len(firsts))

    def take(self, states: pa.Array, indices: Ints) -> pa.Array:
        """See `Accumulator`."""
        return states.take(pa.array(indices))

    def concat(self, parts: list[pa.Array]) -> pa.Array:
        """See `Accumulator`."""
        return pa.concat_arrays(parts)

    def _best(self, column: pa.Array, groups: Ints, n: int) -> pa.Array:
        values, groups = present(column, groups)
        kind = self.dtype
        empty = np.ones(n, np.bool_)
        empty[groups] = False
        if pa.types.is_floating(kind):
            numbers = self._best_floats(np.asarray(values.to_numpy(), np.float64), groups, n)
            return pa.array(numbers.astype(kind.to_pandas_dtype()), kind, mask=empty)
        if pa.types.is_decimal(kind) or pa.types.is_string(kind) or pa.types.is_binary(kind):
            codes, _ = ranks(values)
            best, row_of = self._best_integers(codes, groups, n), np.zeros(len(codes) + 1, np.int64)
            row_of[codes] = np.arange(len(codes))
            return values.take(pa.array(row_of[np.where(empty, 0, best)], mask=empty))
        stored = pa.array(np.where(empty, 0, self._best_integers(integers(values), groups, n)), mask=empty)
        return stored.cast(pa.int32()).cast(kind) if pa.types.is_date(kind) else stored.cast(kind)

    def _best_integers(self, numbers: Ints, groups: Ints, n: int) -> Ints:
        limits = np.iinfo(np.int64)
        best = np.full(n, limits.min if self._greatest else limits.max)
        (np.maximum if self._greatest else np.minimum).at(best, groups, numbers)
        return best

    def _best_floats(self, numbers: npt.NDArray[np.float64], groups: Ints, n: int) -> npt.NDArray[np.float64]:
        best = np.full(n, -np.inf if self._greatest else np.nan)
        with np.errstate(invalid="ignore"):
            (np.maximum if self._greatest else np.fmin).at(best, groups, numbers)
        return np.where(np.isnan(best), np.nan, best + 0.0)
