"""Reads of a platform: answers from the online store, logged, and the audit of the log."""

from __future__ import annotations

import random
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pyarrow as pa

from pipelines.project import Project
from schemas.errors import RequestError, StoreError
from serving.audit import Audit, AuditReport
from serving.deployment import Deployment
from serving.log import LoggedAnswer, ServingLog
from serving.online import OnlineAnswer, OnlineReader, PreparedRead, check_fingerprint
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
    """

    def __init__(self, project: Project) -> None:
        self._project = project
        self._catalog: Catalog | None = None
        self._online: OnlineReader | None = None
        self._readers: dict[tuple[str | int, ...], PreparedReader] = {}
        self._log: ServingLog | None = None
        self._share = project.settings.serving.log_sample
        self._random = random.Random(project.settings.project)

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
        if self._online is None or self._catalog is None:
            deployment = Deployment.load(self._project.offline)
            self._catalog = self._project.fitted_catalog(deployment)
            self._online = OnlineReader(deployment.blocks, self._project.online)
        return self._online.prepare(self._catalog.select(features))

    def answered(
        self, read: PreparedRead, keys: Any, request: Mapping[str, Any] | None, now: int | str | None
    ) -> Features:
        """Features now; the answer goes to the serving log, unless the settings sample it away."""
        clock = self._project.clock.now()
        logs = self._share >= 1 or (self._share > 0 and self._random.random() < self._share)
        try:
            answer = read.get(keys, request, now, clock, marked=logs)
        except StoreError as error:
            raise self._project.stores.named(error) from error
        if logs:
            self._served().append(partial(logged, read.selection, answer, clock))
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

    def _served(self) -> ServingLog:
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


def logged(selection: Selection, answer: OnlineAnswer, time: int) -> LoggedAnswer:
    """An answer as the serving log keeps it: keys and request columns, values and statuses by address."""
    features = answer.features
    given = [(name, whole(features.given.column(name))) for name in features.given.column_names]
    if isinstance(features, ServedFeatures):
        values, statuses, instants = features.arrays(), features.status_arrays(), list(features.moments)
    else:
        values = {address: whole(found.values) for address, found in features.answers.items()}
        statuses = {address: pa.array(texts, pa.string()) for address, texts in features.statuses.items()}
        instants = features.instants.tolist()
    return LoggedAnswer(
        time,
        tuple(values),
        selection.fingerprint,
        _batch([*given, *values.items()]),
        _batch(list(statuses.items())),
        instants,
        answer.marks,
    )


def _batch(columns: list[tuple[str, pa.Array]]) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([column for _, column in columns], [name for name, _ in columns])
