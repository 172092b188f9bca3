"""The heartbeat of runs: who is alive, in slots that are used again; a store in the way never touches the run."""

from __future__ import annotations

import json
import logging
import os
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pipelines.commands.main import main
from pipelines.heartbeat import ENTITY, INTERVAL, KEY, MISSED, SLOTS, Heartbeat, alive_runs, beating
from pipelines.platform import Platform
from serving.stores.base import Slice
from serving.stores.sqlite import SqliteStore
from tests import kill_workers
from tests.kill_workers import Workers, eventually

NOON = 1_770_000_000_000_000
DEFINITIONS = """
from twinbeam import Entity, FeatureView, Source, agg

user = Entity("user", keys={"user_id": "int64"})
buys = Source("buys", fields={"user_id": "int64", "ts": "timestamp(us)"}, event_time="ts", topic="buys",
    encoding="json")
totals = FeatureView("totals", entity=user, source=buys, features=[agg.count()])
"""


@dataclass
class HandClock:
    """A clock that a test sets."""

    time: int = NOON

    def now(self) -> int:
        return self.time

    def elapsed(self) -> int:
        return self.time


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    opened = SqliteStore(tmp_path / "online.db")
    opened.prepare([ENTITY])
    yield opened
    opened.close()


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


def heartbeat(clock: HandClock, run: str, kind: str = "stream", events: int = 0, lag: int | None = None) -> Heartbeat:
    return Heartbeat(run, kind, ["buys"], clock, lambda: (events, lag))


def names(store: SqliteStore, clock: HandClock) -> list[str]:
    return [status.run for status in alive_runs(store, clock.time)]


def slots(store: SqliteStore) -> int:
    return len(store.read(ENTITY, [KEY], [Slice(ENTITY, 0)]).blob)


def test_a_beat_says_what_the_run_does(store: SqliteStore, clock: HandClock) -> None:
    assert alive_runs(store, clock.time) == []
    run = heartbeat(clock, "r", events=12, lag=3)
    clock.time += 1_500_000
    run.beat(store, ended=False)
    (status,) = alive_runs(store, clock.time)
    assert (status.run, status.kind, status.events, status.lag, status.sources) == ("r", "stream", 12, 3, ("buys",))
    assert (status.host, status.pid) == (socket.gethostname(), os.getpid())
    started = datetime.fromtimestamp(NOON / 1e6, UTC)
    assert (status.started, status.beat) == (started, started + timedelta(seconds=1.5))


def test_a_run_is_alive_until_it_ends_or_has_missed_its_beats(store: SqliteStore, clock: HandClock) -> None:
    one, other = heartbeat(clock, "a"), heartbeat(clock, "b", "batch")
    one.beat(store, ended=False)
    other.beat(store, ended=False)
    assert names(store, clock) == ["a", "b"]
    clock.time += MISSED * INTERVAL
    assert names(store, clock) == ["a", "b"]
    one.beat(store, ended=False)
    clock.time += 1
    assert names(store, clock) == ["a"]
    other.beat(store, ended=False)
    one.beat(store, ended=True)
    assert names(store, clock) == ["b"]


def test_slots_are_used_again(store: SqliteStore, clock: HandClock) -> None:
    for number in range(3 * SLOTS):
        run = heartbeat(clock, f"ended {number}")
        run.beat(store, ended=False)
        run.beat(store, ended=True)
        heartbeat(clock, f"killed {number}").beat(store, ended=False)
        clock.time += INTERVAL
    assert slots(store) <= SLOTS
    clock.time += 10 * INTERVAL
    crowd = [heartbeat(clock, str(number)) for number in range(SLOTS + 9)]
    for run in crowd:
        run.beat(store, ended=False)
    assert len(names(store, clock)) == slots(store) == SLOTS + 9


def test_runs_that_took_one_slot_at_once_come_apart(store: SqliteStore, clock: HandClock, tmp_path: Path) -> None:
    """Two runs see the store before the other has written: the second write hides the first, for one beat."""
    first = heartbeat(clock, "same")
    first.beat(store, ended=False)
    empty = SqliteStore(tmp_path / "before.db")
    empty.prepare([ENTITY])
    second = heartbeat(clock, "same again")
    second.beat(empty, ended=False)
    found = empty.read(ENTITY, [KEY], [Slice(ENTITY, 0)])
    second._slot, first._slot = first._slot, int(found.tile[0])
    empty.close()
    second.beat(store, ended=False)
    first.beat(store, ended=False)
    assert names(store, clock) == ["same", "same again"]


def test_a_clock_behind_that_of_the_run_before_still_beats(store: SqliteStore, clock: HandClock) -> None:
    for number in range(SLOTS):
        run = heartbeat(clock, f"before {number}")
        run.beat(store, ended=False)
        run.beat(store, ended=True)
    clock.time -= 3_600_000_000
    run = heartbeat(clock, "behind")
    run.beat(store, ended=False)
    assert names(store, clock) == ["behind"]
    run.beat(store, ended=True)
    assert names(store, clock) == []


def test_a_store_that_cannot_be_written_is_told_once_and_holds_nothing_up(
    clock: HandClock, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipelines.heartbeat.INTERVAL", 1_000)
    (tmp_path / "in the way").write_text("a file, where a folder should be")
    tries = 0

    def closed() -> SqliteStore:
        nonlocal tries
        tries += 1
        return SqliteStore(tmp_path / "in the way" / "online.db")

    with caplog.at_level(logging.WARNING, "twinbeam"), beating(heartbeat(clock, "r"), closed):
        eventually(lambda: tries > 5)
        (tmp_path / "in the way").unlink()
        eventually(lambda: (tmp_path / "in the way" / "online.db").exists())
    (record,) = caplog.records
    assert "in the way" in record.getMessage()
    assert not any(thread.name == "twinbeam-heartbeat" for thread in threading.enumerate())


def test_status_lists_the_runs_and_says_which_streams_are_twins(
    project: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = project("shop", DEFINITIONS)

    def said(*words: str) -> str:
        assert main(["status", "--project", str(folder), *words]) == 0
        return capsys.readouterr().out

    with Platform.open(folder) as platform:
        platform.apply()
        assert said() == "no run is alive\n"
        assert json.loads(said("--json")) == []
        platform.publish("buys", [{"user_id": 1, "ts": "2025-03-01T00:00:00Z"}] * 5)
        with Workers() as workers:
            one = workers.start(kill_workers.stream, folder)
            eventually(lambda: [run.pid for run in platform.status()] == [one.pid])
            assert "streams are running" not in said()
            other = workers.start(kill_workers.stream, folder)
            eventually(lambda: len(platform.status()) == 2)
            shown = said()
            assert "2 runs alive\n" in shown
            assert "2 streams are running over buys" in shown
            runs = json.loads(said("--json"))
            assert {(run["pid"], run["kind"], *run["sources"]) for run in runs} == {
                (one.pid, "stream", "buys"),
                (other.pid, "stream", "buys"),
            }
            eventually(lambda: max(run.events for run in platform.status()) == 5)
            eventually(lambda: {run.lag for run in platform.status()} == {0})
            workers.end(other)
            assert [run.pid for run in platform.status()] == [one.pid]
            workers.end(one)
        assert said() == "no run is alive\n"
        assert platform.run_stream(until="caught_up").events == 0
        assert platform.status() == []
