"""Deadlines: the time that a call may take, all its tries and pauses together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from time import monotonic

_LEAST = 0.001
_PHASES = ("connect", "pool", "read", "write")


class Deadline:
    """The end of a call.

    Args:
        seconds: from now.

    Attributes:
        seconds: that it was made of.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._until = monotonic() + seconds

    @property
    def left(self) -> float:
        """Seconds until then; none once it is over."""
        return max(self._until - monotonic(), 0.0)

    def of_try(self, most: float) -> TryTime:
        """The time of one try that begins now.

        Args:
            most: seconds that it may take at most.
        """
        return TryTime(monotonic() + min(most, self.left))


class TryTime(Mapping[str, float]):
    """Timeouts of one try as httpx asks for them, phase by phase: always what is left, so that their sum is bounded.

    Args:
        until: end of the try, by the monotonic clock.
    """

    def __init__(self, until: float) -> None:
        self._until = until

    @property
    def over(self) -> bool:
        """Whether the time is up."""
        return monotonic() > self._until

    def __getitem__(self, phase: str) -> float:
        if phase not in _PHASES:
            raise KeyError(phase)
        return max(self._until - monotonic(), _LEAST)

    def __iter__(self) -> Iterator[str]:
        return iter(_PHASES)

    def __len__(self) -> int:
        return len(_PHASES)
