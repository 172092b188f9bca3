"""Values of ranges of sorted rows by the shortest way that each operation has, exactly as its states would give them.

A count and an exact sum have inverses: a range is the difference of two running totals. The totals are kept limb by
limb in int64 and may wrap around: differences of ranges of fewer than 2**26 rows fit, so they are right modulo 2**64.
Least and greatest come from running extremes of blocks, first and last values from their places. All others are
folded from merged states (`RangeFold`).
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from schemas.state import StateSpec
from transforms.accumulators.base import Accumulator, Finished, Inputs
from transforms.accumulators.ragged import lists, starts
from transforms.accumulators.sums import MINUS_INF, NAN, PLUS_INF, Totals
from transforms.accumulators.values import ranks, sortable
from transforms.columns import flags
from transforms.exact import numbers, power_limbs
from transforms.ranges import BlockExtremes, RangeFold, expand
from transforms.wide import Wide

Ints = npt.NDArray[np.int64]

POWERS = {"sum": 1, "mean": 1, "variance": 2, "stddev": 2, "skew": 3, "kurtosis": 4}
ENDS = ("first", "last", "first_k", "last_k")
MAX_LIMBS = 16
MAX_ROWS = 1 << 26
LOT = 1 << 15
_MAX_BITS = 32 * MAX_LIMBS
_NOTHING = np.iinfo(np.int64).max


class RangeValues(Protocol):
    """Values of ranges of the rows of one column (or of none, or of several)."""

    def finish(self, first: Ints, end: Ints) -> Finished:
        """Value of the rows at [first[i], end[i]), for each i; end[i] >= first[i]."""


def finish_all(values: RangeValues, first: Ints, end: Ints) -> Finished:
    """Values of many ranges, lot by lot, so that what is made on the way stays in the processor's cache."""
    lots = [slice(at, at + LOT) for at in range(0, max(len(first), 1), LOT)]
    parts = [values.finish(first[lot], end[lot]) for lot in lots]
    if len(parts) == 1:
        return parts[0]
    overflow = np.concatenate([part.overflow for part in parts])
    return Finished(pa.concat_arrays([part.values for part in parts]), overflow)


class RangeStates:
    """Any operation: states from `RangeFold`, then finished."""

    def __init__(self, accumulator: Accumulator, inputs: Inputs) -> None:
        self._accumulator, self._fold = accumulator, RangeFold(accumulator, inputs)

    def finish(self, first: Ints, end: Ints) -> Finished:
        """See `RangeValues`."""
        return self._accumulator.finish(self._fold.fold(first, end))


class RangeCounts:
    """Rows, or values that are not null."""

    def __init__(self, column: pa.Array | None) -> None:
        self._before = None if column is None or not column.null_count else starts(_there(column))

    def finish(self, first: Ints, end: Ints) -> Finished:
        """See `RangeValues`."""
        return Finished(pa.array(self.count(first, end)), np.zeros(len(first), np.bool_))

    def count(self, first: Ints, end: Ints) -> Ints:
        """Counts int64[m]."""
        return end - first if self._before is None else self._before[end] - self._before[first]


class RangeTotals:
    """Exact sums of powers: running totals of the limbs of each row, and of rows that are not finite."""

    def __init__(self, column: pa.Array, degree: int) -> None:
        self._counts = RangeCounts(column)
        values, rows = column, None
        if column.null_count:
            rows = np.flatnonzero(_there(column))
            values = column.drop_null()
        found, self._odd = numbers(values), dict[int, Ints]()
        if not isinstance(found, Wide) and found.dtype == np.float64:
            finite = np.isfinite(found)
            if not finite.all():
                kinds = ((NAN, np.isnan(found)), (PLUS_INF, found == np.inf), (MINUS_INF, found == -np.inf))
                at = np.arange(len(found)) if rows is None else rows
                self._odd = {mark: _running(which, at, len(column)) for mark, which in kinds if which.any()}
                found, rows = found[finite], at[finite]
        self.limbs = [
            {place: _running(limb, rows, len(column)) for place, limb in power.items()}
            for power in power_limbs(found, degree)
        ]

    def totals(self, first: Ints, end: Ints) -> Totals:
        """What the ranges know of their values."""
        counts, marks = self._counts.count(first, end), np.zeros(len(first), np.uint8)
        for mark, before in self._odd.items():
            marks[before[end] > before[first]] |= mark
        powers = tuple(_between(limbs, first, end) for limbs in self.limbs)
        if marks.any():
            mixed = ((marks & NAN) > 0) | (marks == PLUS_INF | MINUS_INF)
            marks = np.where(mixed, NAN, marks).astype(np.uint8)
            powers = tuple(power.where(marks == 0) for power in powers)
        return Totals(counts, powers, marks)


class RangePowers:
    """A function of exact sums of powers; several share one `RangeTotals`.

    Args:
        accumulator: finishes the sums.
        totals: the running totals.
    """

    def __init__(self, accumulator: Accumulator, totals: RangeTotals) -> None:
        self._accumulator, self._totals = accumulator, totals

    def finish(self, first: Ints, end: Ints) -> Finished:
        """See `RangeValues`."""
        return self._accumulator.finish(self._totals.totals(first, end))


