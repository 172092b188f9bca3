"""The serving log: every answer given, with what an audit needs to give it again."""

from __future__ import annotations

import json
import logging
import threading
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import polars as pl
import pyarrow as pa

from schemas.errors import StoreError
from schemas.types import TIME
from serving.stores.offline import OfflineStore

TABLE = "served"
MOST_HELD = 100_000
_READ_AT_ONCE = 1_000
_SCHEMA = pa.schema(
    [
        pa.field("request", pa.string()),
        pa.field("time", TIME),
        pa.field("features", pa.list_(pa.string())),
        pa.field("fingerprint", pa.string()),
        pa.field("answer", pa.binary()),
        pa.field("statuses", pa.binary()),
        pa.field("as_of", pa.list_(pa.int64())),
        pa.field("marks", pa.string()),
    ]
)
_LOGGER = logging.getLogger("twinbeam.serving")

Marks = Mapping[str, Mapping[str, int]]


@dataclass(frozen=True)
class LoggedAnswer:
    """One answer to one request of n rows.

    Attributes:
        time: µs at which it was given.
        features: addresses in the order asked.
        fingerprint: of the selection.
        answer: n rows: the key columns and request columns as given, then the values by address.
        statuses: n rows, a column of texts by address.
        as_of: n instants in µs.
        marks: per block, per lane, the offset below which every row had been folded.
        request: id of the request, given by the log if empty.
    """

    time: int
    features: tuple[str, ...]
    fingerprint: str
    answer: pa.RecordBatch
    statuses: pa.RecordBatch
    as_of: Sequence[int]
    marks: Marks
    request: str = ""


@dataclass(frozen=True)
class HeldAnswer:
    """An answer that is made when it is written.

    Attributes:
        time: µs at which it was given.
        rows: of it that are logged.
        make: makes it, in one part or several.
    """

    time: int
    rows: int
    make: Callable[[], Sequence[LoggedAnswer]]


@dataclass(frozen=True)
class Lag:
    """What a serving log has not written yet.

    Attributes:
        rows: that wait.
        since: time (µs) of the oldest answer among them; None if none waits.
    """

    rows: int
    since: int | None


