"""Runs driven by hand: the reader and the steps of the graph in Beam's place, so that a test decides what happens when.

Beam carries batches from step to step and says when a bundle ends; nothing else of a run is its own. Here a test says
how long bundles are, which batches come twice, and between which two writes the process dies.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, cast

import pyarrow as pa

from pipelines.execution import Launch, execute
from pipelines.graph import Decode, OfflineSink, OnlineSink, Views
from pipelines.job import Job
from pipelines.offline_buffer import FlushRule
from pipelines.reader import read_lanes
from pipelines.report import RunReport
from pipelines.restriction import Vector, VectorTracker
from pipelines.work import JobRef, Work

BIG = 1 << 28
FOR_EVER = 1 << 60


class Killed(Exception):
    """The process ended here, with all that it had in memory."""


class DrivenRun:
    """One process on a job, bundle by bundle.

    Args:
        job: the job.
        bounded: whether the reader ends where its lanes do.

    Attributes:
        work: what the steps share.
        rest: what is left to read; None at the end.
    """

    def __init__(self, job: Job, bounded: bool) -> None:
        self.work = Work(job)
        self.rest: Vector | None = tuple((task.lane.text, task.start) for task in job.lanes) or None
        self._bounded = bounded
        ref = cast(JobRef, _Opened(self.work))
        self._decode, self._views = Decode(ref), Views(ref)
        self.offline: Any = OfflineSink(ref)
        self.online: Any = OnlineSink(ref)

    def read(self) -> Iterator[pa.RecordBatch]:
        """Batches of one bundle, as the sinks take them; afterwards `rest` is what is left."""
        tracker = _Tracker(VectorTracker(self.rest, self._bounded))
        with self.work.guard():
            for raw in read_lanes(self.work, tracker, self._bounded):
                for events in self._decode.process(raw):
                    yield from self._views.process(events)
        tracker.tracker.check_done()
        self.rest = tracker.rest

    def take(self, batch: pa.RecordBatch) -> None:
        """Hands a batch to both sinks."""
        self.offline.process(batch)
        self.online.process(batch)

    def bundle(self) -> None:
        """One bundle, read and written."""
        for batch in self.read():
            self.take(batch)
        self.offline.finish_bundle()
        self.online.finish_bundle()

    def finish(self) -> None:
        """Reads to the end, writes everything and closes."""
        while self.rest is not None:
            self.bundle()
        self.work.close()

    def die(self) -> None:
        """Ends without writing anything more."""
        self.work.error = self.work.error or Killed()
        self.work.close()


@dataclass
class Driver:
    """Executes jobs by hand or by Beam; `rough` ones in bundles, commits and budgets of random size, with accidents.

    Attributes:
        rng: decides.
        beam: whether Beam runs the jobs.
        rough: whether bundles and budgets are random, and, by hand, batches come twice now and then.
        kills: how many times more a process dies.
    """

    rng: random.Random
    beam: bool
    rough: bool
    kills: int = 0

    def execute(self, job: Job, launch: Launch) -> RunReport:
        """Takes the place of `pipelines.execution.execute`.

        Raises:
            Killed: the process died; what it had not written is to be done again.
        """
        rng = self.rng
        if self.rough:
            pace = replace(
                job.pace,
                lane_rows=rng.choice([3, 20, 1000]),
                bundle_rows=rng.choice([25, 60, 1000, 1000]),
                bundle_bytes=rng.choice([2000, BIG, BIG, BIG]),
            )
            rule = FlushRule(rows=rng.choice([1, 40, 1_000_000, 1_000_000]))
            job = replace(job, pace=pace, rule=rule, cache_bytes=rng.choice([0, 3000, BIG]))
        if self.beam:
            return execute(job, launch)
        job = replace(job, pace=replace(job.pace, hold=FOR_EVER, linger=FOR_EVER, poll=0))
        run = DrivenRun(job, launch.bounded)
        try:
            while run.rest is not None:
                self._bundle(run)
        except BaseException:
            run.die()
            raise
        run.work.close()
        return run.work.monitor.report(0.0)

    def _bundle(self, run: DrivenRun) -> None:
        taken = []
        for batch in run.read():
            run.take(batch)
            taken.append(batch)
            self._perhaps_die()
        if self.rough and self.rng.random() < 0.2:
            for batch in taken:
                run.take(batch)
        for sink in self.rng.sample([run.offline, run.online], 2):
            sink.finish_bundle()
            self._perhaps_die()

    def _perhaps_die(self) -> None:
        if self.kills and self.rng.random() < 0.1:
            self.kills -= 1
            raise Killed


class _Opened:
    """A reference to work that is open already."""

    def __init__(self, work: Work) -> None:
        self._work = work

    def open(self) -> Work:
        return self._work


class _Tracker:
    """What Beam puts around a tracker for the reader: it can give the rest back."""

    def __init__(self, tracker: VectorTracker) -> None:
        self.tracker = tracker
        self.rest: Vector | None = None

    def current_restriction(self) -> Vector | None:
        return self.tracker.current_restriction()

    def try_claim(self, position: tuple[str, int] | None) -> bool:
        return self.tracker.try_claim(position)

    def defer_remainder(self, delay: Any) -> None:
        split = self.tracker.try_split(0)
        self.rest = None if split is None else split[1]
