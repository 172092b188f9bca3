"""Approximate percentiles: DDSketch.

Buckets of relative width (Masson, Rim, Lee: "DDSketch", 2019) counted exactly, so order cannot matter. The logarithm is
replaced by its linear interpolation between powers of two (the paper's fast mapping): with N buckets to each power of
two, N = ceil((1 / error - 1) / 2), |v| in [(1 + j/N) * 2**e, (1 + (j+1)/N) * 2**e) has bucket j of e, whose answer
2ab / (a + b), a and b its ends, is within `error` of all in it. Only exact and IEEE-rounded operations are used, so the
buckets are the same on every machine.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from schemas.errors import StoreError
from schemas.state import StateSpec
from transforms.accumulators.base import Finished, Inputs, Ints
from transforms.accumulators.blobs import from_varints, pack, to_varints, unpack
from transforms.accumulators.counts import present
from transforms.accumulators.ragged import entries, joined, owners, segment_sums, starts
from transforms.exact import numbers
from transforms.rounding import powers_of_ten, quotient
from transforms.wide import Wide

Floats = npt.NDArray[np.float64]

DEFAULT_ERROR = 0.01
LEAST_EXPONENT, GREATEST_EXPONENT = -1074, 1023


@dataclass(frozen=True)
class Tallies:
    """Filled buckets of m states.

    Attributes:
        bounds: int64[m + 1], state i has the buckets from `bounds[i]` to `bounds[i + 1]`.
        buckets: int64[bounds[-1]], numbers of buckets, ascending within a state: 0 for zero, positive for positive
            values, their negatives for negative ones.
        counts: int64[bounds[-1]], positive.
    """

    bounds: Ints
    buckets: Ints
    counts: Ints


class ApproxPercentile:
    """Approximate value at rank floor(q * (n - 1)) of the n values that are neither null nor NaN, ranks from 0 up.

    Parameters: `q` (0..1, or several of them: a list of as many), `error` (relative, default 0.01; of values below
    2**-1022 / error more, since such numbers have few bits). Null when there is no value. Zero and the infinities are
    exact. Bytes: the buckets' differences (the first zigzag), and the counts, as varints.
    """

    def __init__(self, spec: StateSpec) -> None:
        self.spec = spec
        ranks = spec.param("q")
        self._several = isinstance(ranks, (tuple, list))
        self._q = np.asarray(ranks if self._several else [ranks], np.float64)
        self.dtype: pa.DataType = pa.list_(pa.float64()) if self._several else pa.float64()
        self._parts = max(math.ceil((1 / float(spec.param("error", DEFAULT_ERROR)) - 1) / 2), 1)
        self._infinite = (GREATEST_EXPONENT - LEAST_EXPONENT + 1) * self._parts + 1

    def fold(self, inputs: Inputs, groups: Ints, n: int) -> Tallies:
        """See `Accumulator`."""
        column, groups = present(inputs.columns[0], groups)
        values = _floats(column)
        known = ~np.isnan(values)
        if not known.all():
            values, groups = values[known], groups[known]
        return self._tally(self._buckets(values), None, groups, n)

    def merge(self, states: Tallies, groups: Ints, n: int) -> Tallies:
        """See `Accumulator`."""
        return self._tally(states.buckets, states.counts, groups[owners(states.bounds)], n)

    def finish(self, states: Tallies) -> Finished:
        """See `Accumulator`."""
        before = starts(states.counts)
        total = segment_sums(states.counts, np.diff(states.bounds))
        empty = total == 0
        rank = np.floor(self._q * np.maximum(total - 1, 0)[:, None]).astype(np.int64)
        at = np.searchsorted(before, before[states.bounds[:-1]][:, None] + rank, side="right") - 1
        at[empty] = 0
        values = self._values(np.concatenate([states.buckets, [0]])[at])
        overflow = np.zeros(len(total), np.bool_)
        if not self._several:
            return Finished(pa.array(values[:, 0], mask=empty), overflow)
        bounds = pa.array(np.arange(len(total) + 1) * len(self._q), pa.int32())
        return Finished(pa.ListArray.from_arrays(bounds, pa.array(values.reshape(-1)), mask=pa.array(empty)), overflow)

    def encode(self, states: Tallies) -> pa.BinaryArray:
        """See `Accumulator`."""
        lengths = np.diff(states.bounds)
        steps = np.diff(states.buckets, prepend=0)
        first = states.bounds[:-1][lengths > 0]
        lead = states.buckets[first]
        steps[first] = (lead << 1) ^ (lead >> 63)
        return pack([from_varints(steps, lengths), from_varints(states.counts, lengths)])

    def decode(self, blobs: pa.BinaryArray) -> Tallies:
        """See `Accumulator`."""
        head, tail = unpack(blobs, 2)
        steps, lengths = to_varints(head)
        counts, found = to_varints(tail)
        if not np.array_equal(lengths, found) or (counts <= 0).any():
            raise StoreError("a state is damaged: its buckets and their counts do not add up")
        bounds = starts(lengths)
        first = bounds[:-1][lengths > 0]
        steps[first] = (steps[first] >> 1) ^ -(steps[first] & 1)
        total = starts(steps)
        return Tallies(bounds, total[1:] - np.repeat(total[bounds[:-1]], lengths), counts)

    def take(self, states: Tallies, indices: Ints) -> Tallies:
        """See `Accumulator`."""
        at, bounds = entries(states.bounds, indices)
        return Tallies(bounds, states.buckets[at], states.counts[at])

    def concat(self, parts: list[Tallies]) -> Tallies:
        """See `Accumulator`."""
        return Tallies(
            joined([part.bounds for part in parts]),
            np.concatenate([part.buckets for part in parts]),
            np.concatenate([part.counts for part in parts]),
        )

    def _tally(self, buckets: Ints, counts: Ints | None, groups: Ints, n: int) -> Tallies:
        """Counts (one each, unless given) by group and bucket."""
        span = 2 * self._infinite + 1
        keys = groups * span + (buckets + self._infinite)
        if counts is None:
            keys = np.sort(keys)
        else:
            order = np.argsort(keys)
            keys, counts = keys[order], counts[order]
        first = np.ones(len(keys), np.bool_)
        first[1:] = keys[1:] != keys[:-1]
        at = np.flatnonzero(first)
        sums = np.diff(at, append=len(keys)) if counts is None else segment_sums(counts, np.diff(at, append=len(keys)))
        groups, shifted = np.divmod(keys[at], span)
        return Tallies(starts(np.bincount(groups, minlength=n)), shifted - self._infinite, sums)

    def _buckets(self, values: Floats) -> Ints:
        """Bucket of each value (no NaN)."""
        infinite = np.isinf(values)
        mantissa, exponent = np.frexp(np.where(infinite, 1, np.abs(values)))
        part = ((2 * mantissa - 1) * self._parts).astype(np.int64)
        number = (exponent - 1 - LEAST_EXPONENT).astype(np.int64) * self._parts + part + 1
        number = np.where(infinite, self._infinite, np.where(values == 0, 0, number))
        return np.where(values < 0, -number, number)

    def _values(self, buckets: Ints) -> Floats:
        """Answer of each bucket."""
        number = np.abs(buckets)
        exponent, part = np.divmod(np.clip(number, 1, self._infinite - 1) - 1, self._parts)
        low = self._parts + part
        middle = (2.0 * low * (low + 1)) / (self._parts * (2.0 * low + 1))
        size = np.ldexp(middle, (exponent + LEAST_EXPONENT).astype(np.int32))
        size = np.where(number == self._infinite, np.inf, np.where(number == 0, 0.0, size))
        return np.where(buckets < 0, -size, size)


def _floats(column: pa.Array) -> Floats:
    """Values of a column of numbers without nulls, each the nearest float64."""
    values = numbers(column)
    if pa.types.is_decimal(column.type):
        whole = values if isinstance(values, Wide) else Wide.of_integers(np.asarray(values, np.int64))
        return quotient(whole, powers_of_ten(column.type.scale))
    assert not isinstance(values, Wide)
    return np.asarray(values, np.float64)
