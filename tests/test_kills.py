"""kill -9, stale workers and twins: whatever happens to processes, both stores end as after one undisturbed run."""

from __future__ import annotations

import random
import shutil
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import count
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.commands.main import main
from pipelines.platform import Platform
from tests import kill_workers
from tests.kill_workers import PATIENCE, SEED, SIZE, Publishing, Workers, eventually, pause, resume
from tests.store_contents import Folded, assert_same, online_file, published, taken

Make = Callable[..., Path]
USERS = 23
NOON = datetime(2025, 3, 1, 12, tzinfo=UTC)
DEFINITIONS = """
from twinbeam import Entity, FeatureView, Source, agg, latest

user = Entity("user", keys={"user_id": "int64"})
buys = Source(
    "buys", fields={"user_id": "int64", "ts": "timestamp(us)", "price": "float64", "kind": "string",
                    "items": "list<string>"},
    event_time="ts", files="data/*.parquet", topic="buys", cutover="2025-03-02T00:00:00Z", encoding="json",
)
totals = FeatureView("totals", entity=user, source=buys, where="kind != 'gift'", select={"eur": "price * 0.92"},
    features=[agg.sum("eur", over=["1h", "30d"]), agg.count(), agg.last_k("eur", k=3), latest("kind")])
parts = FeatureView("parts", entity=user, source=buys, explode="items",
    features=[agg.count(over="7d", by="items"), agg.stddev("price", over="1d")])
"""
SETTINGS = """
[run]
flush = "100ms"
[sources.buys]
partitions = 3
lanes = 2
"""
SCHEMA = pa.schema(
    [
        ("user_id", pa.int64()),
        ("ts", pa.timestamp("us", "UTC")),
        ("price", pa.float64()),
        ("kind", pa.string()),
        ("items", pa.list_(pa.string())),
    ]
)


def event(number: int, begin: datetime) -> dict[str, Any]:
    """One event: some are late, some have no items, some prices add up only if they are added exactly."""
    return {
        "user_id": number * 7 % USERS,
        "ts": begin + timedelta(minutes=number % 900 + number * 7 % 50),
        "price": (1e15 if number % 11 == 0 else -1e15 if number % 11 == 5 else 0.1) * (1 + number % 3),
        "kind": "gift" if number % 5 == 0 else "card",
        "items": ["ink", "pen", "cap"][: number % 4],
    }


def live() -> Iterator[dict[str, Any]]:
    return (event(number, NOON + timedelta(days=2)) for number in count())


def write(folder: Path, files: int, rows: int) -> None:
    (folder / "data").mkdir()
    for file in range(files):
        events = [event(file * rows + row, NOON - timedelta(days=1)) for row in range(rows)]
        pq.write_table(pa.Table.from_pylist(events, SCHEMA), folder / "data" / f"{file:02}.parquet")


@pytest.fixture(params=[SEED], ids=lambda seed: f"TWINBEAM_SOAK_SEED={seed}")
def chance(request: pytest.FixtureRequest) -> random.Random:
    return random.Random(request.param)


@pytest.fixture
def workers() -> Iterator[Workers]:
    with Workers() as started:
        yield started


@pytest.fixture
def folder(project: Make) -> Path:
    return project("shop", DEFINITIONS, SETTINGS)


@pytest.fixture
def platform(folder: Path) -> Iterator[Platform]:
    with Platform.open(folder) as opened:
        opened.apply()
        yield opened


@pytest.fixture
def folded(platform: Platform) -> Iterator[Folded]:
    opened = Folded(platform)
    yield opened
    opened.close()


@pytest.fixture
def compare(platform: Platform, folder: Path, project: Make) -> Callable[[], None]:
    """Ends what is to be done, and compares the stores with those of one undisturbed run over the same logs."""

    def compared() -> None:
        platform.run_stream(until="caught_up")
        assert taken(platform, "buys") == published(platform, "buys")
        path = folder / "store" / "topics.db"
        calm = project("calm", DEFINITIONS, f'{SETTINGS}[stream.sqlite]\npath = "{path}"\n')
        if (folder / "data").exists():
            shutil.copytree(folder / "data", calm / "data")
        with Platform.open(calm) as undisturbed:
            undisturbed.apply()
            if (folder / "data").exists():
                # The numbers of the files, and with them the time at which their rows arrived.
                shutil.copytree(folder / "store/offline/manifests", calm / "store/offline/manifests")
                undisturbed.run_batch()
            undisturbed.run_stream(until="caught_up")
            assert_same(platform, undisturbed, USERS)

    return compared


