"""Parity over the engines together: Kafka into Delta and Cassandra, on the local runner and on Flink.

Cases of `tests.test_parity`, so few that together they just have every operation. What each leaves in the stores is
compared with the oracle, with one fold into SQLite, with one plain run over the same topics into SQLite, and with the
answers after its events came as files.
"""

from __future__ import annotations

import os
import random
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from pipelines.dev.cassandra import COMMIT_LOG_WINDOW, Cassandra
from pipelines.dev.flink import Flink
from pipelines.dev.kafka import Kafka
from schemas.state import OPERATIONS
from tests.flink_jobs import ended
from tests.parity_cases import DAY, HOUR, Case, make_case
from tests.test_parity import FIRST, SIZE, Delivery, cells, check_stores, check_values, make_spine, tables

LOCAL = int(os.environ.get("TWINBEAM_ENGINE_CASES", str(6 * SIZE)))
FLINK = int(os.environ.get("TWINBEAM_FLINK_CASES", str(3 * SIZE)))
AMONG = 200
MAX_SKEW = "36525d"
WANTED = {*OPERATIONS, "latest", "by", "window", "offset", "two sources", "composite key", "exploded"}


def traits(case: Case) -> set[str]:
    """What of everything that there is a case has."""
    features = [feature for view in case.views.values() for feature in view.features.values()]
    found = {feature.operation for feature in features}
    found |= {"by" for feature in features if feature.by}
    found |= {"window" for feature in features if feature.window}
    found |= {"offset" for feature in features if feature.offset}
    found |= {"two sources"} if any(len(view.sources) > 1 for view in case.views.values()) else set()
    found |= {"composite key"} if len(case.keys) > 1 else set()
    return found | ({"exploded"} if "explode=" in case.definitions else set())


def chosen(count: int) -> list[int]:
    """Seeds of so many cases at least, that together have everything."""
    found = {seed: traits(make_case(seed)) for seed in range(FIRST, FIRST + AMONG)}
    seeds: list[int] = []
    while missing := WANTED - {trait for seed in seeds for trait in found[seed]}:
        best = max(found, key=lambda seed: (len(found[seed] & missing), -seed))
        if not found[best] & missing:
            break
        seeds.append(best)
    return seeds + [seed for seed in found if seed not in seeds][: max(count - len(seeds), 0)]


def test_every_operation_occurs() -> None:
    for count in (LOCAL, FLINK):
        assert {trait for seed in chosen(count) for trait in traits(make_case(seed))} >= WANTED


@pytest.fixture
def engines(kafka: Kafka, cassandra: Cassandra, topic_prefix: str, keyspace: str) -> dict[str, Any]:
    """Settings of the projects of one case."""
    return {
        "prefix": topic_prefix,
        "stream": {"broker": "kafka", "kafka": {"servers": kafka.servers}},
        "cassandra": {"hosts": cassandra.hosts, "keyspace": keyspace, "commit_log_window": COMMIT_LOG_WINDOW},
    }


@pytest.mark.parametrize("seed", chosen(LOCAL))
def test_on_the_local_runner_everything_agrees(tmp_path: Path, engines: dict[str, Any], seed: int) -> None:
    prove(seed, tmp_path, engines)


@pytest.mark.xdist_group("flink")
@pytest.mark.parametrize("seed", chosen(FLINK))
def test_on_flink_everything_agrees(tmp_path: Path, engines: dict[str, Any], flink: Flink, seed: int) -> None:
    subtasks = 1 + seed % 2
    cluster = {"jobmanager": flink.url, "checkpoint": "1s", "parallelism": subtasks}
    prove(seed, tmp_path, engines | {"run": {"max_skew": MAX_SKEW, "runner": "flink", "flink": cluster}})


def prove(seed: int, folder: Path, engines: Mapping[str, Any]) -> None:
    """Delivers a case over the engines and as files, and compares everything with everything."""
    case, rng = make_case(seed), random.Random(-seed - 1)
    times = [event["ts"] for events in case.events.values() for event in events]
    now, cut = max(times) + rng.choice([0, 1, HOUR, 40 * DAY]), rng.choice(times)
    spine, strict = make_spine(case, rng, now), rng.random() < 0.5
    seen: list[Any] = []
    way = rng.choice(["topic", "both"])
    over = Delivery(case, folder / way, way, rng, cut, engines)
    what = f"case {seed}, {way}"
    with over.platform("way") as platform:
        with ended(platform) if "run" in engines else nullcontext():
            over.deliver(platform)
        check_stores(over, platform, what)
        check_values(case, platform, spine, now, strict, False, seen, what)
        over.engines = {name: engines[name] for name in ("prefix", "stream")}
        with over.once(platform) as plain:
            assert cells(case, platform) == cells(case, plain), f"{what}: online cells"
            assert tables(platform) == tables(plain), f"{what}: offline tables"
            check_values(case, plain, spine, now, strict, False, seen, f"{what}, SQLite")
    files = Delivery(case, folder / "files", "files", rng, cut, {})
    with files.platform("way") as platform:
        files.deliver(platform)
        check_values(case, platform, spine, now, strict, False, seen, f"case {seed}, files")
