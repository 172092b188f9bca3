"""Row rules: what becomes of events, in which order, and what of those that fail."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.entity import Entity
from schemas.errors import DefinitionError
from schemas.feature import agg
from schemas.feature_view import FeatureView
from schemas.registry import Registry
from schemas.source import Source
from schemas.types import TIME
from transforms.catalog import Catalog
from transforms.rules import SYSTEM_FIELDS, RowRules, RuleResult

HOUR = 3_600_000_000
user = Entity("user", keys={"user_id": "int64"})
FIELDS = {
    "user_id": "int64",
    "ts": "timestamp(us)",
    "price": "float64",
    "n": "int32",
    "kind": "string",
    "items": "list<struct<sku:string,qty:int64>>",
    "tags": "list<string>",
    "seen": "timestamp",
    "version": "int32",
    "day": "date",
}
RATE = 3.0


def view(name: str = "v", source: Source | None = None, **options: Any) -> FeatureView:
    options.setdefault("features", [agg.count(over="1h")])
    return FeatureView(name, entity=options.pop("entity", user), source=source or purchases(), **options)


def purchases(**options: Any) -> Source:
    return Source("purchases", fields=options.pop("fields", FIELDS), event_time="ts", topic="purchases", **options)


def rules(definition: FeatureView) -> RowRules:
    compiled = Catalog.compile(Registry.of([definition])).views[definition.name]
    return compiled.rules[definition.sources[0].name]


def batch(rows: Sequence[dict[str, Any]], source: Source | None = None) -> pa.RecordBatch:
    """Events of a lane, one an offset."""
    schema = (source or purchases()).schema
    full = [{"user_id": 1, "ts": number * 1000} | row for number, row in enumerate(rows)]
    columns = [pa.array([row.get(field.name) for row in full], field.type) for field in schema]
    n = len(rows)
    system = {
        "_lane": pa.array(["purchases/topic-a/0"] * n, pa.string()),
        "_offset": pa.array(np.arange(n) + 100),
        "_part": pa.array(np.zeros(n, np.int32)),
        "_arrival": pa.array([HOUR] * n, TIME),
    }
    return pa.RecordBatch.from_arrays([*columns, *system.values()], names=[*schema.names, *system])


def applied(definition: FeatureView, rows: Sequence[dict[str, Any]]) -> RuleResult:
    result = rules(definition).apply(batch(rows, definition.sources[0]))
    result.rows.validate(full=True)
    return result


def column(result: RuleResult, name: str) -> list[Any]:
    values: list[Any] = result.rows.column(name).to_pylist()
    return values


def micros(result: RuleResult, name: str) -> list[int]:
    values: list[int] = result.rows.column(name).cast(pa.int64()).to_pylist()
    return values


def test_rows_have_the_views_columns_and_the_systems() -> None:
    result = applied(view(), [{"price": 1.5}, {"price": None}])
    assert result.rows.schema.names == [*FIELDS, *(field.name for field in SYSTEM_FIELDS)]
    assert micros(result, "_event_time") == [0, 1000]
    assert column(result, "_offset") == [100, 101]
    assert column(result, "_sequence") == [None, None]
    assert column(result, "_deleted") == [False, False]
    assert micros(result, "_arrival") == [HOUR, HOUR]
    assert (result.dead, result.skipped, result.taken.tolist()) == ([], 0, [True, True])


def test_no_events_give_no_rows() -> None:
    definition = view(
        select={"y": "price * 2"}, where="y > 1", explode="tags", transform=tripled, returns={"w": "float64"}
    )
    result = applied(definition, [])
    assert result.rows.num_rows == 0
    assert result.rows.schema.field("w").type == pa.float64()


def tripled(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.with_columns(w=pl.col("price") / RATE)


def test_select_sees_no_sibling_and_an_equal_name_replaces() -> None:
    definition = view(select={"price": "price * 2", "before": "price + 1", "n": "CAST(n AS string)"})
    result = applied(definition, [{"price": 10.0, "n": 4}])
    assert (column(result, "price"), column(result, "before"), column(result, "n")) == ([20.0], [11.0], ["4"])


def test_keys_and_event_time_may_be_selected() -> None:
    definition = view(select={"user_id": "n * 10", "ts": "ts + INTERVAL '1 hour'"}, entity=user)
    result = applied(definition, [{"n": 4}])
    assert column(result, "user_id") == [40]
    assert micros(result, "_event_time") == [HOUR]


def test_where_sees_what_is_selected_and_null_is_false() -> None:
    definition = view(select={"dear": "price > 5"}, where="dear")
    result = applied(definition, [{"price": 6.0}, {"price": 5.0}, {"price": None}, {"price": 7.0}])
    assert column(result, "_offset") == [100, 103]
    assert not result.dead
    assert result.taken.all()


def test_one_bad_cast_among_ten_thousand_rows_is_one_dead_letter() -> None:
    definition = view(select={"amount": "CAST(kind AS int64)"})
    rows: list[dict[str, Any]] = [{"kind": str(number)} for number in range(10_000)]
    rows[6_543] = {"kind": "12,50"}
    result = applied(definition, rows)
    assert result.dead == [(6_543, "select amount: '12,50' (kind) is no int64")]
    assert column(result, "amount") == [number for number in range(10_000) if number != 6_543]


def test_an_integer_overflow_is_one_dead_letter() -> None:
    definition = view(select={"much": "user_id * 2"})
    result = applied(definition, [{"user_id": 4}, {"user_id": 2**62}, {"user_id": 5}])
    assert result.dead == [(1, "select much: 9223372036854775808 (user_id * 2) is beyond int64")]
    assert column(result, "much") == [8, 10]


def test_all_rows_may_fail() -> None:
    result = applied(view(select={"amount": "CAST(kind AS int64)"}), [{"kind": "x"}] * 50)
    assert len(result.dead) == 50
    assert result.rows.num_rows == 0


def test_a_null_key_is_skipped_and_no_dead_letter() -> None:
    definition = view(select={"much": "price / 2"}, where="CAST(kind AS int64) > 0")
    result = applied(definition, [{"user_id": None, "kind": "x"}, {"kind": "1"}])
    assert (result.dead, result.skipped, result.taken.tolist()) == ([], 1, [False, True])
    assert column(result, "_offset") == [101]


def test_a_null_event_time_is_a_dead_letter() -> None:
    result = applied(view(), [{"ts": None}, {}, {"ts": None, "user_id": None}])
    assert result.dead == [(0, "event_time: null")]
    assert result.skipped == 1
    assert result.rows.num_rows == 1


def test_where_can_fail() -> None:
    result = applied(view(where="CAST(kind AS int64) > 3"), [{"kind": "4"}, {"kind": "x"}, {"kind": "2"}])
    assert result.dead == [(1, "where: 'x' (kind) is no int64")]
    assert column(result, "_offset") == [100]


def test_the_first_rule_that_fails_gives_the_reason() -> None:
    definition = view(select={"a": "CAST(kind AS int64)", "b": "CAST(kind AS date)"}, where="CAST(kind AS float64) > 3")
    assert applied(definition, [{"kind": "x"}]).dead == [(0, "select a: 'x' (kind) is no int64")]


def test_computed_keys() -> None:
    cell = Entity("cell", keys={"cell": "string"}, key_from={"cell": "UPPER(kind) || '!'"}, inputs={"kind": "string"})
    result = applied(view(entity=cell, where="cell <> 'B!'"), [{"kind": "a"}, {"kind": None}, {"kind": "b"}])
    assert column(result, "cell") == ["A!"]
    assert result.skipped == 1


def test_a_computed_key_can_fail() -> None:
    cell = Entity("cell", keys={"cell": "int64"}, key_from={"cell": "CAST(kind AS int64)"}, inputs={"kind": "string"})
    result = applied(view(entity=cell), [{"kind": "7"}, {"kind": "b"}])
    assert result.dead == [(1, "key cell: 'b' (kind) is no int64")]
    assert column(result, "cell") == [7]


def test_a_narrower_integer_key_is_widened() -> None:
    number = Entity("number", keys={"n": "int64"})
    result = applied(view(entity=number, where="n > 1"), [{"n": 3}, {"n": 1}])
    assert result.rows.schema.field("n").type == pa.int64()
    assert column(result, "n") == [3]


def test_explode_numbers_the_parts_of_structs() -> None:
    definition = view(explode="items", select={"total": "qty * 2"}, features=[agg.sum("total", over="1h")])
    items = [{"sku": "a", "qty": 1}, None, {"sku": "b", "qty": 3}]
    result = applied(definition, [{"items": items}, {"items": None}, {"items": []}, {"items": items[:1], "user_id": 9}])
    assert column(result, "sku") == ["a", None, "b", "a"]
    assert column(result, "total") == [2, None, 6, 2]
    assert column(result, "_part") == [0, 1, 2, 0]
    assert column(result, "_offset") == [100, 100, 100, 103]
    assert column(result, "user_id") == [1, 1, 1, 9]
    assert "items" not in result.rows.schema.names
    assert result.taken.all()


def test_explode_of_scalars_replaces_the_column() -> None:
    result = applied(view(explode="tags"), [{"tags": ["x", "y"]}, {"tags": ["z"]}])
    assert column(result, "tags") == ["x", "y", "z"]
    assert column(result, "_part") == [0, 1, 0]
    assert column(result, "_offset") == [100, 100, 101]


def test_an_event_with_one_bad_part_is_dead_as_a_whole() -> None:
    definition = view(explode="tags", select={"number": "CAST(tags AS int64)"})
    result = applied(definition, [{"tags": ["1", "x", "y"]}, {"tags": ["2"]}])
    assert result.dead == [(0, "select number: 'x' (tags) is no int64")]
    assert column(result, "number") == [2]


def test_parts_with_null_keys_are_skipped_one_by_one() -> None:
    tag = Entity("tag", keys={"tags": "string"})
    result = applied(view(entity=tag, explode="tags"), [{"tags": ["a", None]}, {"tags": [None, None]}, {"tags": []}])
    assert (column(result, "tags"), result.skipped) == (["a"], 3)
    assert result.taken.tolist() == [True, False, True]


def known(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.filter(pl.col("kind") != "drop").with_columns(w=pl.col("price") * RATE, kind=pl.col("kind") + "!")


def test_transform_adds_and_drops() -> None:
    definition = view(transform=known, returns={"w": "float64", "kind": "string"}, select={"v": "w + 1"}, where="v > 4")
    result = applied(
        definition, [{"kind": "a", "price": 2.0}, {"kind": "drop", "price": 2.0}, {"kind": "b", "price": 1.0}]
    )
    assert (column(result, "v"), column(result, "kind"), column(result, "_offset")) == ([7.0], ["a!"], [100])
    assert not result.dead
    assert result.taken.all()


def reordered(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.sort("price", descending=True, nulls_last=True).with_columns(w=pl.col("price"))


def test_transform_may_reorder() -> None:
    result = applied(
        view(transform=reordered, returns={"w": "float64"}), [{"price": 1.0}, {"price": 3.0}, {"price": 2.0}]
    )
    assert column(result, "w") == column(result, "price") == [1.0, 3.0, 2.0]


def parsed(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.with_columns(number=pl.col("kind").cast(pl.Int64))


def test_transform_that_raises_leaves_its_bad_events_alone() -> None:
    definition = view(transform=parsed, returns={"number": "int64"})
    rows: list[dict[str, Any]] = [{"kind": str(number)} for number in range(300)]
    rows[17], rows[200] = {"kind": "x"}, {"kind": "y"}
    result = applied(definition, rows)
    assert [event for event, _ in result.dead] == [17, 200]
    assert all(reason.startswith("transform: InvalidOperationError: ") for _, reason in result.dead)
    assert column(result, "number") == [number for number in range(300) if number not in (17, 200)]


def bare(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.select(w=pl.col("price") * 2)


def test_transform_may_give_only_what_it_adds() -> None:
    result = applied(view(transform=bare, returns={"w": "float64"}), [{"price": 1.0}, {"price": 3.0}])
    assert (column(result, "w"), column(result, "price")) == ([2.0, 6.0], [1.0, 3.0])


def test_sequence_arrival_and_deleted_come_from_the_source() -> None:
    source = purchases(sequence="version", arrival_time="seen", deleted="kind = 'd'")
    result = applied(view(source=source), [{"version": 3, "seen": 5, "kind": "d"}, {"kind": "u"}, {"version": -1}])
    assert column(result, "_sequence") == [3, None, -1]
    assert micros(result, "_arrival") == [5, HOUR, HOUR]
    assert column(result, "_deleted") == [True, False, False]


@pytest.mark.parametrize(("field", "expected"), [("seen", 86_400_000_000), ("day", 1)])
def test_times_and_dates_as_sequence(field: str, expected: int) -> None:
    value = {"seen": 86_400_000_000, "day": 1}[field]
    result = applied(view(source=purchases(sequence=field)), [{field: value}, {}])
    assert column(result, "_sequence") == [expected, None]


def test_what_decides_on_deletion_sees_the_source_and_can_fail() -> None:
    source = purchases(deleted="CAST(kind AS int64) = 1")
    result = applied(view(source=source, select={"kind": "'9'"}), [{"kind": "1"}, {"kind": "x"}])
    assert result.dead == [(1, "deleted: 'x' (kind) is no int64")]
    assert column(result, "_deleted") == [True]


def test_rules_pickle() -> None:
    made = rules(view(select={"y": "CAST(kind AS int64)"}, where="y > 0"))
    again = pickle.loads(pickle.dumps(made))
    events = batch([{"kind": "1"}, {"kind": "x"}])
    assert again.apply(events).rows.equals(made.apply(events).rows)
    assert again.apply(events).dead == made.apply(events).dead


EVENTS = st.lists(
    st.fixed_dictionaries(
        {
            "user_id": st.sampled_from([1, 2, None]),
            "ts": st.sampled_from([0, 1, None]),
            "price": st.sampled_from([1.0, 0.1, -3.0, None]),
            "kind": st.sampled_from(["1", "x", "drop", None]),
            "tags": st.sampled_from([None, [], ["1"], ["2", "x"], ["3", None]]),
        }
    ),
    max_size=12,
)


@given(EVENTS, st.integers(0, 12))
def test_any_split_of_a_batch_gives_the_same(events: list[dict[str, Any]], cut: int) -> None:
    made = MADE
    full = batch(events)
    whole = made.apply(full)
    parts = [made.apply(full.slice(0, cut)), made.apply(full.slice(min(cut, len(events))))]
    rows = pa.Table.from_batches([part.rows for part in parts]).combine_chunks()
    assert rows.equals(pa.Table.from_batches([whole.rows]).combine_chunks())
    shift = [0, min(cut, len(events))]
    assert [(event + by, why) for part, by in zip(parts, shift, strict=True) for event, why in part.dead] == whole.dead
    assert sum(part.skipped for part in parts) == whole.skipped
    assert np.concatenate([part.taken for part in parts]).tolist() == whole.taken.tolist()


MADE = rules(
    view(
        transform=known,
        returns={"w": "float64", "kind": "string"},
        explode="tags",
        select={"number": "CAST(tags AS int64)", "third": "price / 3"},
        where="price > 0",
    )
)


def shifted(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.with_columns(w=pl.col("price").shift(1))


def averaged(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.with_columns(w=pl.col("price") - pl.col("price").mean())


def first_only(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.unique("kind", keep="first", maintain_order=True).with_columns(w=pl.col("price"))


def doubled_rows(frame: pl.DataFrame) -> pl.DataFrame:
    return pl.concat([frame, frame]).with_columns(w=pl.col("price"))


def forgetful(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.filter(pl.col("price") > 0).select(w=pl.col("price"))


def no_column(frame: pl.DataFrame) -> pl.DataFrame:
    return frame


def other_type(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.with_columns(w=pl.col("kind"))


def misspelt(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.with_columns(w=pl.col("prise"))


def more(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.with_columns(w=pl.col("price"), extra=pl.lit(1))


def changed(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.with_columns(w=pl.col("price"), n=pl.col("n") + 1)


def no_frame(frame: pl.DataFrame) -> Any:
    return frame.to_dicts()


@pytest.mark.parametrize(
    ("function", "told"),
    [
        (shifted, "is not row-local: the row "),
        (averaged, "is not row-local: the row "),
        (first_only, "is not row-local: the row "),
        (doubled_rows, "invented rows, or changed '_row'"),
        (forgetful, "without the column '_row': hand it on"),
        (no_column, "gives no column 'w', which returns= declares"),
        (other_type, "column 'w' is String, declared is float64"),
        (misspelt, 'ColumnNotFoundError: unable to find column "prise"'),
        (more, "adds column 'extra'; returns= declares w"),
        (changed, "changes column 'n'; returns= declares w"),
        (no_frame, "gave a list, not a polars DataFrame"),
    ],
)
def test_a_transform_that_cannot_be_trusted_is_refused(function: Callable[[Any], Any], told: str) -> None:
    with pytest.raises(DefinitionError) as error:
        rules(view(transform=function, returns={"w": "float64"}))
    (mistake,) = error.value.mistakes
    assert mistake.name == "v: transform"
    assert told in mistake.message
