"""Reads again: answers that are remembered are those that would be found, and plain results are what Arrow says."""

from __future__ import annotations

import pickle
import random
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from pipelines.platform import Platform
from schemas.errors import RequestError
from transforms import sql

SETTINGS = """
project = "p"
definitions = "features.py"
[run]
max_skew = "36525d"
"""
DEFINITIONS = """
from twinbeam import Entity, FeatureService, FeatureView, Source, agg, latest

user = Entity("user", keys={"user_id": "int64"})
buys = Source(
    "buys", fields={"user_id": "int64", "ts": "timestamp(us)", "price": "float64", "kind": "string"},
    event_time="ts", topic="buys", encoding="json",
)
bought = FeatureView(
    "bought", entity=user, source=buys,
    features=[
        agg.count(over=["1h", "24h"]), agg.sum("price", over=["1h", "24h", "7d"]), agg.mean("price", over="1h"),
        agg.max("price", over=["1h", "24h"]), agg.min("price", default=-1.0, over="1h"), agg.count(),
        agg.count(over="1h", offset="1h"), agg.sum("price"), agg.unique_count("kind", over="24h"),
        "price", latest("kind", default="none"),
    ],
)
three = agg.last_k("price", k=3, over="24h")
lists = FeatureView(
    "lists", entity=user, source=buys,
    features=[
        three, agg.count(over="1h", where="price > 10", name="dear_{window}"), agg.last_k(["price", "kind"], k=2),
        agg.sum("price", by="kind"), agg.last_k("price", k=2, by="kind", over="24h"), agg.histogram("kind", k=2),
    ],
    derive={"twice": "dear_1h * 2", "late": "now > TIMESTAMP '2026-03-01 12:04:00'", "one": "1"},
)
seller = bought.alias("seller", user_id="seller_id")
both = FeatureService("both", features=[bought, seller, lists])
"""
START = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
ONLY = ["bought", "lists"]


@pytest.fixture
def platform(tmp_path: Path) -> Iterator[Platform]:
    (tmp_path / "twinbeam.toml").write_text(SETTINGS)
    (tmp_path / "features.py").write_text(DEFINITIONS)
    with Platform.open(tmp_path) as opened:
        opened.apply()
        yield opened


def events(rng: random.Random, count: int, newest: datetime) -> list[dict[str, Any]]:
    return [
        {
            "user_id": rng.randrange(6),
            "ts": newest - rng.choice([0, 1, 1, 30]) * HOUR * rng.random(),
            "price": rng.choice([None, round(rng.random() * 100, 2), 0.0, -1e300, 5e-324]),
            "kind": rng.choice([None, "a", "b"]),
        }
        for _ in range(count)
    ]


def told(features: Any) -> tuple[Any, ...]:
    return repr(features.to_dict()), features.statuses, features.event_times, features.as_of


def test_a_read_again_is_the_read_of_a_newcomer(platform: Platform, tmp_path: Path) -> None:
    rng, now = random.Random(5), START
    keys: dict[str, list[Any]] = {
        "user_id": [3, 0, None, 1, 3, 77, 5, 2, 4],
        "seller_id": [1, 1, 0, None, 3, 4, 88, 0, 2],
    }
    for step in range(5):
        if step != 2:
            platform.publish("buys", events(rng, 12, now))
            platform.run_stream(until="caught_up")
        for later in (timedelta(0), timedelta(0), timedelta(minutes=4), 2 * HOUR):
            moment = now + later
            spine = keys | {"t": [moment] * 9}
            with Platform.open(tmp_path) as newcomer:
                fresh, trained = newcomer.get("both", keys, now=moment), newcomer.training_set(spine, "both")
            again = platform.get("both", keys, now=moment)
            assert told(again) == told(fresh), (step, later)
            expected = {name: values for name, values in trained.to_dict().items() if name != "t"}
            assert repr(again.to_dict()) == repr(expected)
            assert again.statuses == trained.statuses
            alone = platform.get("bought", {"user_id": [3, 5, 77, 3]}, now=moment)
            of_both = {name: [values[at] for at in (0, 6, 5, 4)] for name, values in fresh.to_dict().items()}
            assert repr(alone.to_dict()) == repr({name: of_both[name] for name in alone.to_dict()})
        now += rng.choice([timedelta(minutes=3), HOUR])
    assert platform.audit().mismatches == ()


