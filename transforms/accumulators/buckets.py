"""Any operation per bucket: the `by=` of an aggregation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from schemas.errors import StoreError
from schemas.state import StateSpec
from transforms.accumulators.base import Accumulator, Finished, Inputs, Ints
from transforms.accumulators.blobs import nest, pack, unnest, unpack
from transforms.accumulators.distinct import Distinct, distinct
from transforms.accumulators.ragged import maps
from transforms.accumulators.sets import LIMIT
from transforms.accumulators.texts import texts


@dataclass(frozen=True)
class Buckets:
    """Buckets of m states and the inner state of each.

    Attributes:
        distinct: the bucket values of each state, ascending.
        inner: states of the inner accumulator, one per bucket value.
    """

    distinct: Distinct
    inner: Any


class Bucketed:
    """Map from the text of a bucket to the inner operation's value over the bucket's rows, by ascending bucket.

    Rows whose bucket is null are skipped. A bucket is there if it has a row, even if the inner value is null. A state
    with more than `limit` buckets (default `LIMIT`) is saturated for good: null. Where the value of any bucket does not
    fit its type, that bucket is null and the state's overflow is set.

    Args:
        inner: the operation without buckets.
        spec: the state, `by` and `by_type` set (a scalar type).
    """

    def __init__(self, inner: Accumulator, spec: StateSpec) -> None:
        if spec.by_type is None:
            raise ValueError(f"{spec.operation} over {spec.columns} has no bucket column")
        self.spec = spec
        self.dtype: pa.DataType = pa.map_(pa.string(), inner.dtype)
        self._inner = inner
        self._by = spec.by_type
        self._most = int(spec.param("limit", LIMIT))

    def fold(self, inputs: Inputs, groups: Ints, n: int) -> Buckets:
        """See `Accumulator`."""
        assert inputs.by is not None
        there = np.flatnonzero(inputs.by.is_valid().to_numpy(zero_copy_only=False))
        buckets, place = distinct(inputs.by.drop_null(), groups[there], n, self._most)
        held = place >= 0
        rows = Inputs(inputs.columns, None, inputs.order).take(there[held])
        return Buckets(buckets, self._inner.fold(rows, place[held], len(buckets.values)))

    def merge(self, states: Buckets, groups: Ints, n: int) -> Buckets:
        """See `Accumulator`."""
        buckets, place = states.distinct.union(groups, n, self._most)
        inner = states.inner
        if (place < 0).any():
            held = np.flatnonzero(place >= 0)
            inner, place = self._inner.take(inner, held), place[held]
        return Buckets(buckets, self._inner.merge(inner, place, len(buckets.values)))

    def finish(self, states: Buckets) -> Finished:
        """See `Accumulator`."""
        inner = self._inner.finish(states.inner)
        overflow = np.zeros(len(states.distinct.full), np.bool_)
        overflow[states.distinct.owners[inner.overflow]] = True
        return Finished(maps(states.distinct.bounds, texts(states.distinct.values), inner.values), overflow)

    def encode(self, states: Buckets) -> pa.BinaryArray:
        """See `Accumulator`."""
        inner = nest(self._inner.encode(states.inner), np.diff(states.distinct.bounds))
        return pack([inner, *states.distinct.to_sections()])

    def decode(self, blobs: pa.BinaryArray) -> Buckets:
        """See `Accumulator`."""
        sections = iter(unpack(blobs, 1 + Distinct.section_count(self._by)))
        inner, counts = unnest(next(sections))
        buckets = Distinct.from_sections(self._by, sections)
        if not np.array_equal(counts, np.diff(buckets.bounds)):
            raise StoreError("a state is damaged: its buckets and their states do not add up")
        return Buckets(buckets, self._inner.decode(inner))

    def take(self, states: Buckets, indices: Ints) -> Buckets:
        """See `Accumulator`."""
        buckets, at = states.distinct.take(indices)
        return Buckets(buckets, self._inner.take(states.inner, at))

    def concat(self, parts: list[Buckets]) -> Buckets:
        """See `Accumulator`."""
        inner = self._inner.concat([part.inner for part in parts])
        return Buckets(Distinct.concat([part.distinct for part in parts]), inner)
