"""Streaming runs: live topics into both stores, after whatever a view lacks of history."""

from __future__ import annotations

from collections.abc import Iterable

from pipelines.lane_plan import plan_lanes
from pipelines.lanes.topic import topic_lanes
from pipelines.launch import launch
from pipelines.progress import Progress
from pipelines.project import Project
from pipelines.report import RunReport
from schemas.errors import RequestError
from schemas.lane import Lane

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
    number = isinstance(until, int | float) and not isinstance(until, bool)
    if not (until is None or until == CAUGHT_UP or (number and float(until or 0) > 0)):
        raise RequestError(f"until={until!r}: give {CAUGHT_UP!r}, a number of seconds above 0, or None")
    chosen = project.sources(None)
    topics = {name: topic for name in chosen if (topic := project.topic(name)) is not None}
    if not topics:
        raise RequestError(f"no source has a topic to follow ({', '.join(chosen)}); twinbeam run batch reads files")
    fed = project.fed_views(project.checked_deployment(), views, chosen)
    progress = Progress.read(project.offline, project.online, chosen, fed)
    ends: dict[Lane, int] = {}
    for name, topic in topics.items():
        ends |= topic_lanes(project.topics, name, topic)
    tasks = plan_lanes(chosen, fed, progress, ends, unbounded=True)
    seconds = float(until) if number and until is not None else None
    return launch(project, chosen, fed, tasks, {}, bounded=False, ends=until == CAUGHT_UP, seconds=seconds)
