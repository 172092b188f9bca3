"""Findings of check-ups."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

GOOD, WARNING, BAD = "ok", "note", "wrong"


@dataclass(frozen=True)
class Finding:
    """What one check found.

    Attributes:
        check: what was looked at.
        state: "ok", "note" (works, but look) or "wrong".
        found: what is so.
        mend: what to do about it, or nothing.
    """

    check: str
    state: str
    found: str
    mend: str = ""


def lines(check: str, error: Exception, mend: str) -> Iterator[Finding]:
    """A finding for each line of an error, the last of them with the way to mend it."""
    told = str(error).splitlines()
    for number, line in enumerate(told):
        yield Finding(check, BAD, line, mend if number == len(told) - 1 else "")
