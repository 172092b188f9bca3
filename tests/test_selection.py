"""Selections: what is asked for by which words, in which order, and what is needed besides."""

from __future__ import annotations

from typing import Any

import polars as pl
import pyarrow as pa
import pytest

from schemas.entity import Entity
from schemas.errors import RequestError
from schemas.feature import agg
from schemas.feature_view import FeatureView
from schemas.on_demand import on_demand
from schemas.registry import Registry
from schemas.service import FeatureService
from schemas.source import Source
from transforms.catalog import Catalog
from transforms.selection import Selection

FIELDS = {"user_id": "int64", "ts": "timestamp", "x": "float64", "country": "string", "lon": "float64"}
user = Entity("user", keys={"user_id": "int64"})
cell = Entity(
    "cell", keys={"c": "int64", "user_id": "int64"}, key_from={"c": "CAST(lon AS int64)"}, inputs={"lon": "float64"}
)
buys = Source("buys", fields=FIELDS, event_time="ts", topic="buys")
sums = FeatureView(
    "sums",
    entity=user,
    source=buys,
    features=[agg.sum("x", over="1h"), agg.count(over="1h")],
    derive={"mean": "x_sum_1h / count_1h", "age": "EPOCH(now)"},
)
profile = FeatureView("profile", entity=user, source=buys, features=["country", "x"])
cells = FeatureView("cells", entity=cell, source=buys, features=[agg.count(over="1h", name="n")])
seller = profile.alias("seller", user_id="seller_id")
seller_sums = sums.alias("seller_sums", user_id="seller_id")
shop = cells.alias("shop", lon="shop_lon")


@on_demand(
    inputs=["sums:mean", "seller:x"], request={"amount": "float64"}, returns={"burst": "float64", "twice": "float64"}
)
def burst(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.select(burst=pl.col("amount") / pl.col("sums__mean"), twice=pl.col("seller__x") * 2)


@on_demand(request={"amount": "int64"}, returns={"half": "float64"})
def halves(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.select(half=pl.col("amount") / 2)


fraud = FeatureService("fraud", features=[sums, "profile:country", seller, burst], strict=True)
CATALOG = Catalog.compile(Registry.of([fraud, cells, seller_sums, shop, halves]))


def addresses(selection: Selection) -> list[str]:
    return [output.address for output in selection.outputs]


SUMS = ["sums:x_sum_1h", "sums:count_1h", "sums:mean", "sums:age"]
PROFILE = ["profile:country", "profile:x"]


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("profile:x", ["profile:x"]),
        ("sums", SUMS),
        (sums, SUMS),
        (seller, ["seller:country", "seller:x"]),
        ("seller", ["seller:country", "seller:x"]),
        ("seller:x", ["seller:x"]),
        ("burst", ["burst:burst", "burst:twice"]),
        (burst, ["burst:burst", "burst:twice"]),
        ("burst:twice", ["burst:twice"]),
        (["profile:x", "sums:mean", "profile:x", "profile"], ["profile:x", "sums:mean", "profile:country"]),
        ([profile, sums], [*PROFILE, *SUMS]),
        ("fraud", [*SUMS, "profile:country", "seller:country", "seller:x", "burst:burst", "burst:twice"]),
        (fraud, [*SUMS, "profile:country", "seller:country", "seller:x", "burst:burst", "burst:twice"]),
        (
            [fraud, "profile"],
            [*SUMS, "profile:country", "seller:country", "seller:x", "burst:burst", "burst:twice", "profile:x"],
        ),
    ],
)
def test_what_is_asked_for(asked: Any, expected: list[str]) -> None:
    assert addresses(CATALOG.select(asked)) == expected


def test_what_is_needed_comes_before_what_needs_it() -> None:
    selection = CATALOG.select(["burst:burst", "sums:x_sum_1h", "seller_sums:mean"])
    needed = [output.address for output in selection.needed()]
    assert sorted(needed) == sorted(
        [
            *("burst:burst", "sums:x_sum_1h", "seller_sums:mean", "sums:mean", "seller:x", "sums:count_1h"),
            *("seller_sums:x_sum_1h", "seller_sums:count_1h"),
        ]
    )
    place = needed.index
    assert max(place("sums:x_sum_1h"), place("sums:count_1h")) < place("sums:mean") < place("burst:burst")
    assert max(place("seller_sums:x_sum_1h"), place("seller_sums:count_1h")) < place("seller_sums:mean")
    assert place("seller:x") < place("burst:burst")
    assert [output.address for output in CATALOG.select("sums:age").needed()] == ["sums:age"]


def test_an_alias_need_not_be_among_the_definitions() -> None:
    selection = CATALOG.select(sums.alias("buyer", user_id="buyer_id"))
    assert addresses(selection) == [address.replace("sums", "buyer") for address in SUMS]
    asked = CATALOG.select([sums.alias("buyer", user_id="buyer_id"), "profile:x"])
    assert {output.keys for output in asked.needed()} == {(("user_id", "buyer_id"),), (("user_id", "user_id"),)}


def test_keys_are_the_columns_of_the_spine() -> None:
    def keys(address: str) -> tuple[tuple[str, str], ...]:
        return CATALOG.select(address).outputs[0].keys

    assert keys("profile:x") == (("user_id", "user_id"),)
    assert keys("seller:x") == (("user_id", "seller_id"),)
    assert keys("cells:n") == (("user_id", "user_id"), ("lon", "lon"))
    assert keys("shop:n") == (("user_id", "user_id"), ("lon", "shop_lon"))
    assert keys("burst:burst") == ()


def test_requests_are_those_of_the_functions() -> None:
    assert CATALOG.select("fraud").request == {"amount": pa.float64()}
    assert CATALOG.select("sums").request == {}
    with pytest.raises(RequestError, match="request column 'amount'"):
        CATALOG.select(["burst", "halves"])


def test_only_a_service_alone_is_strict() -> None:
    assert (CATALOG.select("fraud").strict, CATALOG.select("fraud").service) == (True, "fraud")
    assert (CATALOG.select(["fraud", "sums"]).strict, CATALOG.select("sums").service) == (False, "")


def test_fingerprints_are_of_what_is_asked_for_and_how() -> None:
    prints = {
        CATALOG.select(asked).fingerprint for asked in ("sums", "profile", "seller", ["profile:x", "profile:country"])
    }
    assert len(prints) == 4
    assert CATALOG.select("profile").fingerprint == CATALOG.select(["profile:country", profile]).fingerprint


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (
            "sumz",
            "there is no view, alias, on-demand function, encoding or service 'sumz'; there are .*Did you mean 'sums'?",
        ),
        ("sumz:mean", "'sumz'.*Did you mean 'sums'?"),
        ("sums:mena", "sums has no feature 'mena'; it has x_sum_1h, count_1h, mean, age.*Did you mean 'mean'?"),
        ("seller:lon", "seller has no feature 'lon'"),
        ("burst:brust", "Did you mean 'burst'?"),
        (["profile:x", 3], "3 is a int; give a service, a view, or view:feature addresses"),
        ([], "nothing is asked for"),
        (None, "None is a NoneType"),
    ],
)
def test_what_is_not_there_is_told(asked: Any, told: str) -> None:
    with pytest.raises(RequestError, match=told.replace("?", r"\?")):
        CATALOG.select(asked)
