"""A crew: worker processes forked from one that has the code loaded, so that they share its memory.

The one that has it loaded computes nothing and starts no thread, or a fork of it could not be trusted. Once the workers
are there it becomes a watch that has nothing loaded: it passes on what they are told, and a crew of one takes the place
of a worker that ends by itself.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import NoReturn

from serving.server.listening import FINAL, READY, SOCKET

LEAST_LIFE = 5.0
NEVER_BEGAN = 3
"""Exit code of a worker that could not begin; another one could not either."""
_ENDS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, FINAL)
_HEARD = {*_ENDS, signal.SIGCHLD}


def form(work: Callable[[int], int], size: int, grace: float, another: Sequence[str]) -> NoReturn:
    """Forks workers, and becomes their watch.

    Args:
        work: what a worker does, with its number; its exit code.
        size: how many workers.
        grace: seconds that workers have to end.
        another: command of a crew of one, for the place of a worker that ends by itself.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, _HEARD)
    workers = [str(_forked(work, number)) for number in range(size)]
    given = [str(grace), str(os.getppid()), ",".join(workers), *another]
    os.execv(sys.executable, [sys.executable, "-m", "serving.server.crew", *given])


class Watch:
    """Keeps workers alive until it is told to end.

    Args:
        workers: processes, with the time at which each began.
        parent: process that started the crew.
        grace: seconds that workers have to end.
        another: command of a crew of one.
    """

    def __init__(self, workers: Mapping[int, float], parent: int, grace: float, another: Sequence[str]) -> None:
        self._workers, self._parent, self._grace, self._another = dict(workers), parent, grace, list(another)

    def run(self) -> int:
        """Works until SIGTERM, SIGINT or `FINAL`, or until the process that started the crew is gone; the exit code."""
        while True:
            heard = signal.sigtimedwait(_HEARD, 1.0)
            if heard is not None and heard.si_signo in _ENDS:
                return self._end(FINAL if heard.si_signo == FINAL else signal.SIGTERM)
            if os.getppid() != self._parent:
                return self._end()
            for code, lived in self._gone():
                if code == NEVER_BEGAN or lived < LEAST_LIFE:
                    self._end()
                    return abs(code) or 1
                _say(f"a worker ended by itself ({_how(code)}); another one begins")
                begun = subprocess.Popen(self._another, preexec_fn=_unblock, pass_fds=_inherited())
                self._workers[begun.pid] = time.monotonic()

    def _gone(self) -> list[tuple[int, float]]:
        """Workers that have ended: exit code, and seconds that they lived."""
        found = []
        while self._workers:
            child, status = os.waitpid(-1, os.WNOHANG)
            if not child:
                break
            begun = self._workers.pop(child, 0.0)
            found.append((os.waitstatus_to_exitcode(status), time.monotonic() - begun))
        return found

    def _end(self, number: int = signal.SIGTERM) -> int:
        """Ends the workers; the exit code."""
        for child in self._workers:
            os.kill(child, number)
        until, code = time.monotonic() + self._grace, 0
        while self._workers and time.monotonic() < until:
            signal.sigtimedwait({signal.SIGCHLD}, 0.2)
            code = max([code, *(abs(code) for code, _ in self._gone())])
        for child in self._workers:
            _say(f"a worker did not end in {self._grace:.0f} seconds")
            os.kill(child, signal.SIGKILL)
        while self._workers:
            child, _ = os.waitpid(-1, 0)
            self._workers.pop(child, None)
        return code


def main() -> int:
    """Watches as the command line says; the exit code."""
    grace, parent, workers, *another = sys.argv[1:]
    now = time.monotonic()
    return Watch(dict.fromkeys(map(int, workers.split(",")), now), int(parent), float(grace), another).run()


def _forked(work: Callable[[int], int], number: int) -> int:
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _HEARD)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        code = work(number)
    except BaseException:  # noqa: BLE001
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _inherited() -> tuple[int, ...]:
    """Descriptors that the supervisor handed down, as it named them."""
    return tuple(int(os.environ[name]) for name in (SOCKET, READY))


def _unblock() -> None:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _HEARD)


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def _how(code: int) -> str:
    return f"exit code {code}" if code >= 0 else signal.Signals(-code).name


if __name__ == "__main__":
    sys.exit(main())
