"""Batch runs: new files into both stores, and new blocks caught up with all that the offline store holds."""

from __future__ import annotations

from collections.abc import Iterable

from pipelines.file_patterns import find_files
from pipelines.lane_plan import plan_lanes
from pipelines.lanes.files import next_file
from pipelines.launch import launch
from pipelines.progress import Progress
from pipelines.project import Project
from pipelines.report import RunReport
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
    fed = project.fed_views(project.checked_deployment(), views, chosen)
    progress = Progress.read(project.offline, project.online, chosen, fed)
    files = {name: _discover(project, source, progress) for name, source in chosen.items()}
    ends: dict[Lane, int] = {}
    for entries in files.values():
        ends |= {entry.lane: next_file(entry) for entry in sorted(entries, key=lambda entry: entry.number)}
    tasks = plan_lanes(chosen, fed, progress, ends, unbounded=False)
    return launch(project, chosen, fed, tasks, files, bounded=True)


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
    lanes = project.settings.source(source.name).lanes
    return tuple(manifest.discover(source.name, find_files(patterns), project.clock.now(), lanes, read))
