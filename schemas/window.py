"""Windows of aggregate features and the hop in which their tails move."""

from __future__ import annotations

from dataclasses import dataclass

MS = 1_000
SECOND = 1_000 * MS
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR

HOPS = (
    *(n * MS for n in (1, 5, 10, 50, 100, 500)),
    *(n * SECOND for n in (1, 5, 15)),
    *(n * MINUTE for n in (1, 5, 15)),
    *(n * HOUR for n in (1, 6)),
    *(n * DAY for n in (1, 7, 30)),
)
TILES_PER_WINDOW = 12
MAX_TILES = 400


@dataclass(frozen=True)
class Window:
    """Window of events, µs: `length` long, its tail moving in hops, ending `offset` before the instant of an answer."""

    length: int
    hop: int
    offset: int = 0

    @property
    def reach(self) -> int:
        """How far back from the instant of an answer (µs) it looks, its hop aside."""
        return self.length + self.offset


def hop_for(length: int) -> int:
    """Greatest hop that gives a window of `length` µs at least twelve tiles (the least hop, 1 ms, if none does)."""
    fitting = [hop for hop in HOPS if hop * TILES_PER_WINDOW <= length]
    return fitting[-1] if fitting else HOPS[0]
