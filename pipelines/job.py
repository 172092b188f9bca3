"""The job: all that a worker must know of a run, pickled once and by value, opened once per process."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import cloudpickle  # type: ignore[import-untyped]

from pipelines.clock import Clock, SystemClock
from pipelines.feed import LaneTask
from pipelines.offline_buffer import FlushRule
from pipelines.progress import FedView
from pipelines.stores import Stores
from schemas.source import Source
from serving.manifest import FileEntry
from transforms.rules import RowRules


@dataclass(frozen=True)
class Pace:
    """How a reader shares its time between reading and letting the sinks write.

    Attributes:
        lane_rows: most records of one lane per turn.
        bundle_rows: records after which a bundle ends.
        bundle_bytes: bytes of them after which it ends.
        hold: µs after which a bundle ends, come what may.
        linger: µs after its first record when a bundle ends.
        poll: µs between two looks at logs that had nothing.
        patience: bytes of rows that may wait for more before they are folded.
    """

    lane_rows: int = 20_000
    bundle_rows: int = 500_000
    bundle_bytes: int = 128 << 20
    hold: int = 500_000
    linger: int = 10_000
    poll: int = 10_000
    patience: int = 0


@dataclass(frozen=True)
class Job:
    """One run, as its workers know it.

    Attributes:
        name: unique name of the run.
        stores: the stores and the broker.
        sources: the sources read, by name.
        topics: their topics, by name of the source.
        files: the files of their lanes, by name of the source.
        views: the views fed.
        others: by source, row rules of the project's views that this run does not feed.
        lanes: what is read of each lane.
        ends: whether an unbounded reader stops once it has caught up.
        max_skew: µs by which an event may be later than its arrival.
        pace: of the reader.
        rule: when the offline sink commits.
        cache_bytes: budget of the cache of cells.
        upkeep: µs between two rounds of upkeep of the tables that it fills.
        keep: µs that files and log entries stay which upkeep has replaced.
        metrics: host and port that a process serves its metrics at (port 0: a free one), or None for nowhere.
        clock: what tells the time.
    """

    name: str
    stores: Stores
    sources: Mapping[str, Source]
    topics: Mapping[str, str]
    files: Mapping[str, tuple[FileEntry, ...]]
    views: tuple[FedView, ...]
    others: Mapping[str, tuple[RowRules, ...]]
    lanes: tuple[LaneTask, ...]
    ends: bool
    max_skew: int
    pace: Pace = field(default_factory=Pace)
    rule: FlushRule = field(default_factory=FlushRule)
    cache_bytes: int = 256 << 20
    upkeep: int = 300_000_000
    keep: int = 3_600_000_000
    metrics: tuple[str, int] | None = None
    clock: Clock = field(default_factory=SystemClock)


def pickled(job: Job, modules: Iterable[str]) -> bytes:
    """Bytes of a job; functions of definition files are in them whole, since workers have no such modules.

    Args:
        job: the job.
        modules: names of the packages that the definition files were loaded under.
    """
    packages = tuple(modules)
    by_value = [
        module
        for name, module in list(sys.modules.items())
        if any(name == package or name.startswith(f"{package}.") for package in packages)
    ]
    for module in by_value:
        cloudpickle.register_pickle_by_value(module)
    try:
        return bytes(cloudpickle.dumps(job))
    finally:
        for module in by_value:
            cloudpickle.unregister_pickle_by_value(module)
