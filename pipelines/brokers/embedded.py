"""Embedded topics: partitioned, durable logs in one SQLite file that several processes publish to and tail."""

from __future__ import annotations

import sqlite3
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import RLock
from typing import Any, TypeVar

import pyarrow as pa

from pipelines.brokers.embedded_log import OFFSET_BITS, TABLES, append, laid_out, partitions_of, read_log, topic_id
from pipelines.brokers.embedded_reader import EmbeddedReader
from pipelines.brokers.group_commit import Append, GroupCommit
from pipelines.envelope import RAW_SCHEMA, TIME
from schemas.errors import StoreError
from serving.stores.sqlite_file import refusal

T = TypeVar("T")

CHUNK_ROWS = 4_000
CHUNK_BYTES = 16 << 20
_WAIT_SECONDS = 60.0
_WAY_BACK = (
    "put it back from a copy; or move it away together with its -wal and -shm files and run twinbeam apply: what runs "
    "have taken in stays in the stores, what was published after that is to be published again"
)


class EmbeddedBroker:
    """Topics of one SQLite file: WAL, every publish synced to disk before it returns.

    Offsets of a partition are dense and start at 0; arrival times of a partition never fall. A topic has an id of its
    own: one that is deleted and created again has another. One object may be used by several threads, and pickled;
    any number of objects in any number of processes may use one file.

    Args:
        path: the file; made when missing.
        timeout: seconds to wait for another writer.
    """

    def __init__(self, path: str | Path, timeout: float = _WAIT_SECONDS) -> None:
        self.path, self.timeout = str(path), timeout
        self._lock = RLock()
        self._connections: dict[str, sqlite3.Connection] = {}
        self._appends = GroupCommit(self._append, CHUNK_ROWS)

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path, "timeout": self.timeout}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        self.__init__(state["path"], state["timeout"])  # type: ignore[misc]

    def create(self, topic: str, partitions: int) -> None:
        """Creates a topic; does nothing if it exists with as many partitions.

        Raises:
            StoreError: it exists with another number of partitions, or the number is below 1.
        """
        if partitions < 1:
            raise StoreError(f"topic {topic!r}: {partitions} partitions asked for, at least 1 is needed")
        with self._writing() as db:
            row = db.execute("select partitions from topics where name = ?", (topic,)).fetchone()
            if row is not None and row[0] != partitions:
                raise StoreError(f"topic {topic!r} has {row[0]} partitions already, {partitions} were asked for")
            if row is None:
                name = uuid.uuid4().hex[:12]
                db.execute("insert into topics values(?, ?, ?)", (topic, name, partitions))
                numbers = ((name, number) for number in range(partitions))
                db.executemany("insert into partitions(topic, partition, next, arrival) values(?, ?, 0, 0)", numbers)

    def delete(self, topic: str) -> None:
        """Deletes a topic and its records.

        Raises:
            LaneError: there is no such topic.
        """
        with self._writing() as db:
            name = topic_id(db, topic)
            for number, _, _, _ in partitions_of(db, name):
                span = (number << OFFSET_BITS, (number + 1) << OFFSET_BITS)
                db.execute("delete from log where id >= ? and id < ?", span)
            db.execute("delete from partitions where topic = ?", (name,))
            db.execute("delete from replayed where topic = ?", (name,))
            db.execute("delete from topics where name = ?", (topic,))

    def names(self) -> list[str]:
        """Names of all topics, in order."""
        return self._reading(lambda db: [row[0] for row in db.execute("select name from topics order by name")])

    def id(self, topic: str) -> str:
        """Id of a topic.

        Raises:
            LaneError: there is no such topic.
        """
        return self._reading(lambda db: topic_id(db, topic))

    def starts(self, topic: str, whole: bool = False) -> dict[int, int]:
        """Empty: nothing is ever thrown away."""
        return {}

    def ends(self, topic: str) -> dict[int, int]:
        """The next offset of each partition.

        Raises:
            LaneError: there is no such topic.
        """
        return self._reading(lambda db: {row[1]: row[2] for row in partitions_of(db, topic_id(db, topic))})

    def pulse(self) -> int:
        """Number that is another than before when something was published; costs a few µs.

        Numbers are to be compared only with earlier ones of the same object.
        """
        return int(self._reading(lambda db: db.execute("pragma data_version").fetchone()[0]))

    def publish(
        self,
        topic: str,
        keys: Sequence[bytes | None],
        values: Sequence[bytes | None],
        headers: Sequence[bytes | None] | None = None,
        *,
        now: int,
    ) -> dict[int, int]:
        """Appends n records and returns when they are on disk.

        A record goes to the partition of its key's hash, one without a key to that of its value's hash; records of a
        partition keep their order. Each transaction takes at most `CHUNK_ROWS` records, so that publishers take turns:
        a call that raises may have published a leading part of its records. Calls of several threads share one.

        Args:
            topic: name of an existing topic.
            keys: n keys or None.
            values: n values.
            headers: n opaque byte strings, or None for no headers at all.
            now: time of arrival, µs; a partition whose last record is newer keeps that time.

        Returns:
            The last offset written in each partition that got a record.

        Raises:
            LaneError: there is no such topic.
            StoreError: the file is locked, full or damaged.
        """
        last: dict[int, int] = {}
        extra = headers if headers is not None else [None] * len(values)
        _same_length(keys, values, extra)
        for start, end in _chunks(values):
            span = slice(start, end)
            last |= self._appends.put(Append(topic, keys[span], values[span], extra[span], now))
        return last

    def replay(
        self, topic: str, ids: Sequence[str], keys: Sequence[bytes | None], values: Sequence[bytes | None], *, now: int
    ) -> tuple[int, dict[int, int]]:
        """Appends those of n records whose id was never replayed into this topic before.

        Args:
            topic: name of an existing topic.
            ids: n texts, for instance the lane and offset that a record came from.
            keys: n keys or None.
            values: n values.
            now: time of arrival, µs.

        Returns:
            How many were appended, and the last offset written in each partition that got one.

        Raises:
            LaneError: there is no such topic.
            StoreError: the file is locked, full or damaged.
        """
        count, last = 0, dict[int, int]()
        _same_length(keys, values, ids)
        for start, end in _chunks(values):
            with self._writing() as db:
                name = topic_id(db, topic)
                fresh = [
                    at
                    for at in range(start, end)
                    if db.execute("insert or ignore into replayed values(?, ?)", (name, ids[at])).rowcount
                ]
                count += len(fresh)
                new_keys, new_values = [keys[at] for at in fresh], [values[at] for at in fresh]
                last |= append(db, topic, new_keys, new_values, [None] * len(fresh), now)
        return count, last

    def reader(self, topic: str) -> EmbeddedReader:
        """A reader of one partition of a topic."""
        return EmbeddedReader(self, topic)

    def behind(self, topic: str, positions: Mapping[int, int]) -> dict[int, int]:
        """Records past positions of partitions."""
        ends = self.ends(topic)
        return {number: max(ends.get(number, 0) - offset, 0) for number, offset in positions.items()}

    def commit(self, topic: str, offsets: Mapping[int, int]) -> None:
        """Does nothing: nobody asks this broker how far its topics are read."""

    def read(self, topic: str, partition: int, offset: int, limit: int, id: str | None = None) -> pa.RecordBatch:
        """Records of a partition from an offset on, at most `limit` of them (fewer if they are large).

        Args:
            topic: name of the topic.
            partition: number of the partition.
            offset: first offset wanted.
            limit: greatest number of records.
            id: the id that the topic is to have, or None for any.

        Returns:
            A batch of `RAW_SCHEMA` and a column `headers` (binary).

        Raises:
            LaneError: there is no such topic or partition, or the topic has another id.
        """
        rows = self._reading(lambda db: read_log(db, topic, partition, offset, limit, id))
        ids, arrivals, keys, values, headers = zip(*rows, strict=True) if rows else ((), (), (), (), ())
        mask = (1 << OFFSET_BITS) - 1
        columns: list[Any] = [
            pa.array([number & mask for number in ids], pa.int64()),
            pa.array(arrivals, pa.int64()).cast(TIME),
            *(pa.array(column, pa.binary()) for column in (keys, values, headers)),
        ]
        return pa.RecordBatch.from_arrays(columns, schema=RAW_SCHEMA.append(pa.field("headers", pa.binary())))

    def close(self) -> None:
        """Closes the file; the next call opens it again."""
        with self._lock:
            for connection in self._connections.values():
                connection.close()
            self._connections = {}

    def _append(self, appends: Sequence[Append]) -> list[dict[int, int]]:
        with self._writing() as db:
            return [append(db, *each) for each in appends]

    def _connection(self, side: str) -> sqlite3.Connection:
        # Two connections: the number that `pulse` gives leaves out commits of its own connection.
        if side not in self._connections:
            if self.path != ":memory:":
                Path(self.path).parent.mkdir(parents=True, exist_ok=True)
            db = sqlite3.connect(self.path, isolation_level=None, timeout=self.timeout, check_same_thread=False)
            try:
                db.execute("pragma journal_mode = wal")
                db.execute("pragma synchronous = full")
                if not laid_out(db):
                    db.executescript(TABLES)
            except BaseException:
                db.close()
                raise
            self._connections[side] = db
        return self._connections[side]

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._lock, self._explained():
            db = self._connection("write")
            db.execute("begin immediate")
            try:
                yield db
                db.execute("commit")
            except BaseException:
                self._give_up("write")
                raise

    def _reading(self, read: Callable[[sqlite3.Connection], T]) -> T:
        with self._lock, self._explained():
            db = self._connection("read")
            db.execute("begin")
            try:
                found = read(db)
                db.execute("commit")
                return found
            except BaseException:
                self._give_up("read")
                raise

    def _give_up(self, side: str) -> None:
        """Ends a transaction that failed; a connection that cannot even do that is opened anew by the next call."""
        db = self._connections[side]
        try:
            if db.in_transaction:
                db.execute("rollback")
        except sqlite3.Error:
            del self._connections[side]
            db.close()

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise refusal(self.path, error, self.timeout, False, _WAY_BACK) from error
        except OSError as error:
            raise StoreError(f"{self.path}: its folder cannot be made ({error.strerror})") from error


def _same_length(keys: Sequence[object], values: Sequence[object], more: Sequence[object]) -> None:
    if not len(keys) == len(values) == len(more):
        raise ValueError(f"{len(values)} values came with {len(keys)} keys and {len(more)} headers or ids")


def _chunks(values: Sequence[bytes | None]) -> Iterator[tuple[int, int]]:
    """Spans of at most `CHUNK_ROWS` values and, but for a single larger one, `CHUNK_BYTES` bytes."""
    start = size = 0
    for at, value in enumerate(values):
        length = len(value or b"")
        if at > start and (at - start == CHUNK_ROWS or size + length > CHUNK_BYTES):
            yield start, at
            start, size = at, 0
        size += length
    if start < len(values):
        yield start, len(values)
