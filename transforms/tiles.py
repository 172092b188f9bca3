"""Tiles: the fold of a lane's rows into its cells, and the merge of cells into states."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from schemas.state import Block, StateSpec
from transforms.accumulators.base import Accumulator, Inputs
from transforms.accumulators.blobs import fixed, pack, unfixed, unpack
from transforms.accumulators.build import accumulator
from transforms.cells import SPAN, Cells, cell_start, close_cells, open_cells
from transforms.columns import integers, whole
from transforms.keys import encode_keys
from transforms.order import Order
from transforms.sql import Expression, compile_sql
from transforms.view import CompiledView

Ints = npt.NDArray[np.int64]
Lookup = Callable[[list[bytes], Ints], tuple[Ints, list[bytes | None]]]
NEVER = np.iinfo(np.int64).min
_MANY = 1 << 20


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
            lookup: gives version and content of the lane's cells at (keys, cell starts); 0 and None where there is
                none.

        Returns:
            The cells that changed.
        """
        deleted = rows.column("_deleted")
        table = pa.Table.from_batches([rows.filter(pc.invert(deleted)) if deleted.true_count else rows])
        times = integers(table.column("_event_time"))
        offsets = integers(table.column("_offset"))
        keys, starts, groups = self._group(table, times)
        versions, blobs = lookup(keys, starts)
        fresh = offsets >= versions[groups]
        if not fresh.all():
            at = np.flatnonzero(fresh)
            table, times, offsets, groups = table.take(pa.array(at)), times[at], offsets[at], groups[at]
            alive, groups = np.unique(groups, return_inverse=True)
            keys, starts = [keys[i] for i in alive], starts[alive]
            blobs = [blobs[i] for i in alive]
        n = len(keys)
        if not n:
            return Cells(self.block.id, lane, [], starts, np.zeros(0, np.int64), [])
        last = np.zeros(n, np.int64)
        last[groups] = offsets
        owners, slots, tiles = self._fold(table, times, starts, groups, blobs)
        return Cells(self.block.id, lane, keys, starts, last + 1, close_cells(owners, slots, tiles, n))

    def _fold(
        self, table: pa.Table, times: Ints, starts: Ints, groups: Ints, blobs: Sequence[bytes | None]
    ) -> tuple[Ints, Ints, pa.BinaryArray]:
        """Tiles of the cells once the rows are folded into them: cell, place in it, content."""
        codes = groups * SPAN
        if self.block.hop is not None:
            codes += (times - starts[groups]) // self.block.hop
        touched = np.zeros(len(starts) * SPAN, np.bool_)
        touched[codes] = True
        number = np.cumsum(touched) - 1
        here, tile = np.flatnonzero(touched), number[codes]
        n = len(here)
        newest = np.full(n, NEVER)
        np.maximum.at(newest, tile, times)
        order = Order.of(table)
        states = [fold.fold(table, order, tile, n) for fold in self._folds]
        known = np.flatnonzero([blob is not None for blob in blobs])
        if not len(known):
            return here // SPAN, here % SPAN, self._encode(newest, states)
        owners, slots, old = open_cells([blob for blob in blobs if blob is not None])
        there = known[owners] * SPAN + slots
        both = np.flatnonzero(touched[there])
        if len(both):
            old_newest, before = decode_tiles(self._folds, old.take(pa.array(both)))
            same = number[there[both]]
            newest[same] = np.maximum(newest[same], old_newest)
            targets = np.concatenate([same, np.arange(n)])
            states = [
                fold.accumulator.merge(fold.accumulator.concat([was, now]), targets, n)
                for fold, was, now in zip(self._folds, before, states, strict=True)
            ]
        untouched = np.flatnonzero(~touched[there])
        if not len(untouched):
            return here // SPAN, here % SPAN, self._encode(newest, states)
        every = np.concatenate([there[untouched], here])
        rank = np.argsort(every, kind="stable")
        source = np.concatenate([untouched, len(old) + np.arange(n)])[rank]
        every = every[rank]
        tiles = pa.concat_arrays([old, self._encode(newest, states)]).take(pa.array(source))
        return every // SPAN, every % SPAN, tiles

    def _encode(self, newest: Ints, states: Sequence[Any]) -> pa.BinaryArray:
        encoded = (fold.accumulator.encode(state) for fold, state in zip(self._folds, states, strict=True))
        return pack([fixed(newest), *encoded])

    def _group(self, table: pa.Table, times: Ints) -> tuple[list[bytes], Ints, Ints]:
        """Distinct (key, cell) of the rows, ascending as a store keeps them, and the group of each row."""
        codes = encode_keys([table.column(name) for name in self._keys]).dictionary_encode()
        by_key = pc.sort_indices(codes.dictionary)
        place = np.empty(len(by_key), np.int64)
        place[integers(by_key)] = np.arange(len(by_key))
        starts = cell_start(times, self.block.hop)
        distinct, ranks = _ranks(starts, 1 if self.block.hop is None else self.block.hop * SPAN)
        groups = pa.array(place[integers(codes.indices)] * max(len(distinct), 1) + ranks).dictionary_encode()
        pairs = integers(groups.dictionary)
        order = np.argsort(pairs)
        number = np.empty(len(order), np.int64)
        number[order] = np.arange(len(order))
        key_of, cell_of = np.divmod(pairs[order], max(len(distinct), 1))
        names = codes.dictionary.take(by_key).to_pylist()
        cells = distinct[cell_of] if len(pairs) else starts
        return [names[i] for i in key_of.tolist()], cells, number[integers(groups.indices)]


def _ranks(starts: Ints, step: int) -> tuple[Ints, Ints]:
    """Values that hold all of `starts`, which are multiples of `step`, ascending; and the number of each start."""
    if not len(starts):
        return starts, starts
    first, last = int(starts.min()), int(starts.max())
    count = (last - first) // step + 1
    if count > _MANY:
        distinct, ranks = np.unique(starts, return_inverse=True)
        return distinct, ranks
    return first + step * np.arange(count), (starts - first) // step


def decode_tiles(folds: Sequence[StateFold], tiles: pa.BinaryArray) -> tuple[Ints, list[Any]]:
    """Newest event time (µs) and states of tiles.

    Args:
        folds: the block's states, all of them, in its order.
        tiles: m contents.

    Returns:
        int64[m], and for each fold m states.
    """
    sections = unpack(tiles, 1 + len(folds))
    return unfixed(sections[0]), [fold.accumulator.decode(part) for fold, part in zip(folds, sections[1:], strict=True)]
