"""Tiles: the fold of a lane's rows into its cells, and the merge of cells into states."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from schemas.state import Block, StateSpec
from transforms.accumulators.base import Accumulator, Inputs
from transforms.accumulators.blobs import fixed, pack, unfixed, unpack
from transforms.accumulators.build import accumulator
from transforms.cells import Cells
from transforms.columns import integers, whole
from transforms.keys import encode_keys
from transforms.order import Order
from transforms.sql import Expression, compile_sql
from transforms.view import CompiledView
from transforms.windows import floor

Ints = npt.NDArray[np.int64]
Lookup = Callable[[list[bytes], Ints], tuple[Ints, list[bytes | None]]]
NEVER = np.iinfo(np.int64).min


@dataclass(frozen=True)
class StateFold:
    """One accumulator bound to the rows of a view: which rows it takes and which columns it reads."""

    spec: StateSpec
    accumulator: Accumulator
    where: Expression | None

    @staticmethod
    def of(spec: StateSpec, view: CompiledView) -> StateFold:
        """Fold of a state over the rows of a view."""
        place = view.view.place
        where = compile_sql(spec.where, view.columns, f"{view.name} where", place) if spec.where else None
        return StateFold(spec, accumulator(spec), where)

    @property
    def reads(self) -> frozenset[str]:
        """Columns that the aggregation's `where` reads."""
        return frozenset() if self.where is None else frozenset(self.where.columns)

    def matching(self, rows: pa.Table) -> npt.NDArray[np.bool_] | None:
        """Which rows the aggregation's `where` takes (null is false), or None for all of them."""
        if self.where is None:
            return None
        frame = pl.DataFrame(pl.from_arrow(rows.select(sorted(self.where.columns))))
        return np.asarray(self.where.evaluate(frame).fill_null(False).to_numpy(), np.bool_)

    def inputs(self, rows: pa.Table, order: Order) -> Inputs:
        """The columns this accumulator reads."""
        columns = tuple(whole(rows.column(name)) for name in self.spec.columns)
        return Inputs(columns, None if self.spec.by is None else whole(rows.column(self.spec.by)), order)

    def fold(self, rows: pa.Table, order: Order, groups: Ints, n: int) -> Any:
        """States of n groups of rows."""
        mask = self.matching(rows)
        inputs = self.inputs(rows, order)
        if mask is None or mask.all():
            return self.accumulator.fold(inputs, groups, n)
        at = np.flatnonzero(mask)
        return self.accumulator.fold(inputs.take(at), groups[at], n)


class TileFold:
    """Folds rows of a view into the cells of one of its blocks."""

    def __init__(self, block: Block, view: CompiledView) -> None:
        self.block = block
        self._keys = view.key_names
        self._folds = tuple(StateFold.of(spec, view) for spec in block.states)

    def advance(self, rows: pa.RecordBatch, lane: str, lookup: Lookup) -> Cells:
        """Cells that follow from rows of one lane, in offset order, upon those that the lane has.

        Rows that a cell has already folded (offset below its version) are passed over, cell by cell, so that any
        replay gives the same cells; tombstones are passed over.

        Args:
            rows: rows of one lane, all parts of an offset together.
            lane: text of the lane.
            lookup: gives version and content of the lane's cells at (keys, tiles); 0 and None where there is none.

        Returns:
            The cells that changed.
        """
        table = pa.Table.from_batches([rows.filter(pa.compute.invert(rows.column("_deleted")))])
        times = integers(table.column("_event_time"))
        keys, tiles, groups = self._group(table, times)
        offsets = integers(table.column("_offset"))
        versions, blobs = lookup(keys, tiles)
        fresh = offsets >= versions[groups]
        if not fresh.all():
            at = np.flatnonzero(fresh)
            table, times, offsets, groups = table.take(pa.array(at)), times[at], offsets[at], groups[at]
            alive, groups = np.unique(groups, return_inverse=True)
            keys, tiles = [keys[i] for i in alive], tiles[alive]
            versions, blobs = versions[alive], [blobs[i] for i in alive]
        n = len(keys)
        if not n:
            return Cells(self.block.id, lane, [], tiles, versions, [])
        newest = np.full(n, NEVER)
        np.maximum.at(newest, groups, times)
        last = np.zeros(n, np.int64)
        np.maximum.at(last, groups, offsets)
        order = Order.of(table)
        states = [fold.fold(table, order, groups, n) for fold in self._folds]
        known = np.flatnonzero([blob is not None for blob in blobs])
        if len(known):
            old_newest, old = decode_cells(self._folds, [blob for blob in blobs if blob is not None])
            newest[known] = np.maximum(newest[known], old_newest)
            targets = np.concatenate([known, np.arange(n)])
            states = [
                fold.accumulator.merge(fold.accumulator.concat([before, now]), targets, n)
                for fold, before, now in zip(self._folds, old, states, strict=True)
            ]
        sections = [fixed(newest), *(f.accumulator.encode(s) for f, s in zip(self._folds, states, strict=True))]
        return Cells(self.block.id, lane, keys, tiles, last + 1, pack(sections).to_pylist())

    def _group(self, table: pa.Table, times: Ints) -> tuple[list[bytes], Ints, Ints]:
        """Distinct (key, tile) of the rows, in the order of their first row, and the group of each row."""
        codes = encode_keys([table.column(name) for name in self._keys]).dictionary_encode()
        starts = np.zeros(len(times), np.int64) if self.block.hop is None else floor(times, self.block.hop)
        distinct, ranks = np.unique(starts, return_inverse=True)
        pairs = codes.indices.to_numpy(zero_copy_only=False).astype(np.int64) * max(len(distinct), 1) + ranks
        groups = pa.array(pairs).dictionary_encode()
        first = groups.dictionary.to_numpy(zero_copy_only=False)
        key_of, tile_of = np.divmod(first, max(len(distinct), 1))
        names = codes.dictionary.to_pylist()
        return (
            [names[i] for i in key_of],
            distinct[tile_of] if len(distinct) else starts,
            groups.indices.to_numpy(zero_copy_only=False).astype(np.int64),
        )


def decode_cells(folds: Sequence[StateFold], blobs: Sequence[bytes]) -> tuple[Ints, list[Any]]:
    """Newest event time (µs) and states of cells.

    Args:
        folds: the block's states, all of them, in its order.
        blobs: m contents.

    Returns:
        int64[m], and for each fold m states.
    """
    sections = unpack(pa.array(blobs, pa.binary()), 1 + len(folds))
    return unfixed(sections[0]), [fold.accumulator.decode(part) for fold, part in zip(folds, sections[1:], strict=True)]
