"""Group commits: what several threads want on disk at once goes there in one transaction, and one sync is enough."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, NamedTuple, TypeVar

from schemas.errors import LaneError

R = TypeVar("R")


class Append(NamedTuple):
    """Records for one topic, in their order.

    Attributes:
        topic: its name.
        keys: n keys or None.
        values: n values.
        headers: n byte strings or None.
        now: time of arrival, µs.
    """

    topic: str
    keys: Sequence[bytes | None]
    values: Sequence[bytes | None]
    headers: Sequence[bytes | None]
    now: int


class _Waiting(Generic[R]):
    """An append, and what became of it."""

    def __init__(self, append: Append) -> None:
        self.append = append
        self.done: list[R] = []
        self.error: Exception | None = None


class GroupCommit(Generic[R]):
    """Writes appends of any number of threads, those together that wait at the same time.

    Args:
        write: writes appends in one transaction, all or none; gives the result of each.
        most: records of one transaction; an append of more has one of its own.
    """

    def __init__(self, write: Callable[[Sequence[Append]], list[R]], most: int) -> None:
        self._write, self._most = write, most
        self._waiting: deque[_Waiting[R]] = deque()
        self._taking, self._turn = threading.Lock(), threading.Lock()

    def put(self, append: Append) -> R:
        """Returns once an append is written.

        Raises:
            LaneError, StoreError: as `write` does; nothing of it was written.
        """
        own = _Waiting[R](append)
        with self._taking:
            self._waiting.append(own)
        with self._turn:
            while not own.done and own.error is None:
                self._write_some()
        if own.error is not None:
            raise own.error
        return own.done[0]

    def _write_some(self) -> None:
        taken = self._take()
        try:
            for each, result in zip(taken, self._write([each.append for each in taken]), strict=True):
                each.done.append(result)
        except LaneError as error:
            if len(taken) == 1:
                taken[0].error = error
                return
            for each in taken:  # One names no topic; the others are not to fail with it.
                try:
                    each.done += self._write([each.append])
                except Exception as own:  # noqa: BLE001 (raised where it was asked for)
                    each.error = own
        except Exception as error:  # noqa: BLE001
            for each in taken:
                each.error = error
        except BaseException:
            with self._taking:
                self._waiting.extendleft(reversed(taken))
            raise

    def _take(self) -> list[_Waiting[R]]:
        """The next appends, as many as go together."""
        taken: list[_Waiting[R]] = []
        with self._taking:
            rows = 0
            while self._waiting and (not taken or rows + len(self._waiting[0].append.values) <= self._most):
                taken.append(self._waiting.popleft())
                rows += len(taken[-1].append.values)
        return taken
