"""Fibers wait without holding up their loop, and go on where they were; in a thread the same code waits by itself."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from time import monotonic
from typing import Any

import pytest
import uvloop

from serving.fiber import Condition, Fiber, aside, current, pause

SECONDS = 30.0


class Letter:
    """Holds what another thread puts in."""

    def __init__(self) -> None:
        self.changed = Condition()
        self.content: Any = None

    def put(self, content: Any) -> None:
        with self.changed:
            self.content = content
            self.changed.notify()

    def wait(self, seconds: float = SECONDS) -> Any:
        with self.changed:
            self.changed.wait_for(lambda: self.content is not None, seconds)
            return self.content


def in_fibers(*works: Callable[[], Any]) -> list[Any]:
    """What some pieces of work give, each in a fiber of one loop; the loop counts its turns meanwhile."""

    async def run() -> list[Any]:
        loop = asyncio.get_running_loop()
        found: list[asyncio.Future[Any]] = [loop.create_future() for _ in works]
        with ThreadPoolExecutor(2) as threads:
            for work, future in zip(works, found, strict=True):
                Fiber(loop, threads, lambda work=work, future=future: future.set_result(work())).switch()  # type: ignore[misc]
            waited: list[Awaitable[Any]] = [asyncio.wait_for(future, SECONDS) for future in found]
            return list(await asyncio.gather(*waited))

    return uvloop.run(run())


def test_the_same_code_waits_in_a_thread_and_in_a_fiber() -> None:
    def exchange() -> tuple[Any, bool]:
        letter = Letter()
        sender = threading.Thread(target=letter.put, args=("hello",))
        sender.start()
        found = letter.wait()
        sender.join()
        return found, current() is not None

    assert exchange() == ("hello", False)
    assert in_fibers(exchange) == [("hello", True)]


def test_fibers_wait_for_each_other_on_one_thread() -> None:
    letters: list[Letter] = []

    def first() -> Any:
        letters.append(Letter())
        return letters[0].wait(), threading.get_ident()

    def second() -> Any:
        pause(0.01)
        letters[0].put("from the other")
        return threading.get_ident()

    (content, one), other = in_fibers(first, second)
    assert (content, one) == ("from the other", other)


def test_a_notice_before_the_wait_is_not_lost_and_later_ones_wake_nobody() -> None:
    def work() -> Any:
        early = Letter()
        early.put(1)
        found = [early.wait()]
        late = Letter()
        threads = [threading.Thread(target=early.put, args=(2,)) for _ in range(20)]
        threads.append(threading.Thread(target=late.put, args=(3,)))
        for thread in threads:
            thread.start()
        found.append(late.wait())
        for thread in threads:
            thread.join()
        return found

    assert in_fibers(*[work] * 10) == [[1, 3]] * 10


def test_a_wait_ends_in_time() -> None:
    def work() -> tuple[Any, float]:
        begun = monotonic()
        return Letter().wait(0.05), monotonic() - begun

    for found, seconds in (work(), *in_fibers(work)):
        assert found is None
        assert seconds >= 0.05


def test_what_takes_long_is_done_aside() -> None:
    def work() -> Any:
        with pytest.raises(ZeroDivisionError):
            aside(lambda: 1 // 0)
        return aside(threading.get_ident), threading.get_ident()

    here, alike = work()
    assert here == alike == threading.get_ident()
    ((aside_of, of_loop),) = in_fibers(work)
    assert aside_of != of_loop == threading.get_ident()
