"""Changes of feature groups: one at a time over all processes, and whole or not at all, whoever dies meanwhile."""

from __future__ import annotations

import fcntl
import json
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pipelines.applying import Applying
from pipelines.clock import SystemClock
from pipelines.project import Project
from pipelines.settings import Settings
from schemas.errors import DefinitionError, RequestError
from schemas.feature_group import FOLDER, FeatureGroup, identifier
from schemas.registry import Registry
from serving.deployment import Deployment
from transforms.catalog import Catalog

_LOCK = ".lock"


class GroupChanges:
    """Writes the files of groups, and applies them.

    The lock file holds what a change that is under way will have replaced. A process that gets the lock and finds
    something in it knows that the one before has died: it finishes that change if it was applied, and undoes it if not.

    Args:
        settings: of the project.

    Attributes:
        folder: of the files.
    """

    def __init__(self, settings: Settings) -> None:
        self.folder = settings.folder / FOLDER
        self._settings, self._threads = settings, threading.Lock()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """While this holds, no other process changes groups; definitions that wait to be applied are refused.

        Raises:
            RequestError: there are such definitions.
        """
        self.folder.mkdir(exist_ok=True)
        with self._threads, self._lock.open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self._settle()
            with _read_anew(self._settings) as project:
                changed = [planned.view for planned in Applying(project).plan().views]
            if changed:
                raise RequestError(
                    f"the definitions at hand are not those that are applied ({', '.join(changed)}): run twinbeam "
                    "plan, then twinbeam apply; feature groups can be changed then"
                )
            yield

    def apply(self, name: str, document: Mapping[str, Any] | None) -> None:
        """Writes a group's file, or removes it, and applies that; only while `alone` holds.

        Raises:
            DefinitionError: it cannot be applied; all is as it was before.
            StoreError: a store failed. What was applied by then is finished by whoever changes a group next.
        """
        path = self._path(name)
        before = path.read_text(encoding="utf-8") if path.exists() else None
        _write(self._lock, json.dumps({"name": name, "before": before}))
        try:
            text = None if document is None else json.dumps(document, indent=1, ensure_ascii=False)
            _replace(path, text)
            with _read_anew(self._settings) as project:
                Applying(project).apply(accept="state")
        except BaseException:
            self._settle()
            raise
        self._end()

    def recover(self) -> None:
        """Finishes or undoes a change whose process has died; nothing while another process changes groups."""
        if not self._begun() or not self._threads.acquire(blocking=False):
            return
        try:
            with self._lock.open("ab") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                self._settle()
        except BlockingIOError:
            return
        finally:
            self._threads.release()

    @property
    def _lock(self) -> Path:
        return self.folder / _LOCK

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.json"

    def _begun(self) -> bool:
        try:
            return self._lock.stat().st_size > 0
        except FileNotFoundError:
            return False

    def _settle(self) -> None:
        """Finishes a change that was begun, if it is applied, or undoes it."""
        if not self._begun():
            return
        try:
            begun = json.loads(self._lock.read_text(encoding="utf-8"))
        except ValueError:
            self._end()  # Whoever wrote it died over that, and had changed nothing yet.
            return
        with _read_anew(self._settings) as project:
            if not self._applied(begun["name"], Deployment.load(project.offline)):
                _replace(self._path(begun["name"]), begun["before"])
                self._end()
                return
            try:
                applying = Applying(project)
                if not applying.plan().changes:
                    applying.apply()
                    self._end()
            except DefinitionError:
                return  # Of other definitions, which somebody is changing: twinbeam apply finishes it with them.

    def _applied(self, name: str, deployment: Deployment) -> bool:
        """Whether the file of a group, or that there is none, is what is applied."""
        applied = deployment.views.get(identifier(name, dashed=True))
        try:
            group = FeatureGroup.read(self._path(name))
            view = Catalog.compile(Registry.of([group.view])).views[group.view_name]
        except FileNotFoundError:
            return applied is None
        except (ValueError, DefinitionError):
            return False
        if applied is None or applied.rows_fingerprint != view.rows_fingerprint:
            return False
        return dict(applied.fingerprints) == {feature.name: feature.fingerprint for feature in view.features}

    def _end(self) -> None:
        os.truncate(self._lock, 0)


@contextmanager
def _read_anew(settings: Settings) -> Iterator[Project]:
    """The project by its settings and definitions as their files are now."""
    now = Settings.load(settings.folder, settings.env)
    project = Project(now, Registry.load(list(now.definitions)), None, SystemClock())
    try:
        yield project
    finally:
        project.close()


def _replace(path: Path, text: str | None) -> None:
    """Replaces a file as a whole, or removes it."""
    if text is None:
        path.unlink(missing_ok=True)
        return
    beside = path.with_suffix(".new")
    _write(beside, text)
    beside.replace(path)


def _write(path: Path, text: str) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
