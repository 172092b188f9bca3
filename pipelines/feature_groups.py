"""Feature groups of a project: JSON files beside its definitions, applied as they are made."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.group_changes import GroupChanges
from pipelines.heartbeat import RunStatus, alive_runs
from pipelines.serve import ProjectBackend
from schemas.errors import RequestError, StoreError
from schemas.feature_group import FeatureGroup
from schemas.lane import Lane
from serving.feature_group_export import identifiers
from serving.tables import events_table

_LOOK_SECONDS = 1.0
_BETWEEN_SECONDS = 60.0
_TAKING_UP_SECONDS = 300.0


@dataclass(frozen=True)
class _AtHand:
    """A group as this process serves it.

    Attributes:
        stamp: of its file, ns.
        applied: as it is applied.
        group: as its file has it, if its view is the applied one; else as it is applied.
        stale: whether the file has another view.
    """

    stamp: int
    applied: FeatureGroup | None
    group: FeatureGroup | None
    stale: bool


_NOTHING = _AtHand(0, None, None, False)


class ProjectGroups:
    """See `GroupStore`.

    Args:
        backend: the project as it is served.
    """

    def __init__(self, backend: ProjectBackend) -> None:
        self._backend = backend
        self._changes = GroupChanges(backend.reads.project.settings)
        self._streams: tuple[float, float, list[RunStatus]] = (-_LOOK_SECONDS, -_BETWEEN_SECONDS, [])
        self._known: dict[str, _AtHand] = {}

    @property
    def max_skew(self) -> int:
        """See `GroupStore`."""
        return self._backend.reads.project.settings.run.max_skew

    def names(self) -> Sequence[str]:
        """See `GroupStore`."""
        views = [name for name, group in self._backend.reads.groups.items() if not group.registered]
        return sorted({*views, *(path.stem for path in self._folder.glob("*.json"))})

    def find(self, name: str) -> FeatureGroup | None:
        """See `GroupStore`."""
        path = self._folder / f"{name}.json"
        try:
            return FeatureGroup.read(path)
        except FileNotFoundError:
            group = self._backend.reads.groups.get(name)
            return None if group is None or group.registered else group
        except (OSError, ValueError) as error:
            raise StoreError(f"{path}: {error}") from None

    def served(self, name: str) -> FeatureGroup | None:
        """See `GroupStore`."""
        return self._at_hand(name).group

    def stale(self, name: str) -> bool:
        """See `GroupStore`."""
        return self._at_hand(name).stale

    def take_up(self) -> None:
        """See `GroupStore`."""
        self._backend.look()

    def recover(self) -> None:
        """See `GroupStore`."""
        self._changes.recover()

    def create(self, document: dict[str, Any]) -> FeatureGroup:
        """See `GroupStore`."""
        name = str(document["FeatureGroupName"])
        with self._changes.alone():
            if self.find(name) is not None:
                raise RequestError(f"there is a feature group {name!r}")
            return self._applied(name, document)

    def change(self, name: str, document: dict[str, Any]) -> FeatureGroup:
        """See `GroupStore`."""
        with self._changes.alone():
            self._check(name)
            return self._applied(name, document)

    def remove(self, name: str) -> None:
        """See `GroupStore`."""
        with self._changes.alone():
            self._check(name)
            self._applied(name, None)

    def followed(self, group: FeatureGroup) -> bool:
        """See `GroupStore`."""
        streams = self._alive()
        return any(group.source in run.sources for run in streams) or (bool(streams) and _fresh(group))

    def taken_up(self, group: FeatureGroup) -> bool:
        """See `GroupStore`."""
        return not _fresh(group) or all(run.started.timestamp() * 1_000 > group.changed for run in self._alive())

    def ends(self, group: FeatureGroup) -> Mapping[str, int]:
        """See `GroupStore`."""
        project = self._backend.reads.project
        topic = project.settings.topic(group.view.sources[0]) or ""
        id = project.broker.id(topic)
        return {
            Lane(group.source, "topic", id, partition).text: end
            for partition, end in project.broker.ends(topic).items()
        }

    def stored(self, group: FeatureGroup, ends: Mapping[str, int]) -> bool:
        """See `GroupStore`."""
        positions = self._backend.reads.project.offline.positions(events_table(group.source))
        return all(positions.get((lane, ""), 0) >= end for lane, end in ends.items())

    def identifiers(self, group: FeatureGroup) -> Sequence[int | str]:
        """See `GroupStore`."""
        return identifiers(self._backend.reads.project.offline, group)

    @property
    def _folder(self) -> Path:
        return self._changes.folder

    def _check(self, name: str) -> None:
        """Refuses a group that is not there, or is not kept as data."""
        group = self.find(name)
        if group is None:
            raise RequestError(f"there is no feature group {name!r}")
        if not group.registered:
            raise RequestError(f"{name!r} is a view of the definitions: change it there, then run twinbeam apply")

    def _applied(self, name: str, document: dict[str, Any] | None) -> FeatureGroup:
        """Keeps a document, or none, and applies that; takes it up."""
        self._changes.apply(name, document)
        self._backend.look()
        return FeatureGroup(document or {}, self._folder / f"{name}.json")

    def _at_hand(self, name: str) -> _AtHand:
        """A group by its file and by what is applied; the file is read again only when either is another one."""
        path, applied = self._folder / f"{name}.json", self._backend.reads.groups.get(name)
        try:
            stamp = path.stat().st_mtime_ns
        except OSError:
            return _NOTHING if applied is None or applied.registered else _AtHand(0, applied, applied, False)
        known = self._known.get(name)
        if known is not None and known.stamp == stamp and known.applied is applied:
            return known
        kept = self.find(name)
        alike = kept is not None and applied is not None and kept.view == applied.view
        found = _AtHand(stamp, applied, kept if alike else applied, not alike)
        self._known[name] = found
        return found

    def _alive(self) -> list[RunStatus]:
        """Streams that are alive, as of a moment ago; between two pipelines of a stream, those of before."""
        looked, seen, streams = self._streams
        now = time.monotonic()
        if now - looked > _LOOK_SECONDS:
            project = self._backend.reads.project
            alive = [run for run in alive_runs(project.online, project.clock.now()) if run.kind == "stream"]
            if alive or now - seen > _BETWEEN_SECONDS:
                seen, streams = now, alive
            self._streams = now, seen, streams
        return streams


def _fresh(group: FeatureGroup) -> bool:
    """Whether a group was made or changed so lately that a stream may still have to take it up."""
    return time.time() - group.changed / 1_000 < _TAKING_UP_SECONDS
