"""Late events and expiry: a row of any age folds in both stores, and no answer changes when old cells leave one."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pipelines.platform import Platform
from schemas.errors import RequestError
from serving.deployment import Deployment
from transforms.evaluate import evaluate_selection

SIZE = int(os.environ.get("TWINBEAM_SOAK_SIZE", "1"))
SEED = int(os.environ.get("TWINBEAM_SOAK_SEED", "0"))
BEGIN = datetime(2026, 5, 1, tzinfo=UTC)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
USERS = 4
SETTINGS = 'definitions = "features.py"\n[run]\nmax_skew = "36525d"\n[sources.events]\npartitions = 2\n'
TEXT = """
from twinbeam import Entity, FeatureView, Source, agg, latest

user = Entity("user", keys={"k": "int64"})
events = Source("events", fields={"k": "int64", "ts": "timestamp(us)", "x": "float64"}, event_time="ts",
                topic="events", encoding="json")
recent = FeatureView("recent", entity=user, source=events, late="2d", features=[
    agg.sum("x", over=["1h", "24h"], hop="5m"),
    agg.count(over="12h", offset="12h", hop="5m", name="before"),
    agg.last_k("x", k=3, over="24h", hop="5m", name="last3"),
])
ever = FeatureView("ever", entity=user, source=events, late="1h", features=[
    agg.count(), agg.first("x"), "x", agg.max("x", over="90d"),
])
"""
Make = Callable[..., Path]
Event = dict[str, Any]


def made(rng: random.Random, newest: datetime, ages: list[timedelta]) -> list[Event]:
    """Events that are so much older than the newest."""
    return [{"k": rng.randrange(USERS), "ts": newest - age, "x": float(rng.randrange(1000))} for age in ages]


def wanted(platform: Platform, events: list[Event], view: str, now: datetime, known: str = "event") -> dict[str, Any]:
    """What the features of a view are by all events at hand."""
    selection = platform.catalog.select(view)
    spine = {"k": list(range(USERS)), "t": [now] * USERS}
    found = evaluate_selection(platform.catalog, selection, {"events": events}, spine, known, False).to_dict()
    del found["t"]
    return found


def check(platform: Platform, events: list[Event], now: datetime) -> None:
    """Checks both stores."""
    for view in platform.catalog.views:
        right = wanted(platform, events, view, now)
        assert platform.get(view, {"k": list(range(USERS))}, now=now).to_dict() == right
        trained = platform.training_set({"k": list(range(USERS)), "t": [now] * USERS}, view).to_dict()
        del trained["t"]
        assert trained == right


def take(platform: Platform, events: list[Event]) -> Any:
    """Publishes events and runs the stream over them."""
    platform.publish("events", events)
    return platform.run_stream(until="caught_up")


def test_a_row_of_any_age_folds_in_both_stores_and_is_counted(project: Make) -> None:
    rng, folder = random.Random(SEED), project("late", TEXT, SETTINGS.replace("partitions = 2", "partitions = 1"))
    ages = [30 * timedelta(seconds=1), 59 * MINUTE, 23 * HOUR, 6 * DAY, 8 * DAY, 400 * DAY, 9000 * DAY]
    with Platform.open(folder) as platform:
        platform.apply()
        events = made(rng, BEGIN, [timedelta(0)] * 3)
        assert take(platform, events).late == 0
        late = made(rng, BEGIN, [timedelta(0), *rng.sample(ages, len(ages)), timedelta(0)])
        report = take(platform, late)
        assert report.late == len(ages)
        assert report.late_by_age == {"<1m": 1, "<1h": 1, "<1d": 1, "<7d": 1, "older": 3}
        assert "7 late," in str(report).splitlines()[0]
        check(platform, events + late, BEGIN)
        logged = platform.offline.read("runs").sort_by("started").to_pylist()
        assert json.loads(logged[-1]["late_by_age"]) == report.late_by_age
        assert [row["late"] for row in logged] == [0, 7]


def test_expiry_at_any_moment_changes_no_answer(project: Make) -> None:
    rng, folder = random.Random(SEED), project("p", TEXT, SETTINGS)
    events: list[Event] = []
    newest, horizon, removed = BEGIN, BEGIN - 1000 * DAY, 0
    ages = [timedelta(0), 3 * MINUTE, 2 * HOUR, 30 * HOUR, 4 * DAY, 30 * DAY, 200 * DAY]
    platform = Platform.open(folder)
    platform.apply()
    for _ in range(10 * SIZE):
        newest += rng.choice([MINUTE, 5 * HOUR, 3 * DAY])
        more = made(rng, newest, [timedelta(0), *rng.choices(ages, k=rng.randrange(30))])
        take(platform, more)
        events += more
        if rng.random() < 0.3:
            platform.close()
            platform = Platform.open(folder)
        now = newest + rng.choice([timedelta(0), 11 * HOUR, 100 * DAY * (rng.random() < 0.2)])
        check(platform, events, now)
        expired = now + rng.choice([timedelta(0), 1 * DAY])
        removed += platform.expire(now=expired)
        horizon = max(horizon, expired)
        for ago in (timedelta(0), rng.random() * 2 * DAY):
            if (at := max(horizon - ago, newest)) >= horizon - 2 * DAY:
                check_recent(platform, events, at)
        newest = max(newest, horizon - DAY)
    assert removed
    audited = platform.audit()
    assert (audited.mismatches, audited.waiting) == ((), 0)
    platform.close()


def check_recent(platform: Platform, events: list[Event], now: datetime) -> None:
    """Checks what the online store serves of the view that keeps two days more than its windows need."""
    served = platform.get("recent", {"k": list(range(USERS))}, now=now).to_dict()
    assert served == wanted(platform, events, "recent", now)


def test_a_time_for_which_cells_are_gone_is_refused(project: Make) -> None:
    rng, folder = random.Random(SEED), project("p", TEXT, SETTINGS)
    with Platform.open(folder) as platform:
        platform.apply()
        events = made(rng, BEGIN, [rng.random() * 2 * DAY for _ in range(200)])
        take(platform, events)
        keys = {"k": list(range(USERS))}
        before = platform.get("recent", keys, now="latest").to_dict()
        assert platform.expire(now=BEGIN + DAY) == 0
        assert platform.get("recent", keys, now="latest").to_dict() == before
        assert platform.expire(now=BEGIN + 30 * DAY)
        for now in (BEGIN, BEGIN + 27 * DAY, "latest"):
            with pytest.raises(RequestError, match=r"recent:\w+: .* 2026-05-2\d.* expired.*training_set"):
                platform.get("recent", keys, now=now)
        assert platform.get("ever:count", keys, now="latest").to_dict()["ever:count"] == [
            sum(event["k"] == user for event in events) for user in range(USERS)
        ]
        check_recent(platform, events, BEGIN + 28 * DAY)
        late = made(rng, BEGIN, [timedelta(0)] * 50)
        take(platform, late)
        with pytest.raises(RequestError, match="expired"):
            platform.get("recent", keys, now=BEGIN)
        check_recent(platform, events + late, BEGIN + 28 * DAY)
        assert platform.expire(now=BEGIN + 30 * DAY)
        trained = platform.training_set(keys | {"t": [BEGIN] * USERS}, "recent").to_dict()
        del trained["t"]
        assert trained == wanted(platform, events + late, "recent", BEGIN)


def definitions(windows: str) -> str:
    """Definitions with sums over windows that share a hop, and with it a state."""
    start, end = TEXT.index("recent ="), TEXT.index("ever =")
    view = f'recent = FeatureView("recent", entity=user, source=events, late="1h", features=[{windows}])\n'
    return TEXT[:start] + view + TEXT[end:]


DAILY = 'agg.sum("x", over="24h", hop="5m")'
WEEKLY = 'agg.sum("x", over=["24h", "30h"], hop="5m")'


def test_a_longer_window_over_expired_tiles_is_filled_anew(project: Make) -> None:
    rng, folder = random.Random(SEED), project("p", definitions(DAILY), SETTINGS)
    now, keys = datetime.now(UTC) + MINUTE, {"k": list(range(USERS))}
    events = made(rng, now - MINUTE, [rng.random() * 3 * DAY for _ in range(300)])
    with Platform.open(folder) as platform:
        platform.apply()
        take(platform, events)
        assert platform.expire(now=now) > 0
        (old,) = Deployment.load(platform.offline).blocks["recent"]
        check_recent(platform, events, now)
    (folder / "features.py").write_text(definitions(WEEKLY))
    with Platform.open(folder) as platform:
        with pytest.raises(RequestError, match=r"recent:x_sum_30h.*expired.*twinbeam plan"):
            platform.get("recent", keys, now=now)
        assert platform.expire(now=now + DAY) == 0
        (row,) = platform.plan().views
        assert (row.state, row.backfill, row.lost) == ("new block", 300, ())
        platform.apply()
        kept, new = Deployment.load(platform.offline).blocks["recent"]
        assert kept.id == old.id != new.id
        assert platform.plan().views == ()
        day = platform.get("recent:x_sum_24h", keys, now=now).to_dict()
        assert day["recent:x_sum_24h"] == wanted(platform, events, "recent", now)["recent:x_sum_24h"]
        with pytest.raises(RequestError, match=r"recent:x_sum_30h.*filled"):
            platform.get("recent", keys, now=now)
        platform.run_stream(until="caught_up")
        check_recent(platform, events, now)
        late = made(rng, now - MINUTE, [rng.random() * 2 * DAY for _ in range(50)])
        take(platform, late)
        platform.expire(now=now)
        check_recent(platform, events + late, now)
        audited = platform.audit()
        assert (audited.mismatches, audited.waiting) == ((), 0)
    (folder / "features.py").write_text(definitions(DAILY))
    with Platform.open(folder) as platform:
        (row,) = platform.plan().views
        assert (row.state, row.lost) == ("kept", (new.id,))
        platform.apply(accept="state")
        check_recent(platform, events + late, now)


def test_a_longer_window_whose_tiles_are_all_there_keeps_the_state(project: Make) -> None:
    rng, folder = random.Random(SEED), project("p", definitions(DAILY).replace('late="1h"', 'late="2d"'), SETTINGS)
    now = datetime.now(UTC) + MINUTE
    events = made(rng, now - MINUTE, [rng.random() * 9 * DAY for _ in range(300)])
    with Platform.open(folder) as platform:
        platform.apply()
        take(platform, events)
        assert platform.expire(now=now) > 0
    (folder / "features.py").write_text(definitions(WEEKLY).replace('late="1h"', 'late="2d"'))
    with Platform.open(folder) as platform:
        (row,) = platform.plan().views
        assert (row.state, row.backfill) == ("kept", 0)
        platform.apply()
        check_recent(platform, events, now)
