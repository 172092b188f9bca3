"""A stream attended: what fails since a server does not answer is begun again once all answer."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import TypeVar

from pipelines.display import note
from pipelines.project import Project
from schemas.errors import StoreAway

LOG = logging.getLogger("twinbeam.stream")
FIRST_SECONDS = 0.5
MOST_SECONDS = 5.0
STEADY = 30_000_000
T = TypeVar("T")


class Attendance:
    """Begins a stream's pipelines again for as long as their servers come and go; for one thread.

    An outage is said once, and its end. What was taken in and not stored is read again, from stored progress.

    Args:
        project: what the stream runs by.
        ended: set when the stream is to end, whether its servers answer or not.
        away: called when a wait begins.
    """

    def __init__(self, project: Project, ended: threading.Event, away: Callable[[], None]) -> None:
        self._project, self._ended, self._away = project, ended, away
        self._pause = FIRST_SECONDS
        self._told = False

    def run(self, pipeline: Callable[[], T]) -> T | None:
        """Runs a pipeline, again and again while a server is away; None if the stream was to end meanwhile."""
        clock = self._project.clock
        while True:
            begun = clock.elapsed()
            try:
                return pipeline()
            except StoreAway as error:
                if clock.elapsed() - begun > STEADY:
                    self._pause, self._told = FIRST_SECONDS, False
                self._say(f"waiting: {error}")
            self._away()
            if not self._back():
                return None

    def _back(self) -> bool:
        """Waits until all servers answer; False if the stream is to end."""
        while not self._ended.wait(self._pause):
            self._pause = min(2 * self._pause, MOST_SECONDS)
            try:
                self._project.online.marks(["*"])
                self._project.broker.names()
            except StoreAway:
                continue
            self._tell("all servers answer; the stream goes on from stored progress")
            return True
        return False

    def _say(self, text: str) -> None:
        """Says that something is away, unless that was said and it has hardly been back since."""
        if not self._told:
            self._tell(text)
        self._told = True

    def _tell(self, text: str) -> None:
        if self._project.out is None:
            LOG.warning("%s", text)
        note(self._project.out, text)
