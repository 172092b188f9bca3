"""Counts of distinct values: `unique_count`, exact up to its limit, and `bounded_unique_count`, exact up to k."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from schemas.state import StateSpec
from transforms.accumulators.base import Finished, Inputs, Ints
from transforms.accumulators.blobs import pack, unpack
from transforms.accumulators.counts import present
from transforms.accumulators.distinct import Distinct, distinct

LIMIT = 10_000


class UniqueCount:
    """Number of distinct values that are not null; NaN equals NaN, -0.0 equals 0.0.

    Args:
        spec: the state; one column of a scalar type.
        most: how many distinct values a state may hold.
        beyond: the count of a state with more; None if it has no value.
    """

    def __init__(self, spec: StateSpec, most: int, beyond: int | None) -> None:
        self.spec = spec
        self.dtype: pa.DataType = pa.int64()
        self._most = most
        self._beyond = beyond

    def fold(self, inputs: Inputs, groups: Ints, n: int) -> Distinct:
        """See `Accumulator`."""
        return distinct(*present(inputs.columns[0], groups), n, self._most)[0]

    def merge(self, states: Distinct, groups: Ints, n: int) -> Distinct:
        """See `Accumulator`."""
        return states.union(groups, n, self._most)[0]

    def finish(self, states: Distinct) -> Finished:
        """See `Accumulator`."""
        counts = np.where(states.full, self._beyond or 0, np.diff(states.bounds))
        unknown = states.full if self._beyond is None else None
        return Finished(pa.array(counts, pa.int64(), mask=unknown), np.zeros(len(counts), np.bool_))

    def encode(self, states: Distinct) -> pa.BinaryArray:
        """See `Accumulator`."""
        return pack(states.to_sections())

    def decode(self, blobs: pa.BinaryArray) -> Distinct:
        """See `Accumulator`."""
        kind = self.spec.types[0]
        return Distinct.from_sections(kind, iter(unpack(blobs, Distinct.section_count(kind))))

    def take(self, states: Distinct, indices: Ints) -> Distinct:
        """See `Accumulator`."""
        return states.take(indices)[0]

    def concat(self, parts: list[Distinct]) -> Distinct:
        """See `Accumulator`."""
        return Distinct.concat(parts)


def unique_count(spec: StateSpec) -> UniqueCount:
    """Exact count up to `limit` distinct values (default `LIMIT`); past it the state is saturated for good: null."""
    return UniqueCount(spec, spec.param("limit", LIMIT), None)


def bounded_unique_count(spec: StateSpec) -> UniqueCount:
    """Exact count up to k distinct values, then k; a state that has reached k holds none of them."""
    k = int(spec.param("k"))
    return UniqueCount(spec, k - 1, k)
