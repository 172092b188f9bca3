"""Types, names and durations as text; Avro schemas and fields."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import fastavro.schema
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.avro import avro_fields, avro_schema, read_avro
from schemas.durations import LONGEST, duration_text, parse_duration
from schemas.errors import did_you_mean
from schemas.names import column_name, name_problem, split_address
from schemas.types import PLAIN, TIME, WIDENED, Field, parse_type, type_text

PLAINS = st.sampled_from([*PLAIN, *WIDENED, "timestamp(s)", "timestamp(ms)", "timestamp(us)"]) | st.builds(
    lambda p, s: f"decimal({p},{min(s, p)})", st.integers(1, 38), st.integers(0, 38)
)
MEMBERS = st.lists(st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,5}", fullmatch=True), min_size=1, max_size=3, unique=True)


def nested(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    members = MEMBERS.flatmap(lambda names: st.tuples(*(inner.map(f"{name}: {{}}".format) for name in names)))
    return (
        inner.map("list<{}>".format)
        | inner.map("map<string, {}>".format)
        | members.map(lambda parts: f"struct<{', '.join(parts)}>")
    )


TEXTS = st.recursive(PLAINS, nested, max_leaves=6)


@given(TEXTS)
def test_a_type_is_its_canonical_text(text: str) -> None:
    kind = parse_type(text)
    assert parse_type(type_text(kind)) == kind
    assert type_text(parse_type(type_text(kind))) == type_text(kind)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("uint8", pa.int16()),
        ("uint16", pa.int32()),
        ("uint32", pa.int64()),
        ("bytes", pa.binary()),
        ("timestamp(s)", TIME),
        ("timestamp", pa.timestamp("us", "UTC")),
        ("date", pa.date32()),
        (" decimal( 10 , 2 ) ", pa.decimal128(10, 2)),
        ("list<map<string,struct<a:list<int8>,b:date>>>",
         pa.list_(pa.map_(pa.string(), pa.struct({"a": pa.list_(pa.int8()), "b": pa.date32()})))),
    ],
)  # fmt: skip
def test_texts_and_their_types(text: str, kind: pa.DataType) -> None:
    assert parse_type(text) == kind


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("uint64", "does not fit any signed integer: use int64, decimal(20,0) or string"),
        ("Int64", "Did you mean 'int64'? Legal types are bool, int8,"),
        ("timestamp(ns)", "timestamp(s|ms|us)"),
        ("list<strng>", "unknown type 'strng'. Did you mean 'string'?"),
        ("map<int64,string>", "expected map<string,T>, keys are strings"),
        ("map<string>", "expected map<string,T>"),
        ("struct<>", "no member of a struct: expected name:T"),
        ("struct<a:int8,a:int8>", "two members named 'a'"),
        ("struct<a:list<int8>", "unknown type"),
        ("decimal(39,0)", "1 <= p <= 38"),
        ("decimal(5,6)", "0 <= s <= p"),
        ("decimal", "unknown type 'decimal'"),
        ("", "unknown type ''"),
    ],
)
def test_no_types(text: str, told: str) -> None:
    with pytest.raises(ValueError, match=re.escape(told)):
        parse_type(text)


@pytest.mark.parametrize("kind", [pa.uint64(), pa.timestamp("ns"), pa.struct([]), pa.map_(pa.int64(), pa.int64())])
def test_arrow_types_without_a_place(kind: pa.DataType) -> None:
    with pytest.raises(ValueError, match="has no place here; legal types are bool"):
        type_text(kind)


def test_fields_know_the_unit_on_the_wire_and_what_is_inside() -> None:
    field = Field.parse("x", "struct<at: timestamp(ms), tags: map<string, list<timestamp>>>")
    assert [(child.name, child.unit) for child in field.children] == [("at", "ms"), ("tags", None)]
    (value,) = field.children[1].children
    assert (value.name, value.text, value.children[0].unit) == ("value", "list<timestamp>", None)
    assert Field.parse("t", "timestamp(us)").unit == "us"
    assert Field.parse("t", "int64").children == ()


@pytest.mark.parametrize(
    ("text", "length", "canonical"),
    [
        ("500ms", 500_000, "500ms"),
        ("60m", 3_600_000_000, "1h"),
        ("24h", 86_400_000_000, "1d"),
        ("1w", 604_800_000_000, "7d"),
        ("90s", 90_000_000, "90s"),
        ("7us", 7, "7us"),
    ],
)
def test_durations(text: str, length: int, canonical: str) -> None:
    assert parse_duration(text) == length
    assert duration_text(length) == canonical


@given(st.integers(1, LONGEST))
def test_a_duration_is_its_text(length: int) -> None:
    assert parse_duration(duration_text(length)) == length


@pytest.mark.parametrize("text", ["", "1", "h", "1.5h", "-1h", "0s", "1 h", "1H", "1h30m", "36526d", 5, None, "٣h"])
def test_no_durations(text: Any) -> None:
    with pytest.raises(ValueError, match="is no duration: legal is a whole number above 0 and a unit"):
        parse_duration(text)


def test_names() -> None:
    assert name_problem("a" * 64) is None
    assert name_problem("Card_2") is None
    assert name_problem("card-2", dashed=True) is None
    for name in ("", "2a", "a b", "a" * 65, "é", "a:b", "NOW", "_a", "card-2", "a\n", None, 3):
        assert name_problem(name) is not None


def test_addresses() -> None:
    assert split_address("card:count_1h") == ("card", "count_1h")
    assert column_name("card", "count_1h") == "card__count_1h"
    for text in ("card", ":x", "card:", "a:b:c", ""):
        with pytest.raises(ValueError, match="expected view:feature"):
            split_address(text)


def test_hints_regard_no_case() -> None:
    assert did_you_mean("INT65", ["int64", "string"]) == " Did you mean 'int64'?"
    assert did_you_mean("zzz", ["int64"]) == ""


@given(st.lists(TEXTS, min_size=1, max_size=4))
def test_fields_survive_their_avro_schema(texts: list[str]) -> None:
    fields = tuple(Field.parse(f"f{number}", text) for number, text in enumerate(texts))
    schema = avro_schema("events", fields, "f0")
    fastavro.schema.parse_schema(schema)
    assert avro_schema("events", avro_fields(schema), "f0") == schema


def test_only_the_event_time_is_not_nullable() -> None:
    fields = (Field.parse("t", "timestamp(ms)"), Field.parse("x", "int64"))
    assert avro_schema("s", fields, "t")["fields"] == [
        {"name": "t", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "x", "type": ["null", "long"], "default": None},
    ]


def record(kind: Any) -> dict[str, Any]:
    return {"type": "record", "name": "r", "fields": [{"name": "x", "type": kind}]}


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("int", "int32"),
        (["null", "string"], "string"),
        (["double", "null"], "float64"),
        ([{"type": "long", "logicalType": "timestamp-millis"}], "timestamp(ms)"),
        ({"type": "long", "logicalType": "local-timestamp-micros"}, "timestamp(us)"),
        ({"type": "long", "logicalType": "of-our-house"}, "int64"),
        ({"type": "string", "logicalType": "uuid"}, "string"),
        ({"type": "enum", "name": "e", "symbols": ["A", "B"]}, "string"),
        ({"type": "fixed", "name": "f", "size": 4}, "bytes"),
        ({"type": "fixed", "name": "f", "size": 8, "logicalType": "decimal", "precision": 9, "scale": 2},
         "decimal(9,2)"),
        ({"type": "bytes", "logicalType": "decimal", "precision": 9}, "decimal(9,0)"),
        ({"type": "array", "items": ["null", "long"]}, "list<int64>"),
        ({"type": "map", "values": {"type": "array", "items": "float"}}, "map<string,list<float32>>"),
        ({"type": "record", "name": "q", "fields": [{"name": "a", "type": {"type": "int", "logicalType": "date"}}]},
         "struct<a:date>"),
    ],
)  # fmt: skip
def test_avro_types(kind: Any, text: str) -> None:
    (field,) = avro_fields(record(kind))
    assert (field.name, field.text, field.type) == ("x", text, parse_type(text))


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        (["null", "int", "string"], "x is a union of null, int, string: legal is one type, or a union of null"),
        ({"type": "array", "items": {"type": "map", "values": ["int", "long"]}}, "x.items.values is a union"),
        ("null", "x is of type null: legal are boolean, int,"),
        ({"type": "int", "logicalType": "time-millis"}, "x has the logical type time-millis on int: legal are date"),
        ({"type": "bytes", "logicalType": "decimal", "precision": 50}, "x: 'decimal(50,0)' is no decimal"),
        (["null", "r"], "a record within itself"),
        ({"type": "record", "name": "q", "fields": []}, "x is a record without fields"),
        ("int65", "the Avro schema is not legal: UnknownType"),
    ],
)
def test_avro_types_without_a_place(kind: Any, told: str) -> None:
    with pytest.raises(ValueError, match=re.escape(told)):
        avro_fields(record(kind))


@pytest.mark.parametrize("schema", ["int", ["null", "int"], {"type": "array", "items": "int"}, 3, {}])
def test_an_avro_schema_is_a_record(schema: Any) -> None:
    with pytest.raises(ValueError, match="the Avro schema is"):
        avro_fields(schema)


def test_avro_types_by_name_are_found() -> None:
    inner = {"type": "enum", "name": "house.Kind", "symbols": ["A"]}
    schema = record(inner) | {"namespace": "house"}
    schema["fields"].append({"name": "y", "type": {"type": "array", "items": "Kind"}})
    assert [field.text for field in avro_fields(schema)] == ["string", "list<string>"]


def test_schema_files(tmp_path: Path) -> None:
    file = tmp_path / "x.avsc"
    file.write_text(json.dumps(record("int")))
    assert avro_fields(read_avro(file))[0].text == "int32"
    file.write_text("{")
    with pytest.raises(ValueError, match=r"x.avsc' is no JSON"):
        read_avro(file)
    with pytest.raises(ValueError, match=r"cannot read the Avro schema .*y.avsc': No such file"):
        read_avro(tmp_path / "y.avsc")
