"""A crew: worker processes forked from one that has the code loaded, so that they share its memory.

The one that has it loaded computes nothing and starts no thread, or a fork of it could not be trusted.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable

from serving.server.listening import FINAL

LOG = logging.getLogger("twinbeam.server")
LEAST_LIFE = 5.0
_ENDS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, FINAL)
_HEARD = {*_ENDS, signal.SIGCHLD}


class Crew:
    """Keeps a number of workers alive until it is told to end.

    Args:
        work: what a worker does, with its number; its exit code.
        size: how many workers.
        grace: seconds that workers have to end.
    """

    def __init__(self, work: Callable[[int], int], size: int, grace: float) -> None:
        self._work, self._size, self._grace = work, size, grace
        self._workers: dict[int, tuple[int, float]] = {}

    def run(self) -> int:
        """Works until SIGTERM, SIGINT or `FINAL`, or until the process that started this one is gone; the exit code."""
        signal.pthread_sigmask(signal.SIG_BLOCK, _HEARD)
        parent = os.getppid()
        for number in range(self._size):
            self._start(number)
        while True:
            heard = signal.sigtimedwait(_HEARD, 1.0)
            if heard is not None and heard.si_signo in _ENDS:
                return self._end(FINAL if heard.si_signo == FINAL else signal.SIGTERM)
            if os.getppid() != parent:
                return self._end()
            for number, code, lived in self._gone():
                if lived < LEAST_LIFE:
                    self._end()
                    return code or 1
                LOG.error("worker %d ended by itself (%s); another one begins", number, _how(code))
                self._start(number)

    def _start(self, number: int) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        child = os.fork()
        if child:
            self._workers[child] = number, time.monotonic()
            return
        code = 1
        try:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _HEARD)
            signal.signal(signal.SIGHUP, signal.SIG_IGN)
            code = self._work(number)
        except BaseException:  # noqa: BLE001
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)

    def _gone(self) -> list[tuple[int, int, float]]:
        """Workers that have ended: number, exit code, seconds that they lived."""
        found = []
        while self._workers:
            child, status = os.waitpid(-1, os.WNOHANG)
            if not child:
                break
            number, begun = self._workers.pop(child, (-1, 0.0))
            found.append((number, os.waitstatus_to_exitcode(status), time.monotonic() - begun))
        return found

    def _end(self, number: int = signal.SIGTERM) -> int:
        """Ends the workers; the exit code."""
        for child in self._workers:
            os.kill(child, number)
        until, code = time.monotonic() + self._grace, 0
        while self._workers and time.monotonic() < until:
            signal.sigtimedwait({signal.SIGCHLD}, 0.2)
            code = max([code, *(abs(code) for _, code, _ in self._gone())])
        for child in self._workers:
            LOG.error("a worker did not end in %.0f seconds", self._grace)
            os.kill(child, signal.SIGKILL)
        while self._workers:
            os.waitpid(-1, 0)
            self._workers.popitem()
        return code


def _how(code: int) -> str:
    return f"exit code {code}" if code >= 0 else signal.Signals(-code).name
