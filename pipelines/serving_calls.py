"""Reads of a platform: answers from the online store, logged, and the audit of the log."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pyarrow as pa

from pipelines.project import Project
from schemas.errors import RequestError, StoreError
from serving.audit import Audit, AuditReport
from serving.deployment import Deployment
from serving.log import HeldAnswer, Lag, LoggedAnswer, ServingLog
from serving.online import Marks, OnlineAnswer, OnlineReader, PreparedRead, check_fingerprint
from transforms.catalog import Catalog
from transforms.columns import whole
from transforms.features import Features
from transforms.selection import Selection
from transforms.served import ServedFeatures

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MOST_READERS = 256

Instant = datetime | str | int | None


class ServingCalls:
    """What a platform does to answer reads and to check them.

    Args:
        project: the project.
        timed: called with the seconds that each read of the online store took, or None.
        unlogged: called for an answer that the serving log cannot take; None: such a read fails.
    """

    def __init__(
        self,
        project: Project,
        timed: Callable[[float], None] | None = None,
        unlogged: Callable[[], None] | None = None,
    ) -> None:
        self._project, self._timed, self._unlogged = project, timed, unlogged
        self._catalog: Catalog | None = None
        self._online: OnlineReader | None = None
        self._readers: dict[tuple[str | int, ...], PreparedReader] = {}
        self._log: ServingLog | None = None
        self._opening = threading.Lock()
        self._share = project.settings.serving.log_sample

    @property
    def catalog(self) -> Catalog:
        """The definitions, fitted by what is applied."""
        return self._applied()[0]

    def reader(self, features: Any) -> PreparedReader:
        """The reader of some features, the same one as long as what is applied is."""
        items = features if isinstance(features, list | tuple) else (features,)
        asked = tuple([item if isinstance(item, str) else id(item) for item in items])
        found = self._readers.get(asked)
        if found is None:
            found = PreparedReader(self, tuple(items))
            found.prepare()
            if len(self._readers) >= MOST_READERS:
                self._readers = {}
            self._readers[asked] = found
        return found

    def prepare(self, features: Any) -> PreparedRead:
        """A read of some features, by what is applied now."""
        catalog, online = self._applied()
        return online.prepare(catalog.select(features))

    def answered(
        self, read: PreparedRead, keys: Any, request: Mapping[str, Any] | None, now: int | str | None
    ) -> Features:
        """Features now; logged are those rows of the answer whose keys the settings sample."""
        clock = self._project.clock.now()
        try:
            answer = read.get(keys, request, now, clock, self._share)
        except StoreError as error:
            raise self._project.stores.named(error) from error
        if answer.sampled is None or answer.sampled:
            try:
                rows = len(answer.features if answer.sampled is None else answer.sampled)
                self._served().append(HeldAnswer(clock, rows, partial(logged, read.selection, answer, clock)))
            except StoreError:
                if self._unlogged is None:
                    raise
                self._unlogged()
        return answer.features

    def audit(self, sample: float) -> AuditReport:
        """Replays a share of the logged answers."""
        if not 0 <= sample <= 1:
            raise RequestError(f"sample={sample!r}: legal is a number from 0 to 1")
        log = self._served()
        log.flush()
        chosen = random.Random(self._project.settings.project)
        deployment = Deployment.load(self._project.offline)
        audit = Audit(self._project.fitted_catalog(deployment), deployment.blocks, self._project.offline)
        return audit.run(answer for answer in log.read() if sample >= 1 or chosen.random() < sample)

    @property
    def lag(self) -> Lag:
        """What the serving log has not written yet."""
        log = self._log
        return Lag(0, None) if log is None else log.lag

    def renew(self) -> None:
        """Forgets what was applied; the next read of every reader looks anew."""
        self._online = None
        readers, self._readers = self._readers, {}
        for reader in readers.values():
            reader.forget()

    def close(self) -> None:
        """Writes what is held of the log."""
        log, self._log = self._log, None
        if log is not None:
            log.close()

    def _applied(self) -> tuple[Catalog, OnlineReader]:
        """The definitions, and a reader, by what is applied."""
        catalog, online = self._catalog, self._online
        if online is None or catalog is None:
            deployment = Deployment.load(self._project.offline)
            self._catalog = catalog = self._project.fitted_catalog(deployment)
            self._online = online = OnlineReader(deployment.blocks, self._project.online, self._timed)
        return catalog, online

    def _served(self) -> ServingLog:
        with self._opening:
            if self._log is None:
                self._log = ServingLog(self._project.offline)
            return self._log


class PreparedReader:
    """Reads some features, planned once; threads may share it.

    Args:
        calls: of the platform.
        features: as `Platform.get` takes them.
    """

    def __init__(self, calls: ServingCalls, features: tuple[Any, ...]) -> None:
        self._calls, self._features = calls, features
        self._read: PreparedRead | None = None

    @property
    def selection(self) -> Selection:
        """The features."""
        return (self._read or self.prepare()).selection

    def get(
        self,
        keys: Any,
        request: Mapping[str, Any] | None = None,
        now: Instant = None,
        fingerprint: str | None = None,
    ) -> Features:
        """Features of entities now: see `Platform.get`."""
        read = self._read or self.prepare()
        if fingerprint is not None:
            check_fingerprint(read.selection, fingerprint)
        return self._calls.answered(read, keys, request, None if now is None else instant(now))

    def prepare(self) -> PreparedRead:
        """Plans the read.

        Raises:
            RequestError: something asked for does not exist or is not applied.
        """
        self._read = self._calls.prepare(self._features)
        return self._read

    def forget(self) -> None:
        """Makes the next read plan anew."""
        self._read = None


def instant(now: Instant) -> int | str | None:
    """An instant in µs, "latest", or None for the clock; naive times are UTC.

    Raises:
        RequestError: it is no time.
    """
    if now is None or now == "latest" or (isinstance(now, int) and not isinstance(now, bool)):
        return now  # type: ignore[return-value]
    if isinstance(now, str):
        try:
            now = datetime.fromisoformat(now)
        except ValueError:
            raise RequestError(f"now={now!r}: give a time, ISO 8601 text, µs since the epoch, or 'latest'") from None
    if not isinstance(now, datetime):
        raise RequestError(f"now={now!r}: give a time, ISO 8601 text, µs since the epoch, or 'latest'")
    aware = now if now.tzinfo is not None else now.replace(tzinfo=UTC)
    return (aware - EPOCH) // timedelta(microseconds=1)


def logged(selection: Selection, answer: OnlineAnswer, time: int) -> list[LoggedAnswer]:
    """An answer as the serving log keeps it: keys and request columns, values and statuses by address.

    One whose rows were not read together is logged in parts, by what had been folded of each row.
    """
    features = answer.features
    given = [(name, whole(features.given.column(name))) for name in features.given.column_names]
    if isinstance(features, ServedFeatures):
        values, statuses, instants = features.arrays(), features.status_arrays(), list(features.moments)
    else:
        values = {address: whole(found.values) for address, found in features.answers.items()}
        statuses = {address: pa.array(texts, pa.string()) for address, texts in features.statuses.items()}
        instants = features.instants.tolist()
    answered, said = _batch([*given, *values.items()]), _batch(list(statuses.items()))
    wanted = range(answered.num_rows) if answer.sampled is None else answer.sampled
    if answer.together:
        parts = [(answer.marks(), list(wanted))]
    else:
        alike: dict[str, tuple[Marks, list[int]]] = {}
        for row in wanted:
            marks = answer.marks(row)
            text = repr(sorted((block, sorted(of_block.items())) for block, of_block in marks.items()))
            alike.setdefault(text, (marks, []))[1].append(row)
        parts = list(alike.values())
    return [
        LoggedAnswer(
            time,
            tuple(values),
            selection.fingerprint,
            answered.take(pa.array(rows, pa.int64())),
            said.take(pa.array(rows, pa.int64())),
            [instants[row] for row in rows],
            marks,
        )
        for marks, rows in parts
    ]


def _batch(columns: list[tuple[str, pa.Array]]) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([column for _, column in columns], [name for name, _ in columns])
