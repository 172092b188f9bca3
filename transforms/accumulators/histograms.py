"""Counts by value: `histogram`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from schemas.errors import StoreError
from schemas.state import StateSpec
from transforms.accumulators.base import Finished, Inputs, Ints
from transforms.accumulators.blobs import from_varints, pack, to_varints, unpack
from transforms.accumulators.counts import present
from transforms.accumulators.distinct import Distinct, distinct
from transforms.accumulators.ragged import maps, places, starts
from transforms.accumulators.sets import LIMIT
from transforms.accumulators.texts import texts


@dataclass(frozen=True)
class Tallies:
    """How often each distinct value of m states occurs.

    Attributes:
        distinct: the values.
        counts: int64, of each value.
    """

    distinct: Distinct
    counts: Ints


class Histogram:
    """Map from the text of a value to its exact count, most frequent first, of equal counts the smaller value first.

    Nulls are skipped; NaN equals NaN, -0.0 is 0.0. With parameter k only the k most frequent are shown. A state with
    more than `limit` distinct values (default `LIMIT`) is saturated for good: null.
    """

    def __init__(self, spec: StateSpec) -> None:
        self.spec = spec
        self.dtype: pa.DataType = pa.map_(pa.string(), pa.int64())
        self._most = int(spec.param("limit", LIMIT))
        self._shown = spec.param("k")

    def fold(self, inputs: Inputs, groups: Ints, n: int) -> Tallies:
        """See `Accumulator`."""
        values, place = distinct(*present(inputs.columns[0], groups), n, self._most)
        return Tallies(values, np.bincount(place[place >= 0], minlength=len(values.values)).astype(np.int64))

    def merge(self, states: Tallies, groups: Ints, n: int) -> Tallies:
        """See `Accumulator`."""
        values, place = states.distinct.union(groups, n, self._most)
        counts = np.zeros(len(values.values), np.int64)
        held = place >= 0
        np.add.at(counts, place[held], states.counts[held])
        return Tallies(values, counts)

    def finish(self, states: Tallies) -> Finished:
        """See `Accumulator`."""
        bounds, groups = states.distinct.bounds, states.distinct.owners
        order = np.lexsort((-states.counts, groups))
        if self._shown is not None:
            place, sizes = places(groups, len(bounds) - 1)
            order = order[place < self._shown]
            bounds = starts(np.minimum(sizes, self._shown))
        keys = texts(states.distinct.values.take(pa.array(order)))
        shown = maps(bounds, keys, pa.array(states.counts[order]))
        return Finished(shown, np.zeros(len(shown), np.bool_))

    def encode(self, states: Tallies) -> pa.BinaryArray:
        """See `Accumulator`."""
        counts = from_varints(states.counts, np.diff(states.distinct.bounds))
        return pack([counts, *states.distinct.to_sections()])

    def decode(self, blobs: pa.BinaryArray) -> Tallies:
        """See `Accumulator`."""
        kind = self.spec.types[0]
        sections = iter(unpack(blobs, 1 + Distinct.section_count(kind)))
        counts, found = to_varints(next(sections))
        values = Distinct.from_sections(kind, sections)
        if not np.array_equal(found, np.diff(values.bounds)):
            raise StoreError("a state is damaged: its values and their counts do not add up")
        return Tallies(values, counts)

    def take(self, states: Tallies, indices: Ints) -> Tallies:
        """See `Accumulator`."""
        values, at = states.distinct.take(indices)
        return Tallies(values, states.counts[at])

    def concat(self, parts: list[Tallies]) -> Tallies:
        """See `Accumulator`."""
        values = Distinct.concat([part.distinct for part in parts])
        return Tallies(values, np.concatenate([part.counts for part in parts]))
