"""The reader: one splittable DoFn over one element, whose restriction is the vector of all lanes.

Bounded and unbounded runs differ here and nowhere else: a bounded reader ends where its lanes do, an unbounded one
waits for more until it is stopped.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import apache_beam as beam
import pyarrow as pa
from apache_beam.utils.timestamp import Duration

from pipelines.restriction import Vector, VectorProvider
from pipelines.work import JobRef, Work


class Lanes(beam.PTransform[Any, Any]):
    """All lanes of a job as one PCollection of batches; the root of the graph.

    Args:
        job: the job.
        bounded: whether to end where the lanes do, or to go on until the job is stopped.
    """

    def __init__(self, job: JobRef, bounded: bool) -> None:
        super().__init__()
        self._job, self._bounded = job, bounded

    def expand(self, pipeline: Any) -> Any:
        reader = ReadLanes(self._job) if self._bounded else TailLanes(self._job)
        vector = tuple((task.lane.text, task.start) for task in self._job.lanes)
        whole = pipeline | beam.Create([vector], reshuffle=False)
        return whole | "read" >> beam.ParDo(reader).with_output_types(pa.RecordBatch)


class ReadLanes(beam.DoFn):
    """Reads the lanes to their ends."""

    def __init__(self, job: JobRef) -> None:
        self._job = job

    def process(
        self,
        element: Vector,
        tracker: Any = beam.DoFn.RestrictionParam(VectorProvider(bounded=True)),  # noqa: B008
    ) -> Iterator[pa.RecordBatch]:
        with self._job.open().guard() as work:
            yield from read_lanes(work, tracker, bounded=True)


class TailLanes(beam.DoFn):
    """Reads the lanes until the job is stopped."""

    def __init__(self, job: JobRef) -> None:
        self._job = job

    @beam.DoFn.unbounded_per_element()  # type: ignore[untyped-decorator]
    def process(
        self,
        element: Vector,
        tracker: Any = beam.DoFn.RestrictionParam(VectorProvider(bounded=False)),  # noqa: B008
    ) -> Iterator[pa.RecordBatch]:
        with self._job.open().guard() as work:
            yield from read_lanes(work, tracker, bounded=False)


def read_lanes(work: Work, tracker: Any, bounded: bool) -> Iterator[pa.RecordBatch]:
    """Batches of one bundle: all lanes in turns, until the bundle is full, old enough, or nothing is left.

    A bundle lingers for a moment after its first record, or for as long as the last flush into the online store took:
    what changes often then reaches a busy store in fewer writes. While some lane has more than a turn's worth waiting,
    it goes on for as long as a bundle may, since few large bundles catch up sooner than many small ones.

    Each lane is claimed as far as it was read. Returns with a checkpoint or, stopped or at the end, with nothing left.
    """
    positions = tracker.current_restriction()
    if positions is None:
        return
    feed, clock, pace = work.feed, work.clock, work.job.pace
    feed.seek(positions)
    names = {name for name, _ in positions}
    begun, first, rows, size, seen = clock.elapsed(), None, 0, 0, None
    while True:
        version, quiet, full, behind = work.pulse(), True, False, False
        for _ in positions if version is None or version != seen else ():
            name, before = feed.next_lane(names), rows
            for batch in feed.turn(name, pace.lane_rows):
                tracker.try_claim((name, feed.positions[name]))
                quiet = False
                rows += batch.num_rows
                size += batch.nbytes
                yield batch
            behind |= rows - before >= pace.lane_rows
            full = rows >= pace.bundle_rows or size >= pace.bundle_bytes
            if full or work.stop.is_set():
                break
        ended = quiet if bounded else work.job.ends and feed.caught_up(names)
        if work.stop.is_set() or ended:
            tracker.try_claim(None)
            return
        now = clock.elapsed()
        first = now if rows and first is None else first
        linger = min(max(pace.linger, work.flush_took), pace.hold)
        if full or now - begun >= pace.hold or (first is not None and not behind and now - first >= linger):
            break
        if quiet:
            seen = version
            work.stop.wait(min(pace.poll, max(begun + pace.hold - now, 0)) / 1e6)
    tracker.defer_remainder(Duration(0))
