"""Key answers: the answers of all blocks of one read, from the rows of cells that were read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from transforms.answer_columns import AnswerColumn
from transforms.answer_memo import Remembered
from transforms.answers import NO_TIME, Answer, with_default
from transforms.block_answers import BlockAnswers, BlockCells
from transforms.open_tiles import KeyCells, OpenTiles
from transforms.read_plan import BlockReads
from transforms.tile_reads import TileReads, TileRow

Ints = npt.NDArray[np.int64]
CellRow = tuple[int, int, int, Any, int, bytes]
Columns = Mapping[tuple[str, str], AnswerColumn | Answer]


class BlockRows:
    """Cells of one block for the keys of a read.

    Args:
        reads: what is asked of the block.
        keys: m keys.
        requests: number of the key of each of n requests, -1 for a null key.
        cells: rows of each key's cells; None where it has none.
        lanes: texts of the lanes that the rows name.
    """

    def __init__(
        self,
        reads: BlockReads,
        keys: Sequence[bytes],
        requests: Sequence[int],
        cells: Sequence[list[CellRow] | None],
        lanes: Mapping[Any, str],
    ) -> None:
        self.reads, self.keys, self.requests, self.cells = reads, keys, requests, cells
        self.remembered: list[Remembered | None] = []
        self.general: BlockAnswers | None = None
        if reads.tiles is None and reads.latest is None:
            self.general = self._general(lanes)

    def newest(self, opened: Mapping[int, int]) -> list[int] | None:
        """Newest event time (µs) in the cells of each key; None where only each request's is known (`general`)."""
        if self.general is not None:
            return None
        if self.reads.latest is not None:
            return [NO_TIME if rows is None else rows[0][4] for rows in self.cells]
        return [
            opened.get(number, NO_TIME) if found is None else found.newest
            for number, found in enumerate(self.remembered)
        ]

    def _general(self, lanes: Mapping[Any, str]) -> BlockAnswers:
        rows = [(number, row) for number, of_key in enumerate(self.cells) for row in of_key or ()]
        cells = BlockCells(
            self.reads.block,
            np.array([number for number, _ in rows], np.int64),
            np.array([row[2] for _, row in rows], np.int64),
            [lanes.get(row[3], "") for _, row in rows],
            np.array([row[4] for _, row in rows], np.int64),
            [row[5] for _, row in rows],
        )
        return BlockAnswers(self.reads.view, cells, np.array(self.requests, np.int64), len(self.keys))


class KeyAnswers:
    """Answers of all blocks of one read.

    Args:
        blocks: the cells that were read.
        rows: n, how many requests there are.
        instant: µs as of which is asked, None for the newest event.

    Attributes:
        newest: newest event time (µs) in the cells read for each request, `NO_TIME` where there is none.
    """

    newest: list[int]

    def __init__(self, blocks: Sequence[BlockRows], rows: int, instant: int | None) -> None:
        self._blocks, self._n = blocks, rows
        missing = [(block, self._recall(block, instant)) for block in blocks if block.reads.tiles is not None]
        self._opened = _Opened([(block, numbers) for block, numbers in missing if numbers])
        self.newest = [NO_TIME] * rows
        for block in blocks:
            times = block.newest(self._opened.newest(block))
            if times is None:
                assert block.general is not None
                of_requests = block.general.newest().tolist()
            else:
                of_requests = [times[number] if number >= 0 else NO_TIME for number in block.requests]
            self.newest = list(map(max, self.newest, of_requests))

    def columns(self, instants: Sequence[int]) -> dict[tuple[str, str], AnswerColumn | Answer]:
        """Answers by role and name, defaults filled in, as of an instant (µs) a request."""
        found: dict[tuple[str, str], AnswerColumn | Answer] = {}
        for block in self._blocks:
            if block.general is not None:
                times = np.array(instants, np.int64)
                for output in block.reads.outputs:
                    answer = with_default(block.general.answer(output.feature, times), output.feature)
                    found[output.role, output.feature.name] = answer
            elif block.reads.latest is not None:
                cells = [None if number < 0 else block.cells[number] for number in block.requests]
                newest = [None if rows is None else (rows[0][4], rows[0][5]) for rows in cells]
                for output, (values, codes, event_times) in zip(
                    block.reads.outputs, block.reads.latest.answer(newest, instants), strict=True
                ):
                    column = AnswerColumn(output.feature.dtype, values, codes, event_times)
                    found[output.role, output.feature.name] = column
        for block, rows in self._tile_rows(instants):
            assert block.reads.tiles is not None
            found.update(_tile_columns(block.reads.tiles, block.requests, rows))
        return found

    def _recall(self, block: BlockRows, instant: int | None) -> list[int]:
        """Takes what is remembered of a block; the numbers of the keys of which nothing is."""
        missing = []
        recall = block.reads.memo.get
        for number, (key, rows) in enumerate(zip(block.keys, block.cells, strict=True)):
            found = None
            if rows is not None:
                found = recall(key)
                if found is not None:
                    at = found.newest if instant is None else max(instant, found.newest)
                    if not found.begin <= at < found.until or found.cells != _identity(rows):
                        found = None
                if found is None:
                    missing.append(number)
            block.remembered.append(found)
        return missing

    def _tile_rows(self, instants: Sequence[int]) -> list[tuple[BlockRows, list[TileRow]]]:
        """Answers of every block of tiles, a key each."""
        answers = []
        again: list[tuple[BlockRows, list[int]]] = []
        moments: dict[int, list[int]] = {}
        for block in self._blocks:
            tiles = block.reads.tiles
            if tiles is None:
                continue
            times = moments[id(block)] = [NO_TIME] * len(block.keys)
            for number, instant in zip(block.requests, instants, strict=True):
                if number >= 0:
                    times[number] = instant
            stale = []
            rows = []
            for number, (found, at) in enumerate(zip(block.remembered, times, strict=True)):
                if found is not None and not found.begin <= at < found.until:
                    stale.append(number)
                rows.append(tiles.empty if found is None else found.row)
            if stale:
                again.append((block, stale))
            answers.append((block, rows))
        by_block = {id(block): rows for block, rows in answers}
        for opened in (self._opened, _Opened(again)):
            for block, numbers, newest, answered in opened.rows(moments):
                own, times = by_block[id(block)], moments[id(block)]
                tiles, memo = block.reads.tiles, block.reads.memo
                assert tiles is not None
                steady: dict[int, tuple[int, int]] = {}
                for number, time, row in zip(numbers, newest, answered, strict=True):
                    own[number] = row
                    cells, at = block.cells[number], times[number]
                    assert cells is not None
                    if at not in steady:
                        steady[at] = tiles.steady(at)
                    begin, until = steady[at]
                    memo.put(block.keys[number], Remembered(_identity(cells), time, begin, until, row))
        return answers


