"""Zombies: an old worker that goes on for seconds after its job was started anew elsewhere changes nothing."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from pipelines.dev.cassandra import Cassandra
from pipelines.dev.flink import Flink
from pipelines.dev.kafka import Kafka
from pipelines.platform import Platform
from serving.stores.cassandra import CassandraStore
from tests.chaos import DEFINITIONS, assert_exact, caught_up, events, settings, wait_while_it_goes_on
from tests.flink_jobs import cancel_all, ended, only_worker
from tests.flink_jobs import workers as workers_of
from tests.kill_workers import SEED, Workers, stream

Make = Callable[..., Path]
ROUNDS, GOES_ON_SECONDS, TOTAL = 2, 5.0, 50_000
CLUSTER = """[run.flink]
jobmanager = "{url}"
checkpoint = "1s"
"""


class Publisher:
    """Publishes the events of a run in pieces of random sizes."""

    def __init__(self, platform: Platform) -> None:
        self._platform, self._chance = platform, random.Random(SEED)
        self.sent = 0

    def publish(self, count: int) -> None:
        """Publishes so many more."""
        end = self.sent + count
        while self.sent < end:
            piece = min(self._chance.randrange(1, 200), end - self.sent)
            self._platform.publish("buys", events(self.sent, piece, TOTAL, SEED))
            self.sent += piece

    def publish_for(self, seconds: float) -> None:
        """Publishes a few now and then, for so long."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.publish(40)
            time.sleep(0.2)


def noted_stream(folder: Path, notes: Path, trap: Path) -> None:
    """A stream that notes, in a file, when it wrote how many cells online, and how far its marks said it was.

    If the file `trap` exists when it is about to write cells, it removes that and stops itself (SIGSTOP) there.
    """
    written = notes.open("a", buffering=1)
    write = CassandraStore.write

    def noting(store: CassandraStore, entity: str, cells: Any, marks: Any = ()) -> None:
        count = sum(len(part) for part in cells)
        if count and trap.exists():
            trap.unlink()
            os.kill(os.getpid(), signal.SIGSTOP)
        write(store, entity, cells, marks)
        reached = {f"{mark.log} {mark.lane}": mark.offset for mark in marks}
        written.write(json.dumps([time.monotonic(), count, reached]) + "\n")

    CassandraStore.write = noting  # type: ignore[method-assign, assignment]
    stream(folder)


def stale_writes(zombie: Path, successor: Path) -> int:
    """Writes of cells by the zombie whose lanes the successor had all written further before."""
    lines = [
        (*json.loads(line), file is zombie) for file in (zombie, successor) for line in file.read_text().splitlines()
    ]
    furthest: dict[str, int] = {}
    found = 0
    for _, cells, reached, stale in sorted(lines, key=lambda line: line[0]):
        if not stale:
            furthest |= {slot: max(offset, furthest.get(slot, 0)) for slot, offset in reached.items()}
        elif cells and reached and all(furthest.get(slot, 0) > offset for slot, offset in reached.items()):
            found += 1
    return found


def stopped(pid: int) -> bool:
    """Whether a process is stopped."""
    state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    assert state not in "ZX", "it has ended by itself"
    return state == "T"


def haunt(platform: Platform, publisher: Publisher, zombie: int, stop: Callable[[], None]) -> None:
    """Lets the stopped zombie go on for some seconds, again and again, whenever its successor has everything."""
    for number in range(ROUNDS):
        publisher.publish(1_500)
        until_caught_up(platform)
        assert stopped(zombie)
        os.kill(zombie, signal.SIGCONT)
        publisher.publish_for(GOES_ON_SECONDS)
        if number < ROUNDS - 1:
            stop()


def until_caught_up(platform: Platform) -> None:
    """Waits until both stores have everything."""
    wait_while_it_goes_on(lambda: platform.offline.count("events/buys"), lambda: caught_up(platform))


@pytest.fixture
def workers() -> Iterator[Workers]:
    with Workers() as started:
        yield started


@pytest.fixture
def more() -> str:
    return ""


@pytest.fixture
def platform(
    kafka: Kafka, cassandra: Cassandra, keyspace: str, topic_prefix: str, project: Make, more: str
) -> Iterator[Platform]:
    words = settings(kafka, cassandra, more, f"{topic_prefix}buys", keyspace)
    with Platform.open(project("shop", DEFINITIONS, words)) as opened:
        opened.apply()
        yield opened


@pytest.fixture
def compare(
    platform: Platform, kafka: Kafka, cassandra: Cassandra, topic_prefix: str, project: Make
) -> Callable[[], None]:
    calm = project("calm", DEFINITIONS, settings(kafka, None, topic=f"{topic_prefix}buys"))
    return lambda: assert_exact(platform, calm, cassandra)


@pytest.mark.xdist_group("killed")
def test_a_zombie_stream_changes_nothing(platform: Platform, workers: Workers, compare: Callable[[], None]) -> None:
    folder, publisher = platform.settings.folder, Publisher(platform)
    notes, traps = [folder / "zombie", folder / "successor"], [folder / "trap", folder / "none"]
    zombie = workers.start(noted_stream, folder, notes[0], traps[0])
    pid = zombie.pid
    assert pid is not None

    def stop() -> None:
        traps[0].touch()
        while not stopped(pid):
            publisher.publish(20)
            time.sleep(0.2)

    publisher.publish(1_000)
    until_caught_up(platform)
    stop()
    successor = workers.start(noted_stream, folder, notes[1], traps[1])
    haunt(platform, publisher, pid, stop)
    until_caught_up(platform)
    workers.end(zombie, successor)
    assert stale_writes(*notes) > 0
    compare()


class TestOnFlink:
    """The same, the zombie being a worker of a job on Flink."""

    pytestmark = pytest.mark.xdist_group("flink")

    @pytest.fixture
    def more(self, flink: Flink) -> str:
        return CLUSTER.format(url=flink.url)

    def test_a_zombie_worker_changes_nothing(
        self, platform: Platform, flink: Flink, compare: Callable[[], None]
    ) -> None:
        publisher = Publisher(platform)
        with ended(platform):
            publisher.publish(1_000)
            platform.submit_stream()
            until_caught_up(platform)
            zombie = only_worker(flink)
            stop = partial(os.kill, zombie, signal.SIGSTOP)
            stop()
            platform.submit_stream()
            haunt(platform, publisher, zombie, stop)
            assert zombie in workers_of(flink)
            assert len(workers_of(flink)) == 2
            until_caught_up(platform)
            cancel_all(platform)
        compare()
