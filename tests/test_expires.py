"""Rows that say when they expire: too old from then on, online and in training sets, by the same rule."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pipelines.platform import Platform
from schemas.errors import DefinitionError
from schemas.feature_view import FeatureView
from schemas.registry import Registry
from serving.deployment import Deployment
from tests.oracle import Feature, answer
from transforms.catalog import Catalog
from transforms.evaluate import evaluate

Make = Callable[..., Path]
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
SEED, USERS = 7, 30
# `numbered` has plain types alone, which are read otherwise than `timed`.
DEFINITIONS = """
from twinbeam import Entity, FeatureView, Source, agg, latest

user = Entity("user", keys={"user_id": "int64"})
offers = Source(
    "offers", topic="offers", encoding="json", event_time="ts", arrival_time="known", deleted="gone",
    fields={"user_id": "int64", "ts": "timestamp", "known": "timestamp", "gone": "bool", "price": "float64",
            "until": "timestamp", "until_us": "int64"},
)
timed = FeatureView(
    "timed", entity=user, source=offers, expires="until",
    features=[latest("price", default=-1.0), agg.count()],
)
numbered = FeatureView("numbered", entity=user, source=offers, expires="until_us", ttl="20m", features=["price"])
first = FeatureView("first", entity=user, source=offers, expires="until_us", ties="first", features=["price", "until"])
"""
ASKED = ["timed:price", "numbered:price", "first:price"]
FEATURES = {
    "timed:price": Feature("latest", ("price",), kind="latest", default=-1.0, expires="until_us"),
    "numbered:price": Feature("latest", ("price",), kind="latest", ttl=20 * 60_000_000, expires="until_us"),
    "first:price": Feature("latest", ("price",), kind="latest", ties="first", expires="until_us"),
}


@pytest.fixture
def views(project: Make) -> list[FeatureView]:
    return list(Registry.load(project("defined", DEFINITIONS) / "features.py").views.values())


def micros(moment: datetime) -> int:
    return (moment - EPOCH) // timedelta(microseconds=1)


def offered(chance: random.Random) -> list[dict[str, Any]]:
    """Offers that expire before they begin, soon, late or never."""
    events = []
    for _ in range(6 * USERS):
        ts = NOON - MINUTE * chance.randrange(30)
        ends = chance.choice([None, ts - MINUTE, ts, ts + MINUTE * chance.randrange(1, 40)])
        known = ts + MINUTE * chance.choice([0, 0, 10])
        price = chance.choice([None, chance.randrange(100) / 4])
        times = {"ts": ts, "known": known, "until": ends, "until_us": None if ends is None else micros(ends)}
        events.append({"user_id": chance.randrange(USERS), "gone": chance.random() < 0.1, "price": price, **times})
    return events


def expected(events: Sequence[dict[str, Any]], asked: Sequence[tuple[int, datetime]], known: str) -> dict[str, Any]:
    rows = [
        {
            **event,
            "_event_time": micros(event["ts"]),
            "_arrival": micros(event["known"]),
            "_deleted": event["gone"],
            "_sequence": None,
            "_lane": "offers/topic-0/0",
            "_offset": offset,
            "_part": 0,
        }
        for offset, event in enumerate(events)
    ]
    found: dict[str, Any] = {}
    for address, feature in FEATURES.items():
        found[address] = [
            answer(feature, [row for row in rows if row["user_id"] == user], micros(at), known=known)
            for user, at in asked
        ]
    return found


def shown(features: Any) -> dict[str, Any]:
    values = features.to_dict()
    return {name: list(zip(values[name], features.statuses[name], strict=True)) for name in ASKED}


@pytest.mark.parametrize("known", ["event", "arrival"])
def test_rows_expire_in_training_sets_as_of_each_instant(views: list[FeatureView], known: str) -> None:
    chance = random.Random(SEED)
    events = offered(chance)
    asked = [(chance.randrange(USERS), NOON + MINUTE * chance.randrange(-30, 40)) for _ in range(400)]
    spine = {"user_id": [user for user, _ in asked], "t": [at for _, at in asked]}
    found = evaluate(views, {"offers": events}, spine, known=known)
    assert shown(found) == expected(events, asked, known)
    for address in ASKED:
        assert {"PRESENT", "OUTSIDE_MAX_AGE", "NOT_FOUND", "NULL_VALUE"} == set(found.statuses[address])


def test_rows_expire_online_as_in_training_sets(project: Make) -> None:
    events = offered(random.Random(SEED))
    with Platform.open(project("shop", DEFINITIONS, '[run]\nmax_skew = "36525d"\n')) as platform:
        platform.apply()
        platform.publish("offers", events)
        platform.run_stream(until="caught_up")
        users = list(range(USERS))
        for later in (0, 5, 19, 40):
            at = NOON + later * MINUTE
            served = platform.get(ASKED, {"user_id": users}, now=at)
            assert shown(served) == expected(events, [(user, at) for user in users], "event")
            trained = platform.training_set({"user_id": users, "t": [at] * USERS}, ASKED)
            assert shown(trained) == shown(served)
            alone = [platform.get(ASKED, {"user_id": [user]}, now=at) for user in users[:5]]
            assert [shown(each)["numbered:price"][0] for each in alone] == shown(served)["numbered:price"][:5]
            # Of another view, read by the general way, too: the time itself expires like the other values.
            ends = platform.get("first:until", {"user_id": users}, now=at).statuses["first:until"]
            assert [status == "OUTSIDE_MAX_AGE" for status in ends] == [
                status == "OUTSIDE_MAX_AGE" for _, status in shown(served)["first:price"]
            ]
        report = platform.audit()
        assert (report.answers > 0, report.mismatches) == (True, ())


def test_a_row_that_expires_hides_what_is_older(views: list[FeatureView]) -> None:
    def event(minutes: int, price: float, ends: datetime | None) -> dict[str, Any]:
        ts = NOON + minutes * MINUTE
        end = None if ends is None else micros(ends)
        return {"user_id": 1, "ts": ts, "known": ts, "gone": False, "price": price, "until": ends, "until_us": end}

    events = [event(0, 1.0, None), event(1, 2.0, NOON + 3 * MINUTE), event(5, 3.0, NOON + 6 * MINUTE)]
    times = [NOON + n * MINUTE for n in range(7)]
    found = shown(evaluate(views, {"offers": events}, {"user_id": [1] * 7, "t": times}))
    old = (None, "OUTSIDE_MAX_AGE")
    assert found["first:price"] == [
        (1.0, "PRESENT"),
        (2.0, "PRESENT"),
        (2.0, "PRESENT"),
        old,
        old,
        (3.0, "PRESENT"),
        old,
    ]


def test_a_feature_that_is_added_later_expires_with_the_others(project: Make) -> None:
    folder = project("shop", DEFINITIONS, '[run]\nmax_skew = "36525d"\n')
    events = offered(random.Random(SEED + 1))
    with Platform.open(folder) as platform:
        platform.apply()
        platform.publish("offers", events)
        platform.run_stream(until="caught_up")
        before = Deployment.load(platform.offline).blocks["numbered"]
    more = DEFINITIONS.replace('ttl="20m", features=["price"]', 'ttl="20m", features=["price", "gone"]')
    (folder / "features.py").write_text(more, encoding="utf-8")
    with Platform.open(folder) as platform:
        (planned,) = platform.plan().views
        assert (planned.state, planned.causes) == ("new block", ("feature added: gone",))
        platform.apply()
        platform.run_stream(until="caught_up")
        old, new = Deployment.load(platform.offline).blocks["numbered"]
        assert old == before[0]
        assert [name for name, _ in new.columns] == ["gone", "until_us"]
        statuses = platform.get("numbered", {"user_id": list(range(USERS))}, now=NOON + 9 * MINUTE).statuses
        expired = {
            name: [status == "OUTSIDE_MAX_AGE" for status in statuses[f"numbered:{name}"]] for name in ("price", "gone")
        }
        assert any(expired["gone"])
        assert expired["gone"] == expired["price"]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ('"untill", features=["price"]', "expires: unknown column 'untill' of source 'offers'. Did you mean 'until'?"),
        ('"price", features=["price"]', "expires: column 'price' is float64: legal are timestamp, and int64"),
        ('7, features=["price"]', "expires must be text"),
        ('"until", features=[agg.count()]', "expires limits the age of latest features, and there are none"),
    ],
)
def test_what_cannot_say_when_a_row_expires_is_refused(project: Make, given: str, told: str) -> None:
    wrong = f'{DEFINITIONS}\nwrong = FeatureView("wrong", entity=user, source=offers, expires={given})\n'
    with Platform.open(project("shop", wrong)) as platform, pytest.raises(DefinitionError, match="wrong") as error:
        platform.plan()
    assert told in str(error.value)


def test_it_is_part_of_what_a_model_was_trained_with(views: list[FeatureView]) -> None:
    catalogs = [Catalog.compile(Registry.of([replace(views[2], expires=name)])) for name in ("until", "until_us", None)]
    assert len({catalog.select("first:price").fingerprint for catalog in catalogs}) == 3
