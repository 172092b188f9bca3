"""The online store in one SQLite file: a table of cells per entity, every write a join, every read one snapshot."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from schemas.errors import StoreError
from serving.stores.base import Found, Ints, Mark, Slice
from serving.stores.sqlite_file import SqliteFile
from serving.stores.sqlite_row_reads import SqliteRowReader
from serving.stores.sqlite_rows import Names, fetch, in_batches, quoted
from transforms.cells import Cells

_EXPIRE_KEYS = 20_000
_TABLE = """
CREATE TABLE IF NOT EXISTS {table} (
    key BLOB NOT NULL, block INTEGER NOT NULL, tile INTEGER NOT NULL, lane INTEGER NOT NULL,
    version INTEGER NOT NULL, blob BLOB NOT NULL, PRIMARY KEY (key, block, tile, lane)) WITHOUT ROWID
"""
_UPSERT = """
INSERT INTO {table} VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET version = excluded.version, blob = excluded.blob
WHERE version < excluded.version OR (version = excluded.version AND blob < excluded.blob)
"""
_UPSERT_MARK = """
INSERT INTO marks VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE
SET offset = max(offset, excluded.offset), newest = max(newest, excluded.newest)
WHERE offset < excluded.offset OR newest < excluded.newest
"""
_SLICE = """
SELECT asked.column1, cell.tile, cell.lane, cell.version, cell.blob
FROM (VALUES {values}) AS asked CROSS JOIN {table} AS cell
ON cell.key = asked.column2 AND cell.block = asked.column3 AND cell.tile >= asked.column4
"""
_POINT = """
SELECT asked.column1, cell.version, cell.blob FROM (VALUES {values}) AS asked CROSS JOIN {table} AS cell
ON cell.key = asked.column2 AND cell.block = asked.column3 AND cell.tile = asked.column4 AND cell.lane = asked.column5
"""
_MARKS = "SELECT log, lane, offset, newest FROM marks WHERE log IN ({})"
_EXPIRE = "DELETE FROM {table} WHERE key >= ? AND key < ? AND block = ? AND tile < ?"
_EXPIRE_REST = "DELETE FROM {table} WHERE key >= ? AND block = ? AND tile < ?"
_NEXT_KEY = "SELECT key FROM {table} WHERE key >= ? ORDER BY key LIMIT 1 OFFSET {step}"


class SqliteStore:
    """`OnlineStore` in one file; threads and processes may share it.

    Args:
        path: the file; made when missing.
        read_only: refuse writes and never create anything.
        synchronous: FULL (an acknowledged write survives a power cut), NORMAL (a killed process) or OFF.
        timeout: seconds that a writer waits for another one.

    Raises:
        StoreError: the file cannot be opened, is damaged or belongs to something else.
        SettingsError: `synchronous` has no legal value.
    """

    def __init__(
        self, path: Path | str, read_only: bool = False, synchronous: str = "FULL", timeout: float = 30.0
    ) -> None:
        self._file = SqliteFile(path, read_only, synchronous, timeout)
        self._blocks = Names("blocks")
        self._lanes = Names("lanes")

    def prepare(self, entities: Sequence[str]) -> None:
        with self._file.connection() as connection:
            known = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            missing = [entity for entity in entities if f"cells_{entity}" not in known]
            if missing:
                connection.execute("BEGIN IMMEDIATE")
                for entity in missing:
                    connection.execute(_TABLE.format(table=quoted(entity)))
                connection.execute("COMMIT")

    def write(self, entity: str, cells: Sequence[Cells], marks: Sequence[Mark] = ()) -> None:
        if not marks and not any(len(part) for part in cells):
            return
        logs = {part.block for part in cells} | {mark.log for mark in marks}
        names = {part.lane for part in cells} | {mark.lane for mark in marks}
        with self._file.connection() as connection:
            connection.execute("BEGIN IMMEDIATE")
            blocks, lanes = self._blocks.intern(connection, logs), self._lanes.intern(connection, names)
            rows: list[tuple[bytes, int, int, int, int, bytes]] = []
            for part in cells:
                n, block, lane = len(part), blocks[part.block], lanes[part.lane]
                tiles, versions = part.tiles.tolist(), part.versions.tolist()
                rows += zip(part.keys, [block] * n, tiles, [lane] * n, versions, part.blobs, strict=True)
            rows.sort()
            if rows:
                try:
                    connection.executemany(_UPSERT.format(table=quoted(entity)), rows)
                except sqlite3.OperationalError as error:
                    raise self._unprepared(entity, error) from error
            connection.executemany(
                _UPSERT_MARK, [(blocks[mark.log], lanes[mark.lane], mark.offset, mark.newest) for mark in marks]
            )
            connection.execute("COMMIT")
        self._blocks.learn(blocks)
        self._lanes.learn(lanes)

    def current(
        self, entity: str, block: str, lane: str, keys: Sequence[bytes], tiles: Ints
    ) -> tuple[Ints, list[bytes | None]]:
        versions = np.zeros(len(keys), np.int64)
        blobs: list[bytes | None] = [None] * len(keys)
        with self.snapshot() as snapshot:
            for row, version, blob in snapshot.points(entity, block, lane, keys, tiles.tolist()):
                versions[row] = version
                blobs[row] = blob
        return versions, blobs

    def expire(self, entity: str, block: str, before: int) -> int:
        removed, first, table = 0, b"", quoted(entity)
        with self._file.connection() as connection:
            block_id = self._blocks.find(connection, block)
            if block_id is None:
                return 0
            while True:
                ends = fetch(connection, _NEXT_KEY.format(table=table, step=_EXPIRE_KEYS), (first,))
                if not ends or ends[0][0] == first:
                    rest = connection.execute(_EXPIRE_REST.format(table=table), (first, block_id, before))
                    return removed + rest.rowcount
                bounds = (first, ends[0][0], block_id, before)
                removed += connection.execute(_EXPIRE.format(table=table), bounds).rowcount
                first = ends[0][0]

    def read(self, entity: str, keys: Sequence[bytes], slices: Sequence[Slice]) -> Found:
        with self.snapshot() as snapshot:
            return snapshot.read(entity, keys, slices)

    def marks(self, logs: Sequence[str]) -> list[Mark]:
        with self.snapshot() as snapshot:
            return snapshot.marks(logs)

    def snapshot(self) -> SqliteSnapshot:
        """Context manager whose reads all see one state of the store; for one thread at a time."""
        return SqliteSnapshot(self._file, self._blocks, self._lanes)

    def row_reader(self) -> SqliteRowReader:
        """See `row_reads.RowSource`."""
        return SqliteRowReader(self._file, self._blocks, self._lanes)

    def close(self) -> None:
        self._file.close()

    def _unprepared(self, entity: str, error: sqlite3.OperationalError) -> Exception:
        if "no such table" not in str(error):
            return error
        return StoreError(f"{self._file.path}: has no room for entity {entity!r} yet; run twinbeam apply")


class SqliteSnapshot:
    """`CellReader` over one state of the file, from the first read on, whatever is written meanwhile."""

    def __init__(self, file: SqliteFile, blocks: Names, lanes: Names) -> None:
        self._file, self._blocks, self._lanes = file, blocks, lanes
        self._connection: sqlite3.Connection

    def __enter__(self) -> Self:
        self._connection = self._file.acquire()
        try:
            self._connection.execute("BEGIN")
        except sqlite3.Error as error:
            self._file.release(self._connection)
            raise self._file.refusal(error) from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.release(self._connection)
        if isinstance(error, sqlite3.Error):
            raise self._file.refusal(error) from error

    def read(self, entity: str, keys: Sequence[bytes], slices: Sequence[Slice]) -> Found:
        wanted = []
        for number, part in enumerate(slices):
            block = self._blocks.find(self._connection, part.block)
            if block is not None:
                wanted.append((number, block, part.first))
        asked = [
            (row * len(slices) + number, key, block, tile)
            for row, key in enumerate(keys)
            for number, block, tile in wanted
        ]
        rows = in_batches(self._connection, _SLICE, entity, asked)
        if not rows:
            none = np.zeros(0, np.int64)
            return Found(none, none, none, [], none, [])
        numbers, tile, lane, version, blob = zip(*rows, strict=True)
        key, part_number = np.divmod(_ints(numbers), len(slices))
        return Found(
            key, part_number, _ints(tile), self._lanes.texts(self._connection, lane), _ints(version), list(blob)
        )

    def marks(self, logs: Sequence[str]) -> list[Mark]:
        numbers = {self._blocks.find(self._connection, log): log for log in logs}
        numbers.pop(None, None)
        if not numbers:
            return []
        rows = fetch(self._connection, _MARKS.format(", ".join("?" * len(numbers))), tuple(numbers))
        texts = self._lanes.texts(self._connection, [row[1] for row in rows])
        return [Mark(numbers[row[0]], text, row[2], row[3]) for row, text in zip(rows, texts, strict=True)]

    def snapshot(self) -> AbstractContextManager[SqliteSnapshot]:
        """This snapshot itself."""
        return nullcontext(self)

    def points(
        self, entity: str, block: str, lane: str, keys: Sequence[bytes], tiles: Sequence[int]
    ) -> list[tuple[int, int, bytes]]:
        """(number of the point, version, content) of the cells that exist at (keys[i], tiles[i]) of one lane."""
        block_id, lane_id = self._blocks.find(self._connection, block), self._lanes.find(self._connection, lane)
        if block_id is None or lane_id is None:
            return []
        order = sorted(range(len(keys)), key=keys.__getitem__)
        asked = [(row, keys[row], block_id, tiles[row], lane_id) for row in order]
        return in_batches(self._connection, _POINT, entity, asked)


def _ints(values: Sequence[int]) -> Ints:
    return np.array(values, np.int64)
