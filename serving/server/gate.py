"""Gates: how many requests are answered at once, how many may wait, and for how long.

Requests that have come wait in one line of each process. Each turn of the event loop takes some of them, for a few
milliseconds, and then hears what else has come; so what is beyond the bound is refused at once, while the rest is
answered as fast as ever.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter
from typing import Generic, TypeVar

T = TypeVar("T")
TURN = 0.005


class Gate(Generic[T]):
    """One line of waiting work.

    Args:
        name: of the line, for its threads.
        loop: of the process.
        limit: how much may wait, or be under way apart from the loop.
        patience: seconds that it may wait.
        threads: how many threads work beside the loop.
        serve: begins with a piece of work; says whether it goes on apart from the loop, until `left` is called.
        refuse: gives up a piece of work that came too late.
    """

    def __init__(
        self,
        name: str,
        loop: asyncio.AbstractEventLoop,
        limit: int,
        patience: float,
        threads: int,
        serve: Callable[[T], bool],
        refuse: Callable[[T], None],
    ) -> None:
        self._loop, self._limit, self._patience, self._threads = loop, limit, patience, threads
        self._serve, self._refuse = serve, refuse
        self._waiting: deque[tuple[float, T]] = deque()
        self._turn = False
        self.apart = 0
        self.refused = 0
        self.pool = ThreadPoolExecutor(threads, f"twinbeam-{name}")

    @property
    def waiting(self) -> int:
        """How much waits."""
        return len(self._waiting)

    def offer(self, work: T) -> bool:
        """Takes work, if there is room for it."""
        if len(self._waiting) >= self._limit:
            self.refused += 1
            return False
        self._waiting.append((perf_counter(), work))
        if not self._turn:
            self._turn = True
            self._loop.call_soon(self._take)
        return True

    def left(self) -> None:
        """A piece of work that went on apart from the loop has ended."""
        self.apart -= 1
        if self._waiting and not self._turn:
            self._turn = True
            self._loop.call_soon(self._take)

    def close(self) -> None:
        """Ends the threads."""
        self.pool.shutdown(wait=False, cancel_futures=True)

    def _take(self) -> None:
        waiting, begun = self._waiting, perf_counter()
        now = begun
        while waiting and self.apart < self._threads:
            if now - begun > TURN:
                self._loop.call_soon(self._take)
                return
            since, work = waiting.popleft()
            if now - since > self._patience:
                self.refused += 1
                self._refuse(work)
            elif self._serve(work):
                self.apart += 1
            now = perf_counter()
        self._turn = False
        while waiting and now - waiting[0][0] > self._patience:
            self.refused += 1
            self._refuse(waiting.popleft()[1])
