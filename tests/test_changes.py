"""Changed definitions over live data: what keeps its state, what is filled anew, and that the numbers are exact."""

from __future__ import annotations

import json
import random
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from deltalake import DeltaTable

from pipelines.platform import Platform
from schemas.errors import LaneError, RequestError
from transforms.evaluate import evaluate_selection

START = datetime(2026, 5, 1, tzinfo=UTC)
SETTINGS = 'project = "p"\ndefinitions = "features.py"\n[run]\nmax_skew = "36525d"\n'
TEXT = """
from twinbeam import Entity, FeatureView, Source, agg

RATE = 2.0

user = Entity("user", keys={"k": "int64"})
events = Source("events", fields={"k": "int64", "ts": "timestamp(us)", "x": "float64"}, event_time="ts",
                topic="events", encoding="json")
totals = FeatureView("totals", entity=user, source=events, select={"y": "x * 2"}, features=[
    agg.sum("y", over=["1h"]),
    agg.count(over="24h"),
])
"""


@pytest.fixture
def happened() -> list[dict[str, Any]]:
    """Events of some users over some days, in no order."""
    rng = random.Random(7)
    return [
        {"k": rng.randrange(5), "ts": START + timedelta(seconds=rng.randrange(5 * 86400)), "x": rng.random()}
        for _ in range(400)
    ]


def opened(folder: Path, text: str) -> Platform:
    """The project with these definitions."""
    (folder / "twinbeam.toml").write_text(SETTINGS)
    (folder / "features.py").write_text(text)
    return Platform.open(folder)


def expect(platform: Platform, events: list[dict[str, Any]], view: str) -> dict[str, list[Any]]:
    """Checks that served values are those of the events at hand, and gives them."""
    end = START + timedelta(days=5)
    keys = {"k": list(range(6))}
    selection = platform.catalog.select(view)
    spine = keys | {"t": [end] * 6}
    wanted = evaluate_selection(platform.catalog, selection, {"events": events}, spine, "event", False).to_dict()
    served = platform.get(view, keys, now=end).to_dict()
    trained = platform.training_set(spine, view).to_dict()
    del wanted["t"], trained["t"]
    assert served == wanted
    assert trained == wanted
    return served


def only(plan: Any) -> Any:
    """The plan's only row."""
    (row,) = plan.views
    return row


def test_a_window_beside_others_keeps_the_state(tmp_path: Path, happened: list[dict[str, Any]]) -> None:
    with opened(tmp_path, TEXT) as platform:
        platform.apply()
        platform.publish("events", happened)
        platform.run_stream(until="caught_up")
        expect(platform, happened, "totals")
    with opened(tmp_path, TEXT.replace('over=["1h"]', 'over=["1h", "60m"], name="y_{window}"')) as platform:
        row = only(platform.plan())
        assert (row.state, row.backfill) == ("kept", 0)
        platform.apply()
        expect(platform, happened, "totals")


