"""Runs that the server starts: processes of their own, which go on to their end if the server ends."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence

from pipelines.heartbeat import alive_runs
from pipelines.project import Project
from pipelines.serve import ProjectBackend
from schemas.errors import StoreError
from serving.server.supervisor import LEAN

COMMAND = [sys.executable, "-m", "pipelines.commands.main", "run"]
_TOLD = 2_000


class StartedRuns:
    """See `Runs`.

    Args:
        backend: the project as it is served.
    """

    def __init__(self, backend: ProjectBackend) -> None:
        self._backend = backend

    @property
    def _project(self) -> Project:
        return self._backend.reads.project

    def fill(self, views: Sequence[str]) -> None:
        """See `Runs`: files by a batch run; topics that no stream follows by a stream until it has caught up."""
        self._run("batch", views)
        fed = self._sources(views)
        followed = {source for run in self._alive("stream") for source in run}
        if any(self._project.settings.topic(self._project.registry.sources[name]) for name in fed - followed):
            self._run("stream", views, "--until", "caught_up")

    def filling(self) -> set[str]:
        """See `Runs`."""
        read = {source for run in self._alive("batch") for source in run}
        return {name for name, view in self._project.catalog.views.items() if read & view.rules.keys()}

    def _sources(self, views: Sequence[str]) -> set[str]:
        return {source for name in views for source in self._project.catalog.views[name].rules}

    def _alive(self, kind: str) -> list[tuple[str, ...]]:
        """Sources of the runs of a kind that are alive."""
        project = self._project
        return [run.sources for run in alive_runs(project.online, project.clock.now()) if run.kind == kind]

    def _run(self, kind: str, views: Sequence[str], *words: str) -> None:
        settings = self._project.settings
        command = [*COMMAND, kind, "--views", ",".join(views), "--project", str(settings.folder), *words]
        command += ["--env", settings.env] if settings.env else []
        environment = {name: value for name, value in os.environ.items() if LEAN.get(name) != value}
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            start_new_session=True,
            env=environment,
        )
        if done.returncode:
            raise StoreError(f"the {kind} run failed: {done.stderr.strip()[-_TOLD:]}")
