"""The monitor of a run: counters of one process, read while the run goes on."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipelines.ages import Ages
from pipelines.report import AGES, RunReport, ViewReport
from schemas.lane import Lane

Ints = npt.NDArray[np.int64]
_EDGES = np.asarray([edge for _, edge in AGES], np.int64)


@dataclass(frozen=True)
class Snapshot:
    """What a run shows of itself at one moment.

    Attributes:
        elapsed: µs on the run's clock.
        events: events taken in so far.
        rows: rows so far.
        dead_letters: so far.
        late: late events so far.
        lag: records of live logs not read yet, or None if unknown.
        freshness: µs from a record's arrival to its rows being in the online store, the worst of the last second or
            so; None if nothing came.
        done: files read to their end.
        files: files to be read.
    """

    elapsed: int
    events: int
    rows: int
    dead_letters: int
    late: int
    lag: int | None
    freshness: int | None
    done: int = 0
    files: int = 0


class Monitor:
    """Counters that the steps of one process add to; one thread writes, any thread reads.

    Attributes:
        by_source: events taken in, by name of the source.
        since_event: by view, how long after their event times rows were in the online store.
        since_arrival: the same since they arrived in their topic.
        writes: how long writes to the online store took.
        reads: how long reads of cells from it took.
        commits: how long flushes to the offline store took.
    """

    def __init__(self, views: Iterable[str]) -> None:
        names = list(views)
        self.by_source = Counter[str]()
        self.since_event = {name: Ages() for name in names}
        self.since_arrival = {name: Ages() for name in names}
        self.writes, self.reads, self.commits = Ages(), Ages(), Ages()
        self.events = 0
        self.skipped = 0
        self.dead_letters = 0
        self._rows = Counter[str](dict.fromkeys(names, 0))
        self._view_skipped = Counter[str]()
        self._view_dead = Counter[str]()
        self._late = np.zeros(len(AGES), np.int64)
        self._newest: dict[str, int] = {}
        self._fresh = deque[int](maxlen=256)

    def take_events(self, lane: Lane, times: Ints) -> None:
        """Counts events of a lane, in its order, by their event times (µs)."""
        if not len(times):
            return
        self.events += len(times)
        self.by_source[lane.source] += len(times)
        before = self._newest.get(lane.text, int(times[0]))
        newest = np.maximum(np.maximum.accumulate(times), before)
        ages = newest - times
        self._late += np.bincount(np.searchsorted(_EDGES, ages[ages > 0], "right"), minlength=len(AGES))
        self._newest[lane.text] = int(newest[-1])

    def take_view(self, view: str, rows: int, skipped: int, dead_letters: int) -> None:
        """Counts what a view made of a batch."""
        self._rows[view] += rows
        self._view_skipped[view] += skipped
        self._view_dead[view] += dead_letters

    def take_freshness(self, view: str, since_event: Ints, since_arrival: Ints) -> None:
        """Counts how old (µs) rows of a topic were when they were in the online store, by event time and arrival."""
        if len(since_arrival):
            self.since_event[view].add(since_event)
            self.since_arrival[view].add(since_arrival)
            self._fresh.append(int(since_arrival.max()))

    def snapshot(self, elapsed: int, lag: int | None, done: int, files: int) -> Snapshot:
        """Counters now, with what the feed says; the freshness begins anew."""
        ages = [self._fresh.popleft() for _ in range(len(self._fresh))]
        return Snapshot(
            elapsed,
            self.events,
            sum(self._rows.values()),
            self.dead_letters + sum(self._view_dead.values()),
            int(self._late.sum()),
            lag,
            max(ages, default=None),
            done,
            files,
        )

    def report(self, seconds: float) -> RunReport:
        """Report of the run."""
        views = {
            name: ViewReport(rows, self._view_skipped[name], self._view_dead[name]) for name, rows in self._rows.items()
        }
        return RunReport(
            self.events,
            sum(self._rows.values()),
            self.skipped + sum(self._view_skipped.values()),
            self.dead_letters + sum(self._view_dead.values()),
            int(self._late.sum()),
            seconds,
            views,
            {name: int(count) for (name, _), count in zip(AGES, self._late, strict=True)},
        )


def progress_line(before: Snapshot, now: Snapshot) -> str:
    """What happened between two snapshots, on one line."""
    seconds = max((now.elapsed - before.elapsed) / 1e6, 1e-6)
    parts = [f"{(now.events - before.events) / seconds:,.0f} events/s", f"{now.events:,} events", f"{now.rows:,} rows"]
    if now.lag is not None:
        parts.append(f"lag {now.lag:,}")
    parts.append("fresh -" if now.freshness is None else f"fresh {now.freshness / 1e6:.3f} s")
    parts += [f"dead letters {now.dead_letters:,}", f"late {now.late:,}"]
    return "  ".join(parts)
