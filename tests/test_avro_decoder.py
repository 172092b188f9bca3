"""The Avro decoder equals fastavro on sound datums, and a strict reader of single datums on damaged ones."""

from __future__ import annotations

import io
import json
import struct
from typing import Any

import fastavro
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.source import Source
from tests.avro_values import encode, plain, records, strictly
from transforms.encodings.avro import AvroDecoder


def decoded(schema: Any, values: list[bytes | None]) -> tuple[dict[int, Any], dict[int, str]]:
    source = Source("s", avro=json.dumps(schema), topic="s")
    assert source.problem is None
    found = AvroDecoder(source).decode(pa.array([b"skipped", *values], pa.binary())[1:])
    found.events.validate(full=True)
    assert found.events.schema == source.schema
    assert sorted([*found.good.tolist(), *(index for index, _ in found.bad)]) == list(range(len(values)))
    assert found.bad == sorted(found.bad)
    rows = dict(zip(found.good.tolist(), map(plain, found.events.to_pylist()), strict=True))
    return rows, dict(found.bad)


def nothing_for_empty(value: Any) -> Any:
    """The record with empty maps as empty lists, as pyarrow gives them."""
    if isinstance(value, dict):
        return {key: nothing_for_empty(item) for key, item in value.items()} or []
    return [nothing_for_empty(item) for item in value] if isinstance(value, list) else value


@settings(deadline=None, max_examples=200)
@given(st.data())
def test_sound_datums_equal_fastavro(data: st.DataObject) -> None:
    schema, values = data.draw(records())
    parsed = fastavro.parse_schema(schema)
    datums = [encode(parsed, record) for record in data.draw(st.lists(values, max_size=6))]
    rows, bad = decoded(schema, list(datums))
    assert bad == {}
    for index, datum in enumerate(datums):
        theirs: Any = fastavro.schemaless_reader(io.BytesIO(datum), without_uuid(parsed), None)
        assert rows[index] == nothing_for_empty(plain(theirs))
        assert rows[index] == nothing_for_empty(strictly(schema, datum))


def without_uuid(schema: Any) -> Any:
    """The schema with uuids as the strings that they are."""
    text = json.dumps(schema, default=str).replace('"logicalType": "uuid"', '"doc": ""')
    return fastavro.parse_schema(json.loads(text.replace('"__fastavro_parsed__": true, ', "")))


@st.composite
def damaged(draw: st.DrawFn, datum: bytes) -> bytes:
    """A datum with some of its bytes changed, left out or added."""
    broken = bytearray(datum)
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(broken)))
        action = draw(st.sampled_from(["set", "set", "cut", "insert", "drop"]))
        if action == "cut":
            del broken[at:]
        elif action == "insert":
            broken[at:at] = draw(
                st.binary(max_size=12) | st.sampled_from([b"\x80" * 9, b"\xff" * 10, b"\xff" * 9 + b"\x01"])
            )
        elif at < len(broken):
            broken[at : at + 1] = b"" if action == "drop" else draw(st.binary(min_size=1, max_size=1))
    return bytes(broken)


@settings(deadline=None, max_examples=400)
@given(st.data())
def test_a_damaged_datum_is_bad_or_equal_and_touches_no_other(data: st.DataObject) -> None:
    schema, values = data.draw(records())
    parsed = fastavro.parse_schema(schema)
    datums: list[bytes | None] = [
        data.draw(damaged(encode(parsed, record))) for record in data.draw(st.lists(values, min_size=1, max_size=6))
    ]
    if data.draw(st.booleans()):
        datums.append(None)
    rows, bad = decoded(schema, datums)
    for index, datum in enumerate(datums):
        expected = None if datum is None else nothing_for_empty(strictly(schema, datum))
        assert rows.get(index) == expected, bad.get(index)
        assert (index in bad) == (expected is None)


@settings(deadline=None, max_examples=200)
@given(st.lists(st.binary(max_size=40), max_size=8))
def test_noise_is_never_an_exception(datums: list[bytes | None]) -> None:
    schema = FLAT
    rows, bad = decoded(schema, datums)
    for index, datum in enumerate(datums):
        assert rows.get(index) == strictly(schema, datum or b""), bad.get(index)


FLAT = {
    "type": "record",
    "name": "flat",
    "fields": [
        {"name": "id", "type": "int"},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "kind", "type": ["null", "string"]},
        {"name": "side", "type": {"type": "enum", "name": "side", "symbols": ["BUY", "SELL"]}},
        {"name": "ok", "type": "boolean"},
        {"name": "cost", "type": {"type": "bytes", "logicalType": "decimal", "precision": 4, "scale": 2}},
        {"name": "price", "type": "double"},
    ],
}
SOUND = b"\x02" + b"\x04" + b"\x02\x06abc" + b"\x02" + b"\x01" + b"\x04\x04\xd2" + struct.pack("<d", 1.5)


