"""The work of one process on a job: its open stores, buffers, caches and counters, shared by all of its steps."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field

import cloudpickle  # type: ignore[import-untyped]
import pyarrow as pa

from pipelines.cell_cache import CellCache
from pipelines.decode import Intake
from pipelines.feed import Feed, LaneTask
from pipelines.fold import OnlineFold
from pipelines.job import Job
from pipelines.lane_plan import resumed
from pipelines.lanes.base import LaneReader
from pipelines.lanes.events import EventsReader
from pipelines.lanes.files import FileReader
from pipelines.monitor import Monitor
from pipelines.offline_buffer import OfflineBuffer
from pipelines.progress import Progress
from pipelines.timed_cells import TimedCells
from pipelines.views import SourceViews
from schemas.errors import StoreAway, StoreError
from schemas.lane import Lane
from transforms.columns import integers

LOG = logging.getLogger("twinbeam.work")
_AWAY_SECONDS = 1.0
_OPEN: dict[str, Work] = {}
_LOCK = threading.RLock()


class Work:
    """Everything that the steps of one process share while a job runs.

    Args:
        job: the job.
        afresh: whether lanes are read from where the stores are now, and not from where the run was planned to begin.

    Attributes:
        job: the job.
        lanes: what is read of each lane.
        reads: texts of those that this process reads.
        closing: closed with the work.
        clock: its clock.
        stop: set to end an unbounded reader.
        monitor: counters.
        feed: the lanes.
        fold: the online side.
        buffer: the offline side.
        intakes: by source.
        views: by source.
        error: the first error of a step.
        flush_took: µs that the last flush into the online store took.
    """

    def __init__(self, job: Job, afresh: bool = False) -> None:
        self.job, self.clock = job, job.clock
        self.stop = threading.Event()
        self.error: BaseException | None = None
        self.flush_took = 0
        self.closing = ExitStack()
        self._turn = threading.RLock()
        try:
            self._set_up(job, afresh)
        except BaseException:
            self.closing.close()
            raise

    def _set_up(self, job: Job, afresh: bool) -> None:
        self._online, self._offline = job.stores.online(), job.stores.offline()
        self.closing.callback(self._online.close)
        self._broker = (
            job.stores.broker() if any(task.live and task.lane.kind == "topic" for task in job.lanes) else None
        )
        if self._broker is not None:
            self.closing.callback(self._broker.close)
        progress = Progress.read(self._offline, self._online, job.sources, job.views)
        self.monitor = Monitor(fed.view.name for fed in job.views)
        self.lanes = resumed(job.lanes, job.views, progress) if afresh else job.lanes
        self.reads = set[str]() if afresh else {task.lane.text for task in self.lanes}
        self.feed = Feed(self.lanes, self._reader)
        self.closing.callback(self.feed.close)
        # Where rows wait for a long time, the cells that they change are hardly ever changed again.
        self._cache = CellCache(0 if job.pace.patience else job.cache_bytes)
        cells = TimedCells(self._online, self.monitor.writes, self.monitor.reads)
        self.fold = OnlineFold(job.views, cells, progress, self._cache, job.pace.patience)
        self.buffer = OfflineBuffer(job.views, self._offline, progress, job.rule, self.clock.elapsed())
        seams = {task.lane.text: task.seam for task in self.lanes}
        schemas = job.stores.schemas()
        if schemas is not None:
            self.closing.callback(schemas.close)
        writers = None if schemas is None else schemas.schema
        self.intakes = {
            name: Intake(source, job.max_skew, seams, self.monitor, writers) for name, source in job.sources.items()
        }
        self.views = {
            name: SourceViews(
                source,
                [fed for fed in job.views if fed.takes(name)],
                job.others.get(name, ()),
                progress,
                self.monitor,
            )
            for name, source in job.sources.items()
        }

    @contextmanager
    def guard(self) -> Iterator[Work]:
        """Remembers the first error raised inside, as it was, and lets it pass."""
        try:
            yield self
        except Exception as error:
            self.error = self.error or error
            raise

    @contextmanager
    def alone(self) -> Iterator[Work]:
        """What `guard` does, for one thread at a time: runners may give a process several bundles at once."""
        with self._turn, self.guard():
            yield self

    def pulse(self) -> int | None:
        """A number that changes when a live log may have more; None if that cannot be told cheaply."""
        return None if self._broker is None else self._broker.pulse()

    def lag(self) -> int | None:
        """Records of live topics that are not read yet; None if none is read live."""
        lags = self.lags()
        return None if lags is None else sum(lags.values())

    def lags(self) -> dict[str, int] | None:
        """Records of each live partition that are not read yet, by the lane's text; None if none is read live."""
        if self._broker is None:
            return None
        behind: dict[str, int] = {}
        for source, lanes in self._live().items():
            positions = {lane.number: self.feed.positions[lane.text] for lane in lanes}
            found = self._broker.behind(self.job.topics[source], positions)
            behind |= {lane.text: found[lane.number] for lane in lanes}
        return behind

    def lookups(self) -> tuple[int, int]:
        """How many cells were asked of the cache, and how many of them were read from the store."""
        return self._cache.asked, self._cache.reads

    def files(self) -> tuple[int, int]:
        """How many files are read to their end, and how many this run reads in all."""
        done = total = 0
        for task in self.lanes:
            if task.live and task.lane.kind == "files":
                entries = [entry for entry in self.job.files[task.lane.source] if entry.lane == task.lane]
                ahead = [entry for entry in entries if entry.end > max(task.start, task.seam)]
                total += len(ahead)
                done += sum(entry.end <= self.feed.positions[task.lane.text] for entry in ahead)
        return done, total

    def flush_online(self, everything: bool = False) -> None:
        """Folds and writes what bundles brought, if it is due or everything is wanted."""
        begun = self.clock.elapsed()
        try:
            self.fold.flush(self._stored, everything)
        except StoreError as error:
            raise self.job.stores.named(error) from error
        self.flush_took = self.clock.elapsed() - begun

    def flush_offline(self, everything: bool = False) -> None:
        """Commits what is held, if it is due or everything is wanted."""
        elapsed = self.clock.elapsed()
        if everything or self.buffer.due(elapsed):
            with self.monitor.commits.timed():
                self.buffer.flush(elapsed, everything)
            self._tell_stored()

    def close(self) -> None:
        """Commits what is held, unless a step failed, and closes everything."""
        with _LOCK:
            if _OPEN.get(self.job.name) is self:
                del _OPEN[self.job.name]
        try:
            if self.error is None:
                self.flush_online(everything=True)
                self.flush_offline(everything=True)
        finally:
            with suppress(StoreError) if self.error is not None else nullcontext():
                self.closing.close()

    def abandon(self) -> None:
        """Closes what an error has made useless, and lets nothing that fails in it be heard of any more."""
        with suppress(Exception):
            self.close()

    def _live(self) -> dict[str, list[Lane]]:
        """Partitions that this process reads live, by source."""
        found: dict[str, list[Lane]] = {}
        for task in self.lanes:
            if task.live and task.lane.kind == "topic" and task.lane.text in self.reads:
                found.setdefault(task.lane.source, []).append(task.lane)
        return found

    def _tell_stored(self) -> None:
        """Tells the broker how far its partitions are stored, for its own tools."""
        if self._broker is None:
            return
        for source, lanes in self._live().items():
            stored = {lane.number: self.buffer.committed.get(lane.text) for lane in lanes}
            offsets = {number: offset for number, offset in stored.items() if offset is not None}
            if offsets:
                self._broker.commit(self.job.topics[source], offsets)

    def _stored(self, view: str, lane: Lane, rows: pa.RecordBatch) -> None:
        if lane.kind == "topic":
            now = self.clock.now()
            times, arrivals = integers(rows.column("_event_time")), integers(rows.column("_arrival"))
            self.monitor.take_freshness(view, now - times, now - arrivals)

    def _reader(self, task: LaneTask, past: bool) -> LaneReader:
        source = self.job.sources[task.lane.source]
        if past:
            return EventsReader(self._offline, source)
        if task.lane.kind == "files":
            return FileReader(source, self.job.files.get(source.name, ()))
        assert self._broker is not None
        return self._broker.reader(self.job.topics[source.name])


@dataclass(frozen=True)
class JobRef:
    """A job as the steps of a graph carry it: pickled, and opened once per process.

    Attributes:
        name: of the run.
        content: the pickled job.
        lanes: the lanes with their first offsets.
        restarts: whether a process that begins, or had an error, starts where the stores are, as soon as they answer.
    """

    name: str
    content: bytes = field(repr=False)
    lanes: tuple[LaneTask, ...]
    restarts: bool = False

    def open(self) -> Work:
        """The work of this process on the job."""
        with _LOCK:
            work = _OPEN.get(self.name)
            if work is None or work.error is not None:
                if work is not None and self.restarts:
                    work.abandon()
                work = _OPEN[self.name] = self._begin()
            return work

    def _begin(self) -> Work:
        told = False
        while True:
            try:
                return Work(cloudpickle.loads(self.content), self.restarts)
            except StoreAway as error:
                if not self.restarts:
                    raise
                if not told:
                    LOG.warning("waiting until it answers: %s", error)
                told = True
                time.sleep(_AWAY_SECONDS)
