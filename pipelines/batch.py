"""Batch runs: new files into both stores, and new blocks caught up with all that the offline store holds."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping

from pipelines.execution import Launch, execute
from pipelines.feed import LaneTask
from pipelines.job import Job
from pipelines.lane_plan import plan_lanes
from pipelines.lanes.files import next_file
from pipelines.progress import FedView, Progress
from pipelines.project import Project
from pipelines.report import RunReport
from pipelines.source_files import matching_files
from schemas.lane import Lane
from schemas.source import Source
from serving.manifest import FileEntry, Manifest


def run_batch(project: Project, views: Iterable[str] | None, sources: Iterable[str] | None) -> RunReport:
    """Reads the files of the sources that were not read before, and fills what views lack from `events`.

    Raises:
        RequestError: there is no such view or source, or a definition was not applied as it is.
        LaneError: a file has changed or vanished.
    """
    chosen = project.sources(sources)
    deployment = project.deployment()
    fed = project.fed_views(deployment, views, chosen)
    progress = Progress.read(project.offline, project.online, chosen, fed)
    files = {name: _discover(project, source, progress) for name, source in chosen.items()}
    ends: dict[Lane, int] = {}
    for entries in files.values():
        ends |= {entry.lane: next_file(entry) for entry in sorted(entries, key=lambda entry: entry.number)}
    lanes = plan_lanes(chosen, fed, progress, ends, unbounded=False)
    return execute(make_job(project, chosen, fed, lanes, files, {}, ends=False), launch(project, bounded=True))


def make_job(
    project: Project,
    sources: Mapping[str, Source],
    fed: list[FedView],
    lanes: tuple[LaneTask, ...],
    files: Mapping[str, tuple[FileEntry, ...]],
    topics: Mapping[str, str],
    ends: bool,
) -> Job:
    """Job of a run over the given lanes."""
    names = {each.view.name for each in fed}
    others = {
        name: tuple(
            view.rules[name] for view in project.catalog.views.values() if view.name not in names and name in view.rules
        )
        for name in sources
    }
    return Job(
        uuid.uuid4().hex,
        project.stores,
        sources,
        tuple(fed),
        others,
        lanes,
        files,
        topics,
        ends,
        project.settings.run.max_skew,
        rule=project.flush_rule,
        clock=project.clock,
    )


def launch(project: Project, bounded: bool, seconds: float | None = None) -> Launch:
    """How a run of the project is launched."""
    return Launch(project.settings.run.runner, (), project.registry.modules, bounded, seconds, project.out)


def _discover(project: Project, source: Source, progress: Progress) -> tuple[FileEntry, ...]:
    """The source's files, those that are new numbered."""
    patterns = project.settings.files(source)
    if not patterns:
        return ()
    manifest = Manifest(project.offline, project.settings.folder)
    generation = str(manifest.generation(source.name))
    read = {
        lane.number: progress.events(lane)
        for lane in progress.lanes([source.name])
        if lane.kind == "files" and lane.id == generation
    }
    paths = matching_files(patterns, project.settings.folder, source)
    lanes = project.settings.source(source.name).lanes
    return tuple(manifest.discover(source.name, paths, project.clock.now(), lanes, read))
