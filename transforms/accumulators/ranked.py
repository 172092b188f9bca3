"""The k greatest or smallest values: `top_k` and `bottom_k`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from schemas.state import StateSpec
from transforms.accumulators.base import Finished, Inputs, Ints
from transforms.accumulators.blobs import pack, unpack
from transforms.accumulators.counts import present
from transforms.accumulators.ragged import entries, joined, lists, owners, places, starts
from transforms.accumulators.sorting import by_group
from transforms.accumulators.values import canonical, from_sections, section_count, sortable, to_sections


@dataclass(frozen=True)
class Ranking:
    """The best values of m states, best first.

    Attributes:
        bounds: int64[m + 1], state i has the values from `bounds[i]` to `bounds[i + 1]`.
        values: `pa.Array[bounds[-1]]` in canonical form.
    """

    bounds: Ints
    values: pa.Array


class Ranked:
    """List of the k best values that are not null, best first: the greatest (`top_k`) or the smallest (`bottom_k`).

    Duplicates stay. Floats: NaN is above every number, -0.0 is 0.0.
    """

    def __init__(self, spec: StateSpec) -> None:
        self.spec = spec
        self.dtype: pa.DataType = pa.list_(spec.types[0])
        self._k = int(spec.param("k"))
        self._greatest = spec.operation == "top_k"

    def fold(self, inputs: Inputs, groups: Ints, n: int) -> Ranking:
        """See `Accumulator`."""
        return self._best(*present(inputs.columns[0], groups), n)

    def merge(self, states: Ranking, groups: Ints, n: int) -> Ranking:
        """See `Accumulator`."""
        return self._best(states.values, groups[owners(states.bounds)], n)

    def finish(self, states: Ranking) -> Finished:
        """See `Accumulator`."""
        return Finished(lists(states.bounds, states.values), np.zeros(len(states.bounds) - 1, np.bool_))

    def encode(self, states: Ranking) -> pa.BinaryArray:
        """See `Accumulator`."""
        return pack(to_sections(states.values, np.diff(states.bounds)))

    def decode(self, blobs: pa.BinaryArray) -> Ranking:
        """See `Accumulator`."""
        kind = self.spec.types[0]
        values, counts = from_sections(kind, iter(unpack(blobs, section_count(kind))))
        return Ranking(starts(counts), values)

    def take(self, states: Ranking, indices: Ints) -> Ranking:
        """See `Accumulator`."""
        at, bounds = entries(states.bounds, indices)
        return Ranking(bounds, states.values.take(pa.array(at)))

    def concat(self, parts: list[Ranking]) -> Ranking:
        """See `Accumulator`."""
        values = pa.concat_arrays([part.values for part in parts])
        return Ranking(joined([part.bounds for part in parts]), values)

    def _best(self, values: pa.Array, groups: Ints, n: int) -> Ranking:
        numbers = sortable(values)
        order = by_group(groups, ~numbers if self._greatest else numbers)
        place, counts = places(groups[order], n)
        best = order[place < self._k]
        return Ranking(starts(np.minimum(counts, self._k)), canonical(values.take(pa.array(best))))
