"""Retrieval rules: which row, which value, which status, in training and in serving."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from pipelines.platform import Platform
from schemas.entity import Entity
from schemas.errors import DefinitionChanged, RequestError
from schemas.feature import agg, latest
from schemas.feature_view import FeatureView
from schemas.service import FeatureService
from schemas.source import Source
from transforms.evaluate import evaluate
from transforms.features import Features

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
MICRO = timedelta(microseconds=1)
HOUR = timedelta(hours=1)

user = Entity("user", keys={"user_id": "int64"})
profiles = Source(
    "profiles",
    fields={
        "user_id": "int64",
        "ts": "timestamp(us)",
        "known": "timestamp(us)",
        "country": "string",
        "score": "float64",
        "op": "string",
    },
    event_time="ts",
    arrival_time="known",
    deleted="op = 'd'",
    files="data/*.parquet",
)
profile = FeatureView(
    "profile",
    entity=user,
    source=profiles,
    ttl="1h",
    features=["country", latest("score", default=-1.0), agg.count(), agg.sum("score", over="1h"), agg.last("country")],
)
first_wins = FeatureView("first_wins", entity=user, source=profiles, ties="first", features=["country"])

SETTINGS = """
project = "p"
definitions = "features.py"
[run]
max_skew = "36525d"
"""

DEFINITIONS = """
from twinbeam import Entity, FeatureView, Source, agg, latest

