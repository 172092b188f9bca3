"""The platform: a project's definitions, runs and reads, as a program uses them."""

from __future__ import annotations

import getpass
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TextIO

from pipelines import batch, stream
from pipelines.applying import Applying
from pipelines.brokers.base import Broker
from pipelines.clock import SystemClock
from pipelines.flink import jobs as flink
from pipelines.flink.rest import FlinkJob
from pipelines.flink.submission import submit
from pipelines.heartbeat import RunStatus, alive_runs
from pipelines.project import Project
from pipelines.publish import key_fields, publish
from pipelines.report import RunReport
from pipelines.runner import FLINK
from pipelines.serving_calls import PreparedReader, ServingCalls
from pipelines.serving_calls import instant as instant_of
from pipelines.settings import Settings
from schemas.errors import RequestError
from schemas.registry import Registry
from serving import encoders
from serving import plan as plans
from serving.audit import AuditReport
from serving.deployment import Deployment
from serving.expiry import expire
from serving.stores.offline import OfflineStore
from serving.training import training_set
from transforms.artefact import Artefact
from transforms.catalog import Catalog
from transforms.features import Features
from transforms.fits import encoding_of


class Platform:
    """One project: plan and apply definitions, run jobs, publish events, read features.

    Args:
        settings: of the project.
        registry: its definitions.
        out: where runs show what they do (a terminal or a log), or None.
    """

    def __init__(self, settings: Settings, registry: Registry, out: TextIO | None = None) -> None:
        self.settings, self.registry = settings, registry
        self._project = Project(settings, registry, out, SystemClock())
        self._applying = Applying(self._project)
        self._calls = ServingCalls(self._project)

    @classmethod
    def open(cls, folder: str | Path, env: str | None = None, out: TextIO | None = None) -> Self:
        """Platform of a project folder: `twinbeam.toml` and the definitions that it names.

        Args:
            folder: of the project.
            env: environment, `[env.NAME]` in the settings; by default `TWINBEAM_ENV`.
            out: where runs show what they do, or None.

        Raises:
            SettingsError: the settings are wrong or missing.
        """
        settings = Settings.load(folder, env)
        return cls(settings, Registry.load(list(settings.definitions)), out)

    @property
    def catalog(self) -> Catalog:
        """The definitions, compiled; raises `DefinitionError` with every mistake."""
        return self._project.catalog

    @property
    def offline(self) -> OfflineStore:
        """The offline store."""
        return self._project.offline

    @property
    def broker(self) -> Broker:
        """The broker."""
        return self._project.broker

    def plan(self) -> plans.Plan:
        """What `apply` would do: per view added, changed or removed, why, and what becomes of its state."""
        return self._applying.plan()

    def apply(self, accept: str | None = None) -> plans.Plan:
        """Applies the definitions: records them, makes their topics and room for their cells.

        Args:
            accept: "state" agrees to giving up state that is stored.

        Raises:
            RequestError: state would be given up and that was not accepted.
        """
        plan = self._applying.apply(accept)
        self._calls.renew()
        return plan

    def run_batch(self, views: Iterable[str] | None = None, sources: Iterable[str] | None = None) -> RunReport:
        """Reads new files into both stores, and fills what views lack from history.

        Args:
            views: names of the views to feed, or None for all.
            sources: names of the sources to read, or None for all.
        """
        return batch.run_batch(self._project, views, sources)

    def rebuild(self, sources: Iterable[str] | None = None) -> None:
        """Makes the next `run_batch` read all files of the sources anew, for files that have changed on purpose.

        Args:
            sources: names of the sources, or None for all that have files.
        """
        batch.rebuild(self._project, sources)
        self._calls.renew()

    def run_stream(
        self, views: Iterable[str] | None = None, until: str | float | None = None, runner: str | None = None
    ) -> RunReport:
        """Follows live topics into both stores; SIGTERM and SIGINT end it cleanly.

        Args:
            views: names of the views to feed, or None for all.
            until: "caught_up", seconds, or None to go on until a signal; on Flink not None, see `submit_stream`.
            runner: "local" or "flink"; None for the settings'.
        """
        if (runner or self.settings.run.runner) != FLINK:
            return stream.run_stream(self._project, views, until)
        if until is None:
            raise RequestError("a stream on Flink goes on by itself: submit_stream submits it; or give until=")
        stream.check_until(until)
        return flink.follow(self._project, stream.names_of(views), until)

    def submit_stream(
        self, views: Iterable[str] | None = None, parallelism: int | None = None, savepoint: str | None = None
    ) -> FlinkJob:
        """Submits the stream to the Flink cluster of the settings, where it goes on by itself.

        Args:
            views: names of the views to feed, or None for all.
            parallelism: subtasks; None for the settings'.
            savepoint: that Flink is to begin from, or None; where lanes begin, the stores say.
        """
        return submit(self._project, stream.names_of(views), False, parallelism, savepoint)[0]

    def jobs(self) -> list[FlinkJob]:
        """Jobs of the project that its Flink cluster knows, the newest first."""
        return flink.jobs(self._project)

    def stop_job(self, id: str | None = None, savepoint: bool = True) -> tuple[FlinkJob, str | None]:
        """Stops a job on Flink; gives it, and where its savepoint is: see `pipelines.flink.jobs.stop`."""
        return flink.stop(self._project, id, savepoint)

    def resume_job(
        self, views: Iterable[str] | None = None, parallelism: int | None = None, savepoint: str | None = None
    ) -> FlinkJob:
        """`submit_stream`, refused while a job of the project runs."""
        return flink.resume(self._project, stream.names_of(views), parallelism, savepoint)

    def status(self) -> list[RunStatus]:
        """Runs of the project that are alive, on any machine; one that was killed counts for a few more seconds."""
        return alive_runs(self._project.online, self._now())

    def publish(self, source: str, events: Any) -> dict[str, int]:
        """Appends events to a source's topic; returns once they are durable.

        Args:
            source: name of the source.
            events: dicts, Arrow, polars or pandas; or raw `bytes` values, sent as they are.

        Returns:
            The last offset written in each lane.

        Raises:
            EventError: an event does not fit; nothing of the call was sent.
            RequestError: there is no such source, or it has no topic.
            StoreError: the broker, or the schema registry, does not answer or refuses.
        """
        definition = self._project.sources([source])[source]
        topic = self._project.topic(source)
        if topic is None:
            raise RequestError(f"source {source!r} has no topic; give it topic= in its definition or the settings")
        keys = key_fields(definition, self.registry.views.values())
        return publish(self.broker, topic, definition, events, keys, self._now(), self.schema_id(source))

    def schema_id(self, source: str) -> int:
        """Id of a source's schema in the schema registry, where it is put if it is not there; 0 without one."""
        return self._project.schema_id(source)

    def get(
        self,
        features: Any,
        keys: Any,
        request: Mapping[str, Any] | None = None,
        now: datetime | str | int | None = None,
        fingerprint: str | None = None,
    ) -> Features:
        """Features of entities now, from the online store.

        Args:
            features: service, view, alias, on-demand function, encoding, or a list of them or of "view:feature"
                addresses.
            keys: columns (a scalar repeats), a frame, or dicts.
            request: values that on-demand features ask for beside the keys.
            now: instant (a time, ISO 8601, or µs); None for the clock; "latest" for the newest event.
            fingerprint: of the training set of the model that asks; refused if a definition has changed since.

        Raises:
            RequestError: something asked for does not exist, is not applied or still being filled, or `now` lies
                before events that were folded already.
            DefinitionChanged: the fingerprint is another, or an encoding is fitted by another definition.
        """
        return self._calls.reader(features).get(keys, request, now, fingerprint)

    def reader(self, features: Any) -> PreparedReader:
        """A reader of some features, for many reads: `reader.get(keys)` is `get(features, keys)`.

        Args:
            features: as `get` takes them.

        Raises:
            RequestError: something asked for does not exist or is not applied.
        """
        return self._calls.reader(features)

    def training_set(
        self,
        spine: Any,
        features: Any,
        time: str | None = None,
        label: str | Sequence[str] | None = None,
        known: str = "event",
        strict: bool | None = None,
        names: str = "full",
    ) -> Features:
        """Features as of every row of a spine, from the offline store: see `serving.training.training_set`."""
        selection = self._project.fitted_catalog().select(features)
        return training_set(self.offline, selection, spine, time, label, known, strict, names)

    def fit(
        self,
        encoding: str,
        spine: Any,
        time: str | None = None,
        known: str = "event",
        strict: bool | None = None,
        pin: bool = True,
    ) -> Artefact:
        """Fits an encoding, keeps what it learnt as an artefact, and applies it.

        Args:
            encoding: its name.
            spine: as `training_set` takes it, with the encoding's targets; or a training set that holds its inputs.
            time: the spine's time column; by default its only timestamp column.
            known: "event" or "arrival", see `training_set`.
            strict: leave out events at the very instant.
            pin: whether `get` and `training_set` use the artefact from now on, see `pin`.

        Raises:
            RequestError: there is no such encoding, a column is missing, or there is nothing to learn from.
            DefinitionChanged: the training set is of other definitions.
        """
        artefact = encoders.fit(self.offline, self.catalog, encoding, spine, time, known, strict)
        encoders.keep(self.offline, artefact, self._now(), getpass.getuser())
        if pin:
            self.pin(encoding, artefact.version)
        return artefact

    def pin(self, encoding: str, version: str) -> None:
        """Applies an artefact of an encoding: every read uses it from now on.

        Args:
            encoding: its name.
            version: of the artefact, or the beginning of it.

        Raises:
            RequestError: nothing is applied yet, or there is no such artefact.
        """
        encoding_of(self.catalog, encoding)
        deployment = encoders.pinned(self.offline, encoding, version)
        if deployment.encoders != Deployment.load(self.offline).encoders:
            replace(deployment, applied_at=self._now(), applied_by=getpass.getuser()).save(self.offline)
        self._calls.renew()

    def audit(self, sample: float = 1.0) -> AuditReport:
        """Replays logged answers against the offline rows and compares every value with ==.

        Args:
            sample: share of the logged answers to replay, 0 to 1.

        Raises:
            RequestError: `sample` is no share.
        """
        return self._calls.audit(sample)

    def expire(self, now: datetime | int | None = None) -> int:
        """Removes tiles that no window can read any more from the online store, of views with `late=`; says how many.

        Args:
            now: instant (a time, or µs); None for the clock.
        """
        instant = instant_of(now)
        moment = instant if isinstance(instant, int) else self._now()
        return expire(self.catalog, Deployment.load(self.offline), self._project.online, moment)

    def close(self) -> None:
        """Writes what the serving log holds and closes the stores."""
        try:
            self._calls.close()
        finally:
            self._project.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _now(self) -> int:
        return self._project.clock.now()
