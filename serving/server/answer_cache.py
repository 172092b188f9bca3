"""The cache of answers: the same request may be given the same answer for a stated time; off unless that is set.

An answer is then at most so much older than the stores; `as_of` in it says when it was read.
"""

from __future__ import annotations

from collections.abc import Hashable
from time import monotonic

from serving.server.counters import Counters
from serving.server.messages import Response

MOST_BYTES = 64 << 20
_OVERHEAD = 512


class AnswerCache:
    """Answers by what was asked.

    Args:
        seconds: that an answer may be old.
        counters: of the process.
    """

    def __init__(self, seconds: float, counters: Counters) -> None:
        self._seconds, self._counters = seconds, counters
        self._known: dict[Hashable, tuple[float, Response]] = {}
        self._size = 0

    def find(self, asked: Hashable) -> Response | None:
        """The answer, if it is new enough."""
        known = self._known.get(asked)
        if known is not None and monotonic() - known[0] <= self._seconds:
            self._counters.cached["hit"] += 1
            return known[1]
        self._counters.cached["miss"] += 1
        return None

    def keep(self, asked: Hashable, begun: float, response: Response) -> None:
        """Keeps an answer.

        Args:
            asked: what it answers.
            begun: when its read began, by `monotonic`.
            response: the answer.
        """
        if self._size > MOST_BYTES:
            self._known, self._size = {}, 0
        self._known[asked] = begun, response
        self._size += len(response.body) + _OVERHEAD
