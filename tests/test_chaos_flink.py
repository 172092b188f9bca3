"""Chaos on Flink: whatever of the cluster, the broker and the store is killed at random, nothing is lost or doubled.

Two minutes by default; `TWINBEAM_CHAOS_EVENTS=2000000` or `TWINBEAM_SOAK_SIZE` above 1 make the long form of it.
"""

from __future__ import annotations

import gc
import logging
import random
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
from tests.chaos import DEFINITIONS, EVENTS, KILLS, Chaos, Victim, assert_exact, rounds, settings, side_by_side, told
from tests.flink_jobs import cancel_all, kill_worker, resubmit, workers
from tests.kill_workers import SEED

LOG = logging.getLogger("twinbeam.chaos")
Make = Callable[..., Path]
KINDS = ("TaskManager", "worker", "JobManager", "Kafka", "Cassandra")
CLUSTER = """[run.flink]
jobmanager = "{url}"
parallelism = 2
checkpoint = "2s"
"""


@pytest.fixture
def swept() -> Iterator[None]:
    """Collects, when the test holds nothing any more, what kafka-python leaves to the collector to close."""
    yield
    gc.collect()


@pytest.mark.xdist_group("flink")
@pytest.mark.long
@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")
@pytest.mark.parametrize("seed", [SEED], ids=lambda seed: f"TWINBEAM_SOAK_SEED={seed}")
def test_whatever_is_killed_nothing_is_lost_or_doubled(
    own_kafka: Callable[..., Kafka],
    own_cassandra: Callable[..., Cassandra],
    own_flink: Callable[..., Flink],
    project: Make,
    swept: None,
    seed: int,
) -> None:
    servers: list[Any] = side_by_side(own_kafka, own_cassandra, partial(own_flink, task_managers=2))
    kafka, cassandra, flink = servers
    folder = project("shop", DEFINITIONS, settings(kafka, cassandra, CLUSTER.format(url=flink.url)))
    counts = rounds(KINDS, KILLS, (2, 2, 1, 1, 1))
    chance = random.Random(seed)
    begun = time.monotonic()
    with Platform.open(folder) as platform:
        platform.apply()
        platform.submit_stream()
        struck = flink.task_managers[0]

        def strike() -> None:
            nonlocal struck
            struck = chance.choice(flink.task_managers)
            struck.strike()

        def job_manager_back() -> None:
            flink.job_manager.start()
            resubmit(platform)

        chaos = Chaos(
            platform,
            seed,
            EVENTS,
            {
                "TaskManager": Victim(strike, lambda: struck.start()),
                "worker": Victim(lambda: kill_worker(flink, chance), lambda: None),
                "JobManager": Victim(flink.job_manager.kill, job_manager_back),
                "Kafka": Victim(kafka.kill, kafka.start),
                "Cassandra": Victim(cassandra.kill, cassandra.start),
            },
        )
        chaos.run(counts)
        cancel_all(platform)
        LOG.warning(told("Flink", seed, EVENTS, counts, time.monotonic() - begun))
        assert_exact(platform, project("calm", DEFINITIONS, settings(kafka, None)), cassandra)
    flink.stop()
    assert workers(flink) == []
