"""Feature groups of a project: JSON files beside its definitions, applied as they are made."""

from __future__ import annotations

import fcntl
import json
import os
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.heartbeat import RunStatus, alive_runs
from pipelines.platform import Platform
from pipelines.serve import ProjectBackend
from schemas.errors import RequestError, StoreError
from schemas.feature_group import FOLDER, FeatureGroup

_LOOK_SECONDS = 1.0
_BETWEEN_SECONDS = 15.0
_TAKING_UP_SECONDS = 60.0
_LOCK = ".lock"


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
        self._lock = threading.Lock()
        self._streams: tuple[float, float, list[RunStatus]] = (-_LOOK_SECONDS, -_BETWEEN_SECONDS, [])
        self._known: dict[str, _AtHand] = {}

    @property
    def max_skew(self) -> int:
        """See `GroupStore`."""
        return self._backend.reads.project.settings.run.max_skew

    def names(self) -> Sequence[str]:
        """See `GroupStore`."""
        return sorted(path.stem for path in self._folder.glob("*.json"))

    def find(self, name: str) -> FeatureGroup | None:
        """See `GroupStore`."""
        path = self._folder / f"{name}.json"
        try:
            return FeatureGroup.read(path)
        except FileNotFoundError:
            return None
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

    def create(self, document: dict[str, Any]) -> FeatureGroup:
        """See `GroupStore`."""
        name = str(document["FeatureGroupName"])
        with self._alone():
            if self.find(name) is not None:
                raise RequestError(f"there is a feature group {name!r}")
            return self._applied(name, document)

    def change(self, name: str, document: dict[str, Any]) -> FeatureGroup:
        """See `GroupStore`."""
        with self._alone():
            if self.find(name) is None:
                raise RequestError(f"there is no feature group {name!r}")
            return self._applied(name, document)

    def remove(self, name: str) -> None:
        """See `GroupStore`."""
        with self._alone():
            self._applied(name, None)

    def followed(self, group: FeatureGroup) -> bool:
        """See `GroupStore`."""
        streams = self._alive()
        return any(group.source in run.sources for run in streams) or (bool(streams) and _fresh(group))

    def taken_up(self, group: FeatureGroup) -> bool:
        """See `GroupStore`."""
        return not _fresh(group) or all(run.started.timestamp() * 1_000 > group.changed for run in self._alive())

    @property
    def _folder(self) -> Path:
        return self._backend.reads.project.settings.folder / FOLDER

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """While this holds, no other process changes groups; definitions that wait to be applied are refused."""
        settings = self._backend.reads.project.settings
        self._folder.mkdir(exist_ok=True)
        with self._lock, (self._folder / _LOCK).open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            with Platform.open(settings.folder, settings.env) as platform:
                changed = [planned.view for planned in platform.plan().views]
            if changed:
                raise RequestError(
                    f"the definitions at hand are not those that are applied ({', '.join(changed)}): run twinbeam "
                    "plan, then twinbeam apply; feature groups can be changed then"
                )
            yield

    def _applied(self, name: str, document: dict[str, Any] | None) -> FeatureGroup:
        """Writes a group's file, or removes it, and applies that; all is as before if it cannot be applied."""
        settings, path = self._backend.reads.project.settings, self._folder / f"{name}.json"
        before = path.read_bytes() if path.exists() else None
        _write(path, None if document is None else json.dumps(document, indent=1, ensure_ascii=False).encode())
        try:
            with Platform.open(settings.folder, settings.env) as platform:
                platform.apply(accept="state")
        except BaseException:
            _write(path, before)
            raise
        self._backend.look()
        return FeatureGroup({} if document is None else document, path)

    def _at_hand(self, name: str) -> _AtHand:
        """A group by its file and by what is applied; the file is read again only when either is another one."""
        path, applied = self._folder / f"{name}.json", self._backend.reads.groups.get(name)
        try:
            stamp = path.stat().st_mtime_ns
        except OSError:
            return _NOTHING
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


def _write(path: Path, content: bytes | None) -> None:
    """Replaces a file as a whole, or removes it."""
    if content is None:
        path.unlink(missing_ok=True)
        return
    beside = path.with_suffix(".new")
    with beside.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
