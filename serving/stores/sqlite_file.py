"""One SQLite file as a store: its pragmas, its pool of connections, and what its errors mean to a user."""

from __future__ import annotations

import os
import shutil
import sqlite3
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from schemas.errors import SettingsError, StoreError

APPLICATION_ID = 0x54774F6E
LAYOUT = 2
LEAST_FREE = 1 << 16
SYNCHRONOUS = ("FULL", "NORMAL", "OFF")
_PRAGMAS = ("mmap_size = 1073741824", "cache_size = -32768", "journal_size_limit = 67108864", "temp_store = MEMORY")
_NONE_YET = "{path}: there is no online store yet; run twinbeam apply, then twinbeam run batch (or run stream)"
_LAYOUT_SQL = """
CREATE TABLE IF NOT EXISTS blocks (id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE);
CREATE TABLE IF NOT EXISTS lanes (id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE);
CREATE TABLE IF NOT EXISTS marks (
    log INTEGER NOT NULL, lane INTEGER NOT NULL, offset INTEGER NOT NULL, newest INTEGER NOT NULL,
    PRIMARY KEY (log, lane)) WITHOUT ROWID;
INSERT OR IGNORE INTO lanes VALUES (0, '');
"""
REFILL = (
    "move it away together with its -wal and -shm files and run twinbeam run batch: the online store is filled anew "
    "from the offline store"
)


def refusal(path: Path | str, error: sqlite3.Error, timeout: float, read_only: bool, way_back: str) -> StoreError:
    """An error of SQLite in a user's words: the file, what is wrong with it, and the way back.

    Args:
        path: the file.
        error: as SQLite raised it.
        timeout: seconds that a writer waited for another one.
        read_only: whether the file was opened for reading alone.
        way_back: what to do if the file is damaged.
    """
    name = getattr(error, "sqlite_errorname", "")
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return StoreError(f"{path}: locked by another writer for more than {timeout:g} s; let it end, then repeat")
    if name.startswith("SQLITE_READONLY"):
        why = "it was opened for reading" if read_only else "this user may not write it, or the disk is read-only"
        return StoreError(f"{path}: cannot be written: {why}; make the file and its folder writable, then repeat")
    if name.startswith("SQLITE_FULL") or (name.startswith("SQLITE_IOERR") and _full(path)):
        return StoreError(f"{path}: the disk is full; nothing of this write was kept: free some space, then repeat")
    if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
        return StoreError(f"{path}: damaged ({error}); {way_back}")
    if name.startswith("SQLITE_CANTOPEN"):
        return StoreError(
            f"{path}: cannot be opened ({error}); it must be a file in a folder that this user may use and write"
        )
    if name.startswith("SQLITE_IOERR"):
        return StoreError(
            f"{path}: its disk fails, or a limit is reached ({error}, {name}); nothing of this call was kept: mend "
            f"that, then repeat; if the file is damaged then, {way_back}"
        )
    return StoreError(f"{path}: {error}{f' ({name})' if name else ''}; nothing of this call was kept")


def _full(path: Path | str) -> bool:
    """Whether the disk of a file has no space left: SQLite calls that an I/O error where it grows its index."""
    try:
        return shutil.disk_usage(Path(path).absolute().parent).free < LEAST_FREE
    except OSError:
        return False


