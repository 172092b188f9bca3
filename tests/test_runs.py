"""Runs end to end: files and topics into both stores; restarts, overlaps, dead letters, signals, blocks catching up."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.brokers.embedded import EmbeddedBroker
from pipelines.platform import Platform
from pipelines.report import RunReport
from schemas.errors import LaneError, RequestError, TwinbeamError
from transforms.evaluate import evaluate

Start = Callable[..., subprocess.Popen[str]]
Make = Callable[..., Path]

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
LATER = datetime(2026, 3, 9, tzinfo=UTC)
PATIENCE = 60.0
SETTINGS = """
[run]
flush = "200ms"
[sources.buys]
partitions = 3
"""
HEAD = """
from twinbeam import Entity, FeatureView, Source, agg, latest

user = Entity("user", keys={"user_id": "int64"})
buys = Source(
    "buys", fields={"user_id": "int64", "ts": "timestamp(us)", "price": "float64", "kind": "string"}, event_time="ts",
    files="data/*.parquet", topic="buys", cutover="2026-03-02T00:00:00Z", encoding="json",
)
"""
TOTALS = """
totals = FeatureView("totals", entity=user, source=buys, where="kind != 'gift'", select={"eur": "price * 0.92"},
    features=[agg.sum("eur", over=["1h", "30d"]), agg.count(), latest("kind")%s])
