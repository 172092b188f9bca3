"""The launch of a run: everything that its job must hold, from the project's settings and definitions."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence

from pipelines.execution import Launch, execute
from pipelines.feed import LaneTask
from pipelines.job import Job, Pace
from pipelines.offline_buffer import FlushRule
from pipelines.progress import FedView
from pipelines.project import Project
from pipelines.report import RunReport
from pipelines.run_log import log_run
from pipelines.runner import LOCAL
from schemas.source import Source
from serving.manifest import FileEntry

MINUTE = 60_000_000
BULK = Pace(
    lane_rows=100_000, bundle_rows=500_000, bundle_bytes=192 << 20, hold=MINUTE, linger=MINUTE, patience=256 << 20
)


def launch(
    project: Project,
    sources: Mapping[str, Source],
    views: Sequence[FedView],
    tasks: Sequence[LaneTask],
    files: Mapping[str, tuple[FileEntry, ...]],
    bounded: bool,
    ends: bool = True,
    seconds: float | None = None,
) -> RunReport:
    """Runs lanes through the pipeline.

    Args:
        project: the project.
        sources: the sources read, by name.
        views: the views fed.
        tasks: what is read of each lane.
        files: by source, the files of its lanes.
        bounded: whether the reader ends where its lanes do.
        ends: whether an unbounded reader ends once it has caught up.
        seconds: after which an unbounded run ends, or None.
    """
    job = make_job(project, sources, views, tasks, files, BULK if bounded else Pace(), ends)
    started = project.clock.now()
    report = execute(job, Launch(LOCAL, (), project.registry.modules, bounded, seconds, project.out))
    log_run(project.offline, job.name, bounded, started, report)
    return report


def make_job(
    project: Project,
    sources: Mapping[str, Source],
    views: Sequence[FedView],
    tasks: Sequence[LaneTask],
    files: Mapping[str, tuple[FileEntry, ...]],
    pace: Pace,
    ends: bool,
) -> Job:
    """The job of a run, under a name of its own.

    Args:
        project: the project.
        sources: the sources read, by name.
        views: the views fed.
        tasks: what is read of each lane.
        files: by source, the files of its lanes.
        pace: of the reader.
        ends: whether an unbounded reader ends once it has caught up.
    """
    fed = {view.view.name for view in views}
    settings = project.settings.run
    return Job(
        name=uuid.uuid4().hex,
        stores=project.stores,
        sources=sources,
        topics={name: topic for name in sources if (topic := project.topic(name)) is not None},
        files=files,
        views=tuple(views),
        others={
            name: tuple(
                view.rules[name]
                for view in project.catalog.views.values()
                if name in view.rules and view.name not in fed
            )
            for name in sources
        },
        lanes=tuple(tasks),
        ends=ends,
        max_skew=settings.max_skew,
        pace=pace,
        rule=FlushRule(every=settings.flush),
        upkeep=settings.upkeep,
        keep=settings.keep,
        metrics=settings.metrics,
        clock=project.clock,
    )
