"""Definitions: names of features, places, fields of sources, roles, on-demand functions."""

from __future__ import annotations

import inspect
import json
import pickle
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from schemas.entity import Entity
from schemas.feature import Agg, Aggregation, agg, latest
from schemas.feature_view import FeatureView
from schemas.on_demand import OnDemand, on_demand
from schemas.service import FeatureService
from schemas.source import Source
from schemas.state import OPERATIONS

user = Entity("user", keys={"user_id": "int64"})
buys = Source(
    "buys",
    fields={"user_id": "int64", "ts": "timestamp(ms)", "price": "float64", "n": "uint32", "kind": "string"},
    event_time="ts",
    files=["a/*.parquet", "b/*.csv"],
    topic="buys",
    cutover="2026-12-01T01:00:00+01:00",
)


@pytest.mark.parametrize(
    ("feature", "names"),
    [
        (agg.sum("price", over="1h"), ["price_sum_1h"]),
        (agg.sum("price", over=["1h", "24h", "1d"]), ["price_sum_1h", "price_sum_24h", "price_sum_1d"]),
        (agg.count(over="24h"), ["count_24h"]),
        (agg.count("price"), ["price_count"]),
        (agg.count(over="24h", offset="24h"), ["count_24h_offset_24h"]),
        (agg.count(over="24h", offset="24h", by="kind"), ["count_24h_offset_24h_by_kind"]),
        (agg.count(), ["count"]),
        (agg.last_k("price", k=10), ["price_last_k10"]),
        (agg.last_k(["price", "kind"], k=10, over="7d"), ["price_kind_last_k10_7d"]),
        (agg.first(["price", "kind"]), ["price_kind_first"]),
        (agg.histogram("kind"), ["kind_histogram"]),
        (agg.histogram("kind", k=3), ["kind_histogram3"]),
        (agg.bounded_unique_count("kind", k=50, over="1h"), ["kind_bounded_unique_count50_1h"]),
        (agg.top_k("price", k=2, by="kind"), ["price_top_k2_by_kind"]),
        (agg.approx_percentile("price", q=[0.5, 0.9], over="60m"), ["price_approx_percentile_60m"]),
        (agg.approx_count_distinct("kind", p=14), ["kind_approx_count_distinct"]),
        (agg.count(over=["1h", "1d"], where="price > 5", name="big_{window}"), ["big_1h", "big_1d"]),
        (agg.count(over="1h", name="big"), ["big"]),
        (agg.mean("price", name="usual"), ["usual"]),
    ],
)
def test_names_of_features(feature: Aggregation, names: list[str]) -> None:
    assert [name for name, _ in feature.expand()] == names
    assert [window for _, window in feature.expand()] == list(feature.over or (None,))


def test_every_operation_has_a_signature_and_a_caption() -> None:
    for operation in OPERATIONS:
        method = getattr(Agg, operation)
        own = {name: "x" for name in ("k", "q") if name in inspect.signature(method).parameters}
        made = getattr(agg, operation)("price", over="1h", **own)
        assert (made.operation, made.columns, made.over) == (operation, ("price",), ("1h",))
        assert method.__doc__
        shared = {"over", "offset", "hop", "by", "where", "limit", "name", "default", "description"}
        assert shared <= set(inspect.signature(method).parameters)


def test_options_of_aggregates_are_kept() -> None:
    made = agg.approx_percentile(
        "price", q=[0.5, 0.9], error=0.02, over="1d", offset="1h", hop="1h", by="kind", where="price > 0",
        limit=50, name="p", default=1.5, description="why",
    )  # fmt: skip
    assert made.params == (("error", 0.02), ("q", (0.5, 0.9)))
    assert (made.offset, made.hop, made.by, made.where) == ("1h", "1h", "kind", "price > 0")
    assert (made.limit, made.name, made.default, made.description) == (50, "p", 1.5, "why")
    assert (made.param("q"), made.param("k", 7)) == ((0.5, 0.9), 7)
    assert agg.last("price", keep_null=True).keep_null
    assert agg.histogram("price").params == ()
    assert agg.variance("price").params == (("ddof", 1),)


def test_an_unknown_operation_says_which_are_legal() -> None:
    with pytest.raises(AttributeError, match=r"agg has no operation 'lastk'. Did you mean 'last_k'\? Legal are count,"):
        _ = agg.lastk


def test_names_of_a_view_are_in_the_order_of_its_answer() -> None:
    view = FeatureView(
        "v", entity=user, source=buys, derive={"z": "1", "a": "2"},
        features=["kind", agg.count(over=["1h", "2h"]), latest("price", name="cost", default=0.0)],
    )  # fmt: skip
    assert view.feature_names == ("kind", "count_1h", "count_2h", "cost", "z", "a")
    assert [feature.feature_name for feature in view.latest_features] == ["kind", "cost"]
    assert [feature.operation for feature in view.aggregations] == ["count"]
    assert view.sources == (buys,)
    assert FeatureView("v", entity=user, source=[buys, buys], features=["kind"]).sources == (buys, buys)


