"""The window rule: which event times a window holds at an instant."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from schemas.window import Window

Ints = npt.NDArray[np.int64]
BEGINNING = np.iinfo(np.int64).min
END = np.iinfo(np.int64).max


def floor(times: Ints, hop: int) -> Ints:
    """Start (µs) of the tile of each time, aligned to the Unix epoch."""
    return times // hop * hop


def bounds(window: Window | None, instants: Ints) -> tuple[Ints, Ints]:
    """First and last event time (µs, both inclusive) that a window holds at each instant.

    The head is exact and the tail moves in hops: `floor(t - length, hop) <= event_time <= t`. With an offset o the
    window is made of whole tiles: `floor(t - o - length, hop) <= event_time < floor(t - o, hop)`. Without a window:
    the whole history up to t.

    Args:
        window: the window, or None for the whole history.
        instants: int64[n], µs.

    Returns:
        int64[n], int64[n].
    """
    if window is None:
        return np.full(len(instants), BEGINNING), instants
    first = floor(instants - window.offset - window.length, window.hop)
    last = floor(instants - window.offset, window.hop) - 1 if window.offset else instants
    return first, last


def steady(window: Window | None, instant: int) -> tuple[int, int]:
    """Instants (µs, from and until) around one at which a window begins, and with an offset ends, at the same times."""
    if window is None:
        return BEGINNING, END
    begin, until = BEGINNING, END
    for back in {window.offset + window.length, window.offset} if window.offset else {window.length}:
        since = (instant - back) // window.hop * window.hop + back
        begin, until = max(begin, since), min(until, since + window.hop)
    return begin, until
