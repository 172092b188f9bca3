"""Durations as a user writes them: a whole number and a unit."""

from __future__ import annotations

import re

UNITS = {
    "us": 1,
    "ms": 1_000,
    "s": 1_000_000,
    "m": 60_000_000,
    "h": 3_600_000_000,
    "d": 86_400_000_000,
    "w": 7 * 86_400_000_000,
}
LONGEST = 36_525 * UNITS["d"]
RULE = "a whole number above 0 and a unit (us, ms, s, m, h, d, w) as in 500ms, 24h or 7d, at most 36525d"

_TEXT = re.compile(r"([0-9]{1,18})(us|ms|s|m|h|d|w)")
_CANONICAL = ("d", "h", "m", "s", "ms", "us")


def parse_duration(text: str) -> int:
    """Microseconds of a duration's text.

    Raises:
        ValueError: the text is no duration.
    """
    match = _TEXT.fullmatch(text) if isinstance(text, str) else None
    length = int(match[1]) * UNITS[match[2]] if match else 0
    if not 0 < length <= LONGEST:
        raise ValueError(f"{text!r} is no duration: legal is {RULE}")
    return length


def duration_text(length: int) -> str:
    """Canonical text of a duration in µs: the largest unit up to days that divides it (60 minutes are `1h`)."""
    unit = next(unit for unit in _CANONICAL if length % UNITS[unit] == 0)
    return f"{length // UNITS[unit]}{unit}"
