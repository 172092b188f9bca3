"""Rows of the SQLite store, read with its marks in one statement, which is a snapshot by itself."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from serving.stores.base import SEALED
from serving.stores.row_reads import Asked, Rows
from serving.stores.sqlite_file import SqliteFile
from serving.stores.sqlite_rows import Names, quoted

_BATCH = 128
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

    def read(self, asked: Sequence[Asked], seals_only: bool = False) -> Rows:
        """See `RowReader`."""
        connection = self._file.acquire()
        try:
            return self._read(connection, asked, seals_only)
        except sqlite3.Error as error:
            raise self._file.refusal(error) from error
        finally:
            self._file.release(connection)

    def _read(self, connection: sqlite3.Connection, asked: Sequence[Asked], seals_only: bool) -> Rows:
        single = len(asked) == 1 and len(asked[0].keys) <= _BATCH
        numbers = [self._numbers(connection, each) for each in asked]
        if not single or any(None in each for each in numbers):
            connection.execute("BEGIN")
            numbers = [self._numbers(connection, each) for each in asked]
        names = {
            number: part.block
            for each, of in zip(asked, numbers, strict=True)
            for number, part in zip(of, each.slices, strict=True)
        }
        blocks = [number for number in names if number is not None]
        sealed = self._lanes.find(connection, SEALED) if seals_only else None
        cells = []
        found: list[Any] = []
        for place, (each, of) in enumerate(zip(asked, numbers, strict=True)):
            marked = blocks if place == 0 else []
            rows = self._cells(connection, each, of, marked, sealed)
            end = len(rows)
            while end and rows[end - 1][0] == _MARK:
                end -= 1
            found += rows[end:]
            cells.append(rows[:end] if end < len(rows) else rows)
        marks: dict[str, dict[str, int]] = {part.block: {} for each in asked for part in each.slices}
        texts = self._texts(connection, [row[3] for row in found])
        for row in found:
            marks[names[row[1]]][texts[row[3]]] = row[4]
        if not seals_only:
            texts = self._texts(connection, [row[3] for rows in cells for row in rows])
        return Rows(cells, marks, texts)

    def _numbers(self, connection: sqlite3.Connection, asked: Asked) -> list[int | None]:
        return [self._blocks.find(connection, part.block) for part in asked.slices]

    def _texts(self, connection: sqlite3.Connection, lanes: Sequence[int]) -> dict[int, str]:
        distinct = list(dict.fromkeys(lanes))
        return dict(zip(distinct, self._lanes.texts(connection, distinct), strict=True))

    def _cells(
        self,
        connection: sqlite3.Connection,
        asked: Asked,
        numbers: Sequence[int | None],
        marked: Sequence[int],
        sealed: int | None,
    ) -> list[Any]:
        """Rows of one entity, then a row (`_MARK`, block, 0, lane, offset, None) of each mark."""
        rest: list[Any] = []
        for number, part in zip(numbers, asked.slices, strict=True):
            rest += (number, part.first)
        rows: list[Any] = []
        for begin in range(0, max(len(asked.keys), 1), _BATCH):
            keys = asked.keys[begin : begin + _BATCH]
            last = begin + _BATCH >= len(asked.keys)
            size = 1 << max(len(keys) - 1, 0).bit_length()
            parameters = [*keys, *[None] * (size - len(keys)), *rest]
            marks = ""
            if last and marked:
                marks = "one lane" if sealed is not None else "all"
                parameters += marked
                if sealed is not None:
                    parameters.append(sealed)
            query = _statement(asked.entity, size, len(numbers), len(marked) if last else 0, marks)
            try:
                part_rows = connection.execute(query, parameters).fetchall()
            except sqlite3.OperationalError as error:
                if "no such table: cells_" not in str(error):
                    raise
                query = _statement("", 0, 0, len(marked) if last else 0, marks)
                part_rows = connection.execute(query, parameters[size + len(rest) :]).fetchall() if marks else []
            if begin:
                part_rows = [row if row[0] == _MARK else (row[0] + begin, *row[1:]) for row in part_rows]
            rows += part_rows
        return rows


@lru_cache(maxsize=512)
def _statement(entity: str, keys: int, slices: int, blocks: int, marks: str) -> str:
    """Cells of the keys in the slices; then the marks of the blocks, of all lanes or of one lane."""
    parts = []
    if keys:
        asked = ", ".join(f"({number}, ?)" for number in range(keys))
        wanted = ", ".join(f"({number}, ?, ?)" for number in range(slices))
        parts.append(
            f"SELECT asked.column1, wanted.column1, cell.tile, cell.lane, cell.version, cell.blob "
            f"FROM (VALUES {asked}) AS asked CROSS JOIN (VALUES {wanted}) AS wanted "
            f"CROSS JOIN {quoted(entity)} AS cell ON cell.key = asked.column2 AND cell.block = wanted.column2 "
            "AND cell.tile >= wanted.column3"
        )
    if marks:
        lane = " AND lane = ?" if marks == "one lane" else ""
        holes = ", ".join("?" * blocks)
        parts.append(f"SELECT {_MARK}, log, 0, lane, offset, NULL FROM marks WHERE log IN ({holes}){lane}")
    return " UNION ALL ".join(parts)
