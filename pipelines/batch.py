"""Batch runs: new files into both stores, and new blocks caught up with all that the offline store holds."""

from __future__ import annotations

import getpass
from collections.abc import Iterable

from pipelines.file_patterns import find_files
from pipelines.lane_plan import plan_lanes
from pipelines.lanes.files import next_file
from pipelines.launch import launch
from pipelines.progress import Progress
from pipelines.project import Project
from pipelines.report import RunReport
from schemas.errors import LaneError, RequestError
from schemas.lane import Lane
from schemas.source import Source
from serving.manifest import TABLE as MANIFESTS
from serving.manifest import FileEntry, Manifest
from serving.plan import anew
from serving.tables import dead_table, events_table, rows_table


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


def rebuild(project: Project, sources: Iterable[str] | None) -> None:
    """Makes the next batch run read all files of the sources anew, into new state of every view that they feed.

    What topics brought stays. The features of those views are not served until that run has caught up.

    Args:
        project: the project.
        sources: names of the sources, or None for all that have files.

    Raises:
        RequestError: there is no such source, or it has no files.
    """
    chosen = project.sources(sources)
    wanted = {name: source for name, source in chosen.items() if project.settings.files(source)}
    if not wanted or (sources is not None and len(wanted) < len(chosen)):
        raise RequestError(
            f"rebuild: {', '.join(name for name in chosen if name not in wanted)}: has no files to read anew"
        )
    deployment = project.checked_deployment()
    views = {name for name, view in project.catalog.views.items() if wanted.keys() & set(view.rules)}
    now, who = project.clock.now(), getpass.getuser()
    anew(project.catalog, deployment, views, now, who).save(project.offline)
    manifest = Manifest(project.offline, project.settings.folder)
    for name, source in wanted.items():
        lanes = project.settings.source(name).lanes
        stored = {Lane.parse(text) for text, _ in project.offline.positions(events_table(name))}
        numbered = [lane for lane in stored if lane.kind == "files"]
        above = max((int(lane.id) for lane in numbered), default=0)
        paths = find_files(project.settings.files(source))
        manifest.discover(name, paths, now, lanes, rebuild=True, above=above)
        _forget(project, source, [lane.text for lane in numbered])
    # A stream may have begun to fill the new state with rows of the old files; this one it fills without them.
    anew(project.catalog, project.checked_deployment(), views, now, who).save(project.offline)


def _discover(project: Project, source: Source, progress: Progress) -> tuple[FileEntry, ...]:
    """The source's files, those that are new numbered.

    Raises:
        LaneError: a file has changed or vanished, or the manifest has lost files that were read.
    """
    patterns = project.settings.files(source)
    if not patterns:
        return ()
    manifest = Manifest(project.offline, project.settings.folder)
    known = manifest.entries(source.name)
    generation = str(known[0].generation if known else 0)
    numbered = [lane for lane in progress.lanes([source.name]) if lane.kind == "files"]
    ends: dict[str, int] = {entry.lane.text: next_file(entry) for entry in known}
    for lane in numbered:
        if int(lane.id) > int(generation) or (lane.id == generation and progress.events(lane) > ends.get(lane.text, 0)):
            raise LaneError(
                f"{project.offline.root}/{MANIFESTS}: has lost files of source {source.name!r} that were read: lane "
                f"{lane.text} is stored up to offset {progress.events(lane)}; put the table back from a copy, or run "
                "twinbeam run batch --rebuild: all files are numbered and read anew"
            )
    _forget(project, source, [lane.text for lane in numbered if lane.id != generation])
    read = {lane.number: progress.events(lane) for lane in numbered if lane.id == generation}
    lanes = project.settings.source(source.name).lanes
    return tuple(manifest.discover(source.name, find_files(patterns), project.clock.now(), lanes, read))


def _forget(project: Project, source: Source, lanes: list[str]) -> None:
    """Deletes what earlier generations of a source's files have brought."""
    tables = [events_table(source.name), dead_table(source.name)]
    tables += [
        rows_table(view.name, view.rows_fingerprint)
        for view in project.catalog.views.values()
        if source.name in view.rules
    ]
    for table in tables:
        project.offline.forget(table, lanes)