class RangeExtremes:
    """Least or greatest values that are not null."""

    def __init__(self, column: pa.Array, greatest: bool) -> None:
        self._kind, self._greatest = column.type, greatest
        values = column.drop_null() if column.null_count else column
        self._values: pa.Array | None = None
        if pa.types.is_floating(self._kind) or pa.types.is_integer(self._kind) or _timed(self._kind):
            codes = sortable(values)
        else:
            codes = ranks(values)[0]
            row_of = np.zeros(int(codes.max()) + 1 if len(codes) else 1, np.int64)
            row_of[codes] = np.arange(len(codes))
            self._values, self._row_of = values, row_of
        placed = ~codes if greatest else codes
        if column.null_count:
            placed = np.full(len(column), _NOTHING)
            placed[np.flatnonzero(_there(column))] = ~codes if greatest else codes
        self._least = BlockExtremes(placed)
        self._counts = RangeCounts(column)

    def finish(self, first: Ints, end: Ints) -> Finished:
        """See `RangeValues`."""
        empty = self._counts.count(first, end) == 0
        codes = self._least.least(first, end)
        codes = np.where(empty, 0, ~codes if self._greatest else codes)
        return Finished(self._column(codes, empty), np.zeros(len(first), np.bool_))

    def _column(self, codes: Ints, empty: npt.NDArray[np.bool_]) -> pa.Array:
        kind = self._kind
        if self._values is not None:
            return self._values.take(pa.array(self._row_of[codes] if len(self._values) else codes, mask=empty))
        if pa.types.is_floating(kind):
            bits = codes ^ ((codes >> 63) & np.int64(2**63 - 1))
            return pa.array(bits.view(np.float64).astype(kind.to_pandas_dtype()), kind, mask=empty, from_pandas=False)
        numbers_ = pa.array(codes, mask=empty)
        return numbers_.cast(pa.int32()).cast(kind) if pa.types.is_date(kind) else numbers_.cast(kind)


class RangeEnds:
    """First or last values, or lists of the first or last k; rows lie in the total order."""

    def __init__(self, spec: StateSpec, columns: list[pa.Array]) -> None:
        struct = len(columns) > 1
        self._newest = spec.operation in ("last", "last_k")
        self._listed = spec.operation in ("first_k", "last_k")
        self._k = int(spec.param("k")) if self._listed else 1
        self._before: Ints | None = None
        values = columns[0]
        if struct:
            fields = list(pa.struct(list(zip(spec.columns, spec.types, strict=True))))
            values = pa.StructArray.from_arrays(columns, fields=fields)
        elif values.null_count and not spec.param("keep_null", False):
            self._before = starts(_there(values))
            values = values.drop_null()
        self._values = values

    def finish(self, first: Ints, end: Ints) -> Finished:
        """See `RangeValues`."""
        fits = np.zeros(len(first), np.bool_)
        if self._before is not None:
            first, end = self._before[first], self._before[end]
        if not self._listed:
            at = end - 1 if self._newest else first
            empty = first == end
            return Finished(self._values.take(pa.array(np.where(empty, 0, at), mask=empty)), fits)
        if self._newest:
            first = np.maximum(first, end - self._k)
        else:
            end = np.minimum(end, first + self._k)
        owners, rows = expand(first, end)
        if self._newest:
            rows = (first + end - 1)[owners] - rows
        return Finished(lists(starts(end - first), self._values.take(pa.array(rows))), fits)


def has_short_sums(column: pa.Array, degree: int) -> bool:
    """Whether running totals of a column are worth their memory: few limbs hold all its values."""
    if len(column) >= MAX_ROWS:
        return False
    if not pa.types.is_floating(column.type):
        return True
    values = np.abs(np.asarray(column.drop_null().to_numpy(zero_copy_only=False), np.float64))
    values = values[np.isfinite(values) & (values > 0)]
    if not len(values):
        return True
    top, low = (int(np.frexp(value)[1]) for value in (values.max(), values.min()))
    return sum(power * (top - low + 53) + 64 for power in range(1, degree + 1)) <= _MAX_BITS


def _between(limbs: dict[int, Ints], first: Ints, end: Ints) -> Wide:
    if not limbs:
        return Wide.zeros(len(first))
    places, none = range(min(limbs), max(limbs) + 1), np.zeros(len(first), np.int64)
    return Wide.carried(
        places[0], [limbs[place][end] - limbs[place][first] if place in limbs else none for place in places]
    )


def _running(values: npt.NDArray[np.generic], rows: Ints | None, count: int) -> Ints:
    """Totals int64[count + 1] of the values before each row; value i is that of row `rows[i]` (of row i if None)."""
    totals = np.zeros(count + 1, np.int64)
    if rows is None:
        totals[1:] = values
    else:
        totals[rows + 1] = values
    return np.cumsum(totals, out=totals)


def _there(column: pa.Array) -> Ints:
    return flags(column.is_valid()).astype(np.int64)


def _timed(kind: pa.DataType) -> bool:
    return bool(pa.types.is_timestamp(kind) or pa.types.is_date32(kind) or pa.types.is_boolean(kind))
