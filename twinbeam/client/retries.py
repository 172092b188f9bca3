"""Retries: how often a call is tried again, and how long it waits before."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

FIRST = 0.05
LONGEST = 2.0


@dataclass(frozen=True)
class Retries:
    """Exponential backoff with jitter.

    Attributes:
        times: tries after the first, at most.
    """

    times: int

    def pause(self, tried: int, told: float) -> float:
        """Seconds to wait before the next try.

        Args:
            tried: tries so far, at least one.
            told: seconds that the server asks to wait, see `seconds_told`.
        """
        backoff = min(FIRST * 2.0 ** (tried - 1), LONGEST)
        return told + backoff * random.uniform(0.5, 1.0)


def seconds_told(header: str | None) -> float:
    """Seconds of a header Retry-After, a number or a date; none if there is none that can be read."""
    if not header:
        return 0.0
    if header.strip().isdigit():
        return float(header)
    try:
        moment = parsedate_to_datetime(header)
    except ValueError:
        return 0.0
    aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    return max((aware - datetime.now(UTC)).total_seconds(), 0.0)
