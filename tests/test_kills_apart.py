"""kill -9 of the compactor, the publisher and readers: none of them can harm what others write."""

from __future__ import annotations

import json
import random
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from pipelines.brokers.embedded import CHUNK_ROWS, EmbeddedBroker
from pipelines.platform import Platform
from serving.stores.delta import Place
from serving.stores.offline import OfflineStore
from tests import kill_workers
from tests.kill_workers import SEED, SIZE, Workers, eventually

Make = Callable[..., Path]
LANE = "buys/topic-0/0"
DEFINITIONS = """
from twinbeam import Entity, FeatureView, Source, agg, latest

user = Entity("user", keys={"user_id": "int64"})
buys = Source("buys", fields={"user_id": "int64", "ts": "timestamp(us)", "price": "float64"}, event_time="ts",
    topic="buys", encoding="json")
totals = FeatureView("totals", entity=user, source=buys,
    features=[agg.sum("price", over=["1h", "30d"]), agg.count(), latest("price")])
"""


@pytest.fixture(params=[SEED], ids=lambda seed: f"TWINBEAM_SOAK_SEED={seed}")
def chance(request: pytest.FixtureRequest) -> random.Random:
    return random.Random(request.param)


@pytest.fixture
def workers() -> Iterator[Workers]:
    with Workers() as started:
        yield started


def test_a_compaction_killed_while_appends_go_on_loses_and_doubles_nothing(
    tmp_path: Path, workers: Workers, chance: random.Random
) -> None:
    store = OfflineStore(tmp_path / "offline")
    offset = 0

    def append() -> None:
        nonlocal offset
        end = offset + chance.randrange(1, 40)
        columns = {"_lane": [LANE] * (end - offset), "_offset": range(offset, end), "x": [0.1] * (end - offset)}
        store.append("events/buys", [pa.RecordBatch.from_pydict(columns)], {(LANE, ""): end})
        offset = end

    append()
    for _ in range(15 * SIZE):
        run = workers.start(kill_workers.compactor, tmp_path / "offline")
        until = time.monotonic() + 0.05 + chance.random() * 0.2
        while time.monotonic() < until:
            append()
        workers.kill(run)
        found = store.read("events/buys", ["_offset"]).column(0).to_pylist()
        assert sorted(found) == list(range(offset))
    place = Place("events/buys", str(tmp_path / "offline/events/buys"))
    done = Counter(place.operation(version) for version in range(1, store.version("events/buys") + 1))
    assert done["OPTIMIZE"] > 0
    append()
    assert store.compact("events/buys") > 1
    store.vacuum("events/buys", hours=0)
    assert len(list((tmp_path / "offline/events/buys").glob("*.parquet"))) == 1
    found = OfflineStore(tmp_path / "offline").read("events/buys", ["_offset"]).column(0).to_pylist()
    assert sorted(found) == list(range(offset))


def test_a_publisher_killed_in_the_middle_loses_and_tears_nothing(
    tmp_path: Path, workers: Workers, chance: random.Random
) -> None:
    """A life is one process; it repeats the first call that was not acknowledged, and goes on."""
    path, acknowledged = tmp_path / "topics.db", tmp_path / "acknowledged.txt"
    topics = EmbeddedBroker(path)
    topics.create("log", 2)
    acknowledged.touch()
    sizes = [chance.choice([1, 7, 300, CHUNK_ROWS]) for _ in range(20_000)]

    def notes() -> list[tuple[int, int]]:
        return [(int(life), int(call)) for life, call in map(str.split, acknowledged.read_text().splitlines())]

    for life in range(20 * SIZE):
        first = max((call for _, call in notes()), default=-1) + 1
        run = workers.start(kill_workers.publisher, path, life, first, sizes, acknowledged)
        if chance.random() < 0.8:
            before = topics.ends("log")
            eventually(lambda run=run, before=before: topics.ends("log") != before or not run.is_alive())  # type: ignore[misc]
        time.sleep(chance.random() * 0.12)
        workers.kill(run)
    topics.publish("log", [None], [json.dumps([-1, 0, 0]).encode()], now=0)
    records: dict[tuple[int, int], list[int]] = defaultdict(list)
    for partition, end in topics.ends("log").items():
        read = topics.read("log", partition, 0, 1 << 30)
        assert read.column("_offset").to_pylist() == list(range(end))
        for value in read.column("value").to_pylist():
            life, call, number = json.loads(value)
            records[life, call].append(number)
    sent = records.pop((-1, 0))
    assert sent == [0]
    topics.close()
    for (life, call), numbers in records.items():
        assert sorted(numbers) == list(range(sizes[call])), f"call {call} of life {life} is torn"
    assert set(notes()) <= records.keys()
    doubtful = records.keys() - set(notes())
    assert len(doubtful) == len({life for life, _ in doubtful})
    calls = Counter(call for _, call in records)
    assert set(range(max(calls) + 1)) == calls.keys()
    assert len(notes()) > 20


def test_readers_killed_in_the_middle_change_nothing(project: Make, workers: Workers, chance: random.Random) -> None:
    folder = project("shop", DEFINITIONS, '[run]\nflush = "100ms"\n')
    keys: dict[str, Any] = {"user_id": list(range(9))}
    asked = folder / "asked.txt"
    with Platform.open(folder) as platform:
        platform.apply()
        asked.touch()
        sent = 0
        for _ in range(5 * SIZE):
            before = len(asked.read_bytes())
            readers = [workers.start(kill_workers.reader, folder, keys, ["totals"], asked) for _ in range(2)]
            until = time.monotonic() + 0.2 + chance.random() * 0.4
            while time.monotonic() < until:
                events = [
                    {"user_id": number % 9, "ts": f"2025-03-01T{number % 24:02}:00:00Z", "price": 0.1}
                    for number in range(sent, sent + 30)
                ]
                platform.publish("buys", events)
                sent += len(events)
                assert platform.run_stream(until="caught_up").events == len(events)
            first = readers[0]
            eventually(lambda run=first, before=before: len(asked.read_bytes()) > before or not run.is_alive())  # type: ignore[misc]
            workers.kill(*readers)
        answers = platform.get(["totals:count"], keys, now="latest").to_dict()["totals:count"]
        assert answers == [len(range(user, sent, 9)) for user in range(9)]
        assert platform.offline.count("events/buys") == sent
        report = platform.audit()
        assert (report.answers > 0, report.mismatches) == (True, ())