def test_sql_is_compiled_when_a_read_is_planned(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    platform.publish("buys", events(random.Random(4), 20, START))
    platform.run_stream(until="caught_up")
    reader, parsed = platform.reader("lists"), []
    monkeypatch.setattr(sql, "parse", lambda text: parsed.append(text))
    for keys in ([1], [1, 2], [0, 3, 4, 5]):
        reader.get({"user_id": keys}, now=START)
    assert parsed == []


def test_newest_is_the_newest_event_however_often_it_is_asked(platform: Platform) -> None:
    platform.publish("buys", [{"user_id": 1, "ts": START, "price": 1.5, "kind": "a"}])
    platform.run_stream(until="caught_up")
    for _ in range(3):
        answer = platform.get("bought", {"user_id": [1, 2]}, now="latest")
        assert answer.as_of == [START, None]
        assert answer.to_dict()["bought:price_sum_1h"] == [1.5, None]
        later = platform.get("bought", {"user_id": 1}, now=START + 3 * HOUR)
        assert later.to_dict()["bought:price_sum_1h"] == [None]
        assert later.to_dict()["bought:price_min_1h"] == [-1.0]
        with pytest.raises(RequestError, match=r"user_id=1.*training_set"):
            platform.get("bought", {"user_id": [2, 1]}, now=START - timedelta(microseconds=1))


def test_plain_results_are_what_arrow_says(platform: Platform) -> None:
    platform.publish("buys", events(random.Random(1), 30, START))
    platform.run_stream(until="caught_up")
    keys = [0, 3, 99, None]
    plain = platform.get(ONLY, {"user_id": keys}, now=START)
    table = pa.table({"user_id": pa.array(keys, pa.int64())})
    arrow = platform.get(ONLY, table, now=START)
    assert told(plain) == told(arrow)
    assert plain.to_arrow().equals(arrow.to_arrow(), check_metadata=True)
    assert plain.to_polars().equals(arrow.to_polars())
    copied = pickle.loads(pickle.dumps(plain))
    assert told(copied) == told(plain)
    assert (len(plain), plain.fingerprint, plain.names) == (4, arrow.fingerprint, arrow.names)
    changed = plain.to_dict()
    for values in changed.values():
        for value in values:
            if isinstance(value, list | dict):
                value.clear()
        values.append(7)
    assert told(plain) == told(arrow)
    assert told(platform.get(ONLY, {"user_id": keys}, now=START)) == told(arrow)
    for given in ([{"user_id": key} for key in keys], {"user_id": tuple(keys)}):
        assert told(platform.get(ONLY, given, now=START)) == told(arrow)
    assert platform.get(ONLY, {"user_id": 3}, now=START).to_dict()["user_id"] == [3]
    none = platform.get(ONLY, {"user_id": []}, now=START)
    assert (len(none), none.to_dict()["bought:count"], none.statuses["bought:price"]) == (0, [], [])


@pytest.mark.parametrize(
    "keys", [{"user_id": ["x"]}, {"user": [1]}, {"user_id": [2**63]}, {"user_id": [1], "x": []}, 7]
)
def test_wrong_keys_are_told_the_same_after_a_good_read(platform: Platform, keys: Any) -> None:
    reader = platform.reader("bought")
    with pytest.raises(RequestError) as first:
        reader.get(keys)
    reader.get({"user_id": [1]})
    with pytest.raises(RequestError) as second:
        platform.get("bought", keys)
    assert str(first.value) == str(second.value)
    assert "keys" in str(first.value)


def test_what_a_user_changes_afterwards_is_not_logged(platform: Platform) -> None:
    platform.publish("buys", events(random.Random(2), 20, START))
    platform.run_stream(until="caught_up")
    keys = [1, 2, 3]
    answer = platform.get("bought", {"user_id": keys}, now=START)
    keys[:] = [4, 5, 6]
    answer.to_dict()["user_id"].clear()
    report = platform.audit()
    assert (report.answers, report.mismatches) == (1, ())
    assert report.values == 3 * len(answer.statuses)


def test_a_reader_follows_what_is_applied(platform: Platform, tmp_path: Path) -> None:
    platform.publish("buys", [{"user_id": 1, "ts": START, "price": 1.5, "kind": "a"}])
    platform.run_stream(until="caught_up")
    reader = platform.reader(["bought:price_sum_1h"])
    assert reader is platform.reader(["bought:price_sum_1h"])
    assert reader.get({"user_id": [1]}, now=START).to_dict()["bought:price_sum_1h"] == [1.5]
    platform.apply()
    assert reader is not platform.reader(["bought:price_sum_1h"])
    assert reader.get({"user_id": [1]}, now=START).to_dict()["bought:price_sum_1h"] == [1.5]
    with pytest.raises(RequestError, match="no feature"):
        platform.reader("bought:nothing")


def test_threads_share_a_reader(platform: Platform) -> None:
    platform.publish("buys", events(random.Random(3), 60, START))
    platform.run_stream(until="caught_up")
    reader = platform.reader("both")
    keys = {"user_id": [0, 1, 2, 3], "seller_id": [4, 5, 0, 1]}
    expected = told(reader.get(keys, now=START))
    found: list[tuple[Any, ...]] = []

    def ask() -> None:
        for _ in range(20):
            found.append(told(reader.get(keys, now=START)))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [expected] * 80