class ServingLog:
    """Answers held in memory and appended to the table `served` by a thread of their own, so that reads do not wait.

    Every append is one commit, so any number of processes may log at once.

    Args:
        offline: the offline store.
        every: seconds between commits; also the most that a killed process forgets.
        rows: answers after which a commit does not wait.
    """

    def __init__(self, offline: OfflineStore, every: float = 5.0, rows: int = 1_000) -> None:
        self._offline, self._every, self._rows = offline, every, rows
        self._held: list[LoggedAnswer | HeldAnswer] = []
        self._written: list[LoggedAnswer | HeldAnswer] = []
        self._changed = threading.Condition()
        self._commit = threading.Lock()
        self._writer: threading.Thread | None = None
        self._closed = False

    @property
    def lag(self) -> Lag:
        """What is not written yet; what is being written now is not either."""
        with self._changed:
            waiting = [*self._written, *self._held]
        rows = sum(each.rows if isinstance(each, HeldAnswer) else each.answer.num_rows for each in waiting)
        return Lag(rows, min((each.time for each in waiting), default=None))

    def append(self, *answers: LoggedAnswer | HeldAnswer) -> None:
        """Takes answers to be logged.

        Raises:
            StoreError: the log was closed, or the offline store has not taken answers for so long that too many wait.
        """
        with self._changed:
            if self._closed:
                raise StoreError("serving log: was closed; open it again")
            if len(self._held) + len(answers) > MOST_HELD:
                raise StoreError(
                    f"serving log: {len(self._held)} answers wait for {self._offline.root}/{TABLE}, which cannot be "
                    "written; mend that, or log fewer answers (serving.log_sample in the settings)"
                )
            self._held += answers
            if self._writer is None:
                self._writer = threading.Thread(target=self._write, name="twinbeam-serving-log", daemon=True)
                self._writer.start()
            elif len(self._held) >= self._rows:
                self._changed.notify()

    def flush(self) -> None:
        """Commits what is held; returns once that is durable.

        Raises:
            StoreError: the offline store cannot be written; the answers are held on.
        """
        with self._commit:
            with self._changed:
                taken, self._held = self._held, []
                self._written = taken
            if not taken:
                return
            try:
                self._offline.append(TABLE, [_batch(taken)], {})
            except BaseException:
                with self._changed:
                    self._held[:0] = taken
                    self._written = []
                raise
            self._written = []

    def close(self) -> None:
        """Commits what is held and ends; may be called twice.

        Raises:
            StoreError: the offline store cannot be written; what was held can never be audited.
        """
        with self._changed:
            self._closed = True
            self._changed.notify()
        if self._writer is not None:
            self._writer.join()
        try:
            self.flush()
        except StoreError as error:
            raise StoreError(
                f"serving log: {len(self._held)} answers were given and could not be logged, so no audit will see "
                f"them: {error}"
            ) from error

    def read(self, since: int | None = None, until: int | None = None) -> Iterator[LoggedAnswer]:
        """Committed answers in the order of their times.

        Args:
            since: µs, the earliest time.
            until: µs, times before it.
        """
        begin, end = -(2**63) if since is None else since, 2**63 - 1 if until is None else until
        times = self._offline.read(TABLE, ["time"], _between(begin, end), _SCHEMA).column(0).cast(pa.int64())
        firsts = sorted(set(times.to_pylist()))[::_READ_AT_ONCE]
        for first, last in pairwise([*firsts, end]):
            rows = self._offline.read(TABLE, filter=_between(first, last), schema=_SCHEMA)
            for batch in rows.sort_by([("time", "ascending"), ("request", "ascending")]).to_batches():
                yield from _answers(batch)

    def _write(self) -> None:
        while True:
            with self._changed:
                if not self._closed and len(self._held) < self._rows:
                    self._changed.wait(self._every)
                if self._closed:
                    return
            try:
                self.flush()
            except StoreError as error:
                _LOGGER.error("served answers are held back: %s", error)
                with self._changed:
                    self._changed.wait_for(lambda: self._closed, self._every)


def _between(begin: int, end: int) -> pl.Expr:
    """Whether a time lies in [begin, end)."""
    time, kind = pl.col("time"), pl.Datetime("us", "UTC")
    return (time >= pl.lit(begin).cast(kind)) & (time < pl.lit(end).cast(kind))


def _batch(answers: Iterable[LoggedAnswer | HeldAnswer]) -> pa.RecordBatch:
    made = [one for answer in answers for one in ([answer] if isinstance(answer, LoggedAnswer) else answer.make())]
    rows = [answer if answer.request else replace(answer, request=uuid.uuid4().hex) for answer in made]
    columns = [
        [row.request for row in rows],
        [row.time for row in rows],
        [list(row.features) for row in rows],
        [row.fingerprint for row in rows],
        [_bytes(row.answer) for row in rows],
        [_bytes(row.statuses) for row in rows],
        [list(row.as_of) for row in rows],
        [json.dumps({block: dict(lanes) for block, lanes in row.marks.items()}) for row in rows],
    ]
    arrays = [pa.array(column, field.type) for column, field in zip(columns, _SCHEMA, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=_SCHEMA)


def _answers(batch: pa.RecordBatch) -> Iterator[LoggedAnswer]:
    times = batch.column("time").cast(pa.int64()).to_pylist()
    for time, row in zip(times, batch.drop_columns(["time"]).to_pylist(), strict=True):
        yield LoggedAnswer(
            time,
            tuple(row["features"]),
            row["fingerprint"],
            _rows(row["answer"]),
            _rows(row["statuses"]),
            row["as_of"],
            json.loads(row["marks"]),
            row["request"],
        )


def _bytes(batch: pa.RecordBatch) -> bytes:
    """Arrow IPC stream of a batch: every bit of every value, and the schema."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return bytes(sink.getvalue())


def _rows(content: bytes) -> pa.RecordBatch:
    with pa.ipc.open_stream(content) as reader:
        return reader.read_next_batch()
