"""The jobs of a project on its Flink cluster: followed, listed, stopped and resumed."""

from __future__ import annotations

import time
from collections.abc import Sequence

from pipelines.flink.rest import FlinkJob, JobManager
from pipelines.flink.submission import prefix, reached, submit
from pipelines.job import Job
from pipelines.progress import Progress
from pipelines.project import Project
from pipelines.report import RunReport, ViewReport
from schemas.errors import FlinkError, RequestError
from serving.tables import dead_table

CAUGHT_UP = "caught_up"
_POLL_SECONDS = 0.3


def follow(project: Project, views: Sequence[str] | None, until: str | float) -> RunReport:
    """Runs a stream on the cluster until it has caught up, or for some seconds, and ends it.

    Args:
        project: the project.
        views: names of the views to feed, or None for all.
        until: "caught_up", or seconds.

    Raises:
        FlinkError: the cluster cannot be reached, or the job failed.
    """
    begun = project.clock.elapsed()
    before = _counts(project)
    started, job = submit(project, views, until == CAUGHT_UP, None, None)
    manager = _manager(project)
    try:
        ends = None if until == CAUGHT_UP else time.monotonic() + float(until)
        while not reached(project, job.views, job) if ends is None else time.monotonic() < ends:
            if (now := manager.job(started.id)).over:
                raise FlinkError(f"{manager.url}: job {now.id} ended as {now.state} before it was to; see the cluster")
            time.sleep(_POLL_SECONDS)
    finally:
        manager.cancel(started.id)
    return _report(project, job, before, (project.clock.elapsed() - begun) / 1e6)


def jobs(project: Project) -> list[FlinkJob]:
    """Jobs of the project that the cluster knows, the newest first.

    Raises:
        FlinkError: the cluster cannot be reached.
    """
    return [job for job in _manager(project).jobs() if job.name.startswith(prefix(project))]


def stop(project: Project, id: str | None, savepoint: bool) -> tuple[FlinkJob, str | None]:
    """Stops a job of the project; what it took in and had not stored yet is read again by the next.

    Args:
        project: the project.
        id: of the job, or its beginning; None if the project has one that runs.
        savepoint: whether Flink is to make one first.

    Returns:
        The job, and where its savepoint is.

    Raises:
        RequestError: there is no such job, or there are several.
        FlinkError: the cluster cannot be reached, or the savepoint failed.
    """
    running = [job for job in jobs(project) if not job.over and job.id.startswith(id or "")]
    if len(running) != 1:
        known = ", ".join(job.id for job in jobs(project) if not job.over) or "none"
        asked = f"job {id!r}" if id else "the job"
        raise RequestError(f"{asked} to stop is not one that runs: legal is {known}")
    manager = _manager(project)
    if savepoint:
        return running[0], manager.stop(running[0].id, project.settings.run.flink.savepoints)
    manager.cancel(running[0].id)
    return running[0], None


def resume(project: Project, views: Sequence[str] | None, parallelism: int | None, savepoint: str | None) -> FlinkJob:
    """Submits the project's stream again, by the definitions applied now; it goes on where the stores are.

    Args:
        project: the project.
        views: names of the views to feed, or None for all.
        parallelism: subtasks; None for the settings'.
        savepoint: that Flink is to begin from; nothing that matters is in it, so none is needed.

    Raises:
        RequestError: a job of the project runs.
        FlinkError: the cluster cannot be reached, or does not take the job.
    """
    running = [job.id for job in jobs(project) if not job.over]
    if running:
        raise RequestError(f"job {running[0]} of this project runs; stop it first: twinbeam jobs stop {running[0]}")
    return submit(project, views, False, parallelism, savepoint)[0]


def _manager(project: Project) -> JobManager:
    return JobManager(project.settings.run.flink.jobmanager)


def _counts(project: Project) -> dict[str, int]:
    """Rows of the tables of views and dead letters."""
    views = {view.table for view in project.fed_views(project.checked_deployment(), None, project.registry.sources)}
    tables = views | {dead_table(source) for source in project.registry.sources}
    return {table: project.offline.count(table) for table in tables}


def _report(project: Project, job: Job, before: dict[str, int], seconds: float) -> RunReport:
    """What the stores got meanwhile: workers that were replaced took their own counts with them."""
    now = _counts(project)
    progress = Progress.read(project.offline, project.online, job.sources, job.views)
    events = sum(max(progress.events(task.lane) - task.seam, 0) for task in job.lanes)
    views = {fed.view.name: ViewReport(now[fed.table] - before.get(fed.table, 0)) for fed in job.views}
    dead = sum(now[table] - before.get(table, 0) for table in map(dead_table, job.sources))
    return RunReport(events, sum(view.rows for view in views.values()), 0, dead, 0, seconds, views)