"""
DEFINITIONS = HEAD + TOTALS % ""
MORE = HEAD + TOTALS % ', agg.last_k("eur", k=3), latest("price"), agg.max("eur", over="30d")'


def buy(number: int, begin: datetime = NOON, **more: Any) -> dict[str, Any]:
    """One event; some are gifts, times are not in order."""
    when = begin + timedelta(minutes=number * 7 % 50 + number)
    kind = "gift" if number % 5 == 0 else "card"
    return {"user_id": number % 7, "ts": when, "price": number / 10, "kind": kind} | more


def old(numbers: Iterable[int], **more: Any) -> list[dict[str, Any]]:
    return [buy(number, **more) for number in numbers]


def new(numbers: Iterable[int], **more: Any) -> list[dict[str, Any]]:
    return [buy(number, datetime(2026, 3, 3, tzinfo=UTC), **more) for number in numbers]


def write(folder: Path, name: str, events: list[dict[str, Any]]) -> None:
    (folder / "data").mkdir(exist_ok=True)
    schema = pa.schema(
        [("user_id", pa.int64()), ("ts", pa.timestamp("us", "UTC")), ("price", pa.float64()), ("kind", pa.string())]
    )
    pq.write_table(pa.Table.from_pylist(events, schema), folder / "data" / name)


@pytest.fixture
def folder(project: Make) -> Path:
    return project("shop", DEFINITIONS, SETTINGS)


@pytest.fixture
def platform(folder: Path) -> Iterator[Platform]:
    with Platform.open(folder) as opened:
        opened.apply()
        yield opened


def counts(report: RunReport) -> tuple[int, int, int, int]:
    return report.events, report.rows, report.skipped, report.dead_letters


def letters(platform: Platform, source: str = "buys") -> list[dict[str, Any]]:
    """Dead letters in the order of lanes and offsets."""
    if not platform.offline.exists(f"dead_letters/{source}"):
        return []
    found: list[dict[str, Any]] = platform.offline.read(f"dead_letters/{source}").to_pylist()
    return sorted(found, key=lambda row: (row["_lane"], row["_offset"], row["view"] or ""))


def places(platform: Platform, table: str) -> list[tuple[str, int, int]]:
    rows = platform.offline.read(table, ["_lane", "_offset", "_part"])
    return sorted(zip(*(rows.column(name).to_pylist() for name in rows.column_names), strict=True))


def check(platform: Platform, events: list[dict[str, Any]]) -> None:
    """Both stores hold exactly the events: served, trained, and evaluated without any of this are equal."""
    stored = platform.offline.tables()
    rows = [name for name in stored if name.startswith("rows/totals")]
    for table in ["events/buys", *rows]:
        found = places(platform, table)
        assert len(found) == len(set(found)), table
    assert platform.offline.count("events/buys") == len(events)
    keys = {"user_id": [*range(8), None]}
    view = platform.registry.views["totals"]
    spine = keys | {"at": [LATER] * 9}
    expected = evaluate(view, {"buys": events}, spine)
    trained = platform.training_set(spine, "totals")
    served = platform.get("totals", keys, now=LATER)
    assert served.to_dict() == {name: values for name, values in expected.to_dict().items() if name != "at"}
    assert trained.to_dict() == expected.to_dict()
    assert served.statuses == trained.statuses == expected.statuses
    assert platform.audit().mismatches == ()


def eventually(what: Callable[[], bool]) -> None:
    until = time.monotonic() + PATIENCE
    while not what():
        assert time.monotonic() < until, "this takes too long"
        time.sleep(0.05)


def stream(start: Start, folder: Path, *words: str) -> subprocess.Popen[str]:
    """A streaming run in a process of its own."""
    command = [sys.executable, "-m", "pipelines.commands.main", "run", "stream", "--project", str(folder), *words]
    here = Path(__file__).parent.parent
    environment = os.environ | {"PYTHONPATH": str(here)}
    return start(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment)


def served(platform: Platform) -> int:
    """Events counted online."""
    answers = platform.get(["totals:count"], {"user_id": list(range(7))}, now="latest")
    return sum(answers.to_dict()["totals:count"])


def wait_for(platform: Platform, least: int) -> None:
    """Waits until at least so many events are counted online."""
    eventually(lambda: served(platform) >= least)


def kept(events: list[dict[str, Any]]) -> int:
    return sum(event["kind"] != "gift" for event in events)


def test_batch_takes_each_file_once(platform: Platform, folder: Path) -> None:
    assert counts(platform.run_batch()) == (0, 0, 0, 0)
    first, second = old(range(30)), old(range(30, 41))
    write(folder, "a.parquet", first)
    report = platform.run_batch()
    assert counts(report) == (30, kept(first), 0, 0)
    assert report.views["totals"].rows == kept(first)
    check(platform, first)
    write(folder, "b.parquet", second)
    assert counts(platform.run_batch()) == (11, kept(second), 0, 0)
    assert counts(platform.run_batch()) == (0, 0, 0, 0)
    check(platform, first + second)


def test_stream_goes_on_where_it_was(platform: Platform) -> None:
    events = new(range(40))
    for begin in range(0, 40, 10):
        lanes = platform.publish("buys", events[begin : begin + 10])
        assert all(lane.startswith("buys/topic-") for lane in lanes)
        report = platform.run_stream(until="caught_up")
        assert report.events == 10
    assert counts(platform.run_stream(until="caught_up")) == (0, 0, 0, 0)
    check(platform, events)


def test_files_and_topic_meet_at_the_cutover(platform: Platform, folder: Path) -> None:
    write(folder, "a.parquet", old(range(20)) + new(range(5)))
    platform.publish("buys", new(range(10)) + old(range(3)))
    assert platform.run_batch().skipped == 5
    assert platform.run_stream(until="caught_up").skipped == 3
    check(platform, old(range(20)) + new(range(10)))


def test_a_stream_ends_after_the_seconds_given(platform: Platform) -> None:
    platform.publish("buys", new(range(10)))
    begun = time.monotonic()
    report = platform.run_stream(until=1.5)
    assert 1.0 < report.seconds <= time.monotonic() - begun
    assert report.events == 10
    check(platform, new(range(10)))


def test_a_stream_takes_what_comes_while_it_runs(platform: Platform, folder: Path) -> None:
    reports: list[RunReport] = []
    with Platform.open(folder) as other:
        run = threading.Thread(target=lambda: reports.append(other.run_stream(until=4.0)))
        run.start()
        for begin in range(0, 30, 10):
            platform.publish("buys", new(range(begin, begin + 10)))
            wait_for(platform, kept(new(range(begin + 10))))
        run.join()
    assert reports[0].events == 30
    check(platform, new(range(30)))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_stream_with_everything_in_both_stores(
    platform: Platform, folder: Path, start: Start, number: signal.Signals
) -> None:
    events = new(range(60))
    platform.publish("buys", events[:20])
    run = stream(start, folder, "--json")
    eventually(lambda: served(platform) == kept(events[:20]))
    platform.publish("buys", events[20:])
    eventually(lambda: served(platform) == kept(events))
    run.send_signal(number)
    out, err = run.communicate(timeout=PATIENCE)
    assert run.returncode == 0, err
    assert json.loads(out)["events"] == 60
    check(platform, events)


def test_killed_in_the_middle_it_goes_on_exactly(platform: Platform, folder: Path, start: Start) -> None:
    events: list[dict[str, Any]] = []
    for round_ in range(3):
        run = stream(start, folder)
        more = new(range(len(events), len(events) + 200))
        for begin in range(0, 200, 20):
            platform.publish("buys", more[begin : begin + 20])
            time.sleep(0.02)
        events += more
        wait_for(platform, kept(events) - 100 * (round_ % 2))
        run.kill()
        run.communicate(timeout=PATIENCE)
    platform.run_stream(until="caught_up")
    check(platform, events)


def test_twins_take_every_event_once(platform: Platform, folder: Path, start: Start) -> None:
    platform.publish("buys", new(range(300)))
    runs = [stream(start, folder) for _ in range(2)]
    eventually(lambda: served(platform) == kept(new(range(300))))
    for begin in range(300, 400, 10):
        platform.publish("buys", new(range(begin, begin + 10)))
    eventually(lambda: served(platform) == kept(new(range(400))))
    eventually(lambda: {status.pid for status in platform.status()} == {run.pid for run in runs})
    for run in runs:
        run.send_signal(signal.SIGTERM)
    for run in runs:
        _, err = run.communicate(timeout=PATIENCE)
        assert run.returncode == 0, err
    check(platform, new(range(400)))


def test_a_batch_run_beside_a_stream_is_harmless(platform: Platform, folder: Path, start: Start) -> None:
    run = stream(start, folder)
    platform.publish("buys", new(range(50)))
    eventually(lambda: served(platform) == kept(new(range(50))))
    write(folder, "a.parquet", old(range(80)))
    platform.run_batch()
    platform.publish("buys", new(range(50, 70)))
    platform.run_batch()
    eventually(lambda: served(platform) == kept(new(range(70))) + kept(old(range(80))))
    run.send_signal(signal.SIGTERM)
    _, err = run.communicate(timeout=PATIENCE)
    assert run.returncode == 0, err
    check(platform, old(range(80)) + new(range(70)))


def test_a_new_block_catches_up_from_history_and_goes_on_live(platform: Platform, folder: Path) -> None:
    write(folder, "a.parquet", old(range(60)))
    platform.run_batch()
    platform.publish("buys", new(range(40)))
    platform.run_stream(until="caught_up")
    rows = platform.offline.count(next(name for name in platform.offline.tables() if name.startswith("rows/")))
    (folder / "data" / "a.parquet").unlink()
    (folder / "features.py").write_text(MORE)
    with Platform.open(folder) as later:
        with pytest.raises(RequestError, match="twinbeam apply"):
            later.run_stream(until="caught_up")
        later.apply()
        with pytest.raises(RequestError, match="filled from history"):
            later.get("totals", {"user_id": [1]})
        assert later.get(["totals:count"], {"user_id": [1]}).to_dict()["totals:count"] == [12]
        later.publish("buys", new(range(40, 55)))
        report = later.run_stream(until="caught_up")
        assert report.events == 15
        assert report.rows == rows + kept(new(range(40, 55)))
        check(later, old(range(60)) + new(range(55)))
        assert later.run_stream(until="caught_up").rows == 0


def test_a_new_block_catches_up_while_a_stream_goes_on(platform: Platform, folder: Path, start: Start) -> None:
    events = new(range(100))
    platform.publish("buys", events)
    run = stream(start, folder)
    eventually(lambda: served(platform) == kept(events))
    (folder / "features.py").write_text(MORE)
    with Platform.open(folder) as later:
        later.apply()
        later.publish("buys", new(range(100, 130)))
        eventually(lambda: served(platform) == kept(new(range(130))))
        later.run_batch()
        later.get("totals", {"user_id": [1]})
        later.publish("buys", new(range(130, 150)))
        eventually(lambda: served(platform) == kept(new(range(150))))
        run.send_signal(signal.SIGTERM)
        _, err = run.communicate(timeout=PATIENCE)
        assert run.returncode == 0, err
        later.run_stream(until="caught_up")
        check(later, new(range(150)))


def test_bad_events_are_dead_letters_and_their_neighbours_go_on(platform: Platform, folder: Path) -> None:
    good = new(range(20))
    platform.publish("buys", good[:10])
    platform.publish("buys", [b"{no json", b'{"user_id": 1, "price": 2.0}', b'{"user_id": "x", "ts": "2026-03-03"}'])
    farther = json.dumps({"user_id": 1, "ts": "9999-12-31T23:59:59.999999Z", "price": 1.0, "kind": "card"}).encode()
    far = json.dumps({"user_id": 1, "ts": "2999-01-01T00:00:00Z", "price": 1.0, "kind": "card"}).encode()
    nobody = json.dumps({"user_id": None, "ts": "2026-03-03T00:00:00Z", "price": 1.0, "kind": "card"}).encode()
    platform.publish("buys", [far, nobody, farther])
    platform.publish("buys", good[10:])
    report = platform.run_stream(until="caught_up")
    assert counts(report) == (21, kept(good), 1, 6)
    found = letters(platform)
    reasons = {row["value"]: row["reason"] for row in found}
    assert len(found) == 6
    assert "no JSON" in reasons[b"{no json"]
    assert "ts: " in reasons[b'{"user_id": 1, "price": 2.0}']
    assert "user_id" in reasons[b'{"user_id": "x", "ts": "2026-03-03"}']
    assert "2999-01-01T00:00:00Z is later than its arrival" in reasons[far]
    assert "max_skew = 1m" in reasons[far]
    assert "9999-12-31T23:59:59.999999Z is later" in reasons[farther]
    assert reasons[nobody] == "no view takes it: a key is null (of user_id)"
    assert {row["view"] for row in found} == {None}
    assert all(row["_lane"].startswith("buys/topic-") and row["_arrival"] > NOON for row in found)
    assert counts(platform.run_stream(until="caught_up")) == (0, 0, 0, 0)
    assert letters(platform) == found
    again = platform.offline.count("events/buys")
    assert again == 21


OTHERS = (
    HEAD
    + """
