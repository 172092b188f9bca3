"""Events in hand made to fit their source, and encoded for its topic."""

from __future__ import annotations

import json
import re
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.errors import EventError
from schemas.source import Source
from transforms.encodings.conform import check_events, encode_values
from transforms.encodings.decoder import decoder
from transforms.encodings.files import read_events

FIELDS = {
    "flag": "bool",
    "small": "int8",
    "big": "int64",
    "wide": "uint32",
    "ratio": "float64",
    "single": "float32",
    "name": "string",
    "raw": "bytes",
    "at": "timestamp",
    "at_ms": "timestamp(ms)",
    "day": "date",
    "cost": "decimal(10,2)",
    "numbers": "list<int64>",
    "tags": "map<string,float64>",
    "box": "struct<a:int64,b:list<timestamp(s)>>",
}
SOURCE = Source("s", fields=FIELDS, event_time="at", topic="s")
NOON = datetime(2026, 12, 1, 12, tzinfo=UTC)
BEFORE = datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)


def one(kind: str, value: Any) -> Any:
    """The value that a Python object becomes."""
    source = Source("s", fields={"x": kind}, topic="s")
    return check_events(source, [{"x": value}]).to_pylist()[0]["x"]


@pytest.mark.parametrize(
    ("kind", "value", "result"),
    [
        ("int64", np.int32(5), 5),
        ("int64", 2**63 - 1, 2**63 - 1),
        ("float64", 5, 5.0),
        ("float64", 2**70 + 1, float(2**70)),
        ("float64", np.float32(0.5), 0.5),
        ("float32", 0.1, 0.10000000149011612),
        ("bool", np.bool_(True), True),
        ("string", UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        ("bytes", bytearray(b"ab"), b"ab"),
        ("timestamp", datetime(2026, 12, 1, 12), NOON),  # noqa: DTZ001 - naive is UTC
        ("timestamp", NOON.astimezone(timezone(timedelta(hours=5))), NOON),
        ("timestamp", pd.Timestamp("2026-12-01 12:00:00.000000999"), NOON),
        ("timestamp", np.datetime64("2026-12-01T12:00:00.000000999"), NOON),
        ("timestamp", "2026-12-01T13:00:00+01:00", NOON),
        ("timestamp(s)", int(NOON.timestamp()), NOON),
        ("timestamp", pd.NaT, None),
        ("timestamp", np.datetime64("NaT"), None),
        ("string", pd.NA, None),
        ("date", date(2026, 12, 1), date(2026, 12, 1)),
        ("date", "2026-12-01", date(2026, 12, 1)),
        ("decimal(5,2)", 3, Decimal("3.00")),
        ("decimal(5,2)", "0.5", Decimal("0.50")),
        ("decimal(38,2)", Decimal("9" * 36), Decimal("9" * 36)),
        ("list<int64>", np.array([1, 2]), [1, 2]),
        ("list<int64>", (1, None), [1, None]),
        ("map<string,int64>", {"a": 1}, [("a", 1)]),
        ("map<string,int64>", [("a", 1)], [("a", 1)]),
        ("struct<a:int64>", {"a": 1, "b": 2}, {"a": 1}),
    ],
)
def test_what_an_object_becomes(kind: str, value: Any, result: Any) -> None:
    assert one(kind, value) == result


@pytest.mark.parametrize(
    ("kind", "value", "reason"),
    [
        ("int64", "5", "x: '5' is no int64"),
        ("int64", 5.0, "x: 5.0 is no int64"),
        ("int64", True, "x: True is no int64"),
        ("int64", 2**63, "x: 9223372036854775808 is no int64"),
        ("uint8", 256, "x: 256 is no uint8 (0 to 255)"),
        ("float32", 1e39, "x: 1e+39 is no float32"),
        ("float64", "1", "x: '1' is no float64"),
        ("string", 5, "x: 5 is no string"),
        ("string", "\ud800", "x: '\\ud800' is no string"),
        ("bytes", "AAE=", "x: 'AAE=' is no bytes: legal are bytes"),
        (
            "timestamp",
            1_790_000_000,
            "x: 1790000000 is no timestamp: "
            "an integer needs a declared unit, timestamp(s), timestamp(ms) or timestamp(us)",
        ),
        (
            "timestamp",
            date(2026, 12, 1),
            "x: datetime.date(2026, 12, 1) is no timestamp: "
            "legal is a datetime, or ISO 8601 text as in 2026-12-01T00:00:00Z",
        ),
        ("timestamp(s)", 10**12, "x: 1000000000000 is no timestamp(s): legal are the years 1 to 9999"),
        ("date", NOON, "legal is a date, or ISO 8601 text as in 2026-12-01"),
        ("decimal(5,2)", 0.5, "x: 0.5 is no decimal(5,2): legal is a Decimal, an int, or text"),
        ("decimal(5,2)", Decimal("NaN"), "x: Decimal('NaN') is no decimal(5,2)"),
        ("decimal(5,2)", Decimal("1e9999"), "x: Decimal('1E+9999') is no decimal(5,2)"),
        ("list<int64>", "ab", "x: 'ab' is no list<int64>"),
        ("list<int64>", [1, "x"], "x[]: 'x' is no int64"),
        ("map<string,int64>", {1: 2}, "x{} key: 1 is no string"),
        ("struct<a:int64>", 5, "x: 5 is no struct<a:int64>"),
        ("struct<a:list<date>>", {"a": [1]}, "x.a[]: 1 is no date: legal is a date, or ISO 8601 text as in 2026-12-01"),
    ],
)
def test_what_no_object_becomes(kind: str, value: Any, reason: str) -> None:
    with pytest.raises(EventError, match=re.escape(reason) + "$"):
        one(kind, value)


def test_an_event_that_does_not_fit_is_named_by_source_row_and_field() -> None:
    events = [{"at": NOON}, {"at": NOON, "small": 200}, {"at": None}, {"at": NOON, "name": 1}]
    with pytest.raises(EventError) as caught:
        check_events(SOURCE, events)
    assert str(caught.value) == "s: row 1: small: 200 is no int8 (-128 to 127) (and 2 more that do not fit)"
    with pytest.raises(EventError, match=r"^s: row 0: at: null, but an event needs its event time$"):
        check_events(SOURCE, [{}])


@pytest.mark.parametrize(
    ("events", "reason"),
    [
        (
            {"at": NOON},
            "events are of type dict; legal is a list of dicts, an Arrow table, or a polars or pandas frame",
        ),
        ("x.jsonl", "events are of type str"),
        (None, "events are of type NoneType"),
        ([{"at": NOON}, 5], "row 1 is of type int; legal is a dict"),
        ([b"x", {"at": NOON}], "row 0 is of type bytes; legal is a dict"),
    ],
)
def test_what_are_no_events(events: Any, reason: str) -> None:
    with pytest.raises(EventError, match=f"^s: {reason}"):
        check_events(SOURCE, events)


def moments(most: int) -> st.SearchStrategy[datetime]:
    return st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30), timezones=st.just(UTC)).map(  # noqa: DTZ001
        lambda moment: moment.replace(microsecond=moment.microsecond // most * most)
    )


VALUES: dict[str, st.SearchStrategy[Any]] = {
    "flag": st.booleans(),
    "small": st.integers(-128, 127),
    "big": st.integers(-(2**63), 2**63 - 1),
    "wide": st.integers(0, 2**32 - 1),
    "ratio": st.floats(),
    "single": st.floats(width=32),
    "name": st.text(max_size=8),
    "raw": st.binary(max_size=8),
    "at": moments(1),
    "at_ms": moments(1_000),
    "day": st.dates(),
    "cost": st.decimals(-(10**7), 10**7, places=2),
    "numbers": st.lists(st.integers(-9, 9) | st.none(), max_size=3),
    "tags": st.dictionaries(st.text(max_size=3), st.floats() | st.none(), max_size=3),
    "box": st.fixed_dictionaries({"a": st.integers(-9, 9), "b": st.lists(moments(1_000_000), max_size=2)}),
}
ROWS = st.fixed_dictionaries({name: values if name == "at" else st.none() | values for name, values in VALUES.items()})


def shown(events: pa.RecordBatch | pa.Table) -> str:
    return repr(events.to_pylist())


@settings(deadline=None, max_examples=100)
@given(st.lists(ROWS, max_size=5), st.sampled_from(["avro", "json", "confluent"]))
def test_encoded_events_are_decoded_as_the_same(rows: list[dict[str, Any]], encoding: str) -> None:
    source = Source("s", fields=FIELDS, event_time="at", topic="s", encoding=encoding)
    events = check_events(source, rows)
    assert events.schema == source.schema
    decoded = decoder(source).decode(pa.array(encode_values(source, events), pa.binary()))
    assert decoded.bad == []
    assert shown(decoded.events) == shown(events)
    part = events.slice(1, 2)
    assert encode_values(source, part) == encode_values(source, events)[1:3]


@settings(deadline=None, max_examples=100)
@given(st.lists(ROWS, max_size=5))
def test_dicts_and_tables_are_the_same(rows: list[dict[str, Any]]) -> None:
    events = check_events(SOURCE, rows)
    table = pa.Table.from_batches([events, events])
    assert shown(check_events(SOURCE, table)) == shown(table)
    assert shown(check_events(SOURCE, table.slice(1, 3))) == shown(table.slice(1, 3))
    assert shown(check_events(SOURCE, events.to_pylist())) == shown(events)
    assert read_events(SOURCE, rows).schema == SOURCE.schema
    flat = Source("f", fields={k: v for k, v in FIELDS.items() if k not in ("tags",)}, event_time="at", topic="f")
    frame = pl.from_arrow(table.drop_columns(["tags"]))
    assert isinstance(frame, pl.DataFrame)
    assert shown(check_events(flat, frame)) == shown(table.drop_columns(["tags"]))
    assert shown(check_events(flat, frame.lazy())) == shown(table.drop_columns(["tags"]))


def test_frames_of_pandas() -> None:
    frame = pd.DataFrame(
        {
            "at": pd.to_datetime(["2026-12-01T12:00:00.000000999", "2026-12-01T00:00:00.0"], format="ISO8601"),
            "big": [1.0, np.nan],
            "ratio": [0.5, np.nan],
            "name": ["x", None],
            "box": [{"a": 1, "b": [0]}, None],
            "tags": [{"a": 1.5}, np.nan],
            "numbers": [[1, 2], None],
            "cost": [Decimal("1.5"), None],
            "other": [object(), object()],
        }
    )
    frame["flag"] = pd.array([True, None], dtype="boolean")
    first, second = check_events(SOURCE, frame).to_pylist()
    assert first["at"] == NOON
    assert (first["big"], first["ratio"], first["name"]) == (1, 0.5, "x")
    assert (first["cost"], first["flag"]) == (Decimal("1.5"), True)
    assert (first["box"], first["tags"], first["numbers"]) == (
        {"a": 1, "b": [datetime(1970, 1, 1, tzinfo=UTC)]},
        [("a", 1.5)],
        [1, 2],
    )
    assert all(value is None for name, value in second.items() if name != "at")
    with pytest.raises(EventError, match=r"^s: column big is of type double; legal for int64 are integers$"):
        check_events(SOURCE, pd.DataFrame({"at": [NOON], "big": [1.5]}))
    with pytest.raises(
        EventError, match=r"^s: there is no column 'at', the event time; columns are a_t\. Did you mean"
    ):
        check_events(SOURCE, pd.DataFrame({"a_t": [NOON]}))
    with pytest.raises(EventError, match=r"^s: row 1: small: 200 is no int8"):
        check_events(SOURCE, pd.DataFrame({"at": [NOON, NOON], "small": [1, 200]}))


@pytest.mark.parametrize(
    ("kind", "column", "result"),
    [
        ("int8", pa.array([1, None], pa.uint64()), [1, None]),
        ("float64", pa.array([1, None], pa.int8()), [1.0, None]),
        ("float64", pa.array([0.5, None], pa.float32()), [0.5, None]),
        ("string", pa.array(["a", None], pa.large_string()), ["a", None]),
        ("string", pa.array(["a", None], pa.string_view()), ["a", None]),
        ("string", pa.array(["a", None]).dictionary_encode(), ["a", None]),
        ("bytes", pa.array([b"ab", None], pa.binary(2)), [b"ab", None]),
        ("timestamp", pa.array([-1, None], pa.int64()).cast(pa.timestamp("ns")), [BEFORE, None]),
        ("timestamp(ms)", pa.array([1_000, None]), [datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC), None]),
        ("date", pa.array([86_400_000, None]).cast(pa.date64()), [date(1970, 1, 2), None]),
        ("decimal(5,2)", pa.array([1, None]), [Decimal("1.00"), None]),
        ("decimal(5,2)", pa.array(["1.5", None]), [Decimal("1.50"), None]),
        ("list<int64>", pa.array([[1], None], pa.large_list(pa.int32())), [[1], None]),
        ("list<int64>", pa.array([[1, 2], None], pa.list_(pa.int32(), 2)), [[1, 2], None]),
        ("map<string,int64>", pa.array([[("a", 1)], None], pa.map_(pa.string(), pa.int8())), [[("a", 1)], None]),
        ("map<string,int64>", pa.array([[{"key": "a", "value": 1}], None]), [[("a", 1)], None]),
        ("struct<a:int64,b:string>", pa.array([{"a": 1, "c": 2}, None]), [{"a": 1, "b": None}, None]),
        ("list<date>", pa.nulls(2), [None, None]),
    ],
)
def test_arrow_types_that_hold_a_type(kind: str, column: Any, result: list[Any]) -> None:
    source = Source("s", fields={"x": kind}, topic="s")
    found = check_events(source, pa.table({"x": column}))
    assert found.schema == source.schema
    assert found["x"].to_pylist() == result


