"""Distinct values per state, no more than a state may hold: what sets, histograms and buckets are made of."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from transforms.accumulators.blobs import one_each, unfixed
from transforms.accumulators.ragged import entries, joined, owners, starts
from transforms.accumulators.sorting import by_group
from transforms.accumulators.values import canonical, from_sections, section_count, sortable, to_sections

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Distinct:
    """The distinct values of m states, ascending within each; a state with too many is full and holds none.

    Full is for good: the union of a full state with any other is full, and whether the union of some states is full
    depends on its distinct values alone, so the order of merges does not show.

    Attributes:
        bounds: int64[m + 1], state i has the values from `bounds[i]` to `bounds[i + 1]`.
        values: `pa.Array[bounds[-1]]` in canonical form.
        full: bool[m].
    """

    bounds: Ints
    values: pa.Array
    full: Bools

    @property
    def owners(self) -> Ints:
        """State of each value."""
        return owners(self.bounds)

    def take(self, states: Ints) -> tuple[Distinct, Ints]:
        """States at the given places, and where their values were."""
        at, bounds = entries(self.bounds, states)
        return Distinct(bounds, self.values.take(pa.array(at)), self.full[states]), at

    def union(self, groups: Ints, n: int, most: int) -> tuple[Distinct, Ints]:
        """Unions of states, and the new place of each old value; see `distinct`."""
        full = np.zeros(n, np.bool_)
        full[groups[self.full]] = True
        return distinct(self.values, groups[self.owners], n, most, full)

    def to_sections(self) -> list[pa.BinaryArray]:
        """Sections of the states: those of the values, then one byte for a full state."""
        return [*to_sections(self.values, np.diff(self.bounds)), one_each(self.full.astype(np.uint8), self.full)]

    @staticmethod
    def section_count(dtype: pa.DataType) -> int:
        """How many sections `to_sections` makes of values of a type."""
        return section_count(dtype) + 1

    @staticmethod
    def from_sections(dtype: pa.DataType, sections: Iterator[pa.BinaryArray]) -> Distinct:
        """The inverse of `to_sections`.

        Raises:
            StoreError: a section is damaged.
        """
        values, counts = from_sections(dtype, sections)
        return Distinct(starts(counts), values, unfixed(next(sections), np.uint8) != 0)

    @staticmethod
    def concat(parts: list[Distinct]) -> Distinct:
        """States of all parts, one after the other."""
        values = pa.concat_arrays([part.values for part in parts])
        return Distinct(joined([part.bounds for part in parts]), values, np.concatenate([part.full for part in parts]))


def distinct(values: pa.Array, groups: Ints, n: int, most: int, full: Bools | None = None) -> tuple[Distinct, Ints]:
    """Distinct values of n groups.

    Args:
        values: `pa.Array` of a scalar type, without nulls, one of group `groups[i]` each.
        groups: int64, 0 <= groups[i] < n.
        n: number of groups.
        most: how many distinct values a group may hold.
        full: bool[n], groups that are full already.

    Returns:
        n states, and the place of each given value among those that the states hold; -1 where the group is full.
    """
    numbers = sortable(values)
    order = by_group(groups, numbers)
    owner, ordered = groups[order], numbers[order]
    first = np.ones(len(order), np.bool_)
    first[1:] = (owner[1:] != owner[:-1]) | (ordered[1:] != ordered[:-1])
    representatives = order[first]
    owner = owner[first]
    sizes = np.bincount(owner, minlength=n)
    filled = sizes > most if full is None else full | (sizes > most)
    slots = np.cumsum(first) - 1
    if filled.any():
        held = ~filled[owner]
        slots = np.where(held, np.cumsum(held) - 1, -1)[slots]
        representatives = representatives[held]
    place = np.empty(len(order), np.int64)
    place[order] = slots
    kept = canonical(values.take(pa.array(representatives)))
    return Distinct(starts(np.where(filled, 0, sizes)), kept, filled), place