def let_live(process: BaseProcess, folded: Folded, chance: random.Random) -> None:
    """Waits for the moment of a kill: of any time, or some time into the writing."""
    if chance.random() < 0.4:
        time.sleep(chance.random() * 0.4)
        return
    before = folded.now()
    eventually(lambda: folded.now() > before or not process.is_alive())
    time.sleep(chance.random() * 0.1)


def doomed(chance: random.Random) -> int | None:
    """For some processes: the call to a store around which they are to kill themselves."""
    return chance.randrange(40) if chance.random() < 0.4 else None


def test_a_stream_killed_forty_times_loses_and_doubles_nothing(
    platform: Platform,
    folder: Path,
    workers: Workers,
    chance: random.Random,
    folded: Folded,
    compare: Callable[[], None],
) -> None:
    with Publishing(platform, chance, live()) as publishing:
        for _ in range(40 * SIZE):
            calls = doomed(chance)
            run = workers.start(kill_workers.stream, folder, calls)
            if calls is None:
                let_live(run, folded, chance)
            else:
                run.join(PATIENCE)
            workers.kill(run)
    assert 0 < platform.offline.count("events/buys") <= publishing.sent == published(platform, "buys")
    compare()


def test_a_stale_stream_that_goes_on_beside_its_successor_changes_nothing(
    platform: Platform,
    folder: Path,
    workers: Workers,
    chance: random.Random,
    folded: Folded,
    compare: Callable[[], None],
) -> None:
    said = [folder / "stale.txt", folder / "successor.txt"]
    with Publishing(platform, chance, live()):
        stale = workers.start(kill_workers.stream, folder, None, said[0])
        eventually(lambda: folded.now() > 0)
        time.sleep(chance.random() * 0.3)
        pause(stale, online_file(folder))
        successor = workers.start(kill_workers.stream, folder, None, said[1])
        for _ in range(3 * SIZE):
            before = folded.now()
            eventually(lambda before=before: folded.now() > before + 200)  # type: ignore[misc]
            resume(stale)
            time.sleep(0.5 + chance.random() * 0.5)
            pause(stale, online_file(folder))
        resume(stale)
        time.sleep(1.0)
    workers.end(stale, successor)
    assert all(int(file.read_text()) > 0 for file in said)
    compare()


def test_batch_runs_beside_a_stream_change_nothing(
    platform: Platform,
    folder: Path,
    workers: Workers,
    chance: random.Random,
    folded: Folded,
    compare: Callable[[], None],
) -> None:
    write(folder, 6, 400)
    with Publishing(platform, chance, live()):
        run = workers.start(kill_workers.stream, folder)
        eventually(lambda: folded.now() > 0)
        for _ in range(2 * SIZE):
            workers.wait(*[workers.start(kill_workers.batch, folder) for _ in range(2)])
    workers.end(run)
    assert platform.run_batch().events == 0
    compare()


def test_twin_streams_killed_at_random_are_one(
    platform: Platform,
    folder: Path,
    workers: Workers,
    chance: random.Random,
    folded: Folded,
    compare: Callable[[], None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    def twin(calls: int | None = None) -> BaseProcess:
        return workers.start(kill_workers.stream, folder, calls)

    with Publishing(platform, chance, live()):
        twins = [twin(), twin()]
        eventually(lambda: {run.pid for run in platform.status()} == {run.pid for run in twins})
        assert main(["status", "--project", str(folder)]) == 0
        assert "2 streams are running over buys" in capsys.readouterr().out
        for _ in range(16 * SIZE):
            at = chance.randrange(2)
            let_live(twins[at], folded, chance)
            workers.kill(twins[at])
            twins[at] = twin()
        eventually(lambda: {run.pid for run in twins} <= {run.pid for run in platform.status()})
    workers.end(*twins)
    compare()


def test_a_batch_run_over_twenty_files_killed_at_random_ends_exactly(
    platform: Platform, folder: Path, workers: Workers, chance: random.Random, compare: Callable[[], None]
) -> None:
    write(folder, 20, 500 * SIZE)
    kills = 0
    for attempt in range(12 * SIZE):
        calls = chance.randrange(4) if attempt < 4 else doomed(chance)
        run = workers.start(kill_workers.batch, folder, calls)
        run.join(PATIENCE if calls is not None else 0.1 + chance.random() * 0.5)
        if run.exitcode == 0:
            break
        workers.kill(run)
        kills += 1
    assert kills >= 4
    workers.wait(workers.start(kill_workers.batch, folder))
    assert platform.run_batch().events == 0
    assert platform.offline.count("events/buys") == 10_000 * SIZE
    platform.publish("buys", [event(1, NOON + timedelta(days=2))])
    compare()
