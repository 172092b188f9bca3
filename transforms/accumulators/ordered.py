"""The first or last values by the total order of rows: `first`, `last`, `first_k`, `last_k`."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
import pyarrow as pa

from schemas.errors import StoreError
from schemas.state import StateSpec
from transforms.accumulators.base import Finished, Inputs, Ints
from transforms.accumulators.blobs import nest, pack, unnest, unpack
from transforms.accumulators.ragged import entries, joined, lists, owners, places, starts
from transforms.accumulators.sorting import Rest, by_group
from transforms.accumulators.values import from_sections, ranks, section_count, to_sections
from transforms.order import times

_LEAST, _GREATEST = np.iinfo(np.int64).min, np.iinfo(np.int64).max


@dataclass(frozen=True)
class Sequences:
    """Rows of m states, oldest first within each.

    Attributes:
        bounds: int64[m + 1], state i has the rows from `bounds[i]` to `bounds[i + 1]`.
        order: `pa.BinaryArray[bounds[-1]]`, place of each row in the total order, comparable byte by byte.
        values: `pa.Array[bounds[-1]]`, value of each row; a struct of several columns.
    """

    bounds: Ints
    order: pa.BinaryArray
    values: pa.Array


class Ordered:
    """Value of the first or last row, or list of the values of the k first (oldest first) or last rows (newest first).

    Nulls are skipped unless the parameter `keep_null` is true. Several columns are kept together as a struct with
    their names; such rows are never skipped. Values of any type, kept as they are (-0.0 stays -0.0). No two rows may
    have the same place in the order.
    """

    def __init__(self, spec: StateSpec) -> None:
        self.spec = spec
        self._struct = len(spec.columns) > 1
        self._kind = pa.struct(list(zip(spec.columns, spec.types, strict=True))) if self._struct else spec.types[0]
        self._nullable = bool(spec.param("keep_null", False)) and not self._struct
        self._newest = spec.operation in ("last", "last_k")
        self._listed = spec.operation in ("first_k", "last_k")
        self._k = int(spec.param("k")) if self._listed else 1
        self.dtype: pa.DataType = pa.list_(self._kind) if self._listed else self._kind

    def fold(self, inputs: Inputs, groups: Ints, n: int) -> Sequences:
        """See `Accumulator`."""
        rows = np.arange(len(groups))
        if not (self._struct or self._nullable) and inputs.columns[0].null_count:
            rows = np.flatnonzero(inputs.columns[0].is_valid().to_numpy(zero_copy_only=False))
        rows, bounds = self._kept(rows, groups, inputs.order.time, inputs.order.ties, n)
        at = pa.array(rows)
        columns = [column.take(at) for column in inputs.columns]
        values = pa.StructArray.from_arrays(columns, fields=list(self._kind)) if self._struct else columns[0]
        return Sequences(bounds, inputs.order.encode(rows), values)

    def merge(self, states: Sequences, groups: Ints, n: int) -> Sequences:
        """See `Accumulator`."""
        targets = groups[owners(states.bounds)]
        rows, bounds = self._kept(
            np.arange(len(targets)), targets, times(states.order), partial(_ties, states.order), n
        )
        at = pa.array(rows)
        return Sequences(bounds, states.order.take(at), states.values.take(at))

    def finish(self, states: Sequences) -> Finished:
        """See `Accumulator`."""
        first, end = states.bounds[:-1], states.bounds[1:]
        fits = np.zeros(len(first), np.bool_)
        if not self._listed:
            return Finished(states.values.take(pa.array(first, mask=first == end)), fits)
        if not self._newest:
            return Finished(lists(states.bounds, states.values), fits)
        backwards = np.repeat(first + end - 1, end - first) - np.arange(len(states.values))
        return Finished(lists(states.bounds, states.values.take(pa.array(backwards))), fits)

    def encode(self, states: Sequences) -> pa.BinaryArray:
        """See `Accumulator`."""
        counts = np.diff(states.bounds)
        return pack([nest(states.order, counts), *to_sections(states.values, counts, self._nullable)])

    def decode(self, blobs: pa.BinaryArray) -> Sequences:
        """See `Accumulator`."""
        sections = iter(unpack(blobs, 1 + section_count(self._kind, self._nullable)))
        order, counts = unnest(next(sections))
        values, found = from_sections(self._kind, sections, self._nullable)
        if not np.array_equal(counts, found):
            raise StoreError("a state is damaged: its rows and their values do not add up")
        return Sequences(starts(counts), order, values)

    def take(self, states: Sequences, indices: Ints) -> Sequences:
        """See `Accumulator`."""
        at, bounds = entries(states.bounds, indices)
        rows = pa.array(at)
        return Sequences(bounds, states.order.take(rows), states.values.take(rows))

    def concat(self, parts: list[Sequences]) -> Sequences:
        """See `Accumulator`."""
        order = pa.concat_arrays([part.order for part in parts])
        values = pa.concat_arrays([part.values for part in parts])
        return Sequences(joined([part.bounds for part in parts]), order, values)

    def _kept(self, rows: Ints, groups: Ints, times: Ints, ties: Rest, n: int) -> tuple[Ints, Ints]:
        """Those of the rows that are among the k at the kept end of their group, by group and order; their bounds."""
        if self._k == 1:
            ends = np.full(n, _LEAST if self._newest else _GREATEST)
            (np.maximum if self._newest else np.minimum).at(ends, groups[rows], times[rows])
            rows = rows[times[rows] == ends[groups[rows]]]
        rows = rows[by_group(groups[rows], times[rows], lambda some: ties(rows[some]))]
        place, counts = places(groups[rows], n)
        kept = place >= counts[groups[rows]] - self._k if self._newest else place < self._k
        return rows[kept], starts(np.minimum(counts, self._k))


def _ties(order: pa.BinaryArray, rows: Ints) -> list[Ints]:
    return [ranks(order.take(pa.array(rows)))[0]]