class _Opened:
    """Cells of those keys of some blocks of which nothing is remembered."""

    def __init__(self, parts: Sequence[tuple[BlockRows, list[int]]]) -> None:
        self._parts = parts
        self._tiles = OpenTiles([_key_cells(block, numbers) for block, numbers in parts]) if parts else None

    def newest(self, block: BlockRows) -> dict[int, int]:
        """Newest event time (µs) in the cells, by the number of the key."""
        begin = 0
        for part, numbers in self._parts:
            if part is block and self._tiles is not None:
                return dict(zip(numbers, self._tiles.newest[begin:], strict=False))
            begin += len(numbers)
        return {}

    def rows(self, moments: Mapping[int, Sequence[int]]) -> list[tuple[BlockRows, list[int], list[int], list[TileRow]]]:
        """Block, numbers of keys, newest event times, and answers as of an instant (µs) a key of each block."""
        if self._tiles is None:
            return []
        instants = [moments[id(block)][number] for block, numbers in self._parts for number in numbers]
        found = self._tiles.rows(np.array(instants, np.int64))
        rows, begin = [], 0
        for (block, numbers), of_block in zip(self._parts, found, strict=True):
            rows.append((block, numbers, self._tiles.newest[begin : begin + len(numbers)], of_block))
            begin += len(numbers)
        return rows


def _key_cells(block: BlockRows, numbers: Sequence[int]) -> KeyCells:
    assert block.reads.tiles is not None
    of_keys = [block.cells[number] or [] for number in numbers]
    rows = [row for of_key in of_keys for row in of_key]
    return KeyCells(
        block.reads.tiles, [len(of_key) for of_key in of_keys], [row[2] for row in rows], [row[5] for row in rows]
    )


def _identity(rows: Sequence[CellRow]) -> tuple[Any, ...]:
    return tuple([row[2:5] for row in rows])


def _tile_columns(
    reads: TileReads, requests: Sequence[int], rows: Sequence[TileRow]
) -> dict[tuple[str, str], AnswerColumn]:
    of_requests = [rows[number] if number >= 0 else reads.null for number in requests]
    if not of_requests:
        return {(o.role, o.feature.name): AnswerColumn(o.feature.dtype, (), None, ()) for o in reads.outputs}
    values = zip(*[row.values for row in of_requests], strict=True)
    times = zip(*[row.times for row in of_requests], strict=True)
    if all(row.codes is reads.present for row in of_requests):
        codes: Any = [None] * len(reads.outputs)
    else:
        codes = zip(*[row.codes for row in of_requests], strict=True)
    return {
        (output.role, output.feature.name): AnswerColumn(output.feature.dtype, *column)
        for output, *column in zip(reads.outputs, values, codes, times, strict=True)
    }
