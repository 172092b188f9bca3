"""The plan of a run's lanes: where each starts, where it goes from the offline store to its own log, where it ends."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from pipelines.feed import LaneTask
from pipelines.progress import FedView, Progress
from schemas.errors import LaneError
from schemas.lane import Lane
from serving.stores.base import SEALED


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
        LaneError: a log ends below what the stores hold of it, or is gone before the offline store had all of it.
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
    if unbounded:
        _check_folded(views, progress, ends)
    return tuple(tasks)


def resumed(tasks: Sequence[LaneTask], views: Sequence[FedView], progress: Progress) -> tuple[LaneTask, ...]:
    """The tasks of a run that goes on in another process, each from where the stores are now.

    Args:
        tasks: as they were planned.
        views: the views fed.
        progress: as the stores have it now.
    """
    return tuple(
        replace(
            task,
            start=max(task.start, progress.start(task.lane, views)),
            seam=max(task.seam, progress.events(task.lane)),
        )
        for task in tasks
    )


def _check_folded(views: Sequence[FedView], progress: Progress, live: Iterable[Lane]) -> None:
    """Refuses blocks that have folded records which neither a topic nor the offline store has any more.

    It is so if a topic is lost before the offline store has taken in what the online store has.
    """
    followed = {lane.text for lane in live}
    for block in (block for fed in views for block in fed.blocks):
        for mark in [mark for (log, _), mark in progress.marks.items() if log == block.id]:
            if mark.lane == SEALED or mark.lane in followed:
                continue
            lane = Lane.parse(mark.lane)
            if lane.kind == "topic" and mark.offset > progress.events(lane):
                raise LaneError(
                    f"lane {lane.text}: the online store has folded it up to offset {mark.offset}, the offline store "
                    f"holds it up to {progress.events(lane)}, and its topic is gone; bring the topic's file back, or "
                    "move the online store's file away together with its -wal and -shm files and run twinbeam run "
                    "batch: it is filled anew from the offline store"
                )
