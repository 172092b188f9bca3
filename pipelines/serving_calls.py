"""Reads of a platform: answers from the online store, logged, and the audit of the log."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from pipelines.project import Project
from schemas.errors import RequestError
from serving.audit import Audit, AuditReport
from serving.deployment import Deployment
from serving.log import LoggedAnswer, ServingLog
from serving.online import OnlineAnswer, OnlineReader, check_fingerprint
from transforms.columns import whole
from transforms.features import Features
from transforms.requests import read_request
from transforms.selection import Selection


class ServingCalls:
    """What a platform does to answer reads and to check them.

    Args:
        project: the project.
    """

    def __init__(self, project: Project) -> None:
        self._project = project
        self._reader: OnlineReader | None = None
        self._log: ServingLog | None = None
        self._random = random.Random(project.settings.project)

    def get(
        self,
        features: Any,
        keys: Any,
        request: Mapping[str, Any] | None,
        now: int | str | None,
        fingerprint: str | None,
    ) -> Features:
        """Features now; the answer goes to the serving log, unless the settings sample it away."""
        selection = self._project.catalog.select(features)
        check_fingerprint(selection, fingerprint)
        asked = read_request(keys, selection, "keys", request)
        clock = self._project.clock.now()
        answer = self._online().get(selection, asked, now, clock)
        share = self._project.settings.serving.log_sample
        if share >= 1 or self._random.random() < share:
            self._served().append(logged(selection, answer, clock))
        return answer.features

    def audit(self, sample: float) -> AuditReport:
        """Replays a share of the logged answers."""
        if not 0 <= sample <= 1:
            raise RequestError(f"sample={sample!r}: legal is a number from 0 to 1")
        log = self._served()
        log.flush()
        chosen = random.Random(self._project.settings.project)
        deployment = Deployment.load(self._project.offline)
        audit = Audit(self._project.catalog, deployment.blocks, self._project.offline)
        return audit.run(answer for answer in log.read() if sample >= 1 or chosen.random() < sample)

    def renew(self) -> None:
        """Forgets what was applied; the next read looks anew."""
        self._reader = None

    def close(self) -> None:
        """Writes what is held of the log."""
        if self._log is not None:
            self._log.close()
            self._log = None

    def _online(self) -> OnlineReader:
        if self._reader is None:
            deployment = Deployment.load(self._project.offline)
            self._reader = OnlineReader(deployment.blocks, self._project.online)
        return self._reader

    def _served(self) -> ServingLog:
        if self._log is None:
            self._log = ServingLog(self._project.offline)
        return self._log


def logged(selection: Selection, answer: OnlineAnswer, time: int) -> LoggedAnswer:
    """An answer as the serving log keeps it: keys and request columns, values and statuses by address."""
    features = answer.features
    given = [(name, whole(features.given.column(name))) for name in features.given.column_names]
    values = [(address, whole(found.values)) for address, found in features.answers.items()]
    statuses = [(address, pa.array(texts, pa.string())) for address, texts in features.statuses.items()]
    return LoggedAnswer(
        time,
        tuple(features.answers),
        selection.fingerprint,
        _batch([*given, *values]),
        _batch(statuses),
        features.instants.tolist(),
        answer.marks,
    )


def _batch(columns: list[tuple[str, pa.Array]]) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([column for _, column in columns], [name for name, _ in columns])
