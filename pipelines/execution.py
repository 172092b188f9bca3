"""The execution of a run: its job pickled, its graph built and run, its work closed, its report made."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any, TextIO

from pipelines.display import shown
from pipelines.graph import COMPOSITE, FeaturePipeline
from pipelines.job import Job, pickled
from pipelines.monitor import Snapshot
from pipelines.reader import Lanes
from pipelines.report import RunReport
from pipelines.runner import make_pipeline
from pipelines.upkeep import kept_tidy
from pipelines.watched import watched
from pipelines.work import JobRef, Work
from schemas.errors import TwinbeamError

SIGNALS = (signal.SIGTERM, signal.SIGINT)


@dataclass(frozen=True)
class Launch:
    """How a job is run.

    Attributes:
        runner: kind of runner.
        options: Beam options, passed on.
        modules: packages of the definition files.
        bounded: whether the reader ends where its lanes do.
        seconds: after which an unbounded run ends, or None.
        out: where the run shows what it does, or None.
        stop: ends the run when it is set; None: the run listens for signals and the time itself.
    """

    runner: str
    options: Sequence[str]
    modules: Sequence[str]
    bounded: bool
    seconds: float | None
    out: TextIO | None
    stop: threading.Event | None = None


def build(job: JobRef, launch: Launch) -> Any:
    """The pipeline of a job: the reader, and one composite with everything past it."""
    pipeline = make_pipeline(launch.runner, launch.options, streaming=not launch.bounded)
    batches = pipeline | "lanes" >> Lanes(job, launch.bounded)
    batches | COMPOSITE >> FeaturePipeline(job)
    return pipeline


def execute(job: Job, launch: Launch) -> RunReport:
    """Runs a job to its end, and says what it did.

    Everything taken in is in both stores when this returns. A run that nothing is to be read for only seals blocks.

    Raises:
        TwinbeamError: as a step raised it.
    """
    begun = job.clock.elapsed()
    ref = JobRef(job.name, pickled(job, launch.modules), job.lanes)
    work = ref.open()
    try:
        if job.lanes:
            kind = "batch" if launch.bounded else "stream"
            with _stopping(work, launch), shown(lambda: look(work), launch.out), watched(work, kind), kept_tidy(job):
                build(ref, launch).run().wait_until_finish()
    except BaseException as error:
        work.error = work.error or error
        if isinstance(work.error, TwinbeamError):
            raise work.error from None
        raise
    finally:
        work.close()
    if launch.bounded and work.stop.is_set():
        raise TwinbeamError(
            "the run was stopped; all that it took in is in both stores, and the next run goes on there"
        )
    return work.monitor.report((job.clock.elapsed() - begun) / 1e6)


def look(work: Work) -> Snapshot:
    """What a run shows of itself now."""
    done, files = work.files()
    return work.monitor.snapshot(work.clock.elapsed(), work.lag(), done, files)


@contextmanager
def _stopping(work: Work, launch: Launch) -> Iterator[None]:
    """Lets signals, and the time that the run was given, end it cleanly, unless somebody else sees to that."""
    if launch.stop is not None:
        work.stop = launch.stop
        yield
        return
    with ended_by_signals(work.stop.set), ended_after(launch.seconds, work.stop.set):
        yield


@contextmanager
def ended_after(seconds: float | None, end: Callable[[], None]) -> Iterator[None]:
    """While the block lasts, calls `end` once so many seconds are over, if a number is given."""
    timer = None if seconds is None else threading.Timer(seconds, end)
    if timer is not None:
        timer.start()
    try:
        yield
    finally:
        if timer is not None:
            timer.cancel()
            timer.join()


@contextmanager
def ended_by_signals(end: Callable[[], None]) -> Iterator[None]:
    """While the block lasts, SIGTERM and SIGINT call `end` and nothing else; in any but the main thread, no change."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        end()

    before = {number: signal.signal(number, stop) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
