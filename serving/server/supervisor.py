"""The supervisor: holds the listening socket and has crews serve it; SIGHUP replaces the crew without losing a request.

The socket stays open all along, so no connection that a client makes meanwhile is refused. The next crew reads code,
settings and definitions anew; the one before it is told to end once the next one answers, and goes on if that does not
come so far.
"""

from __future__ import annotations

import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from serving.server.listening import FINAL, READY, SOCKET

LEAN = {
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "POLARS_MAX_THREADS": "1",
    "MALLOC_ARENA_MAX": "2",
    "ARROW_DEFAULT_MEMORY_POOL": "system",
}
"""Variables of workers: they are the parallelism here, so that threads and arenas of libraries only cost memory."""
PATIENCE = 300.0
_HEARD = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD}


@dataclass
class _Crew:
    process: subprocess.Popen[bytes]
    ready: int


class Supervisor:
    """Has crews serve a socket.

    Args:
        command: starts a crew, which finds the socket and where to say that it is ready in its environment.
        listening: the socket.
        workers: how many workers say that they are ready.
        say: tells the user.
    """

    def __init__(
        self, command: Sequence[str], listening: socket.socket, workers: int, say: Callable[[str], None]
    ) -> None:
        self._command, self._listening, self._workers, self._say = list(command), listening, workers, say

    def run(self, ready: Callable[[], None]) -> int:
        """Serves until SIGTERM or SIGINT; the exit code.

        Args:
            ready: called once the first crew answers.
        """
        signal.pthread_sigmask(signal.SIG_BLOCK, _HEARD)
        crew = self._started()
        if not self._answers(crew):
            return self._ended(crew) or 1
        ready()
        while True:
            heard = signal.sigtimedwait(_HEARD, 1.0)
            number = heard.si_signo if heard is not None else None
            if number in (signal.SIGTERM, signal.SIGINT):
                return self._ended(crew, FINAL)
            if number == signal.SIGHUP:
                crew = self._replaced(crew)
            elif crew.process.poll() is not None:
                self._say("all workers ended by themselves")
                return crew.process.returncode or 1

    def _replaced(self, crew: _Crew) -> _Crew:
        self._say("starting other workers")
        following = self._started()
        if not self._answers(following):
            self._ended(following)
            self._say("they do not answer; the workers before them go on")
            return crew
        self._ended(crew)
        self._say("other workers answer now")
        return following

    def _started(self) -> _Crew:
        ready, said = os.pipe()
        environment = os.environ | {SOCKET: str(self._listening.fileno()), READY: str(said)}
        environment = LEAN | environment
        process = subprocess.Popen(
            self._command,
            env=environment,
            pass_fds=(self._listening.fileno(), said),
            preexec_fn=_unblock,
        )
        os.close(said)
        return _Crew(process, ready)

    def _answers(self, crew: _Crew) -> bool:
        """Whether all workers of a crew come to answer."""
        missing, until = self._workers, time.monotonic() + PATIENCE
        while missing and time.monotonic() < until:
            if signal.sigtimedwait({signal.SIGTERM, signal.SIGINT}, 0.0) is not None:
                os.kill(os.getpid(), signal.SIGTERM)
                return False
            if select.select([crew.ready], [], [], 0.1)[0]:
                said = os.read(crew.ready, missing)
                if not said:
                    break
                missing -= len(said)
        return not missing

    def _ended(self, crew: _Crew, number: int = signal.SIGTERM) -> int:
        if crew.process.poll() is None:
            crew.process.send_signal(number)
        code = crew.process.wait()
        os.close(crew.ready)
        return abs(code)


def _unblock() -> None:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _HEARD)


def inherited() -> tuple[socket.socket, Callable[[], None]]:
    """The socket that a crew is to serve, and what each worker calls once it answers."""
    said = int(os.environ[READY])

    def ready() -> None:
        os.write(said, b"r")
        os.close(said)

    return socket.socket(fileno=int(os.environ[SOCKET])), ready


def supervise(command: Sequence[str], listening: socket.socket, workers: int, place: str, folder: Path) -> NoReturn:
    """Becomes the supervisor: this process goes on as one that has nothing loaded.

    Args:
        command: starts a crew.
        listening: the socket.
        workers: how many workers say that they are ready.
        place: what is served, and where, for the user.
        folder: that all processes of the server share; removed in the end.
    """
    given = [str(listening.fileno()), str(workers), place, str(folder), *command]
    os.execv(sys.executable, [sys.executable, "-m", "serving.server.supervisor", *given])


def main() -> int:
    """Supervises as the command line says; the exit code."""
    number, workers, place, folder, *command = sys.argv[1:]

    def say(text: str) -> None:
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()

    def ready() -> None:
        say(f"{place} by {workers} {'process' if workers == '1' else 'processes'} (pid {os.getpid()})")

    try:
        return Supervisor(command, socket.socket(fileno=int(number)), int(workers), say).run(ready)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
