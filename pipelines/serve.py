"""The server's project: its ports, by what is applied, which is looked at every few seconds while it serves."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from pipelines.former_blocks import FormerReader, former_readers
from pipelines.project import Project
from pipelines.publish import key_fields, publish
from pipelines.serving_calls import PreparedReader, ServingCalls
from schemas.errors import DefinitionChanged, RequestError, TwinbeamError
from schemas.feature_group import FeatureGroup
from serving.deployment import Deployment
from serving.server.counters import Counters
from serving.view_groups import view_group
from transforms.catalog import Catalog

LOG = logging.getLogger("twinbeam.server")
LOOK_SECONDS = 2.0
LOOKS_BETWEEN_TRIES = 15


class AppliedProject:
    """A project by what was applied at some time: reads, and publishing.

    Args:
        project: the project.
        deployment: what is applied.
        counters: of the process.

    Attributes:
        project: the project.
        version: of what is applied.
        waits: whether reads wait for a network.
        groups: feature groups that are applied, by name.
    """

    def __init__(self, project: Project, deployment: Deployment, counters: Counters) -> None:
        self.project, self.version = project, deployment.version
        self.waits = project.settings.online.store != "sqlite"
        self._blocks = deployment.blocks
        self._calls = ServingCalls(
            project, lambda seconds: counters.store_call("read", seconds), lambda: _drop(counters)
        )
        self.catalog: Catalog = self._calls.catalog
        self.groups = _groups(project, deployment)
        self._former = former_readers(project, deployment, self.catalog)

    def reader(self, features: str | tuple[str, ...]) -> PreparedReader:
        """See `Reads`."""
        return self._calls.reader(features)

    def former(self, view: str) -> FormerReader | None:
        """See `Reads`."""
        return self._former.get(view)

    def publish(self, source: str, events: Any) -> dict[str, int]:
        """See `Publishing`."""
        project = self.project
        definition = project.sources([source])[source]
        topic = project.topic(source)
        if topic is None:
            raise RequestError(f"source {source!r} has no topic; give it topic= in its definition or the settings")
        keys = key_fields(definition, project.registry.views.values())
        return publish(project.broker, topic, definition, events, keys, project.clock.now())

    def topic(self, source: str) -> str | None:
        """See `Publishing`."""
        return self.project.settings.topic(self.project.registry.sources[source])

    def readable(self, source: str, lanes: Mapping[str, int]) -> bool:
        """See `Publishing`."""
        fed = [
            block.id
            for name, view in self.catalog.views.items()
            if source in view.rules
            for block in self._blocks.get(name, ())
        ]
        folded = {(mark.log, mark.lane): mark.offset for mark in self.project.online.marks(fed)}
        return all(folded.get((block, lane), 0) > last for block in fed for lane, last in lanes.items())

    def unlogged(self) -> tuple[int, float]:
        """See `Backend`."""
        lag = self._calls.lag
        return lag.rows, 0.0 if lag.since is None else (self.project.clock.now() - lag.since) / 1e6

    def close(self) -> None:
        """Writes what is held of the serving log, and closes the stores."""
        try:
            self._calls.close()
        finally:
            self.project.close()


class ProjectBackend:
    """A project as the server sees it; definitions that are applied while it serves are taken up.

    If what is applied does not fit the definitions at hand, or those have mistakes, reads go on by what was applied
    before, the log says so once, and the files are tried again now and then.

    Args:
        project: the project.
        counters: of the process.
    """

    def __init__(self, project: Project, counters: Counters) -> None:
        self._counters = counters
        self._given = project
        self._applied = AppliedProject(*_applied(project), counters)
        self._looking, self._left = threading.Lock(), list[tuple[float, AppliedProject]]()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="twinbeam-definitions", daemon=True)

    @property
    def project(self) -> str:
        """See `Backend`."""
        return self._applied.project.settings.project

    @property
    def reads(self) -> AppliedProject:
        """See `Backend`."""
        return self._applied

    @property
    def publishing(self) -> AppliedProject:
        """See `Backend`."""
        return self._applied

    def ailments(self) -> dict[str, str]:
        """See `Backend`."""
        project = self._applied.project
        checks: dict[str, Callable[[], object]] = {
            "online store": lambda: project.online.marks(["*ready"]),
            "offline store": lambda: Deployment.newest(project.offline),
            "broker": lambda: project.broker.names(),
        }
        found = {}
        for name, check in checks.items():
            try:
                check()
            except TwinbeamError as error:
                found[name] = str(error)
        if not found and not self._applied.version:
            found["definitions"] = "nothing is applied yet; run twinbeam apply"
        return found

    def unlogged(self) -> tuple[int, float]:
        """See `Backend`."""
        return self._applied.unlogged()

    def watch(self) -> None:
        """Begins to look whether something else is applied."""
        self._thread.start()

    def look(self) -> None:
        """Takes up what is applied now, if it is something else, at once.

        Raises:
            TwinbeamError: it does not fit the definitions at hand, or those have mistakes.
        """
        with self._looking:
            applied = self._applied
            if Deployment.newest(applied.project.offline) == applied.version:
                return
            deployment = Deployment.load(applied.project.offline)
            project = applied.project.again()
            following = AppliedProject(project, project.checked(deployment), self._counters)
            self._applied = following
            self._left.append((time.monotonic(), applied))
        LOG.warning("definitions of version %d are served now", following.version)

    def close(self) -> None:
        """See `Backend`."""
        self._over.set()
        if self._thread.is_alive():
            self._thread.join()
        self._close_left(0.0)
        self._applied.close()
        self._given.close()

    def _watch(self) -> None:
        refused, looks = self._applied.version, 0
        while not self._over.wait(LOOK_SECONDS):
            self._close_left(LOOK_SECONDS)
            version = refused
            try:
                version = Deployment.newest(self._applied.project.offline)
                looks = looks + 1 if version == refused else 0
                if version != self._applied.version and not looks % LOOKS_BETWEEN_TRIES:
                    self.look()
            except TwinbeamError as error:
                if version != refused:
                    lines = "; ".join(str(error).splitlines())
                    LOG.error("other definitions were applied than those at hand, which go on: %s", lines)
                refused = version

    def _close_left(self, seconds: float) -> None:
        """Closes what was served before, so long ago that reads which were under way have ended."""
        with self._looking:
            now, left = time.monotonic(), self._left
            self._left = [(since, applied) for since, applied in left if now - since < seconds]
        for since, applied in left:
            if now - since >= seconds:
                applied.close()


def _applied(project: Project) -> tuple[Project, Deployment]:
    """The project by the definitions that are applied; by those at hand where they are not."""
    try:
        return project.as_applied()
    except (RequestError, DefinitionChanged):
        return project, Deployment.load(project.offline)


def _groups(project: Project, deployment: Deployment) -> dict[str, FeatureGroup]:
    """Feature groups that are applied: those kept as data, and views that are such as they are."""
    kept = [group for group in project.registry.groups if group.view_name in deployment.views]
    own = {group.view_name for group in kept}
    found: dict[str, FeatureGroup] = {}
    for name, view in project.catalog.views.items():
        if name in deployment.views and name not in own:
            group = view_group(view, project.settings.topic(view.sources[0]), deployment.applied_at // 1_000)
            found |= {} if group is None else {name: group}
    return found | {group.name: group for group in kept}


def _drop(counters: Counters) -> None:
    counters.dropped += 1