def test_a_new_feature_fills_its_own_block_only(tmp_path: Path, happened: list[dict[str, Any]]) -> None:
    with opened(tmp_path, TEXT) as platform:
        platform.apply()
        platform.publish("events", happened[:200])
        platform.run_stream(until="caught_up")
    with opened(tmp_path, TEXT.replace("agg.count(over", 'agg.max("x", over="24h"),\n    agg.count(over')) as platform:
        row = only(platform.plan())
        assert (row.state, row.backfill) == ("new block", 200)
        platform.apply()
        expect_kept = platform.get("totals:count_24h", {"k": [1]}, now=START + timedelta(days=5))
        assert expect_kept.statuses["totals:count_24h"] == ["PRESENT"]
        with pytest.raises(RequestError, match=r"totals:x_max_24h.*filled"):
            platform.get("totals:x_max_24h", {"k": [1]})
        platform.publish("events", happened[200:])
        report = platform.run_stream(until="caught_up")
        assert report.events == 200
        expect(platform, happened, "totals")
        assert platform.offline.count("events/events") == 400
        assert platform.audit().mismatches == ()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("x * 2", "x * 3"),
        ('select={"y": "x * 2"}', 'where="x > 0.5", select={"y": "x * 2"}'),
        ('topic="events"', 'topic="events", sequence="k"'),
    ],
)
def test_changed_rows_start_anew_and_never_read_old_state(
    tmp_path: Path, happened: list[dict[str, Any]], old: str, new: str
) -> None:
    with opened(tmp_path, TEXT) as platform:
        platform.apply()
        platform.publish("events", happened)
        platform.run_stream(until="caught_up")
        before = expect(platform, happened, "totals")
    with opened(tmp_path, TEXT.replace(old, new)) as platform:
        row = only(platform.plan())
        assert row.state == "new"
        with pytest.raises(RequestError, match="apply"):
            platform.run_stream(until="caught_up")
        with pytest.raises(RequestError, match="state"):
            platform.apply()
        platform.apply(accept="state")
        with pytest.raises(RequestError, match="filled"):
            platform.get("totals", {"k": [1]})
        platform.run_stream(until="caught_up")
        after = expect(platform, happened, "totals")
        assert after != before or "sequence" in new


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("features=[\n    agg.sum", 'description="new words", owner="me", tags={"a": "b"}, features=[agg.sum'),
        ("x * 2", "x  *  2 -- doubled"),
        ("RATE = 2.0", "RATE = 3.0  # nothing reads it"),
        ('topic="events"', 'topic="renamed"'),
        ('topic="events"', 'files="history/**/*.csv"'),
        ("1h", "60m"),
    ],
)
def test_what_changes_no_number_changes_no_state(tmp_path: Path, old: str, new: str) -> None:
    assert old in TEXT
    with opened(tmp_path, TEXT) as platform:
        platform.apply()
        before = platform.catalog.views["totals"]
    with opened(tmp_path, TEXT.replace(old, new)) as platform:
        after = platform.catalog.views["totals"]
        assert [f.fingerprint for f in after.features] == [f.fingerprint for f in before.features]
        assert not platform.plan().discards
        assert {row.state for row in platform.plan().views} <= {"kept"}


def test_a_constant_that_a_transform_reaches_is_part_of_the_rows(tmp_path: Path) -> None:
    function = "RATE = 2.0\n\ndef rate():\n    return RATE\n\ndef more(frame):\n"
    function += "    return frame.with_columns(z=frame['x'] * rate())\n"
    text = TEXT.replace("RATE = 2.0\n", function)
    text = text.replace('select={"y": "x * 2"}', 'transform=more, returns={"z": "float64"}, select={"y": "z"}')
    with opened(tmp_path, text) as platform:
        platform.apply()
    with opened(tmp_path, text.replace("RATE = 2.0", "RATE = 2.5")) as platform:
        assert only(platform.plan()).state == "new"


def test_a_count_is_the_same_zero_everywhere(tmp_path: Path, happened: list[dict[str, Any]]) -> None:
    text = TEXT.replace("source=events,", 'source=events, late="1h",')
    with opened(tmp_path, text) as platform:
        platform.apply()
        platform.publish("events", happened)
        platform.run_stream(until="caught_up")
        late = START + timedelta(days=60)
        asked = ["totals:count_24h"]
        seen, never = {"k": [1]}, {"k": [99]}
        answers = [platform.get(asked, seen, now=late), platform.get(asked, never, now=late)]
        assert platform.expire(now=late) > 0
        answers += [platform.get(asked, seen, now=late), platform.get(asked, never, now=late)]
        answers += [platform.training_set(keys | {"t": [late]}, asked) for keys in (seen, never)]
        for answer in answers:
            assert (answer.to_dict()[asked[0]], answer.statuses[asked[0]]) == ([0], ["PRESENT"])
        assert platform.audit().mismatches == ()


