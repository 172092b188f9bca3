"""Processes that are killed: runs, compactions, publishers and readers, forked from one that has imported everything.

Starting Python and its libraries takes seconds, a fork milliseconds. The server of the forks belongs to the process of
the tests and ends with it; what it forks ends with the test (see `Workers`).
"""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import signal
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from datetime import UTC, datetime
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from pipelines.brokers.embedded import EmbeddedBroker
from pipelines.platform import Platform
from serving.stores import offline
from serving.stores.delta import Log
from serving.stores.offline import OfflineStore
from serving.stores.sqlite import SqliteStore

SEED = int(os.environ.get("TWINBEAM_SOAK_SEED", "0"))
SIZE = max(1, int(os.environ.get("TWINBEAM_SOAK_SIZE", "1")))
PATIENCE = 120.0
# How long tests have a server away; 60 is what operators are promised.
AWAY_SECONDS = float(os.environ.get("TWINBEAM_AWAY_SECONDS", "8"))
LATER = datetime(2025, 3, 20, tzinfo=UTC)
_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(
    ["pytest", "pipelines.platform", "apache_beam.runners.portability.fn_api_runner.fn_runner", "deltalake", "polars"]
)


def eventually(what: Callable[[], bool]) -> None:
    """Waits until something is so."""
    until = time.monotonic() + PATIENCE
    while not what():
        assert time.monotonic() < until, "this takes too long"
        time.sleep(0.01)


def doom(calls: int | None) -> None:
    """Makes this process kill itself around the n-th of its calls that write to a store: even before it, odd after it.

    Args:
        calls: 2 n, or 2 n + 1; None for never.
    """
    if calls is None:
        return
    left = [calls]

    def deadly(write: Callable[..., Any]) -> Callable[..., Any]:
        def called(*arguments: Any, **keywords: Any) -> Any:
            left[0] -= 2
            if left[0] == -2:
                os.kill(os.getpid(), signal.SIGKILL)
            done = write(*arguments, **keywords)
            if left[0] == -1:
                os.kill(os.getpid(), signal.SIGKILL)
            return done

        return called

    SqliteStore.write = deadly(SqliteStore.write)  # type: ignore[method-assign]
    Log.commit = deadly(Log.commit)  # type: ignore[method-assign]
    vars(offline)["write_file"] = deadly(vars(offline)["write_file"])


def stream(folder: Path, calls: int | None = None, said: Path | None = None) -> None:
    """A stream until SIGTERM; how many events it took goes to the file `said`."""
    doom(calls)
    with Platform.open(folder) as platform:
        report = platform.run_stream()
    if said is not None:
        said.write_text(str(report.events))


def batch(folder: Path, calls: int | None = None) -> None:
    """One batch run."""
    doom(calls)
    with Platform.open(folder) as platform:
        platform.run_batch()


def compactor(root: Path) -> None:
    """Compacts all tables, over and over."""
    store = OfflineStore(root)
    while True:
        for table in store.tables():
            store.compact(table)


def publisher(path: Path, life: int, first: int, sizes: Sequence[int], acknowledged: Path) -> None:
    """Publishes calls of the sizes given, whose records tell the life and the call; notes what is acknowledged."""
    topics = EmbeddedBroker(path)
    with acknowledged.open("ab", buffering=0) as notes:
        for call in range(first, len(sizes)):
            values = [json.dumps([life, call, number]).encode() for number in range(sizes[call])]
            topics.publish("log", [None] * len(values), values, now=call)
            notes.write(f"{life} {call}\n".encode())


def reader(folder: Path, keys: dict[str, Any], features: list[str], asked: Path) -> None:
    """Reads online and builds training sets, over and over, noting each answer."""
    with Platform.open(folder) as platform, asked.open("ab", buffering=0) as notes:
        while True:
            platform.get(features, keys, now="latest")
            platform.training_set(keys | {"at": [LATER] * len(keys["user_id"])}, features)
            notes.write(b".")


class Workers:
    """Processes of one test; at its end those that still run are killed."""

    def __init__(self) -> None:
        self._started: list[BaseProcess] = []

    def start(self, work: Callable[..., None], *arguments: Any) -> BaseProcess:
        """Starts one of the functions of this module in a process of its own."""
        process = _FORKS.Process(target=work, args=arguments)
        process.start()
        self._started.append(process)
        return process

    def kill(self, *processes: BaseProcess) -> None:
        """Kills processes with SIGKILL; one that has ended by itself before has failed."""
        for process in processes:
            process.kill()
        for process in processes:
            process.join(PATIENCE)
            assert process.exitcode == -signal.SIGKILL, f"it ended by itself: {process.exitcode}"

    def end(self, *processes: BaseProcess) -> None:
        """Ends processes with SIGTERM, which they take as the wish to end well."""
        for process in processes:
            process.terminate()
        self.wait(*processes)

    def wait(self, *processes: BaseProcess) -> None:
        """Waits until processes have ended well."""
        for process in processes:
            process.join(PATIENCE)
            assert process.exitcode == 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self._started:
            if process.is_alive():
                process.kill()
            process.join()
            process.close()


def pause(process: BaseProcess, *files: Path) -> None:
    """Stops a process (SIGSTOP) at a moment at which it holds no lock on the SQLite files."""
    assert process.pid is not None
    pause_pid(process.pid, *files)


def pause_pid(pid: int, *files: Path) -> None:
    """Stops the process of an id as `pause` does."""

    def free(file: Path) -> bool:
        with closing(sqlite3.connect(file, timeout=0.2, isolation_level=None)) as db:
            try:
                db.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError:
                return False
            db.execute("ROLLBACK")
            return True

    until = time.monotonic() + PATIENCE
    while True:
        os.kill(pid, signal.SIGSTOP)
        if all(free(file) for file in files):
            return
        os.kill(pid, signal.SIGCONT)
        assert time.monotonic() < until, "it always holds a lock"
        time.sleep(0.005)


def resume(process: BaseProcess) -> None:
    """Lets a stopped process go on."""
    assert process.pid is not None
    os.kill(process.pid, signal.SIGCONT)


class Publishing:
    """Publishes events of `buys` without pause, in calls of random sizes, bad ones among them, while it is open.

    Args:
        platform: of the project.
        chance: of the sizes.
        events: what is published, over and over from the beginning.
        pause: greatest seconds between two calls.

    Attributes:
        sent: records published so far.
    """

    def __init__(
        self, platform: Platform, chance: random.Random, events: Iterable[dict[str, Any]], pause: float = 0.04
    ) -> None:
        self.sent = 0
        self._platform, self._chance, self._pause = platform, chance, pause
        self._events = iter(events)
        self._over = threading.Event()
        self._fault: BaseException | None = None
        self._thread = threading.Thread(target=self._publish)

    def _publish(self) -> None:
        try:
            while not self._over.wait(self._chance.random() * self._pause):
                size = self._chance.randrange(1, 25)
                bad = self._chance.random() < 0.1
                self._platform.publish("buys", [b"{no json"] if bad else [next(self._events) for _ in range(size)])
                self.sent += 1 if bad else size
        except BaseException as fault:
            self._fault = fault
            raise

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()
        assert self._fault is None
