"""Ticks: what makes a reader on Flink look for more, and which of them come too late to be of use."""

from __future__ import annotations

import struct

INTERVAL = 25_000
_PATIENCE = 10 * INTERVAL
_LAYOUT = struct.Struct(">16sq")


def tick(source: bytes, time: int) -> bytes:
    """A tick as it travels.

    Args:
        source: 16 bytes that name the clock that it is of.
        time: µs on that clock.
    """
    return _LAYOUT.pack(source, time)


class Ticks:
    """The ticks that one reader gets: those that waited while it read are passed over, or they would pile up.

    Clocks of other machines are never compared with this one's: of each, the least time that a tick took from there to
    here is known, and by it when a tick must have left. A reader that was left without ticks for long takes any.
    """

    def __init__(self) -> None:
        self._least: dict[bytes, int] = {}
        self._last: int | None = None

    def due(self, given: bytes, now: int) -> bool:
        """Whether the reader is to look for more.

        Args:
            given: the tick.
            now: µs on the clock of this process.
        """
        source, time = _LAYOUT.unpack(given)
        took = now - time
        if self._last is None or now - self._last >= _PATIENCE:
            self._least[source] = took
            return True
        least = self._least[source] = min(self._least.get(source, took), took)
        return bool(time + least >= self._last)

    def done(self, now: int) -> None:
        """Takes note that the reader has looked."""
        self._last = now
