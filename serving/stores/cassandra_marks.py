"""Marks on their way to a Cassandra cluster: published once no node can forget the cells that they cover.

A node that syncs its commit log now and then acknowledges writes that it forgets when it is killed. So marks wait until
one window has passed since the cells before them were acknowledged, and until every node has then said that it has not
been started anew. If one has, the marks are dropped, and the writer is told: what it believes to be stored may be gone.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from schemas.errors import StoreAway, StoreError
from serving.stores.base import Mark
from serving.stores.cassandra_session import Boots

FRESH_SECONDS = 1.0
LEAST_STEP = 0.02
MOST_STEP = 1.0


@dataclass(frozen=True)
class _Waiting:
    """Marks, and when the newest cells that they cover were acknowledged."""

    since: float
    marks: Sequence[Mark]


class Publication:
    """Marks of one store; threads may share it.

    Args:
        window: seconds within which a killed node may forget what it acknowledged; 0 if it forgets nothing.
        boots: asks every node when it was started.
        publish: writes marks; returns once they are acknowledged.
    """

    def __init__(self, window: float, boots: Callable[[], Boots], publish: Callable[[Sequence[Mark]], None]) -> None:
        self._window, self._boots, self._publish = window, boots, publish
        self._step = min(max(window / 10, LEAST_STEP), MOST_STEP)
        self._changed = threading.Condition()
        self._waiting: deque[_Waiting] = deque()
        self._alive: Boots = {}
        self._checked = self._acknowledged = float("-inf")
        self._forgotten: str | None = None
        self._thread: threading.Thread | None = None
        self._closed = False

    def begin(self) -> None:
        """To be called before cells are written: notes which nodes are alive.

        Raises:
            StoreAway: see `tell`; or no node answers.
        """
        if not self._window:
            return
        self.tell()
        now = time.monotonic()
        if self._idle() and now - self._checked >= FRESH_SECONDS:
            alive = self._boots()
            with self._changed:
                if self._idle():
                    self._alive, self._checked = alive, now

    def tell(self) -> None:
        """Raises, once, what became of cells that were acknowledged.

        Raises:
            StoreAway: a node was started anew since, and may have forgotten them.
        """
        with self._changed:
            forgotten, self._forgotten = self._forgotten, None
        if forgotten is not None:
            raise StoreAway(forgotten)

    def acknowledged(self) -> None:
        """To be called when cells have been acknowledged."""
        if self._window:
            with self._changed:
                self._acknowledged = time.monotonic()

    def failed(self) -> None:
        """To be called when cells could not be written: what waits is dropped, since its cells may be forgotten too."""
        with self._changed:
            self._give_up()

    def offer(self, marks: Sequence[Mark]) -> None:
        """Publishes marks as soon as that is safe: at once if no cells were acknowledged lately."""
        if not marks:
            return
        with self._changed:
            at_once = not self._window or self._idle()
            if not at_once:
                self._waiting.append(_Waiting(self._acknowledged, marks))
                if self._thread is None:
                    self._thread = threading.Thread(target=self._run, name="twinbeam-cassandra-marks", daemon=True)
                    self._thread.start()
                self._changed.notify_all()
        if at_once:
            self._publish(marks)

    def drain(self) -> None:
        """Waits until all marks are published.

        Raises:
            StoreAway: they cannot be: cells that they cover may be forgotten.
        """
        with self._changed:
            self._changed.wait_for(lambda: not self._waiting)
        self.tell()

    def outlast(self, seconds: float) -> None:
        """Waits until what was acknowledged before can be forgotten by no node.

        Args:
            seconds: to wait at least.

        Raises:
            StoreAway: a node was started anew meanwhile.
        """
        alive = self._boots()
        time.sleep(max(seconds, self._window))
        if self._window and (changed := _changed(alive, self._boots())):
            raise StoreAway(_told(changed))

    def close(self) -> None:
        """Waits until all marks are published, and ends.

        Raises:
            StoreAway: see `drain`.
        """
        try:
            self.drain()
        finally:
            with self._changed:
                self._closed = True
                self._changed.notify_all()
            if self._thread is not None:
                self._thread.join()

    def _idle(self) -> bool:
        """Whether no marks wait, and nothing was acknowledged so lately that it could still be forgotten."""
        return not self._waiting and self._checked >= self._acknowledged + self._window

    def _give_up(self) -> None:
        self._waiting.clear()
        self._checked = self._acknowledged = float("-inf")
        self._changed.notify_all()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closed or bool(self._waiting))
                if self._closed:
                    return
                self._changed.wait_for(lambda: self._closed, self._step)
                before = self._alive
            self._look(before)

    def _look(self, before: Boots) -> None:
        """Asks the nodes, and publishes what is safe, or drops everything."""
        begun = time.monotonic()
        try:
            changed = _changed(before, self._boots())
            problem = _told(changed) if changed else None
            due = [] if changed else self._due(begun)
            if due:
                self._publish(_joined(mark for waiting in due for mark in waiting.marks))
        except StoreError as error:
            problem, due = str(error), []
        with self._changed:
            if problem is not None and self._waiting:
                self._forgotten = problem
                self._give_up()
            for waiting in due:
                if self._waiting and self._waiting[0] is waiting:
                    self._waiting.popleft()
            self._changed.notify_all()

    def _due(self, begun: float) -> list[_Waiting]:
        """Marks over cells that were acknowledged a window before the nodes were asked."""
        with self._changed:
            self._checked = begun
            return [waiting for waiting in self._waiting if waiting.since + self._window <= begun]


def _joined(marks: Iterable[Mark]) -> list[Mark]:
    """One mark for each log and lane."""
    joined: dict[tuple[str, str], Mark] = {}
    for mark in marks:
        known = joined.get((mark.log, mark.lane), mark)
        offset, newest = max(known.offset, mark.offset), max(known.newest, mark.newest)
        joined[mark.log, mark.lane] = Mark(mark.log, mark.lane, offset, newest)
    return list(joined.values())


def _changed(before: Boots, now: Boots) -> list[str]:
    """Nodes that have been started, or gone, or come, between two looks."""
    return sorted(node for node in before.keys() | now.keys() if before.get(node) != now.get(node))


def _told(nodes: Sequence[str]) -> str:
    return (
        f"Cassandra: {', '.join(nodes)} was started anew, or does not answer, and may have forgotten what it had "
        "acknowledged; go on from stored progress"
    )