def here(ahead: int = 0) -> str:
    frame = inspect.currentframe()
    assert frame
    assert frame.f_back
    return f"{Path(__file__).name}:{frame.f_back.f_lineno + ahead}"


def test_places() -> None:
    place = here(1)
    view = FeatureView("v", entity=user, source=buys, features=[agg.count(), latest("kind")])
    assert {view.place, *(feature.place for feature in view.features if not isinstance(feature, str))} == {place}
    assert FeatureService("s", features=[view]).place == here()
    assert view.alias("r", user_id="x").place == here()
    assert Entity("e", keys={}).place == here()
    assert Source("s").place == here()


def test_places_do_not_count_in_equality() -> None:
    first = Entity("e", keys={"k": "int64"})
    second = Entity("e", keys={"k": "int64"})
    assert first == second
    assert first.place != second.place


def test_a_source_of_fields() -> None:
    assert buys.schema == pa.schema(
        [
            pa.field("user_id", pa.int64()),
            pa.field("ts", pa.timestamp("us", "UTC"), nullable=False),
            pa.field("price", pa.float64()),
            pa.field("n", pa.int64()),
            pa.field("kind", pa.string()),
        ]
    )
    assert [field.unit for field in buys.resolved_fields] == [None, "ms", None, None, None]
    assert buys.avro_schema["name"] == "buys"
    assert buys.patterns == ("a/*.parquet", "b/*.csv")
    assert buys.cutover_time == 1_796_083_200_000_000
    assert buys.problem is None


def test_a_source_of_an_avro_file_needs_it_once(tmp_path: Path) -> None:
    schema = {
        "type": "record",
        "name": "Buy",
        "fields": [
            {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
            {"name": "kind", "type": {"type": "enum", "name": "Kind", "symbols": ["a"]}},
        ],
    }
    file = tmp_path / "buy.avsc"
    file.write_text(json.dumps(schema))
    source = Source("buys", avro="buy.avsc", event_time="at", topic="buys", folder=str(tmp_path))
    file.unlink()
    again = pickle.loads(pickle.dumps(source))
    for each in (source, again):
        assert each.schema.types == [pa.timestamp("us", "UTC"), pa.string()]
        assert each.avro_schema == schema
    inline = Source("buys", avro=json.dumps(schema), event_time="at", topic="buys")
    assert inline.resolved_fields == source.resolved_fields


def test_a_source_lies_beside_its_definition() -> None:
    assert Source("s").folder == str(Path(__file__).parent)


def test_an_entity_knows_what_is_asked_for() -> None:
    cell = Entity(
        "cell", keys={"day": "date", "cell": "string"}, key_from={"cell": "FLOOR(lon)"}, inputs={"lon": "float64"}
    )
    assert cell.asked == ("day", "lon")
    assert cell.key_types == {"day": pa.date32(), "cell": pa.string()}
    assert cell.input_types == {"lon": pa.float64()}
    view = FeatureView("v", entity=cell, source=buys, features=["kind"])
    assert view.alias("end", lon="end_lon").keys == {"day": "day", "cell": "cell", "lon": "end_lon"}


def test_a_role_shares_its_view() -> None:
    view = FeatureView("v", entity=user, source=buys, features=["kind"])
    alias = view.alias("seller", user_id="seller_id")
    assert alias.view is view
    assert (alias.role, alias.keys) == ("seller", {"user_id": "seller_id"})


def test_an_on_demand_function() -> None:
    @on_demand(inputs=["v:kind"], request={"amount": "float64"}, returns={"twice": "float64"})
    def double(df: Any) -> Any:
        """Twice the amount."""
        return df * 2

    assert isinstance(double, OnDemand)
    assert double(21) == 42
    assert (double.name, double.description, double.inputs) == ("double", "Twice the amount.", ["v:kind"])
    assert (double.request, double.returns) == ({"amount": "float64"}, {"twice": "float64"})


@pytest.mark.parametrize(
    "definition",
    [
        user,
        buys,
        FeatureView("v", entity=user, source=buys, features=[agg.sum("price", over="1h"), "kind"]),
        agg.count(),
    ],
)
def test_definitions_survive_pickling(definition: Any) -> None:
    again = pickle.loads(pickle.dumps(definition))
    assert again == definition
    assert again.place == definition.place


def test_definitions_are_frozen() -> None:
    with pytest.raises(AttributeError):
        user.name = "other"  # type: ignore[misc]
