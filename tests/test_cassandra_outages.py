"""Nodes killed with -9 and started again: Cassandra forgets what it acknowledged, and the stores end exactly even so.

The commit log is synced every 10 s here, as by default: what was acknowledged within the last tenth of a second before
a kill is gone.
"""

from __future__ import annotations

import os
import random
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipelines.dev.cassandra import Cassandra
from pipelines.platform import Platform
from schemas.errors import StoreAway
from serving.stores import cassandra_requests, cassandra_session
from serving.stores.base import SEALED, Mark, Slice
from serving.stores.cassandra import CassandraStore
from serving.stores.cassandra_access import Access
from tests import kill_workers
from tests.kill_workers import AWAY_SECONDS, SEED, SIZE, Publishing, Workers, eventually, pause, resume
from tests.store_contents import assert_same, marks, published, taken
from tests.test_kills import DEFINITIONS, USERS, live
from transforms.cells import Cells

pytestmark = [pytest.mark.xdist_group("killed"), pytest.mark.long]

LANE = "buys/topic-0/0"
GROWTH = 100_000_000
SETTINGS = """
[online]
store = "cassandra"
[online.cassandra]
hosts = "{hosts}"
timeout = "5s"
commit_log_window = "1s"
[run]
flush = "100ms"
[sources.buys]
partitions = 3
"""


@pytest.fixture
def node(own_cassandra: Callable[..., Cassandra]) -> Cassandra:
    return own_cassandra(settings={"commitlog_sync_period": "10000ms"})


@pytest.fixture
def workers() -> Iterator[Workers]:
    with Workers() as started:
        yield started


class Writer:
    """A lane's writer: it writes cell after cell, each with a mark, and begins again where the store is if told to.

    Attributes:
        told: how often it was told that cells may be forgotten.
        ahead: numbers of cells that were gone although a mark covered them.
    """

    def __init__(self, hosts: str, keyspace: str, window: float) -> None:
        self._access = Access((hosts,), keyspace, timeout=5.0, window=window)
        self._store = CassandraStore(self._access)
        self._store.prepare(["user"])
        self._next = 1
        self.told = 0
        self.ahead: set[int] = set()

    def write(self, count: int) -> None:
        for _ in range(count):
            try:
                self._write(self._next)
                self._next += 1
            except StoreAway:
                self.told += 1
                self._begin_again()

    def look(self) -> None:
        """Compares the cells there are with the mark."""
        marked = self._marked()
        there = set(self._store.read("user", [b"a"], [Slice("b1", 0)]).tile.tolist())
        self.ahead |= set(range(1, marked)) - there

    def settle(self) -> None:
        """Waits until all marks are published, or dropped."""
        try:
            self._store.close()
        except StoreAway:
            self.told += 1
        self._store = CassandraStore(self._access)

    def close(self) -> None:
        self._store.close()

    def _write(self, number: int) -> None:
        cell = Cells("b1", LANE, [b"a"], np.array([number]), np.array([number]), [bytes(50)])
        self._store.write("user", [cell], [Mark("b1", LANE, number + 1, number)])

    def _marked(self) -> int:
        return max((mark.offset for mark in self._store.marks(["b1"])), default=1)

    def _begin_again(self) -> None:
        deadline = time.monotonic() + 60.0
        while True:
            with suppress(StoreAway):
                self._store.close()
            try:
                self._store = CassandraStore(self._access)
                self._next = self._marked()
                return
            except StoreAway:
                assert time.monotonic() < deadline
                time.sleep(0.2)


def test_marks_never_run_ahead_of_the_cells_that_a_killed_node_has_kept(node: Cassandra) -> None:
    """The node is killed between two writes, no request fails: without a window, marks then cover lost cells."""
    writers = {window: Writer(node.hosts, f"window_{number}", window) for number, window in enumerate((1.0, 0.0))}
    for _ in range(2 * SIZE):
        for writer in writers.values():
            writer.write(20)
            writer.settle()
        for writer in writers.values():
            writer.write(10)
        node.kill()
        node.start()
        for writer in writers.values():
            until_read(writer)
            writer.write(5)
            writer.settle()
            writer.look()
    careful, careless = writers[1.0], writers[0.0]
    assert careful.ahead == set()
    assert careful.told >= 1
    assert careless.ahead, "nothing was forgotten in the kills: this test proves nothing"
    for writer in writers.values():
        writer.close()


def test_a_node_that_stalls_makes_writes_fail_and_lets_none_hang(node: Cassandra) -> None:
    access = Access((node.hosts,), "stalls", timeout=60.0, window=0.0)
    keys = [number.to_bytes(4, "big") for number in range(2_000)]
    tiles = np.zeros(len(keys), np.int64)
    pid = node.pid
    assert pid is not None
    with closing(CassandraStore(access)) as patient, closing(CassandraStore(replace(access, timeout=2.0))) as store:
        patient.prepare(["user"])

        def written(version: int) -> bool:
            try:
                store.write("user", [Cells("b1", LANE, keys, tiles, tiles + version, [bytes(400)] * len(keys))])
                return True
            except StoreAway:
                return False

        for version in range(1, 4):
            stall = threading.Timer(0.1, os.kill, (pid, signal.SIGSTOP))
            stall.start()
            try:
                eventually(lambda version=version: not written(version))  # type: ignore[misc]
            finally:
                stall.join()
                os.kill(pid, signal.SIGCONT)
            eventually(lambda version=version: written(version))  # type: ignore[misc]
            assert set(patient.read("user", keys, [Slice("b1", 0)]).version.tolist()) == {version}


