"""Chaos on the local runner: the stream, the broker and the store are killed at random; nothing is lost or doubled.

A minute by default; `TWINBEAM_CHAOS_EVENTS=2000000` or `TWINBEAM_SOAK_SIZE` above 1 make the long form of it.
"""

from __future__ import annotations

import gc
import logging
import signal
import time
from collections.abc import Callable, Iterator
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest

from pipelines.dev.cassandra import Cassandra
from pipelines.dev.kafka import Kafka
from pipelines.platform import Platform
from tests.chaos import (
    DEFINITIONS,
    EVENTS,
    KILLS,
    Chaos,
    Victim,
    assert_exact,
    rounds,
    settings,
    side_by_side,
    stream_with_log,
    told,
)
from tests.kill_workers import SEED, Workers

LOG = logging.getLogger("twinbeam.chaos")
Make = Callable[..., Path]


class Following:
    """The stream of a project, in a process of its own."""

    def __init__(self, workers: Workers, folder: Path) -> None:
        self._workers, self._folder = workers, folder
        self._process: BaseProcess | None = None

    def start(self) -> None:
        """Starts it."""
        self._process = self._workers.start(stream_with_log, self._folder)

    def kill(self) -> None:
        """Kills it; that it ended by itself before is a fault."""
        assert self._process is not None
        self._process.kill()
        self._process.join()
        assert self._process.exitcode == -signal.SIGKILL, (self._folder / "stream.log").read_text()

    def end(self) -> None:
        """Ends it well."""
        assert self._process is not None
        self._workers.end(self._process)


@pytest.fixture
def workers() -> Iterator[Workers]:
    with Workers() as started:
        yield started


@pytest.fixture
def swept() -> Iterator[None]:
    """Collects, when the test holds nothing any more, what kafka-python leaves to the collector to close."""
    yield
    gc.collect()


@pytest.mark.xdist_group("killed")
@pytest.mark.long
@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")
@pytest.mark.parametrize("seed", [SEED], ids=lambda seed: f"TWINBEAM_SOAK_SEED={seed}")
def test_whatever_is_killed_nothing_is_lost_or_doubled(
    own_kafka: Callable[..., Kafka],
    own_cassandra: Callable[..., Cassandra],
    project: Make,
    workers: Workers,
    swept: None,
    seed: int,
) -> None:
    servers: list[Any] = side_by_side(own_kafka, own_cassandra)
    kafka, cassandra = servers
    folder = project("shop", DEFINITIONS, settings(kafka, cassandra))
    counts = rounds(("stream", "Kafka", "Cassandra"), KILLS, (5, 2, 2))
    begun = time.monotonic()
    with Platform.open(folder) as platform:
        platform.apply()
        following = Following(workers, folder)
        following.start()
        victims = {
            "stream": Victim(following.kill, following.start),
            "Kafka": Victim(kafka.kill, kafka.start),
            "Cassandra": Victim(cassandra.kill, cassandra.start),
        }
        chaos = Chaos(platform, seed, EVENTS, victims)
        chaos.run(counts)
        following.end()
        LOG.warning(told("local", seed, EVENTS, counts, time.monotonic() - begun))
        assert_exact(platform, project("calm", DEFINITIONS, settings(kafka, None)), cassandra)