@pytest.mark.parametrize(
    ("kind", "column", "reason"),
    [
        ("int8", pa.array([1, 128]), "row 1: x: 128 is no int8 (-128 to 127)"),
        ("int64", pa.array([2**63], pa.uint64()), "row 0: x: 9223372036854775808 is no int64"),
        ("uint8", pa.array([-1]), "row 0: x: -1 is no uint8 (0 to 255)"),
        ("float32", pa.array([0.0, 1e39]), "row 1: x: 1e+39 is no float32"),
        ("timestamp", pa.array(["2026-12-01", "soon"]), 'row 1: x: "soon" is no timestamp: legal is ISO 8601 text'),
        ("timestamp(s)", pa.array([10**12]), "row 0: x: 1000000000000 is no timestamp(s) of the years 1 to 9999"),
        ("date", pa.array(["", "x"]), 'row 0: x: "" is no date'),
        ("decimal(4,2)", pa.array([Decimal("1.234")]), "row 0: x: Decimal('1.234') is no decimal(4,2)"),
        ("list<int8>", pa.array([[1], None, [2, 300]]), "row 2: x[]: 300 is no int8 (-128 to 127)"),
        ("struct<a:int8>", pa.array([None, {"a": 300}]), "row 1: x.a: 300 is no int8 (-128 to 127)"),
        ("map<string,int8>", pa.array([[("a", 300)]], pa.map_(pa.string(), pa.int64())), "row 0: x{}: 300 is no int8"),
        ("int64", pa.array([1.0]), "column x is of type double; legal for int64 are integers"),
        ("bool", pa.array([1]), "column x is of type int64; legal for bool are booleans"),
        ("string", pa.array([1]), "column x is of type int64; legal for string are strings"),
        ("timestamp", pa.array([1]), "column x is of type int64; legal for timestamp without a unit are timestamps or"),
        ("list<int64>", pa.array([["a"]]), "column x[] is of type string; legal for int64 are integers"),
        (
            "map<string,int64>",
            pa.array([{"a": 1}]),
            "column x is of type struct<a: int64>; legal for map<string,int64>",
        ),
        ("decimal(4,2)", pa.array([1.5]), "column x is of type double; legal for decimal(4,2) are decimals, integers"),
    ],
)
def test_arrow_columns_that_do_not_fit(kind: str, column: Any, reason: str) -> None:
    with pytest.raises(EventError, match=r"^s: " + re.escape(reason)):
        check_events(Source("s", fields={"x": kind}, topic="s"), pa.table({"x": column}))


