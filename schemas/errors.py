"""Errors a user can meet: each says what is wrong, where, and which values are legal."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


class TwinbeamError(Exception):
    """Error that a user can mend; its text is complete and survives pickling."""


class SettingsError(TwinbeamError):
    """A setting is unknown, missing or has no legal value."""


class EventError(TwinbeamError):
    """An event does not fit its source."""


class RequestError(TwinbeamError):
    """A read asks for something that does not exist or cannot be answered."""


class BeingFilled(RequestError):
    """What is asked for is applied, and not filled from history yet."""


class DefinitionChanged(RequestError):
    """A caller's fingerprint names features that have changed since."""


class StoreError(TwinbeamError):
    """A store cannot be reached, is locked or is damaged."""


class StoreAway(StoreError):
    """A server of a store, or the broker, does not answer now; nothing is lost, and the same call may succeed later."""


class ServerError(TwinbeamError):
    """A server for development did not start, or cannot be had on this machine."""


class FlinkError(TwinbeamError):
    """A Flink cluster cannot be reached, or refuses what is asked of it."""


class LaneError(TwinbeamError):
    """A lane's log contradicts the stored progress."""


@dataclass(frozen=True, order=True)
class Mistake:
    """One mistake in a definition.

    Attributes:
        place: `file:line` of the definition.
        name: the offending definition, as the user calls it.
        message: what is wrong, and the legal values.
    """

    place: str
    name: str
    message: str

    def __str__(self) -> str:
        return f"{self.place}: {self.name}: {self.message}"


class DefinitionError(TwinbeamError):
    """All the mistakes found in a set of definitions."""

    def __init__(self, mistakes: Sequence[Mistake]) -> None:
        self.mistakes = tuple(mistakes)
        super().__init__(self.mistakes)

    def __str__(self) -> str:
        return "\n".join(str(mistake) for mistake in self.mistakes)


def did_you_mean(word: str, legal: Iterable[str]) -> str:
    """Hint naming the nearest legal word, or an empty string."""
    by_lower = {name.lower(): name for name in legal}
    close = difflib.get_close_matches(word.lower(), by_lower, 1, 0.6)
    return f" Did you mean {by_lower[close[0]]!r}?" if close else ""