class SqliteFile:
    """Connections to one database file, each used by one thread at a time.

    Attributes:
        path: the file.
        read_only: whether writes are refused.
        synchronous: one of `SYNCHRONOUS`; FULL makes an acknowledged write survive a power cut.
        timeout: seconds to wait for another writer.
    """

    def __init__(self, path: Path | str, read_only: bool, synchronous: str, timeout: float) -> None:
        if synchronous not in SYNCHRONOUS:
            raise SettingsError(f"synchronous is {synchronous!r}: legal are {', '.join(SYNCHRONOUS)}")
        self.path = Path(path)
        self.read_only = read_only
        self.synchronous = synchronous
        self.timeout = timeout
        self._idle: deque[sqlite3.Connection] = deque()
        self._inherited: list[deque[sqlite3.Connection]] = []
        self._process = os.getpid()
        self._closed = False
        with self.connection() as connection:
            self._lay_out(connection)

    @contextmanager
    def connection(self) -> Iterator[sqlite3.Connection]:
        """A connection for the time of the block; an error inside rolls back and becomes a `StoreError`."""
        connection = self.acquire()
        try:
            yield connection
        except BaseException as error:
            self.release(connection)
            if isinstance(error, sqlite3.Error):
                raise self.refusal(error) from error
            raise
        self.release(connection)

    def acquire(self) -> sqlite3.Connection:
        """A connection that nobody else uses until it is released.

        Raises:
            StoreError: the file cannot be opened, or the store was closed.
        """
        if self._process != os.getpid():
            self._forget_parent()
        try:
            return self._idle.pop()
        except IndexError:
            pass
        if self._closed:
            raise StoreError(f"{self.path}: this store was closed; open it again")
        try:
            return self._open()
        except sqlite3.Error as error:
            raise self.refusal(error) from error

    def release(self, connection: sqlite3.Connection) -> None:
        """Takes a connection back; an unfinished transaction is rolled back."""
        try:
            if connection.in_transaction:
                connection.rollback()
        except sqlite3.Error:  # the connection is of no use any more; what it began was never committed
            connection.close()
            return
        if self._closed:
            connection.close()
        else:
            self._idle.append(connection)

    def close(self) -> None:
        """Closes the idle connections now and the ones in use when they are released."""
        self._closed = True
        while self._idle:
            self._idle.pop().close()

    def refusal(self, error: sqlite3.Error) -> StoreError:
        """The error in a user's words: the file, what is wrong with it, and the way back."""
        return refusal(self.path, error, self.timeout, self.read_only, REFILL)

    def _open(self) -> sqlite3.Connection:
        if self.read_only and not self.path.exists():
            raise StoreError(_NONE_YET.format(path=self.path))
        if not self.read_only:
            try:
                self.path.parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise StoreError(f"{self.path}: its folder cannot be made ({error.strerror})") from error
        uri = f"file:{quote(str(self.path.absolute()))}?mode={'ro' if self.read_only else 'rwc'}"
        connection = sqlite3.connect(
            uri, uri=True, timeout=self.timeout, isolation_level=None, check_same_thread=False, cached_statements=256
        )
        try:
            for pragma in _PRAGMAS:
                connection.execute(f"PRAGMA {pragma}")
            connection.execute(f"PRAGMA synchronous = {self.synchronous}")
        except sqlite3.Error:
            connection.close()
            raise
        return connection

    def _lay_out(self, connection: sqlite3.Connection) -> None:
        marked = connection.execute("PRAGMA application_id").fetchone()[0]
        layout = connection.execute("PRAGMA user_version").fetchone()[0]
        empty = not connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone()
        if not empty and marked != APPLICATION_ID:
            raise StoreError(f"{self.path}: a SQLite file, but no online store of Twinbeam; name another path")
        if not empty and layout != LAYOUT:
            raise StoreError(
                f"{self.path}: written by another version (layout {layout}, this one reads {LAYOUT}); {REFILL}"
            )
        if self.read_only and empty:
            raise StoreError(_NONE_YET.format(path=self.path))
        if self.read_only or (not empty and connection.execute("PRAGMA journal_mode").fetchone()[0] == "wal"):
            return
        connection.execute("PRAGMA page_size = 16384")
        self._switch_to_wal(connection)
        connection.execute("BEGIN IMMEDIATE")
        for statement in _LAYOUT_SQL.split(";"):
            connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {LAYOUT}")
        connection.execute("COMMIT")

    def _switch_to_wal(self, connection: sqlite3.Connection) -> None:
        """Switches to the write-ahead log; SQLite does not wait by itself when two processes switch at once."""
        until = time.monotonic() + self.timeout
        while True:
            try:
                connection.execute("PRAGMA journal_mode = WAL")
                return
            except sqlite3.OperationalError as error:
                if not error.sqlite_errorname.startswith("SQLITE_BUSY") or time.monotonic() > until:
                    raise
                time.sleep(0.01)

    def _forget_parent(self) -> None:
        """After a fork: starts without connections, and never closes the parent's, which share its locks."""
        self._process = os.getpid()
        self._inherited.append(self._idle)
        self._idle = deque()
