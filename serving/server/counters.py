"""Counters of one process: plain numbers that are cheap to add to, and snapshots of them that add up over processes."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

SECONDS = (
    0.0001,
    0.00025,
    0.0005,
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1.0,
    2.5,
    5.0,
    10.0,
)
ROWS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 100_000)
AGES = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3_600.0, 21_600.0, 86_400.0, 604_800.0)
_OTHERS = frozenset({"GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH"})


class Histogram:
    """Counts of values between edges.

    Attributes:
        edges: ascending.
        counts: of values up to each edge, and of those above all.
        total: sum of all values.
    """

    __slots__ = ("counts", "edges", "total")

    def __init__(self, edges: tuple[float, ...]) -> None:
        self.edges, self.counts, self.total = edges, [0] * (len(edges) + 1), 0.0

    def add(self, value: float) -> None:
        """Counts a value."""
        self.counts[bisect_left(self.edges, value)] += 1
        self.total += value

    def state(self) -> list[Any]:
        """Counts and total, as `merge` takes them."""
        return [self.counts, self.total]

    def merge(self, state: list[Any]) -> None:
        """Adds the counts of another process."""
        self.counts = [mine + other for mine, other in zip(self.counts, state[0], strict=True)]
        self.total += state[1]


class Counters:
    """What one process counts and measures; the event loop adds, and threads do where losing one is no matter.

    Attributes:
        requests: by "route method status", how long requests took.
        refused: by queue, how many requests were refused since too many waited.
        statuses: by status, how many feature values had it.
        rows: how many rows reads had.
        pushed: by source, how many events were pushed.
        store: by call, how long calls of the online store took.
        ages: by view, how old the newest event of an answer was.
        cached: by "hit" or "miss", answers looked for in the cache.
        dropped: answers that the serving log could not take.
        gauges: what is so now, by name; processes add up.
        oldest: seconds that the oldest of what waits has waited, by name; of all processes the greatest counts.
    """

    def __init__(self) -> None:
        self.requests: dict[str, Histogram] = {}
        self.refused = Counter[str]()
        self.statuses = Counter[str]()
        self.rows = Histogram(ROWS)
        self.pushed = Counter[str]()
        self.store: dict[str, Histogram] = {}
        self.ages: dict[str, Histogram] = {}
        self.cached = Counter[str]()
        self.dropped = 0
        self.gauges: dict[str, float] = {}
        self.oldest: dict[str, float] = {}

    def request(self, route: str, method: str, status: int, seconds: float) -> None:
        """Counts an answered request."""
        name = f"{route} {method if method in _OTHERS else 'other'} {status}"
        found = self.requests.get(name)
        if found is None:
            found = self.requests[name] = Histogram(SECONDS)
        found.add(seconds)

    def shed(self, queue: str) -> None:
        """Counts a request that was refused since too many waited."""
        self.refused[queue] += 1

    def store_call(self, call: str, seconds: float) -> None:
        """Counts a call of the online store."""
        found = self.store.get(call)
        if found is None:
            found = self.store[call] = Histogram(SECONDS)
        found.add(seconds)

    def age(self, view: str, seconds: float) -> None:
        """Counts how old the newest event of an answer was."""
        found = self.ages.get(view)
        if found is None:
            found = self.ages[view] = Histogram(AGES)
        found.add(seconds)

    def state(self) -> dict[str, Any]:
        """Everything, as JSON can have it."""
        return {
            "requests": {name: found.state() for name, found in list(self.requests.items())},
            "refused": dict(self.refused),
            "statuses": dict(self.statuses),
            "rows": self.rows.state(),
            "pushed": dict(self.pushed),
            "store": {name: found.state() for name, found in list(self.store.items())},
            "ages": {name: found.state() for name, found in list(self.ages.items())},
            "cached": dict(self.cached),
            "dropped": self.dropped,
            "gauges": dict(self.gauges),
            "oldest": dict(self.oldest),
        }

    @staticmethod
    def sum(states: Iterable[Mapping[str, Any]]) -> Counters:
        """Counters of several processes as one."""
        found = Counters()
        for state in states:
            for name, of_name in state["requests"].items():
                found.requests.setdefault(name, Histogram(SECONDS)).merge(of_name)
            for name, of_name in state["store"].items():
                found.store.setdefault(name, Histogram(SECONDS)).merge(of_name)
            for name, of_name in state["ages"].items():
                found.ages.setdefault(name, Histogram(AGES)).merge(of_name)
            for mine, key in (
                (found.refused, "refused"),
                (found.statuses, "statuses"),
                (found.pushed, "pushed"),
                (found.cached, "cached"),
            ):
                mine.update(state[key])
            found.rows.merge(state["rows"])
            found.dropped += state["dropped"]
            for name, value in state["gauges"].items():
                found.gauges[name] = found.gauges.get(name, 0.0) + value
            for name, value in state["oldest"].items():
                found.oldest[name] = max(found.oldest.get(name, 0.0), value)
        return found


@dataclass(frozen=True)
class Family:
    """One metric as Prometheus has it.

    Attributes:
        name: of the metric.
        kind: "counter", "gauge" or "histogram".
        caption: says what it is.
        samples: labels -> value.
    """

    name: str
    kind: str
    caption: str
    samples: Mapping[tuple[tuple[str, str], ...], float | Histogram] = field(default_factory=dict)