def test_values_that_the_sources_own_avro_schema_refuses() -> None:
    cost = {"type": "fixed", "name": "c", "size": 2, "logicalType": "decimal", "precision": 4}
    schema = {
        "type": "record",
        "name": "r",
        "fields": [
            {"name": "side", "type": ["null", {"type": "enum", "name": "side", "symbols": ["BUY", "SELL"]}]},
            {"name": "code", "type": {"type": "fixed", "name": "code", "size": 2}},
            {"name": "cost", "type": cost},
            {"name": "items", "type": {"type": "array", "items": "string"}},
        ],
    }
    source = Source("s", avro=json.dumps(schema), topic="s")
    good = {"side": "BUY", "code": b"ab", "cost": 5, "items": ["x"]}
    events = check_events(source, [good, {**good, "side": None}])
    decoded = decoder(source).decode(pa.array(encode_values(source, events)))
    assert shown(decoded.events) == shown(events)
    changes: list[tuple[dict[str, Any], str]] = [
        ({"side": "HOLD"}, 's: row 1: side: "HOLD" is no symbol of the enum, legal are BUY, SELL'),
        ({"code": b"abc"}, "s: row 1: code: b'abc' is not of 2 bytes"),
        ({"code": None}, "s: row 1: code: null, but the Avro schema wants fixed"),
        ({"items": ["x", None]}, "s: row of item 2: items[]: null, but the Avro schema wants string"),
    ]
    for change, reason in changes:
        with pytest.raises(EventError, match="^" + re.escape(reason) + "$"):
            encode_values(source, check_events(source, [good, {**good, **change}]))


def test_avro_floors_times_to_the_unit_of_the_field() -> None:
    source = Source("s", fields={"at": "timestamp(s)"}, topic="s")
    events = check_events(source, [{"at": datetime(1969, 12, 31, 23, 59, 59, 1, tzinfo=UTC)}])
    (event,) = decoder(source).decode(pa.array(encode_values(source, events))).events.to_pylist()
    assert event["at"] == datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC)
