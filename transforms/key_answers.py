"""Key answers: the answers of all blocks of one read, from the rows of cells that were read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import repeat
from typing import Any

import numpy as np

from transforms.answer_columns import AnswerColumn
from transforms.answer_memo import Remembered, identity
from transforms.answers import NO_TIME, Answer, with_default
from transforms.block_answers import BlockAnswers, BlockCells
from transforms.open_tiles import KeyCells, OpenTiles
from transforms.read_plan import BlockReads, EntityReads
from transforms.tile_reads import TileReads, TileRow

CellRow = tuple[int, int, int, Any, int, bytes]
Columns = list[AnswerColumn | Answer]


class EntityRows:
    """Cells of one entity for the keys of a read.

    Args:
        reads: what is asked of the entity.
        keys: m keys.
        requests: number of the key of each of n requests, -1 for a null key.
        rows: cells, in the order of the keys.
        lanes: texts of the lanes that the rows name.

    Attributes:
        tiles: cells of each key in all blocks of `reads.tiles`, in the order of the blocks.
        others: cells of each of the other blocks.
    """

    def __init__(
        self,
        reads: EntityReads,
        keys: Sequence[bytes],
        requests: Sequence[int],
        rows: Sequence[CellRow],
        lanes: Mapping[Any, str],
    ) -> None:
        self.reads, self.keys, self.requests = reads, keys, requests
        first = len(reads.tiles)
        self.tiles: list[list[CellRow]] = [[] for _ in keys] if first else []
        self.others: list[list[CellRow]] = [[] for _ in reads.blocks[first:]]
        if len(keys) == 1 and not self.others:
            self.tiles = [list(rows)]
        else:
            tiles, others = self.tiles, self.others
            for row in rows:
                if row[1] < first:
                    tiles[row[0]].append(row)
                else:
                    others[row[1] - first].append(row)
        self.other_blocks = [
            _LatestBlock(block, cells, requests, len(keys))
            if block.latest is not None
            else _GeneralBlock(block, cells, requests, len(keys), lanes)
            for block, cells in zip(reads.blocks[first:], self.others, strict=True)
        ]


class _LatestBlock:
    """Newest rows of a block of plain latest features."""

    def __init__(self, reads: BlockReads, rows: Sequence[CellRow], requests: Sequence[int], keys: int) -> None:
        assert reads.latest is not None
        self._reads = reads.latest
        cells: list[tuple[int, bytes] | None] = [None] * keys
        for row in rows:
            cells[row[0]] = row[4:]
        self._cells = [None if number < 0 else cells[number] for number in requests]

    def newest(self) -> list[int]:
        """Event time of each request's newest row, µs."""
        return [NO_TIME if cell is None else cell[0] for cell in self._cells]

    def columns(self, instants: Sequence[int]) -> Columns:
        """Answers of the outputs."""
        return list(map(AnswerColumn, self._reads.types, *self._reads.answer(self._cells, instants)))


class _GeneralBlock:
    """A block with features of other types."""

    def __init__(
        self, reads: BlockReads, rows: Sequence[CellRow], requests: Sequence[int], keys: int, lanes: Mapping[Any, str]
    ) -> None:
        self._outputs = reads.outputs
        cells = BlockCells(
            reads.block,
            np.array([row[0] for row in rows], np.int64),
            np.array([row[2] for row in rows], np.int64),
            [lanes.get(row[3], "") for row in rows],
            np.array([row[4] for row in rows], np.int64),
            [row[5] for row in rows],
        )
        self._answers = BlockAnswers(reads.view, cells, np.array(requests, np.int64), keys)

    def newest(self) -> list[int]:
        """Newest event time in the cells read for each request, µs."""
        times: list[int] = self._answers.newest().tolist()
        return times

    def columns(self, instants: Sequence[int]) -> Columns:
        """Answers of the outputs."""
        times = np.array(instants, np.int64)
        features = [output.feature for output in self._outputs]
        return [with_default(self._answers.answer(feature, times), feature) for feature in features]


class KeyAnswers:
    """Answers of all blocks of one read.

    Args:
        entities: the cells that were read.
        rows: n, how many requests there are.
        instant: µs as of which is asked, None for the newest event.

    Attributes:
        newest: newest event time (µs) in the cells read for each request, `NO_TIME` where there is none.
    """

    newest: list[int]

    def __init__(self, entities: Sequence[EntityRows], rows: int, instant: int | None) -> None:
        self._others = [block for entity in entities for block in entity.other_blocks]
        self._tiles = [_EntityTiles(entity, instant) for entity in entities if entity.reads.tiles]
        newest = [block.newest() for block in (*self._tiles, *self._others)]
        self.newest = newest[0] if len(newest) == 1 else list(map(max, [NO_TIME] * rows, [NO_TIME] * rows, *newest))

    def columns(self, instants: Sequence[int]) -> Columns:
        """Answers in the order of `ReadPlan.names`, defaults filled in, as of an instant (µs) a request."""
        return [column for block in (*self._tiles, *self._others) for column in block.columns(instants)]