user = Entity("user", keys={"user_id": "int64"})
profiles = Source(
    "profiles",
    fields={"user_id": "int64", "ts": "timestamp(us)", "known": "timestamp(us)", "country": "string",
            "score": "float64", "op": "string"},
    event_time="ts", arrival_time="known", deleted="op = 'd'", topic="profiles", encoding="json",
)
profile = FeatureView(
    "profile", entity=user, source=profiles, ttl="1h",
    features=["country", latest("score", default=-1.0), agg.count(), agg.sum("score", over="1h"), agg.last("country")],
)
first_wins = FeatureView("first_wins", entity=user, source=profiles, ties="first", features=["country"])
"""

Read = Callable[[Any, list[dict[str, Any]], int | None, datetime], Features]


def event(
    user_id: int | None, at: datetime, country: str | None, score: float | None = 1.0, **more: Any
) -> dict[str, Any]:
    """One event, known as soon as it happened unless said otherwise."""
    return {"user_id": user_id, "ts": at, "known": at, "country": country, "score": score, "op": "u"} | more


def trained(features: Any, events: list[dict[str, Any]], user_id: int | None, at: datetime, **more: Any) -> Features:
    """Features as of one instant, offline."""
    return evaluate(features, {"profiles": events}, {"user_id": [user_id], "t": [at]}, **more)


@pytest.fixture
def served(tmp_path: Path) -> Read:
    """Features as of one instant, online: events published, streamed and read."""

    def read(features: Any, events: list[dict[str, Any]], user_id: int | None, at: datetime) -> Features:
        (tmp_path / "twinbeam.toml").write_text(SETTINGS)
        (tmp_path / "features.py").write_text(DEFINITIONS)
        with Platform.open(tmp_path) as platform:
            platform.apply()
            platform.publish("profiles", events)
            platform.run_stream(until="caught_up")
            name = features.name
            return platform.get([f"{name}:{each}" for each in NAMES[name]], {"user_id": [user_id]}, now=at)

    return read


NAMES = {
    "profile": ["country", "score", "count", "score_sum_1h", "country_last"],
    "first_wins": ["country"],
}


@pytest.fixture(params=["training", "serving"])
def ask(request: pytest.FixtureRequest, served: Read) -> Read:
    """Both ways to ask the same thing."""
    return trained if request.param == "training" else served


def shown(features: Features, address: str) -> tuple[Any, str]:
    """Value and status of the only row."""
    return features.to_dict()[address][0], features.statuses[address][0]


def test_the_newest_row_at_or_before(ask: Read) -> None:
    events = [event(1, NOON - 2 * MICRO, "at"), event(1, NOON - 30 * MICRO, "it")]
    assert shown(ask(profile, events, 1, NOON), "profile:country") == ("at", "PRESENT")


def test_an_equal_time_counts_and_a_microsecond_later_does_not() -> None:
    events = [event(1, NOON - HOUR / 2, "before"), event(1, NOON, "now")]
    assert shown(trained(profile, events, 1, NOON), "profile:country")[0] == "now"
    assert shown(trained(profile, events, 1, NOON - MICRO), "profile:country")[0] == "before"
    assert shown(trained(profile, events, 1, NOON, strict=True), "profile:country")[0] == "before"
    assert shown(trained(profile, events, 1, NOON), "profile:score_sum_1h")[0] == 2.0
    assert shown(trained(profile, events, 1, NOON, strict=True), "profile:score_sum_1h")[0] == 1.0


@pytest.mark.parametrize(("age", "status"), [(HOUR, "PRESENT"), (HOUR + MICRO, "OUTSIDE_MAX_AGE")])
def test_ttl_is_inclusive_at_its_far_end(ask: Read, age: timedelta, status: str) -> None:
    value = "at" if status == "PRESENT" else None
    answer = ask(profile, [event(1, NOON - age, "at")], 1, NOON)
    assert shown(answer, "profile:country") == (value, status)
    assert answer.event_times["profile:country"] == [NOON - age]


def test_ttl_is_inclusive_at_its_near_end(ask: Read) -> None:
    assert shown(ask(profile, [event(1, NOON, "at")], 1, NOON), "profile:country") == ("at", "PRESENT")


def test_spine_order_duplicates_and_expired_rows_are_kept() -> None:
    events = [event(1, NOON, "at"), event(2, NOON, "it")]
    spine = {"user_id": [2, 1, 2, 1, 9], "t": [NOON, NOON + 5 * HOUR, NOON, NOON - MICRO, NOON], "extra": list("abcde")}
    answer = evaluate(profile, {"profiles": events}, spine)
    table = answer.to_dict()
    assert table["extra"] == list("abcde")
    assert table["user_id"] == [2, 1, 2, 1, 9]
    assert table["profile:country"] == ["it", None, "it", None, None]
    expected = ["PRESENT", "OUTSIDE_MAX_AGE", "PRESENT", "NOT_FOUND", "NOT_FOUND"]
    assert answer.statuses["profile:country"] == expected


def test_unknown_and_null_keys_give_nulls(ask: Read) -> None:
    events = [event(1, NOON, "at"), event(None, NOON, "nobody")]
    unknown, null = ask(profile, events, 5, NOON), ask(profile, events, None, NOON)
    assert shown(unknown, "profile:country") == shown(null, "profile:country") == (None, "NOT_FOUND")
    assert shown(unknown, "profile:count") == (0, "PRESENT")
    assert shown(null, "profile:count") == (None, "NOT_FOUND")
    assert shown(unknown, "profile:country_last") == (None, "NOT_FOUND")
    assert shown(unknown, "profile:score_sum_1h") == (None, "NULL_VALUE")
    assert shown(unknown, "profile:score") == shown(null, "profile:score") == (-1.0, "NOT_FOUND")


def test_ties_go_to_the_later_arrival_or_to_the_first(ask: Read) -> None:
    events = [event(1, NOON, "late", known=NOON + MICRO), event(1, NOON, "early")]
    at = NOON + 2 * MICRO
    assert shown(ask(profile, events, 1, at), "profile:country")[0] == "late"
    assert shown(ask(profile, events, 1, at), "profile:country_last")[0] == "late"
    assert shown(ask(first_wins, events, 1, at), "first_wins:country")[0] == "early"


def test_a_late_older_event_does_not_replace_a_newer_value(ask: Read) -> None:
    events = [event(1, NOON, "new"), event(1, NOON - HOUR / 2, "old", known=NOON + HOUR / 4)]
    answer = ask(profile, events, 1, NOON + HOUR / 4)
    assert shown(answer, "profile:country")[0] == shown(answer, "profile:country_last")[0] == "new"
    assert shown(answer, "profile:count")[0] == 2


def test_a_null_value_is_null_value(ask: Read) -> None:
    answer = ask(profile, [event(1, NOON - MICRO, "old"), event(1, NOON, None, None)], 1, NOON)
    assert shown(answer, "profile:country") == (None, "NULL_VALUE")
    assert shown(answer, "profile:score") == (-1.0, "NULL_VALUE")
    assert shown(answer, "profile:country_last") == ("old", "PRESENT")


def test_a_deleted_entity_is_not_found_until_a_newer_row(ask: Read) -> None:
    events = [event(1, NOON, "at"), event(1, NOON + 2 * MICRO, None, None, op="d")]
    gone = ask(profile, events, 1, NOON + 2 * MICRO)
    assert shown(gone, "profile:country") == (None, "NOT_FOUND")
    assert shown(gone, "profile:count") == (1, "PRESENT")
    assert shown(trained(profile, events, 1, NOON + MICRO), "profile:country") == ("at", "PRESENT")
    back = ask(profile, [*events, event(1, NOON + 3 * MICRO, "back")], 1, NOON + 3 * MICRO)
    assert shown(back, "profile:country") == ("back", "PRESENT")


def test_naive_times_are_utc_and_other_zones_are_converted() -> None:
    events = [event(1, NOON, "at")]
    for spine_time in (NOON.replace(tzinfo=None), NOON.astimezone(timezone(timedelta(hours=5)))):
        for at, found in ((spine_time, "at"), (spine_time - MICRO, None)):
            assert shown(trained(profile, events, 1, at), "profile:country")[0] == found
    naive = [event(1, NOON.replace(tzinfo=None), "naive"), event(1, NOON.astimezone(timezone(-HOUR)) + MICRO, "zoned")]
    assert shown(trained(profile, naive, 1, NOON), "profile:country")[0] == "naive"
    assert shown(trained(profile, naive, 1, NOON + MICRO), "profile:country")[0] == "zoned"


def test_milliseconds_and_microseconds_are_kept(ask: Read) -> None:
    at = NOON + timedelta(milliseconds=7, microseconds=123)
    answer = ask(profile, [event(1, at, "at")], 1, at)
    assert answer.event_times["profile:country"] == answer.as_of == [at]


def test_features_come_in_the_order_asked() -> None:
    service = FeatureService("asked", features=["profile:score", first_wins, "profile:country"])
    answer = evaluate([service, profile], {"profiles": [event(1, NOON, "at")]}, {"user_id": [1], "t": [NOON]})
    assert list(answer.to_dict())[:5] == ["user_id", "t", "profile:score", "first_wins:country", "profile:country"]


def test_only_what_had_arrived_is_known_by_arrival() -> None:
    events = [event(1, NOON - 9 * MICRO, "old"), event(1, NOON, "late", known=NOON + HOUR)]
    for at, known, country, count in (
        (NOON, "event", "late", 2),
        (NOON, "arrival", "old", 1),
        (NOON + HOUR, "arrival", "late", 2),
    ):
        answer = trained(profile, events, 1, at, known=known)
        assert (shown(answer, "profile:country")[0], shown(answer, "profile:count")[0]) == (country, count)


def test_frames_of_every_kind_are_spines_and_results() -> None:
    events = {"profiles": [event(1, NOON, "at")]}
    dicts = [{"user_id": 1, "t": NOON}, {"user_id": 2, "t": NOON}]
    expected = evaluate(profile, events, dicts).to_dict()
    for spine in (
        pl.DataFrame(dicts),
        pd.DataFrame(dicts),
        pa.Table.from_pylist(dicts),
        {"user_id": [1, 2], "t": NOON},
    ):
        assert evaluate(profile, events, spine).to_dict() == expected
    answer = evaluate(profile, events, dicts)
    names = ["user_id", "t", "profile__country", "profile__score", "profile__count", "profile__score_sum_1h"]
    assert answer.to_arrow().column_names == [*names, "profile__country_last"]
    assert answer.to_polars().columns == answer.to_pandas().columns.tolist() == answer.to_arrow().column_names
    assert not any(":" in name for name in answer.to_arrow().column_names)


@pytest.mark.parametrize(
    ("spine", "told"),
    [
        ({"user": [1], "t": [NOON]}, "user_id"),
        ({"user_id": ["x"], "t": [NOON]}, "int64"),
        ({"user_id": [1]}, "timestamp"),
        ({"user_id": [1], "t": [NOON], "u": [NOON]}, "t, u"),
        ({"user_id": [1, 2], "t": [NOON, None]}, "row 1"),
        (7, "int"),
    ],
)
def test_a_wrong_spine_is_told_what_is_wrong(spine: Any, told: str) -> None:
    with pytest.raises(RequestError, match=told):
        evaluate(profile, {"profiles": []}, spine)


def test_an_instant_older_than_what_is_folded_is_refused(served: Read) -> None:
    with pytest.raises(RequestError, match=r"user_id=1.*training_set"):
        served(profile, [event(1, NOON, "at")], 1, NOON - MICRO)


def test_another_fingerprint_is_refused(tmp_path: Path) -> None:
    (tmp_path / "twinbeam.toml").write_text(SETTINGS)
    (tmp_path / "features.py").write_text(DEFINITIONS)
    with Platform.open(tmp_path) as platform:
        platform.apply()
        spine = {"user_id": [1], "t": [NOON]}
        fingerprint = platform.training_set(spine, ["profile:country"]).fingerprint
        platform.get(["profile:country"], {"user_id": [1]}, fingerprint=fingerprint)
        with pytest.raises(DefinitionChanged, match="profile:count"):
            platform.get(["profile:count"], {"user_id": [1]}, fingerprint=fingerprint)
