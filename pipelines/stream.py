"""Streaming runs: live topics into both stores, after whatever a view lacks of history."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from functools import partial

from pipelines.attended import Attendance
from pipelines.backfill import Backfill, Parts
from pipelines.definition_watch import DefinitionWatch
from pipelines.display import note
from pipelines.execution import Launch, ended_after, ended_by_signals, execute
from pipelines.job import Pace
from pipelines.lane_beginnings import begin_lanes
from pipelines.lane_plan import plan_lanes
from pipelines.lanes.topic import topic_lanes
from pipelines.launch import launch, make_job
from pipelines.progress import FedView, Progress
from pipelines.project import Project
from pipelines.report import RunReport
from pipelines.run_log import log_run
from pipelines.runner import LOCAL
from pipelines.topic_watch import TopicWatch
from schemas.errors import RequestError
from schemas.lane import Lane
from schemas.source import Source
from serving.deployment import Deployment

CAUGHT_UP = "caught_up"


def run_stream(project: Project, views: Iterable[str] | None, until: str | float | None) -> RunReport:
    """Follows the topics of all sources until it is stopped.

    Args:
        project: the project.
        views: names of the views to feed, or None for all.
        until: "caught_up" to end at what the topics hold now, seconds to end after, or None to go on until a signal.

    Raises:
        RequestError: there is no such view, `until` has no legal value, no source has a topic, or a definition was
            not applied as it is.
        LaneError: a topic ends below what the stores hold of it.
    """
    check_until(until)
    names = names_of(views)
    if until != CAUGHT_UP:
        return Stream(project, names, None if until is None else float(until)).run()
    with ExitStack() as opened:
        project, deployment = _as_applied(project, opened)
        sources = project.sources(None)
        ends = topic_ends(project, sources)
        fed = project.fed_views(deployment, names, sources)
        progress = Progress.read(project.offline, project.online, sources, fed)
        tasks = plan_lanes(sources, fed, progress, ends, unbounded=True)
        return launch(project, sources, fed, tasks, {}, bounded=False)


def check_until(until: str | float | None) -> None:
    """Checks when a stream is to end.

    Raises:
        RequestError: it is neither "caught_up", nor a number of seconds, nor None.
    """
    number = isinstance(until, int | float) and not isinstance(until, bool)
    if not (until is None or until == CAUGHT_UP or (number and float(until) > 0)):
        raise RequestError(f"until={until!r}: give {CAUGHT_UP!r}, a number of seconds above 0, or None")


def names_of(views: Iterable[str] | None) -> list[str] | None:
    """Names of views as a list; one name alone is a list of itself."""
    return None if views is None else [views] if isinstance(views, str) else list(views)


class Stream:
    """A stream that goes on until it is ended, through every change of what is applied.

    It is a row of pipelines, each ended at the border of a bundle with all that it took in stored. A new one begins
    when other definitions were applied, when blocks that were behind are near enough to go on with the others, and
    when a server that was away answers again.

    Args:
        project: the project.
        views: names of the views to feed, or None for all.
        seconds: after which it ends, or None.
    """

    def __init__(self, project: Project, views: list[str] | None, seconds: float | None) -> None:
        self._project, self._views, self._seconds = project, views, seconds
        self._ended, self._stop = threading.Event(), threading.Event()
        self._reports: list[RunReport] = []
        self._timed = ExitStack()

    def run(self) -> RunReport:
        """Runs to the end, and says what it did in all."""
        clock = self._project.clock
        started, begun = clock.now(), clock.elapsed()
        together = False
        with ExitStack() as opened, ended_by_signals(self._end), self._timed:
            project, deployment = _as_applied(self._project, opened)
            while True:
                begin = partial(self._pipeline, project, deployment, together)
                outcome = Attendance(project, self._ended, self._begin_time).run(begin)
                if outcome is None:
                    break
                watch, together, grown = outcome
                if self._ended.is_set() or not (together or grown or watch.found is not None):
                    break
                if grown:
                    note(project.out, "a topic has new partitions; the stream goes on with them")
                if watch.found is not None:
                    (project, deployment), together = watch.found, False
                    opened.callback(project.close)
                    self._views = _still_there(self._views, project)
                    note(project.out, f"took up the definitions applied as version {deployment.version}")
        report = RunReport.joined(self._reports, (clock.elapsed() - begun) / 1e6)
        log_run(self._project.offline, uuid.uuid4().hex, False, started, report)
        return report

    def _pipeline(self, project: Project, deployment: Deployment, together: bool) -> tuple[DefinitionWatch, bool, bool]:
        """Runs one pipeline to its end.

        Returns:
            The watch over it, whether all blocks are to go on together after it, and whether topics have grown.
        """
        self._stop = threading.Event()
        if self._ended.is_set():
            self._stop.set()
        sources = project.sources(None)
        ends = topic_ends(project, sources)
        fed = tuple(project.fed_views(deployment, self._views, sources))
        progress = Progress.read(project.offline, project.online, sources, fed)
        parts = Parts.of(fed, progress)
        beside = bool(parts.ready and parts.behind) and not together
        live = parts.ready if beside else fed
        watch = DefinitionWatch(project, deployment, self._stop.set)
        backfill = Backfill(project, sources, fed, self._stop.set)
        if beside:
            names = ", ".join(part.view.name for part in parts.behind)
            note(project.out, f"filling from history beside the stream: {names}")
        self._begin_time()
        topics = TopicWatch(project, ends, self._stop.set)
        with watch, topics, backfill if beside else ExitStack():
            self._reports.append(self._follow(project, sources, live, progress, ends))
        self._reports += backfill.reports
        return watch, backfill.near, topics.grown

    def _follow(
        self,
        project: Project,
        sources: Mapping[str, Source],
        fed: tuple[FedView, ...],
        progress: Progress,
        ends: Mapping[Lane, int],
    ) -> RunReport:
        tasks = plan_lanes(sources, fed, progress, ends, unbounded=True)
        job = make_job(project, sources, fed, tasks, {}, Pace(), ends=False)
        modules = project.registry.modules
        return execute(job, Launch(LOCAL, (), modules, bounded=False, seconds=None, out=project.out, stop=self._stop))

    def _begin_time(self) -> None:
        """Begins the time that the stream was given, once: when it first reads, or waits."""
        seconds, self._seconds = self._seconds, None
        self._timed.enter_context(ended_after(seconds, self._end))

    def _end(self) -> None:
        self._ended.set()
        self._stop.set()


def topic_ends(project: Project, sources: Mapping[str, Source]) -> dict[Lane, int]:
    """Lanes of the topics of sources, and where they end now; those that are not there yet are made.

    Raises:
        RequestError: none of the sources has a topic.
    """
    topics = {name: topic for name in sources if (topic := project.topic(name)) is not None}
    if not topics:
        raise RequestError(f"no source has a topic to follow ({', '.join(sources)}); twinbeam run batch reads files")
    ends: dict[Lane, int] = {}
    for name, topic in topics.items():
        lanes = topic_lanes(project.broker, name, topic)
        begin_lanes(project, sources[name], topic, lanes)
        ends |= lanes
    return ends


def _as_applied(given: Project, opened: ExitStack) -> tuple[Project, Deployment]:
    """See `Project.as_applied`; the stack closes what is opened for it."""
    project, deployment = given.as_applied()
    if project is not given:
        opened.callback(project.close)
    return project, deployment


def _still_there(views: list[str] | None, project: Project) -> list[str] | None:
    """Those of the views asked for that there still are.

    Raises:
        RequestError: none is left.
    """
    left = None if views is None else [name for name in views if name in project.catalog.views]
    if views and not left:
        raise RequestError(f"{', '.join(views)}: removed from the definitions applied now; nothing is left to feed")
    return left