others = FeatureView("others", entity=user, source=buys, features=[agg.count()])
"""
)
CASTS = (
    OTHERS
    + """
numbers = FeatureView("numbers", entity=user, source=buys, select={"n": "CAST(kind AS BIGINT)"},
    features=[agg.sum("n")])
"""
)


def test_a_row_that_fails_in_one_view_stays_an_event(project: Make) -> None:
    folder = project("casts", CASTS, SETTINGS)
    with Platform.open(folder) as platform:
        platform.apply()
        events = new(range(12), kind="5")
        events[3]["kind"] = events[8]["kind"] = "many"
        platform.publish("buys", events)
        report = platform.run_stream(until="caught_up")
        assert (report.views["numbers"].rows, report.views["numbers"].dead_letters) == (10, 2)
        assert (report.views["others"].rows, report.views["others"].dead_letters) == (12, 0)
        found = letters(platform)
        assert [row["view"] for row in found] == ["numbers", "numbers"]
        assert all(row["reason"].startswith("select n: ") for row in found)
        assert sorted(json.loads(row["value"])["price"] for row in found) == [0.3, 0.8]
        assert platform.offline.count("events/buys") == 12
        write(folder, "a.parquet", old([1, 2], kind="x") + old([3], kind="1"))
        assert platform.run_batch().views["numbers"].dead_letters == 2
        of_files = [row for row in letters(platform) if "/files-" in row["_lane"]]
        assert [json.loads(row["value"])["kind"] for row in of_files] == ["x", "x"]
        assert platform.run_batch().dead_letters == 0
        assert len(letters(platform)) == 4


def test_a_view_added_later_has_its_own_dead_letters(project: Make) -> None:
    folder = project("casts", OTHERS, SETTINGS)
    with Platform.open(folder) as platform:
        platform.apply()
        platform.publish(
            "buys", [*new(range(3), kind="x"), *new(range(4), kind="2"), *new([1], user_id=None, kind="3")]
        )
        assert platform.run_stream(until="caught_up").dead_letters == 1
    (folder / "features.py").write_text(CASTS)
    with Platform.open(folder) as platform:
        platform.apply()
        report = platform.run_batch()
        assert counts(report) == (0, 4, 1, 3)
        assert [row["view"] for row in letters(platform)].count("numbers") == 3
        assert len(letters(platform)) == 4
        assert platform.get("numbers", {"user_id": [0, 1, 2, 3, 4]}, now="latest").to_dict()["numbers:n_sum"] == [
            2,
            2,
            2,
            2,
            None,
        ]


KEYED = (
    HEAD
    + """
