"""The watch over what is applied: a stream that runs learns that other definitions are, and gets them ready."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

from pipelines.display import note
from pipelines.project import Project
from schemas.errors import TwinbeamError
from serving.deployment import Deployment

LOOK_SECONDS = 2.0
LOOKS_BETWEEN_TRIES = 15


class DefinitionWatch:
    """Looks every few seconds, in a thread of its own, whether something else was applied than a stream runs by.

    A look reads one number. If it is another one, the definition files are read anew and compiled beside the running
    pipeline; only if they are what is applied now is the stream told. As long as they are not (they have mistakes, or
    this machine has not got them yet), the stream goes on as it is, says so once, and the files are tried again now
    and then.

    Args:
        project: what the stream runs by.
        deployment: that it runs by; another one with the same views (an artefact was pinned) is none of its business.
        tell: called once, with nothing, when `found` is there.

    Attributes:
        found: the project with the definitions applied now, and the deployment that they are, or None.
    """

    def __init__(self, project: Project, deployment: Deployment, tell: Callable[[], None]) -> None:
        self.found: tuple[Project, Deployment] | None = None
        self._project, self._deployment, self._tell = project, deployment, tell
        self._version = deployment.version
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="twinbeam-definitions")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        refused, looks = self._version, 0
        while not self._over.wait(LOOK_SECONDS):
            try:
                version = Deployment.newest(self._project.offline)
            except TwinbeamError:
                continue  # What ails the store, the sinks will say.
            looks = looks + 1 if version == refused else 0
            if version == self._version or looks % LOOKS_BETWEEN_TRIES:
                continue
            try:
                deployment = Deployment.load(self._project.offline)
                if deployment.views == self._deployment.views:
                    self._version = refused = version
                    continue
                project = self._project.again()
                self.found = project, project.checked(deployment)
            except TwinbeamError as error:
                if version != refused:
                    lines = "; ".join(str(error).splitlines())
                    note(self._project.out, f"other definitions were applied than those at hand, which go on: {lines}")
                refused = version
                continue
            self._tell()
            return
