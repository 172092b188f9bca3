"""Fibers: work on the thread of an event loop that waits as other work does, while the loop goes on.

What reads a store is written once, as code that waits for it. In a thread it does; in a fiber, the loop does other
things until somebody wakes the fiber, and nothing is handed to a thread. Between two pauses a fiber has its loop alone.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import Executor
from types import TracebackType
from typing import TypeVar

from greenlet import getcurrent, greenlet  # type: ignore[import-untyped]

T = TypeVar("T")


class Fiber(greenlet):  # type: ignore[misc]
    """Work begun by `switch`, on the loop's thread.

    Args:
        loop: the running one.
        threads: do what would hold the loop up.
        work: has nothing to raise to but the loop.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, threads: Executor, work: Callable[[], None]) -> None:
        super().__init__(work)
        self._loop, self._threads = loop, threads

    def wake(self) -> None:
        """Ends a pause; any thread may call it, at any time."""
        self._loop.call_soon_threadsafe(self._go_on)

    def pause(self, seconds: float | None = None) -> None:
        """Lets the loop go on until the fiber is woken, or so many seconds; sometimes shorter, for no reason."""
        timer = None if seconds is None else self._loop.call_later(seconds, self._go_on)
        self.parent.switch()
        if timer is not None:
            timer.cancel()

    def aside(self, work: Callable[[], T]) -> T:
        """Has a thread do something, and waits for it."""
        done = self._threads.submit(work)
        done.add_done_callback(lambda _: self.wake())
        while not done.done():
            self.pause()
        return done.result()

    def _go_on(self) -> None:
        if not self.dead:
            self.switch()


class Condition:
    """A condition that one thread or one fiber waits for: the one that makes it. Whoever changes it holds it."""

    def __init__(self) -> None:
        self._fiber = current()
        self._held = threading.Condition()

    def __enter__(self) -> None:
        self._held.acquire()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._held.release()

    def notify(self) -> None:
        """Says that it has changed."""
        if self._fiber is None:
            self._held.notify_all()
        else:
            self._fiber.wake()

    def wait_for(self, true: Callable[[], object], seconds: float) -> None:
        """Waits until something is true, or so many seconds."""
        if self._fiber is None:
            self._held.wait_for(true, seconds)
            return
        until = time.monotonic() + seconds
        while not true() and (left := until - time.monotonic()) > 0:
            self._held.release()
            self._fiber.pause(left)
            self._held.acquire()


def current() -> Fiber | None:
    """The fiber that runs now, if one does."""
    found = getcurrent()
    return found if isinstance(found, Fiber) else None


def pause(seconds: float) -> None:
    """Waits for about so many seconds."""
    fiber = current()
    if fiber is None:
        time.sleep(seconds)
    else:
        fiber.pause(seconds)


def aside(work: Callable[[], T]) -> T:
    """Does something that may wait long for no fiber to know: in a thread, if a fiber asks."""
    fiber = current()
    return work() if fiber is None else fiber.aside(work)