shop = Entity("shop", keys={"kind": "string"})
users = FeatureView("users", entity=user, source=buys, features=[agg.count()])
shops = FeatureView("shops", entity=shop, source=buys, features=[agg.count()])
"""
)


def test_a_null_key_is_dead_only_if_no_view_of_the_project_takes_the_event(project: Make) -> None:
    folder = project("keyed", KEYED, SETTINGS)
    with Platform.open(folder) as platform:
        platform.apply()
        nobody = [*new([1], user_id=None), *new([2], kind=None), *new([3], user_id=None, kind=None)]
        platform.publish("buys", new(range(5, 10)) + nobody)
        report = platform.run_stream(views=["users"], until="caught_up")
        assert counts(report) == (8, 6, 2, 1)
        assert json.loads(letters(platform)[0]["value"])["price"] == 0.3
        report = platform.run_stream(until="caught_up")
        assert counts(report) == (0, 6, 2, 0)
        assert len(letters(platform)) == 1
        assert platform.offline.count("events/buys") == 8


def test_late_events_are_counted_by_age(platform: Platform) -> None:
    begin = datetime(2026, 3, 5, tzinfo=UTC)
    ages = [0, 0, 30, 3_000, 0, 50_000, 200_000]
    one = [{"user_id": 1, "ts": begin - timedelta(seconds=age), "price": 1.0, "kind": "card"} for age in ages]
    platform.publish("buys", one)
    report = platform.run_stream(until="caught_up")
    assert report.late == 4
    assert report.late_by_age == {"<1m": 1, "<1h": 1, "<1d": 1, "<7d": 1, "older": 0}


def test_wrong_uses_are_refused(platform: Platform, project: Make) -> None:
    for until in ("caughtup", -1, True):
        with pytest.raises(RequestError, match="caught_up"):
            platform.run_stream(until=until)
    with pytest.raises(RequestError, match=r"'total'.*totals.*Did you mean 'totals'"):
        platform.run_batch(views=["total"])
    with pytest.raises(RequestError, match=r"'buy'.*buys"):
        platform.run_batch(sources=["buy"])
    with pytest.raises(RequestError, match=r"'buy'.*buys"):
        platform.publish("buy", [])
    quiet = project("quiet", DEFINITIONS.replace('topic="buys", cutover="2026-03-02T00:00:00Z", ', ""))
    with Platform.open(quiet) as files_only:
        files_only.apply()
        with pytest.raises(RequestError, match="topic"):
            files_only.run_stream(until="caught_up")
        with pytest.raises(RequestError, match=r"buys.*topic"):
            files_only.publish("buys", new([1]))


def test_a_changed_file_is_named(platform: Platform, folder: Path) -> None:
    write(folder, "a.parquet", old(range(5)))
    platform.run_batch()
    write(folder, "a.parquet", old(range(9)))
    with pytest.raises(LaneError, match=r"a\.parquet"):
        platform.run_batch()


def test_a_definition_that_was_not_applied_does_not_run(folder: Path) -> None:
    with Platform.open(folder) as platform, pytest.raises(RequestError, match=r"totals: .*twinbeam apply"):
        platform.run_batch()


def test_several_lanes_of_files(project: Make) -> None:
    folder = project("lanes", DEFINITIONS, SETTINGS + "lanes = 3\n")
    with Platform.open(folder) as platform:
        platform.apply()
        for number in range(5):
            write(folder, f"{number}.parquet", old(range(number * 10, number * 10 + 10)))
        assert platform.run_batch().events == 50
        lanes = {lane for lane, *_ in places(platform, "events/buys")}
        assert len(lanes) == 3
        for number in range(5, 7):
            write(folder, f"{number}.parquet", old(range(number * 10, number * 10 + 10)))
        assert platform.run_batch().events == 20
        check(platform, old(range(70)))


def test_a_topic_made_again_is_another_lane(platform: Platform) -> None:
    platform.publish("buys", new(range(10)))
    platform.run_stream(until="caught_up")
    assert isinstance(platform.broker, EmbeddedBroker)
    platform.broker.delete("buys")
    platform.broker.create("buys", 2)
    platform.publish("buys", new(range(10, 25)))
    assert platform.run_stream(until="caught_up").events == 15
    check(platform, new(range(25)))


def test_runs_are_logged(platform: Platform, folder: Path) -> None:
    write(folder, "a.parquet", old(range(20)))
    platform.run_batch()
    platform.run_stream(until="caught_up")
    batch, live = sorted(platform.offline.read("runs").to_pylist(), key=lambda row: row["started"])
    assert (batch["kind"], batch["events"], batch["rows"]) == ("batch", 20, kept(old(range(20))))
    assert json.loads(batch["views"])["totals"]["rows"] == batch["rows"]
    assert (live["kind"], live["events"], live["dead_letters"]) == ("stream", 0, 0)
    assert live["started"] >= batch["started"] + timedelta(seconds=batch["seconds"]) - timedelta(seconds=0.1)


def test_a_run_that_fails_says_why_and_the_next_one_goes_on(platform: Platform, folder: Path) -> None:
    write(folder, "a.parquet", old(range(20)))
    platform.run_batch()
    write(folder, "b.parquet", old(range(20, 30)))
    whole = (folder / "data" / "b.parquet").read_bytes()
    (folder / "data" / "b.parquet").write_bytes(whole[:-9] + b"x" * 9)
    with pytest.raises(TwinbeamError, match=r"b\.parquet: cannot be read as Parquet"):
        platform.run_batch()
    check(platform, old(range(20)))
    platform.publish("buys", new(range(10)))
    platform.run_stream(until="caught_up")
    check(platform, old(range(20)) + new(range(10)))
    with pytest.raises(TwinbeamError, match=r"b\.parquet: cannot be read as Parquet"):
        platform.run_batch()
