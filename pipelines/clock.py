"""The clock of a run: the one place where a run learns what time it is, handed in from the top."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Protocol

SECOND = 1_000_000


class Clock(Protocol):
    """What a run may ask about time."""

    def now(self) -> int:
        """µs since the epoch, UTC."""

    def elapsed(self) -> int:
        """µs since some instant of this process; never goes back."""


@dataclass(frozen=True)
class SystemClock:
    """The machine's clock."""

    def now(self) -> int:
        return time.time_ns() // 1_000

    def elapsed(self) -> int:
        return time.monotonic_ns() // 1_000