@pytest.mark.parametrize(
    ("datum", "reason"),
    [
        (SOUND[:-1], "price: the value ends inside this field"),
        (SOUND[:4], "kind: the value ends inside this field"),
        (b"", "id: the value ends inside this field"),
        (None, "the record has no value"),
        (SOUND + b"\0\0", "2 bytes are left over after the last field"),
        (b"\x80" * 10 + b"\0" + SOUND[1:], "id: the number is longer than 64 bits"),
        (b"\xff" * 9 + b"\x03" + SOUND[1:], "id: the number is longer than 64 bits"),
        (b"\xff" * 9 + b"\x01" + SOUND[1:], "id: -9223372036854775808 is no int32 (-2147483648 to 2147483647)"),
        (SOUND[:2] + b"\x04" + SOUND[3:], "kind: 2 is no branch of the union, legal are 0 (null) and 1 (string)"),
        (SOUND[:2] + b"\x01" + SOUND[3:], "kind: -1 is no branch of the union, legal are 0 (null) and 1 (string)"),
        (SOUND[:3] + b"\x05" + SOUND[4:], "kind: the length -3 is negative"),
        (SOUND[:4] + b"\xff" + SOUND[5:], "kind: the text is not UTF-8"),
        (SOUND[:7] + b"\x01" + SOUND[8:], "side: -1 is no symbol of the enum, legal are 0 to 1"),
        (SOUND[:8] + b"\x07" + SOUND[9:], "ok: the byte 7 is no bool, legal are 0 and 1"),
        (SOUND[:10] + b"\x7f" + SOUND[11:], "cost: the number does not fit decimal(4,2)"),
        (
            SOUND[:1] + b"\xfe" + b"\xff" * 8 + b"\x01" + SOUND[2:],
            "at: 9223372036854775807 is no timestamp(ms) of the years 1 to 9999",
        ),
    ],
)
def test_each_fault_is_named(datum: bytes | None, reason: str) -> None:
    rows, bad = decoded(FLAT, [SOUND, datum, SOUND])
    assert bad == {1: reason}
    assert rows[0] == rows[2] == strictly(FLAT, SOUND)


def test_a_fault_inside_others_is_named_by_its_path() -> None:
    item = {
        "type": "record",
        "name": "item",
        "fields": [{"name": "qty", "type": "int"}, {"name": "n", "type": "string"}],
    }
    schema = {
        "type": "record",
        "name": "order",
        "fields": [
            {"name": "items", "type": ["null", {"type": "array", "items": ["null", item]}]},
            {"name": "tags", "type": {"type": "map", "values": "boolean"}},
        ],
    }
    sound = encode(fastavro.parse_schema(schema), {"items": [{"qty": 1, "n": "x"}, None], "tags": {"a": True}})
    flipped = sound.replace(b"\x02a\x01", b"\x02a\x09")
    rows, bad = decoded(
        schema, [sound, sound.replace(b"x", b"\xfe"), flipped, b"\x02\xfe\xff\xff\xff\xff\x7f\x02", sound]
    )
    assert bad == {
        1: "items[].n: the text is not UTF-8",
        2: "tags{}: the byte 9 is no bool, legal are 0 and 1",
        3: "items: the value ends inside this field",
    }
    assert rows[0] == rows[4] == {"items": [{"qty": 1, "n": "x"}, None], "tags": {"a": True}}


def test_blocks_of_lists_and_repeated_map_keys() -> None:
    schema = {
        "type": "record",
        "name": "r",
        "fields": [
            {"name": "l", "type": {"type": "array", "items": "long"}},
            {"name": "m", "type": {"type": "map", "values": "long"}},
        ],
    }
    datum = b"\x03\x04\x02\x04\x02\x06\x00" + b"\x04\x02a\x02\x02b\x04\x02\x02a\x06\x00"
    rows, bad = decoded(schema, [datum, b"\x00\x00"])
    assert bad == {}
    assert rows == {0: {"l": [1, 2, 3], "m": {"b": 2, "a": 3}}, 1: {"l": [], "m": []}}


def test_a_declared_type_is_kept_and_bounds_are_checked() -> None:
    fields = {"a": "int8", "b": "uint8", "c": "float32", "t": "timestamp(s)", "u": "timestamp", "l": "list<uint16>"}
    source = Source("s", fields=fields, event_time="t", topic="s")
    schema = fastavro.parse_schema(source.avro_schema)
    rows = [
        {"a": -128, "b": 255, "c": 0.5, "t": 10, "u": 7, "l": [65535, None]},
        {"a": 128, "t": 10},
        {"b": -1, "t": 10},
        {"l": [-1], "t": 10},
    ]
    found = AvroDecoder(source).decode(pa.array([encode(schema, row) for row in rows]))
    assert found.events.schema == source.schema
    assert [plain(row) for row in found.events.to_pylist()] == [
        {"a": -128, "b": 255, "c": (0.5, 1.0), "t": 10_000_000, "u": 7, "l": [65535, None]}
    ]
    assert found.bad == [
        (1, "a: 128 is no int8 (-128 to 127)"),
        (2, "b: -1 is no uint8 (0 to 255)"),
        (3, "l[]: -1 is no uint16 (0 to 65535)"),
    ]


def test_an_event_needs_its_event_time() -> None:
    schema = {
        "type": "record",
        "name": "r",
        "fields": [{"name": "t", "type": ["null", {"type": "long", "logicalType": "timestamp-micros"}]}],
    }
    source = Source("s", avro=json.dumps(schema), event_time="t", topic="s")
    found = AvroDecoder(source).decode(pa.array([b"\x00", b"\x02\x02"]))
    assert found.bad == [(0, "t: null, but an event needs its event time")]
    assert found.good.tolist() == [1]


def test_behind_a_schema_registrys_header() -> None:
    source = Source("s", fields={"a": "int64"}, topic="s", encoding="confluent")
    values = [b"\0\0\0\0\7\x02\x04", b"\1\0\0\0\7\x02\x04", b"\0\0\0", b"", None, b"\0\0\0\0\7\x02\x06", b"\0\0\0\0\7"]
    found = AvroDecoder(source, confluent=True).decode(pa.array(values))
    assert found.events.to_pylist() == [{"a": 2}, {"a": 3}]
    headless = "the value lacks a schema registry's header: a zero byte and 4 bytes of schema id"
    expected = [(1, headless), (2, headless), (3, headless), (4, "the record has no value")]
    assert found.bad == [*expected, (6, "a: the value ends inside this field")]


def test_no_values_at_all() -> None:
    rows, bad = decoded(FLAT, [])
    assert (rows, bad) == ({}, {})