class _EntityTiles:
    """Aggregates of one entity: remembered, or from the cells."""

    def __init__(self, entity: EntityRows, instant: int | None) -> None:
        self._reads, self._keys, self._cells = entity.reads, entity.keys, entity.tiles
        self._requests = entity.requests
        self._remembered: list[Remembered | None] = []
        missing = []
        recall = entity.reads.memo.get
        for number, (key, rows) in enumerate(zip(entity.keys, entity.tiles, strict=True)):
            found = recall(key) if rows else entity.reads.nothing
            if found is not None and rows:
                at = found.newest if instant is None else max(instant, found.newest)
                if not found.begin <= at < found.until or found.cells != identity(rows):
                    found = None
            self._remembered.append(found)
            if found is None:
                missing.append(number)
        self._opened = _Opened(entity.reads, entity.tiles, missing) if missing else None

    def newest(self) -> list[int]:
        """Newest event time in the cells read for each request, µs."""
        times = [NO_TIME if found is None else found.newest for found in self._remembered]
        if self._opened is not None:
            for number, newest in zip(self._opened.numbers, self._opened.newest, strict=True):
                times[number] = newest
        return [times[number] if number >= 0 else NO_TIME for number in self._requests]

    def columns(self, instants: Sequence[int]) -> Columns:
        """Answers of the outputs."""
        reads = self._reads
        rows = self._rows(instants)
        of_requests = [rows[number] if number >= 0 else reads.null for number in self._requests]
        if not of_requests:
            return [AnswerColumn(dtype, (), None, ()) for dtype in reads.types]
        values, every, times = zip(*of_requests, strict=True)
        codes: Iterable[Any] = repeat(None)
        if any(of_request is not None for of_request in every):
            codes = zip(*[reads.present if of_row is None else of_row for of_row in every], strict=True)
        of_columns = list(zip(*times, strict=True))
        shared = [of_columns[place] for place in reads.alike]
        return list(map(AnswerColumn, reads.types, zip(*values, strict=True), codes, shared))

    def _rows(self, instants: Sequence[int]) -> list[TileRow]:
        """Answer for each key."""
        moments = [NO_TIME] * len(self._keys)
        for number, instant in zip(self._requests, instants, strict=True):
            if number >= 0:
                moments[number] = instant
        rows, stale = [], []
        for number, (found, at) in enumerate(zip(self._remembered, moments, strict=True)):
            rows.append(self._reads.empty if found is None else found.row)
            if found is not None and not found.begin <= at < found.until:
                stale.append(number)
        if self._opened is not None:
            self._fill(rows, self._opened, moments)
        if stale:
            self._fill(rows, _Opened(self._reads, self._cells, stale), moments)
        return rows

    def _fill(self, rows: list[TileRow], opened: _Opened, moments: Sequence[int]) -> None:
        """Puts answers from cells into their places, and remembers them."""
        steady: dict[int, tuple[int, int]] = {}
        found = opened.rows([moments[number] for number in opened.numbers])
        for number, newest, row in zip(opened.numbers, opened.newest, found, strict=True):
            rows[number], at = row, moments[number]
            if at not in steady:
                steady[at] = self._reads.steady(at)
            remembered = Remembered(identity(self._cells[number]), newest, *steady[at], row)
            self._reads.memo.put(self._keys[number], remembered)


class _Opened:
    """Cells of some keys of one entity, opened."""

    def __init__(self, reads: EntityReads, cells: Sequence[list[CellRow]], numbers: Sequence[int]) -> None:
        self.numbers, self._reads = numbers, reads
        blocks = range(len(reads.tiles))
        keys: list[list[int]] = [[] for _ in blocks]
        counts: list[list[int]] = [[] for _ in blocks]
        starts: list[list[int]] = [[] for _ in blocks]
        blobs: list[list[bytes]] = [[] for _ in blocks]
        for index, number in enumerate(numbers):
            last = -1
            for _, block, tile, _, _, blob in cells[number]:
                if block != last:
                    keys[block].append(index)
                    counts[block].append(0)
                    last = block
                counts[block][-1] += 1
                starts[block].append(tile)
                blobs[block].append(blob)
        self._keys = keys
        parts = zip(reads.tiles, counts, starts, blobs, strict=True)
        self._tiles = OpenTiles([KeyCells(*part) for part in parts if part[1]])

    @property
    def newest(self) -> list[int]:
        """Newest event time in the cells of each key, µs."""
        times = [NO_TIME] * len(self.numbers)
        for index, newest in zip((index for keys in self._keys for index in keys), self._tiles.newest, strict=True):
            times[index] = max(times[index], newest)
        return times

    def rows(self, instants: Sequence[int]) -> list[TileRow]:
        """Answers of each key, over all blocks, as of its instant (µs)."""
        moments = np.array([instants[index] for keys in self._keys for index in keys], np.int64)
        found = iter(self._tiles.rows(moments))
        of_blocks = [
            _spread(next(found), keys, tiles, len(self.numbers)) if keys else [tiles.empty] * len(self.numbers)
            for keys, tiles in zip(self._keys, self._reads.tiles, strict=True)
        ]
        return of_blocks[0] if len(of_blocks) == 1 else [TileRow.joined(rows) for rows in zip(*of_blocks, strict=True)]


def _spread(rows: list[TileRow], keys: list[int], tiles: TileReads, n: int) -> list[TileRow]:
    if len(rows) == n:
        return rows
    every = [tiles.empty] * n
    for index, row in zip(keys, rows, strict=True):
        every[index] = row
    return every