def test_a_node_that_reads_slower_than_it_is_written_to_is_waited_for(
    node: Cassandra, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = [number.to_bytes(4, "big") for number in range(400)]
    tiles = np.zeros(len(keys), np.int64)
    pid = node.pid
    assert pid is not None
    with closing(CassandraStore(Access((node.hosts,), "slow", timeout=60.0, window=0.0))) as store:
        store.prepare(["user"])

        def write(version: int) -> None:
            resumed = threading.Timer(1.0, os.kill, (pid, signal.SIGCONT))
            os.kill(pid, signal.SIGSTOP)
            resumed.start()
            try:
                store.write("user", [Cells("b1", LANE, keys, tiles, tiles + version, [bytes(60_000)] * len(keys))])
            finally:
                resumed.join()

        write(1)
        assert set(store.read("user", keys, [Slice("b1", 0)]).version.tolist()) == {1}
        monkeypatch.setattr(cassandra_requests, "_busy", lambda error: False)

        def overload() -> None:
            for version in range(2, 20):  # on a busy machine the first may come too slowly
                write(version)

        with pytest.raises(StoreAway, match="overloaded"):
            overload()


def until_read(writer: Writer) -> None:
    """Waits until the store can be read again: what is written then meets no broken connection."""

    def read() -> bool:
        try:
            writer.look()
            return True
        except StoreAway:
            return False

    eventually(read)


def test_a_node_that_was_away_for_long_is_found_again(node: Cassandra, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cassandra_session, "RECONNECT_SECONDS", (0.01, 0.02))
    store = CassandraStore(Access((node.hosts,), "long_away", timeout=5.0))
    store.prepare(["user"])
    node.kill()
    with pytest.raises(StoreAway):
        store.marks(["block"])
    time.sleep(3.0)  # more attempts than the 64 after which the driver gives a node up
    node.start()

    def answers() -> bool:
        with suppress(StoreAway):
            return store.marks(["block"]) == []
        return False

    eventually(answers)
    store.close()


@pytest.fixture(params=[SEED], ids=lambda seed: f"TWINBEAM_SOAK_SEED={seed}")
def chance(request: pytest.FixtureRequest) -> random.Random:
    return random.Random(request.param)


@pytest.fixture
def folder(node: Cassandra, project: Callable[..., Path]) -> Path:
    return project("shop", DEFINITIONS, SETTINGS.format(hosts=node.hosts))


@pytest.fixture
def platform(folder: Path) -> Iterator[Platform]:
    with Platform.open(folder) as opened:
        opened.apply()
        yield opened


@pytest.fixture
def compare(platform: Platform, folder: Path, project: Callable[..., Path]) -> Callable[[], None]:
    """Ends what is to be done, and compares the stores with those of one undisturbed run over the same log."""

    def compared() -> None:
        platform.run_stream(until="caught_up")
        assert taken(platform, "buys") == published(platform, "buys")
        path = folder / "store" / "topics.db"
        calm = project("calm", DEFINITIONS, f'[sources.buys]\npartitions = 3\n[stream.sqlite]\npath = "{path}"\n')
        with Platform.open(calm) as undisturbed:
            undisturbed.apply()
            undisturbed.run_stream(until="caught_up")
            assert_same(platform, undisturbed, USERS)

    return compared


def test_a_stream_over_a_node_that_is_killed_again_and_again_ends_exactly(
    platform: Platform,
    folder: Path,
    node: Cassandra,
    workers: Workers,
    chance: random.Random,
    compare: Callable[[], None],
) -> None:
    """Now and then the stream is stopped over the kill and the start, so that it never sees the node away."""
    with Publishing(platform, chance, live()):
        stream = workers.start(kill_workers.stream, folder)
        for number in range(4 * SIZE):
            eventually(lambda: folded(platform) > 0)
            time.sleep(0.5 + chance.random())
            before = folded(platform)
            if number % 2:
                pause(stream, folder / "store" / "topics.db")
            node.kill()
            time.sleep(chance.random())
            node.start()
            if number % 2:
                resume(stream)
            eventually(lambda before=before: folded(platform) > before)  # type: ignore[misc]
    workers.end(stream)
    compare()


def folded(platform: Platform) -> int:
    """How far all lanes are folded into all blocks, as one number; -1 while the node does not answer."""
    try:
        return sum(mark.offset for mark in marks(platform) if mark.lane != SEALED)
    except StoreAway:
        return -1


def memory(pid: int) -> int:
    """Bytes that a process holds."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * resource.getpagesize()


def test_a_stream_waits_for_a_node_that_is_away_says_so_once_and_catches_up(
    platform: Platform,
    folder: Path,
    node: Cassandra,
    chance: random.Random,
    start: Callable[..., subprocess.Popen[str]],
    compare: Callable[[], None],
) -> None:
    said = folder / "said.txt"
    command = [sys.executable, "-m", "pipelines.commands.main", "run", "stream", "--project", str(folder)]
    with Publishing(platform, chance, live()), said.open("w") as out:
        stream = start(command, stdout=out, stderr=subprocess.STDOUT)
        eventually(lambda: folded(platform) > 0)
        before = folded(platform)
        node.kill()
        eventually(lambda: "waiting: Cassandra" in said.read_text())
        held = memory(stream.pid)
        time.sleep(AWAY_SECONDS)
        assert stream.poll() is None
        assert memory(stream.pid) < held + GROWTH
        node.start()
        eventually(lambda: folded(platform) > before)
    stream.send_signal(signal.SIGTERM)
    assert stream.wait(kill_workers.PATIENCE) == 0
    text = said.read_text()
    assert text.count("waiting: ") == 1
    assert text.count("goes on from stored progress") >= 1
    assert "Traceback" not in text
    compare()
