"""A nursery of streams: a process that has everything imported and forks a streaming run for each line it is told.

A stream killed by a test is followed by another one at once; with an interpreter started anew each time, most of a
test's time would be imports. What is told: a project's folder, a line each; the answer is the process id.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import traceback
from pathlib import Path

from pipelines import backfill, definition_watch
from pipelines.job import Pace
from pipelines.platform import Platform

ROOT = Path(__file__).parent.parent
LOG = "stream.log"
ENDED = "ended cleanly"


class Nursery:
    """A test's side of it."""

    def __init__(self) -> None:
        command = [sys.executable, "-m", "tests.stream_nursery"]
        self._process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def stream(self, folder: Path) -> int:
        """Starts a streaming run of a project; its process id."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{folder}\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    def close(self) -> None:
        """Kills what still runs."""
        self._process.communicate()


def end(process: int, number: signal.Signals) -> None:
    """Sends a signal and waits until the process is gone."""
    os.kill(process, number)
    while alive(process):
        time.sleep(0.01)


def alive(process: int) -> bool:
    """Whether there is such a process."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def _stream(folder: Path) -> None:
    definition_watch.LOOK_SECONDS = 0.1
    backfill.PACE = Pace(lane_rows=100, bundle_rows=200)
    with (folder / LOG).open("a") as log:
        try:
            with Platform.open(folder, out=log) as platform:
                platform.run_stream()
            log.write(f"{ENDED}\n")
        except BaseException:  # noqa: BLE001
            traceback.print_exc(file=log)


def main() -> None:
    """Forks a stream for each line, and kills them all at the end."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    children = []
    for line in sys.stdin:
        child = os.fork()
        if not child:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            os.close(0)
            _stream(Path(line.strip()))
            os._exit(0)
        children.append(child)
        sys.stdout.write(f"{child}\n")
        sys.stdout.flush()
    for child in filter(alive, children):
        os.kill(child, signal.SIGKILL)


if __name__ == "__main__":
    main()
