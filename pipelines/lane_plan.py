"""The plan of a run's lanes: where each starts, where it goes from the offline store to its own log, where it ends."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from pipelines.feed import LaneTask
from pipelines.progress import FedView, Progress
from schemas.errors import LaneError
from schemas.lane import Lane


def plan_lanes(
    sources: Iterable[str],
    views: Sequence[FedView],
    progress: Progress,
    ends: Mapping[Lane, int],
    unbounded: bool,
) -> tuple[LaneTask, ...]:
    """What a run reads of each lane of its sources.

    A lane starts at the smallest progress of all that it feeds. Below what `events` holds it is read from there, so
    that a block that is new catches up, whatever became of the files and topics; from there on from its own log.

    Args:
        sources: names of the sources.
        views: the views fed.
        progress: as the stores have it.
        ends: the lanes whose own logs are read, and where those end now.
        unbounded: keep the lanes of those logs even if they have nothing new now.

    Returns:
        Tasks in the order of lanes; lanes that lack nothing are left out.

    Raises:
        LaneError: a log ends below what the stores hold of it.
    """
    tasks = []
    lanes = {*progress.lanes(sources), *ends}
    for lane in sorted(lanes, key=lambda lane: lane.sort_key):
        start, seam = progress.start(lane, views), progress.events(lane)
        live = lane in ends
        end = ends.get(lane, seam)
        if end < seam:
            raise LaneError(
                f"lane {lane.text} ends at offset {end}, but the stores hold it up to {seam}: its log was cut off or "
                "put back to an older state; bring the log back, or give the source a new topic"
            )
        if start < end or (live and unbounded):
            tasks.append(LaneTask(lane, start, seam, end, live))
    return tuple(tasks)
