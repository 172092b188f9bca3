"""The catalog: what compiles to what, which fingerprints change, and all mistakes of types at once."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest

from schemas.entity import Entity
from schemas.errors import DefinitionError, Mistake, RequestError
from schemas.feature import agg, latest
from schemas.feature_view import FeatureView
from schemas.on_demand import on_demand
from schemas.registry import Registry
from schemas.service import FeatureService
from schemas.source import Source
from schemas.types import type_text
from transforms.catalog import Catalog
from transforms.view import CompiledView

HOUR = 3_600_000_000
FIELDS = {
    "user_id": "int64",
    "ts": "timestamp(ms)",
    "x": "float64",
    "f": "float32",
    "i": "int32",
    "d": "decimal(10,2)",
    "s": "string",
    "b": "bool",
    "day": "date",
    "l": "list<int64>",
    "m": "map<string,float64>",
    "raw": "bytes",
}
user = Entity("user", keys={"user_id": "int64"})


def source(**options: Any) -> Source:
    return Source(
        options.pop("name", "buys"), fields=options.pop("fields", FIELDS), event_time="ts", topic="buys", **options
    )


def view(**options: Any) -> FeatureView:
    options.setdefault("features", [agg.count(over="1h")])
    return FeatureView(
        options.pop("name", "v"), entity=options.pop("entity", user), source=options.pop("source", source()), **options
    )


def compiled(*definitions: Any) -> Catalog:
    return Catalog.compile(Registry.of(definitions))


def one(**options: Any) -> CompiledView:
    definition = view(**options)
    return compiled(definition).views[definition.name]


def mistakes(*definitions: Any) -> tuple[Mistake, ...]:
    with pytest.raises(DefinitionError) as error:
        compiled(*definitions)
    return error.value.mistakes


@pytest.mark.parametrize(
    ("feature", "kind"),
    [
        (agg.count(), "int64"),
        (agg.count("s"), "int64"),
        (agg.sum("x"), "float64"),
        (agg.sum("f"), "float64"),
        (agg.sum("i"), "int64"),
        (agg.sum("b"), "int64"),
        (agg.sum("d"), "decimal(38,2)"),
        (agg.mean("i"), "float64"),
        (agg.mean("d"), "float64"),
        (agg.min("i"), "int32"),
        (agg.max("s"), "string"),
        (agg.max("f"), "float32"),
        (agg.min("day"), "date"),
        (agg.variance("d"), "float64"),
        (agg.stddev("x"), "float64"),
        (agg.skew("i"), "float64"),
        (agg.kurtosis("x"), "float64"),
        (agg.first("l"), "list<int64>"),
        (agg.last("m"), "map<string,float64>"),
        (agg.first_k("s", k=2), "list<string>"),
        (agg.last_k(["x", "s"], k=2), "list<struct<x:float64,s:string>>"),
        (agg.top_k("d", k=3), "list<decimal(10,2)>"),
        (agg.bottom_k("day", k=3), "list<date>"),
        (agg.unique_count("raw"), "int64"),
        (agg.bounded_unique_count("s", k=3), "int64"),
        (agg.histogram("s"), "map<string,int64>"),
        (agg.approx_count_distinct("s"), "int64"),
        (agg.approx_percentile("x", q=0.5), "float64"),
        (agg.approx_percentile("x", q=[0.5, 0.9]), "list<float64>"),
        (agg.sum("x", by="s"), "map<string,float64>"),
        (agg.count(by="i"), "map<string,int64>"),
        (agg.histogram("s", by="b"), "map<string,map<string,int64>>"),
        (latest("x"), "float64"),
        (latest("l"), "list<int64>"),
    ],
)
def test_types_of_features(feature: Any, kind: str) -> None:
    (made,) = one(features=[feature]).features
    assert type_text(made.dtype) == kind


REFUSED = [
    (agg.sum("s"), "agg.sum takes integers, floats, decimals or bool; column 's' is string"),
    (agg.mean("day"), "column 'day' is date"),
    (agg.variance("b"), "agg.variance takes integers, floats or decimals; column 'b' is bool"),
    (agg.skew("s"), "column 's' is string"),
    (agg.max("l"), "column 'l' is list<int64>"),
    (agg.top_k("m", k=2), "column 'm' is map<string,float64>"),
    (agg.histogram("l"), "agg.histogram takes integers, floats"),
    (agg.unique_count("l"), "column 'l' is list<int64>"),
    (agg.approx_percentile("s", q=0.5), "column 's' is string"),
    (agg.count(by="l"), "by takes"),
    (agg.count(by="m"), "column 'm' is map<string,float64>"),
    (agg.count(where="x + 1", name="n"), "must be bool, as in price > 500; 'x + 1' is float64"),
    (agg.count(where="y > 1", name="n"), "unknown column 'y'"),
    (agg.count(where="avg(x) > 1", name="n"), "AVG() is not row-local"),
    (agg.sum("x", default="none"), "default 'none' is no float64"),
    (agg.sum("i", default=1.5), "default 1.5 is no int64"),
    (agg.sum("i", default=True), "default True is no int64"),
    (agg.max("s", default=0), "default 0 is no string"),
    (latest("b", default=1), "default 1 is no bool"),
    (agg.top_k("i", k=2, default=[1.5]), "default [1.5] is no list<int32>"),
    (latest("d", default=0.001), "default 0.001 is no decimal(10,2)"),
]


@pytest.mark.parametrize(("feature", "told"), REFUSED)
def test_types_that_do_not_fit_are_refused(feature: Any, told: str) -> None:
    (mistake,) = mistakes(view(features=[feature]))
    assert told in mistake.message
    assert mistake.place.startswith("test_catalog.py:")


def test_all_mistakes_of_all_views_are_told_at_once() -> None:
    first = view(
        name="first",
        select={"a": "avg(x)", "c": "x + 1"},
        where="NOW() > ts",
        features=[agg.sum("a", over="1h"), agg.sum("s", over="1h"), "nothing", agg.count(over="1 fortnight")],
        derive={"t": "s_sum_1h + RANDOM()", "u": "s_sum_1h / 2"},
    )
    second = view(name="second", entity=Entity("e", keys={"s": "int64"}), features=[agg.max("l")], ttl="1d")
    found = [str(mistake) for mistake in mistakes(first, second)]
    for told in (
        "first: select a: AVG() is not row-local",
        "first: where: NOW() is not row-local",
        "first:s_sum_1h: agg.sum takes integers, floats, decimals or bool",
        "unknown column 'nothing'",
        "1 fortnight",
        "first:t: derive: RANDOM() is not row-local",
        "key column 's' is string in source 'buys', entity 'e' says int64: cast it, as in select=",
        "agg.max takes",
        "ttl limits the age of latest features",
    ):
        assert [text for text in found if told in text], told
    assert len(found) == 10  # the fortnight is no duration, and makes no name


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"where": "x"}, "v: where: must be bool"),
        ({"where": "x > 'a'"}, "mixes float64 and string"),
        ({"select": {"ts": "x"}}, "event time 'ts' of source 'buys' is float64, not timestamp"),
        ({"select": {"user_id": "s"}}, "key column 'user_id' is string in source 'buys'"),
        ({"explode": "s"}, "'s' is string, no list; lists are l"),
        ({"derive": {"t": "count_1h + count_2h"}}, "unknown column 'count_2h'. Did you mean 'count_1h'?"),
        ({"derive": {"t": "SUM(count_1h)"}}, "SUM() is not row-local"),
        ({"source": source(deleted="x")}, "buys: deleted: must be bool"),
        ({"source": source(deleted="op = 1")}, "unknown column 'op'"),
    ],
)
def test_rules_that_do_not_fit_are_refused(options: dict[str, Any], told: str) -> None:
    (mistake,) = mistakes(view(**options))
    assert told in str(mistake)


def test_elements_that_clash_with_columns_are_refused() -> None:
    fields = FIELDS | {"items": "list<struct<x:int64,qty:int64>>"}
    (mistake,) = mistakes(view(source=source(fields=fields), explode="items"))
    assert "field 'x' of the elements of 'items' is also a column: rename it by transform=" in mistake.message


def test_key_sql_that_does_not_fit_is_refused() -> None:
    options: dict[str, Any] = {"keys": {"cell": "string"}, "inputs": {"x": "float64"}}
    (kind,) = mistakes(view(entity=Entity("cell", key_from={"cell": "FLOOR(x)"}, **options)))
    assert "cell: key_from cell: is float64, the key is string: cast it" in str(kind)
    (unknown,) = mistakes(view(entity=Entity("cell", key_from={"cell": "y || 'a'"}, **options)))
    assert "unknown column 'y'" in str(unknown)


def test_windows_of_one_hop_share_a_state() -> None:
    made = one(features=[agg.sum("x", over=["12h", "24h"]), agg.sum("x"), agg.sum("x", over="24h", offset="24h")])
    assert [state.hop for state in made.states] == [HOUR, None]
    assert [feature.window and (feature.window.length, feature.window.offset) for feature in made.features] == [
        (12 * HOUR, 0),
        (24 * HOUR, 0),
        None,
        (24 * HOUR, 24 * HOUR),
    ]
    assert len({feature.fingerprint for feature in made.features}) == 4


def test_defaults_are_values_of_the_type() -> None:
    features = [agg.sum("x", default=1), agg.sum("d", default=Decimal("1.5")), agg.sum("x", by="s", default={"a": 1.0})]
    defaults = [feature.default for feature in one(features=features).features]
    assert defaults == [1.0, Decimal("1.50"), [("a", 1.0)]]
    assert isinstance(defaults[0], float)


def rate(number: float) -> float:
    return number * 2


RATE = 2.0


def doubled(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.with_columns(w=pl.col("x") * rate(RATE))


def test_what_changes_the_rows_and_what_does_not() -> None:
    base: dict[str, Any] = {"select": {"y": "x * 0.92"}, "where": "s = 'a'", "features": [agg.sum("y", over="1h")]}
    rows = one(**base).rows_fingerprint
    same: list[dict[str, Any]] = [
        {"select": {"y": "x*0.92 -- in euros"}},
        {"where": "s  =  'a'"},
        {"features": [agg.sum("y", over=["1h", "7d"]), agg.count()]},
        {"description": "text", "owner": "me", "tags": {"a": "b"}},
        {"derive": {"t": "y_sum_1h / 2"}},
        {"late": "30d"},
        {"source": source(description="text")},
    ]
    for change in same:
        assert one(**base | change).rows_fingerprint == rows, change
    other: list[dict[str, Any]] = [
        {"select": {"y": "x * 0.93"}},
        {"select": {"y": "x * 0.92", "z": "i"}},
        {"where": "s = 'b'"},
        {"where": None},
        {"source": source(deleted="s = 'd'")},
        {"source": source(sequence="i")},
        {"source": source(arrival_time="ts")},
        {"source": source(fields=FIELDS | {"f": "float64"})},
        {"source": source(name="other")},
        {"entity": Entity("user", keys={"s": "string"})},
        {"transform": doubled, "returns": {"w": "float64"}},
        {"explode": "l"},
    ]
    found = [one(**base | change).rows_fingerprint for change in other]
    assert len({rows, *found}) == len(other) + 1


def test_a_constant_that_a_transform_reaches_changes_the_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    options: dict[str, Any] = {"transform": doubled, "returns": {"w": "float64"}}
    before = one(**options)
    monkeypatch.setitem(doubled.__globals__, "RATE", 2.5)
    after = one(**options)
    assert after.rows_fingerprint != before.rows_fingerprint
    assert after.probe != before.probe
    assert {state.fingerprint for state in after.states}.isdisjoint(state.fingerprint for state in before.states)


def test_what_changes_a_feature_alone() -> None:
    def feature(given: Any, **options: Any) -> tuple[str, str]:
        made = one(features=[given], **options).features[0]
        return made.state.fingerprint if made.state else "", made.fingerprint

    state, print_ = feature(agg.sum("x", over="24h"))
    for same in (agg.sum("x", over="1d"), agg.sum("x", over="1440m", description="text", name="other")):
        assert feature(same) == (state, print_)
    for other in (
        agg.sum("x", over="12h"),
        agg.sum("x", over="24h", offset="1h"),
        agg.sum("x", over="24h", default=0.0),
        agg.mean("x", over="24h"),
    ):
        assert feature(other)[0] == state
        assert feature(other)[1] != print_
    for new in (
        agg.sum("x", over="24h", hop="30m"),
        agg.sum("x"),
        agg.variance("x", over="24h"),
        agg.sum("i", over="24h"),
        agg.sum("x", over="24h", by="s"),
        agg.sum("x", over="24h", where="b", name="n"),
    ):
        assert feature(new)[0] != state
    ages = [feature(latest("x"), ttl=ttl)[1] for ttl in (None, "1d", "24h", "2d")]
    assert ages[1] == ages[2]
    assert len(set(ages)) == 3


def test_operations_that_only_finish_differently_are_kept_once() -> None:
    (sums,) = one(features=[agg.mean("x", over="24h"), agg.sum("x", over=["24h", "25h"])]).states
    assert sums.operation == "sum"
    (spread,) = one(features=[agg.stddev("x", over="24h", by="s"), agg.variance("x", over="24h", by="s")]).states
    assert spread.operation == "variance"
    apart = one(features=[agg.stddev("x", over="24h"), agg.variance("x", over="24h", ddof=0)]).states
    assert len(apart) == 2


def test_the_default_limit_is_a_limit() -> None:
    (ours,) = one(features=[agg.unique_count("s")]).states
    (given,) = one(features=[agg.unique_count("s", limit=10_000)]).states
    (other,) = one(features=[agg.unique_count("s", limit=9_999)]).states
    assert ours == given
    assert other.fingerprint != ours.fingerprint


def test_derived_features_follow_what_they_read() -> None:
    def trend(**options: Any) -> str:
        made = one(derive={"t": "count_1h / 2"}, **options).feature("t")
        assert made is not None
        assert made.inputs == ("count_1h",)
        return made.fingerprint

    assert trend() == trend(features=[agg.count(over="1h"), "x"])
    assert trend() != trend(where="b")


def test_several_sources_share_what_is_alike() -> None:
    app = source(
        name="app", fields={"s": "string", "user_id": "int64", "ts": "timestamp", "i": "int64", "x": "float64"}
    )
    made = one(source=[source(), app], features=[agg.sum("x"), latest("s")])
    assert made.columns.names == ["user_id", "ts", "x", "s"]
    assert set(made.rules) == {"buys", "app"}
    assert all(rules.columns == made.columns for rules in made.rules.values())
    (differing,) = mistakes(view(source=[source(), app], features=[agg.sum("i")]))
    assert "column 'i' is not of one type in the rows of all of buys, app: cast it by select=" in differing.message
    assert one(source=[source(), app], select={"i": "CAST(i AS int64)"}, features=[agg.sum("i")]).states
    rows = one(source=[source(), app], features=[agg.sum("x")]).rows_fingerprint
    assert rows == one(source=[app, source()], features=[agg.sum("x")]).rows_fingerprint


@on_demand(
    inputs=["v:x_sum_1h", "seller:s"], request={"amount": "float64"}, returns={"burst": "float64", "text": "string"}
)
def burst(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.select(burst=pl.col("amount") / pl.col("v__x_sum_1h"), text=pl.col("seller__s"), now="now")


def ranked(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.select(burst=pl.col("amount").rank())


def shorter(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.select(burst=pl.col("amount")).head(1)


def missing(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.select(other=pl.col("amount"))


def of_other_type(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.with_columns(burst=pl.lit("x"))


def by_wrong_name(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.select(burst=pl.col("x_sum_1h"))


def test_on_demand_functions_are_compiled() -> None:
    seen = view(features=[agg.sum("x", over="1h"), "s"])
    catalog = compiled(seen, seen.alias("seller", user_id="seller_id"), burst)
    function = catalog.on_demand["burst"]
    assert [(feature.name, feature.dtype) for feature in function.features] == [
        ("burst", pa.float64()),
        ("text", pa.string()),
    ]
    frame = pl.DataFrame({"v:x_sum_1h": [2.0, None], "seller:s": ["a", "b"], "amount": [3.0, 4.0], "now": [None, None]})
    assert function.evaluate(frame).to_dict(as_series=False) == {"burst": [1.5, None], "text": ["a", "b"]}
    again = pickle.loads(pickle.dumps(function.evaluate(frame)))
    assert again.equals(function.evaluate(frame))


@pytest.mark.parametrize(
    ("function", "told"),
    [
        (ranked, "is not row-local: the row "),
        (shorter, "gave 1 rows for 64: it gives a row for each row, in order"),
        (missing, "gives no column 'burst', which returns= declares"),
        (of_other_type, "column 'burst' is String, declared is float64"),
        (by_wrong_name, 'ColumnNotFoundError: unable to find column "x_sum_1h"'),
    ],
)
def test_on_demand_functions_that_cannot_be_trusted_are_refused(function: Callable[[Any], Any], told: str) -> None:
    seen = view(features=[agg.sum("x", over="1h")])
    definition = on_demand(inputs=["v:x_sum_1h"], request={"amount": "float64"}, returns={"burst": "float64"})(function)
    (mistake,) = mistakes(seen, definition)
    assert mistake.name == function.__name__
    assert told in mistake.message


def failing(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.select(burst=pl.col("word").cast(pl.Float64))


def test_on_demand_functions_may_fail_on_a_request() -> None:
    definition = on_demand(inputs=["v:count_1h"], request={"word": "string"}, returns={"burst": "float64"})(failing)
    function = compiled(view(), definition).on_demand["failing"]
    given = pl.DataFrame({"v:count_1h": [1], "word": ["1.5"], "now": [None]})
    assert function.evaluate(given)["burst"].to_list() == [1.5]
    with pytest.raises(RequestError, match="failing: InvalidOperationError"):
        function.evaluate(given.with_columns(word=pl.lit("x")))


def test_a_compiled_view_pickles() -> None:
    made = one(select={"y": "CAST(s AS int64)"}, features=[agg.sum("y", over="1h", where="b", name="n")])
    again = pickle.loads(pickle.dumps(made))
    assert (again.rows_fingerprint, again.probe, again.states) == (made.rows_fingerprint, made.probe, made.states)


def test_definitions_in_files_compile_alike_wherever_they_lie(tmp_path: Path) -> None:
    text = """
from schemas.entity import Entity
from schemas.feature import agg
from schemas.feature_view import FeatureView
from schemas.source import Source

RATE = 2.0


def scaled(frame):
    return frame.with_columns(w=frame["x"] * RATE)


user = Entity("user", keys={"user_id": "int64"})
buys = Source("buys", fields={"user_id": "int64", "ts": "timestamp", "x": "float64"}, event_time="ts", topic="t")
v = FeatureView("v", entity=user, source=buys, transform=scaled, returns={"w": "float64"}, features=[agg.sum("w")])
"""
    prints = []
    for name, content in (("a", text), ("b", f"# moved\n\n{text}"), ("c", text.replace("RATE = 2.0", "RATE = 3.0"))):
        path = tmp_path / name / "features.py"
        path.parent.mkdir()
        path.write_text(content)
        made = Catalog.compile(Registry.load(path)).views["v"]
        prints.append((made.rows_fingerprint, made.probe, made.states[0].fingerprint))
    assert prints[0] == prints[1]
    assert all(first != last for first, last in zip(prints[0], prints[2], strict=True))


def test_services_reach_their_views() -> None:
    catalog = compiled(FeatureService("s", features=[view()]))
    assert list(catalog.views) == ["v"]
