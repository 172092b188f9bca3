"""Counts of rows, or of values that are not null."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from schemas.errors import StoreError
from schemas.state import StateSpec
from transforms.accumulators.base import Finished, Inputs, Ints
from transforms.accumulators.blobs import VERSION, from_varints, pack, to_varints, unpack
from transforms.accumulators.spans import Spans, sums

_SHORT = 3  # bytes of a count below 128: version, length, number
_SHORT_HEAD = VERSION | 1 << 8
_MORE = 0x80


class Count:
    """Number of rows (no column), or of rows whose column is not null; 0 when there is none.

    States are int64[m]. Bytes: the count as a varint; none for 0.
    """

    def __init__(self, spec: StateSpec) -> None:
        self.spec = spec
        self.dtype: pa.DataType = pa.int64()

    def fold(self, inputs: Inputs, groups: Ints, n: int) -> Ints:
        """See `Accumulator`."""
        if inputs.columns:
            _, groups = present(inputs.columns[0], groups)
        return tally(groups, n)

    def merge(self, states: Ints, groups: Ints, n: int) -> Ints:
        """See `Accumulator`."""
        counts = np.zeros(n, np.int64)
        np.add.at(counts, groups, states)
        return counts

    def finish(self, states: Ints) -> Finished:
        """See `Accumulator`."""
        return Finished(pa.array(states, pa.int64()), np.zeros(len(states), np.bool_))

    def encode(self, states: Ints) -> pa.BinaryArray:
        """See `Accumulator`."""
        return pack([to_section(states)])

    def decode(self, blobs: pa.BinaryArray) -> Ints:
        """See `Accumulator`."""
        return from_section(unpack(blobs, 1)[0])

    def gather(self, spans: Spans, firsts: Ints) -> Ints:
        """See `gathered.Gathering`."""
        if ((spans.ends - spans.starts == _SHORT) & (spans.words(spans.starts, "<u2") == _SHORT_HEAD)).all():
            numbers = spans.data[spans.starts + _SHORT - 1]
            if (numbers < _MORE).all():
                return sums(numbers.astype(np.int64), firsts)
        return sums(spans.sections(1)[0].numbers(), firsts)

    def take(self, states: Ints, indices: Ints) -> Ints:
        """See `Accumulator`."""
        return states[indices]

    def concat(self, parts: list[Ints]) -> Ints:
        """See `Accumulator`."""
        return np.concatenate(parts)


def present(column: pa.Array, groups: Ints) -> tuple[pa.Array, Ints]:
    """Values of a column that are not null, and their groups."""
    if not column.null_count:
        return column, groups
    return column.drop_null(), groups[column.is_valid().to_numpy(zero_copy_only=False)]


def tally(groups: Ints, n: int) -> Ints:
    """How many rows each of n groups has, int64[n]."""
    return np.bincount(groups, minlength=n).astype(np.int64, copy=False)


def to_section(counts: Ints) -> pa.BinaryArray:
    """Bytes of counts, none for 0."""
    some = counts > 0
    return from_varints(counts[some], some.astype(np.int64))


def from_section(section: pa.BinaryArray) -> Ints:
    """Counts int64[m] of their bytes.

    Raises:
        StoreError: a count is damaged.
    """
    numbers, lengths = to_varints(section)
    if (lengths > 1).any():
        raise StoreError("a state is damaged: it has more than one count")
    counts = np.zeros(len(lengths), np.int64)
    counts[lengths > 0] = numbers
    return counts
