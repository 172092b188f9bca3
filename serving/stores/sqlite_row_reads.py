"""Rows of the SQLite store, read with its marks in one statement, which is a snapshot by itself."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from serving.stores.base import SEALED
from serving.stores.row_reads import Asked, Rows, Wanted
from serving.stores.sqlite_file import SqliteFile
from serving.stores.sqlite_rows import Names, quoted

_BATCH = 128
_FEW = 16
_MARK = -1


class SqliteRowReader:
    """`RowReader` over one file; many keys and several entities take several statements in one transaction.

    Args:
        file: connections to it.
        blocks: interned block ids.
        lanes: interned lanes.
    """

    def __init__(self, file: SqliteFile, blocks: Names, lanes: Names) -> None:
        self._file, self._blocks, self._lanes = file, blocks, lanes
        self._numbers: dict[tuple[str, ...], list[int | None]] = {}

    def read(self, asked: Sequence[Asked], marks: Wanted) -> Rows:
        """See `RowReader`."""
        connection = self._file.acquire()
        try:
            if len(asked) > 1 or len(asked[0].keys) > _BATCH or asked[0].blocks not in self._numbers:
                connection.execute("BEGIN")
            return self._read(connection, asked, marks)
        except sqlite3.Error as error:
            raise self._file.refusal(error) from error
        finally:
            self._file.release(connection)

    def _read(self, connection: sqlite3.Connection, asked: Sequence[Asked], marks: Wanted) -> Rows:
        known: dict[str, dict[str, int]] = {block: {} for each in asked for block in each.blocks}
        cells, texts = [], dict[int, str]()
        for each in asked:
            numbers = self._numbers_of(connection, each.blocks)
            rows = self._rows(connection, each, numbers, marks)
            end = len(rows)
            while end and rows[end - 1][0] == _MARK:
                end -= 1
            names = dict(zip(numbers, each.blocks, strict=True))
            if marks is Wanted.SEALS:
                for _, block, _, _, offset, _ in rows[end:]:
                    known[names[block]][SEALED] = offset
            else:
                texts |= self._texts(connection, {row[3] for row in rows})
                for _, block, _, lane, offset, _ in rows[end:]:
                    known[names[block]][texts[lane]] = offset
            del rows[end:]
            cells.append(rows)
        return Rows(cells, known, texts)

    def _numbers_of(self, connection: sqlite3.Connection, blocks: tuple[str, ...]) -> list[int | None]:
        """Numbers of blocks, None for those that nobody has written to yet."""
        numbers = self._numbers.get(blocks)
        if numbers is None:
            numbers = [self._blocks.find(connection, block) for block in blocks]
            if None not in numbers:
                self._numbers[blocks] = numbers
        return numbers

    def _texts(self, connection: sqlite3.Connection, lanes: set[int]) -> dict[int, str]:
        distinct = list(lanes)
        return dict(zip(distinct, self._lanes.texts(connection, distinct), strict=True))

    def _rows(
        self, connection: sqlite3.Connection, asked: Asked, numbers: Sequence[int | None], marks: Wanted
    ) -> list[Any]:
        """Rows of one entity, then a row (`_MARK`, block, 0, lane, offset, None) of each mark."""
        slices: list[Any] = []
        for number, first in zip(numbers, asked.firsts, strict=True):
            slices += (number, first)
        keys, begin = asked.keys, 0
        rows: list[Any] = []
        while len(keys) - begin > _BATCH:
            found = self._statement(connection, asked, keys[begin : begin + _BATCH], slices, (), marks)
            rows += [(row[0] + begin, *row[1:]) for row in found]
            begin += _BATCH
        found = self._statement(connection, asked, keys[begin:], slices, numbers, marks)
        if not begin:
            return found
        return rows + [row if row[0] == _MARK else (row[0] + begin, *row[1:]) for row in found]

    def _statement(
        self,
        connection: sqlite3.Connection,
        asked: Asked,
        keys: Sequence[bytes],
        slices: Sequence[Any],
        blocks: Sequence[int | None],
        marks: Wanted,
    ) -> list[Any]:
        count = len(keys)
        size = count if count <= 1 else 1 << (count - 1).bit_length()
        parameters = [*keys, *[None] * (size - count), *slices] if size else []
        of_marks = [*blocks, self._lanes.find(connection, SEALED)] if marks is Wanted.SEALS and blocks else [*blocks]
        query = _query(asked.entity, size, len(asked.blocks), len(blocks), marks)
        try:
            return connection.execute(query, parameters + of_marks).fetchall()
        except sqlite3.OperationalError as error:
            if "no such table" not in str(error) or asked.entity not in str(error):
                raise
            return connection.execute(_query(asked.entity, 0, 0, len(blocks), marks), of_marks).fetchall()


@lru_cache(maxsize=512)
def _query(entity: str, keys: int, blocks: int, marked: int, marks: Wanted) -> str:
    """Cells of the keys in the blocks; then marks of some blocks, of all lanes or the seals."""
    parts = []
    if keys == 1 and blocks <= _FEW:
        parts += [
            f"SELECT 0, {number}, tile, lane, version, blob FROM {quoted(entity)} "
            "WHERE key = ?1 AND block = ? AND tile >= ?"
            for number in range(blocks)
        ]
    elif keys:
        asked = ", ".join(f"({number}, ?)" for number in range(keys))
        wanted = ", ".join(f"({number}, ?, ?)" for number in range(blocks))
        parts.append(
            "SELECT asked.column1, wanted.column1, cell.tile, cell.lane, cell.version, cell.blob "
            f"FROM (VALUES {asked}) AS asked CROSS JOIN (VALUES {wanted}) AS wanted "
            f"CROSS JOIN {quoted(entity)} AS cell ON cell.key = asked.column2 AND cell.block = wanted.column2 "
            "AND cell.tile >= wanted.column3"
        )
    of_marks = f"SELECT {_MARK}, log, 0, lane, offset, NULL FROM marks WHERE"
    if marks is Wanted.SEALS and marked <= _FEW:
        begin = 1 + (keys + 2 * blocks if keys else 0)
        parts += [f"{of_marks} log = ?{number} AND lane = ?{begin + marked}" for number in range(begin, begin + marked)]
    elif marked:
        holes = ", ".join("?" * marked)
        parts.append(f"{of_marks} log IN ({holes}){' AND lane = ?' if marks is Wanted.SEALS else ''}")
    return " UNION ALL ".join(parts) or "SELECT 1 WHERE 0"
