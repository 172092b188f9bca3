"""The backfill beside a stream: blocks that lack history are caught up from `events`, while others are fed live."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Self

from pipelines.execution import Launch, execute
from pipelines.job import Pace
from pipelines.lane_plan import plan_lanes
from pipelines.launch import make_job
from pipelines.progress import FedView, Progress
from pipelines.project import Project
from pipelines.report import RunReport
from schemas.source import Source

LOG = logging.getLogger("twinbeam.backfill")
NEAR = 5_000_000
RETRY_SECONDS = 30.0

# Short bundles: a long write of the backfill would keep the stream's from the online store.
PACE = Pace(lane_rows=10_000, bundle_rows=50_000)


@dataclass(frozen=True)
class Parts:
    """The views of a run by what they lack.

    Attributes:
        ready: views, and of each the blocks, that lack nothing that `events` holds.
        behind: views, and of each the blocks, that lack history.
    """

    ready: tuple[FedView, ...]
    behind: tuple[FedView, ...]

    @staticmethod
    def of(views: Sequence[FedView], progress: Progress) -> Parts:
        """Parts of the views; one whose rows lack history, or all of whose blocks do, is behind as a whole."""
        ready, behind = [], []
        for fed in views:
            rows, blocks = progress.behind(fed)
            lacking = fed.blocks if rows else blocks
            if rows or blocks:
                behind.append(replace(fed, blocks=lacking, seals=False))
            if not rows and (len(lacking) < len(fed.blocks) or not fed.blocks):
                ready.append(replace(fed, blocks=tuple(block for block in fed.blocks if block not in lacking)))
        return Parts(tuple(ready), tuple(behind))


class Backfill:
    """Takes what lacks history through it, in a thread and a pipeline of its own, round by round.

    A round takes the blocks that are behind up to where `events` was when it began. When a round was short, so that
    what is left is little, the stream is told, and takes the rest together with everything else; only there are the
    blocks sealed. Everything that is written is a join, so that the stream beside, a twin, or a kill change nothing;
    the next stream begins with what the stores say. What fails is logged and tried again: the stream goes on.

    Args:
        project: the project.
        sources: the sources read, by name.
        views: the views fed, with all their blocks.
        tell: called once when what is left is little.

    Attributes:
        near: whether that was said.
        reports: of the rounds.
    """

    def __init__(
        self, project: Project, sources: Mapping[str, Source], views: Sequence[FedView], tell: Callable[[], None]
    ) -> None:
        self.near = False
        self.reports: list[RunReport] = []
        self._project, self._sources, self._views, self._tell = project, sources, views, tell
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._fill, name="twinbeam-backfill")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def _fill(self) -> None:
        clock = self._project.clock
        while not self._stop.is_set():
            begun = clock.elapsed()
            try:
                self.reports.append(self._round())
            except Exception as error:  # noqa: BLE001
                if self._stop.is_set():
                    return
                lines = "; ".join(str(error).splitlines())
                LOG.warning("filling new features from history failed, it is tried again: %s", lines)
                self._stop.wait(RETRY_SECONDS)
                continue
            if not self._stop.is_set() and clock.elapsed() - begun < NEAR:
                self.near = True
                self._tell()
                return

    def _round(self) -> RunReport:
        project = self._project
        progress = Progress.read(project.offline, project.online, self._sources, self._views)
        behind = Parts.of(self._views, progress).behind
        tasks = plan_lanes(self._sources, behind, progress, {}, unbounded=False)
        job = make_job(project, self._sources, behind, tasks, {}, PACE, ends=True)
        runner, modules = project.settings.run.runner, project.registry.modules
        return execute(job, Launch(runner, (), modules, bounded=True, seconds=None, out=None, stop=self._stop))
