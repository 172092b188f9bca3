"""Ages: how long things took or how old they were, counted by how long, as a Prometheus histogram has it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter_ns

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]

SECONDS = (
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
    30.0,
    60.0,
    600.0,
    3600.0,
    86400.0,
)
_EDGES = np.asarray([seconds * 1e6 for seconds in SECONDS])


class Ages:
    """Counts of ages between fixed edges; one thread adds, any thread reads.

    Attributes:
        counts: int64[n + 1], of the ages up to each of the n `SECONDS`, and of the older ones.
        total: sum of all ages, µs.
    """

    def __init__(self) -> None:
        self.counts = np.zeros(len(SECONDS) + 1, np.int64)
        self.total = 0

    def add(self, ages: Ints) -> None:
        """Counts ages (µs); one below 0 counts as none."""
        known = np.maximum(ages, 0)
        self.counts = self.counts + np.bincount(np.searchsorted(_EDGES, known), minlength=len(self.counts))
        self.total += int(known.sum())

    @contextmanager
    def timed(self) -> Iterator[None]:
        """Counts how long the block takes."""
        begun = perf_counter_ns()
        try:
            yield
        finally:
            self.add(np.asarray([(perf_counter_ns() - begun) // 1000], np.int64))

    def buckets(self) -> list[tuple[str, float]]:
        """Edges, as Prometheus writes them, and how many ages are not above each."""
        edges = [*map(str, SECONDS), "+Inf"]
        return list(zip(edges, np.cumsum(self.counts).astype(float).tolist(), strict=True))


def quantile(buckets: list[tuple[float, float]], share: float) -> float | None:
    """Upper edge (seconds) of the bucket that holds the age of a rank; None if nothing was counted.

    Args:
        buckets: edges and how many ages are not above each, ascending.
        share: rank as a share of all, 0 to 1.
    """
    if not buckets or not buckets[-1][1]:
        return None
    return next(edge for edge, count in buckets if count >= share * buckets[-1][1])