def test_a_future_event_is_served_and_audited_alike(tmp_path: Path) -> None:
    now = datetime.now(UTC)
    ahead = now + timedelta(seconds=40)
    with opened(tmp_path, TEXT) as platform:
        platform.apply()
        platform.publish("events", [{"k": 1, "ts": now, "x": 1.0}, {"k": 1, "ts": ahead, "x": 2.0}])
        platform.run_stream(until="caught_up")
        answer = platform.get("totals", {"k": [1, 2]})
        assert answer.as_of[0] == ahead
        assert answer.to_dict()["totals:y_sum_1h"] == [6.0, None]
        report = platform.audit()
        assert (report.answers, report.values, report.mismatches) == (1, 4, ())


def test_an_audit_finds_a_value_that_the_rows_do_not_give(tmp_path: Path, happened: list[dict[str, Any]]) -> None:
    with opened(tmp_path, TEXT) as platform:
        platform.apply()
        platform.publish("events", happened)
        platform.run_stream(until="caught_up")
        platform.get("totals", {"k": [1]}, now=START + timedelta(days=5))
        platform.audit()
        assert platform.audit().mismatches == ()
        view = platform.catalog.views["totals"]
        rows = DeltaTable(tmp_path / "store/offline/rows/totals" / view.rows_fingerprint)
        rows.update(updates={"y": "y + 1"}, predicate="k = 1")
    with opened(tmp_path, TEXT) as platform:
        report = platform.audit()
        assert {mismatch.address for mismatch in report.mismatches} == {"totals:y_sum_1h"}
        assert "k=1" in report.mismatches[0].keys


def test_changed_files_are_refused_until_they_are_read_anew(tmp_path: Path, happened: list[dict[str, Any]]) -> None:
    text = TEXT.replace('topic="events"', 'files="data/*.jsonl", topic="events", cutover="2026-05-03T00:00:00Z"')
    cut = START + timedelta(days=2)
    old = [event for event in happened if event["ts"] < cut]
    new = [event for event in happened if event["ts"] >= cut]

    def write(path: Path, events: list[dict[str, Any]]) -> None:
        path.write_text("".join(json.dumps(event | {"ts": event["ts"].isoformat()}) + "\n" for event in events))

    (tmp_path / "data").mkdir()
    write(tmp_path / "data/0.jsonl", old[:50])
    write(tmp_path / "data/1.jsonl", old[50:])
    with opened(tmp_path, text) as platform:
        platform.apply()
        platform.publish("events", new)
        platform.run_batch()
        platform.run_stream(until="caught_up")
        expect(platform, happened, "totals")
        write(tmp_path / "data/1.jsonl", old[60:])
        with pytest.raises(LaneError, match=r"1\.jsonl.*--rebuild"):
            platform.run_batch()
        platform.rebuild()
        with pytest.raises(RequestError, match="filled"):
            platform.get("totals", {"k": [1]})
        platform.run_batch()
        expect(platform, old[:50] + old[60:] + new, "totals")
        report = platform.audit()
        assert (report.mismatches, report.answers, report.skipped) == ((), 1, 1)


def test_an_audit_sees_that_the_online_store_has_lost_a_cell(tmp_path: Path, happened: list[dict[str, Any]]) -> None:
    with opened(tmp_path, TEXT) as platform:
        platform.apply()
        platform.publish("events", happened)
        platform.run_stream(until="caught_up")
    with closing(sqlite3.connect(tmp_path / "store/online.db")) as store:
        (newest,) = store.execute("select max(tile) from cells_user").fetchone()
        assert store.execute("delete from cells_user where tile > ?", (newest - 86_400_000_000,)).rowcount
        store.commit()
    with opened(tmp_path, TEXT) as platform:
        answer = platform.get("totals:count_24h", {"k": list(range(5))}, now=START + timedelta(days=5))
        assert 0 in answer.to_dict()["totals:count_24h"]
        assert platform.audit().mismatches
