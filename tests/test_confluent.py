"""Values behind a schema registry's header: each read by the schema that it was written with."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import fastavro
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import EventError, StoreAway
from schemas.source import Source
from transforms.encodings.confluent import HEADLESS, ConfluentDecoder
from transforms.encodings.decoded import Decoded
from transforms.encodings.decoder import decoder

OWN = {
    "type": "record",
    "name": "buy",
    "fields": [
        {"name": "k", "type": "long"},
        {"name": "price", "type": "double", "aliases": ["cost", "amount"]},
        {"name": "kind", "type": "string", "default": "card"},
        {"name": "note", "type": ["null", "string"], "default": None},
        {"name": "tags", "type": {"type": "array", "items": "string"}, "default": ["none"]},
    ],
}
SOURCE = Source("buys", avro=json.dumps(OWN), topic="buys", encoding="confluent")


def record(*fields: Any) -> dict[str, Any]:
    return {"type": "record", "name": "buy", "fields": [{"name": name, "type": kind} for name, kind in fields]}


def value(schema: Any, number: int, event: Any) -> bytes:
    out = io.BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(json.loads(json.dumps(schema))), event)
    return b"\0" + number.to_bytes(4, "big") + out.getvalue()


def decoded(writers: Mapping[int, Any], values: list[bytes | None], source: Source = SOURCE) -> Decoded:
    def schema(number: int) -> Any:
        if number not in writers:
            raise EventError(f"schema id {number} is unknown")
        return writers[number]

    return decoder(source, schema).decode(pa.array(values, pa.binary()))


def test_writers_of_many_schemas_side_by_side() -> None:
    writers = {
        1: OWN,
        2: record(("price", "float"), ("k", "int")),
        7: record(("amount", "double"), ("k", "long"), ("kind", ["null", "string"]), ("more", "bytes")),
        300: record(("at", {"type": "int", "logicalType": "time-millis"}), ("k", "long"), ("cost", "long")),
    }
    events: list[tuple[int, Any]] = [
        (1, {"k": 1, "price": 1.5, "kind": "a", "note": "n", "tags": ["x", "y"]}),
        (2, {"k": 2, "price": 2.5}),
        (7, {"k": 3, "amount": 3.5, "kind": None, "more": b"\0\1"}),
        (300, {"k": 4, "cost": 4, "at": 5}),
        (2, {"k": 5, "price": 0.5}),
        (1, {"k": 6, "price": 6.5, "kind": "b", "note": None, "tags": []}),
    ]
    found = decoded(writers, [value(writers[number], number, event) for number, event in events])
    assert found.bad == []
    assert found.good.tolist() == list(range(6))
    assert found.events.to_pylist() == [
        {"k": 1, "price": 1.5, "kind": "a", "note": "n", "tags": ["x", "y"]},
        {"k": 2, "price": 2.5, "kind": "card", "note": None, "tags": ["none"]},
        {"k": 3, "price": 3.5, "kind": None, "note": None, "tags": ["none"]},
        {"k": 4, "price": 4.0, "kind": "card", "note": None, "tags": ["none"]},
        {"k": 5, "price": 0.5, "kind": "card", "note": None, "tags": ["none"]},
        {"k": 6, "price": 6.5, "kind": "b", "note": None, "tags": []},
    ]


def test_what_is_wrong_with_one_value_touches_no_other() -> None:
    other = record(("k", "long"), ("price", "string"))
    small = record(("k", "long"), ("at", {"type": "int", "logicalType": "time-millis"}))
    writers = {1: OWN, 2: record(("k", "long")), 3: other, 4: "string", 5: small, 6: {"type": "nonsense"}}
    good = value(writers[2], 2, {"k": 9})
    values = [
        good,
        None,
        b"",
        b"\1\0\0\0\2\2",
        b"\0\0\0\2",
        good[:4] + b"\x63" + good[5:],
        good + b"\0",
        value(other, 3, {"k": 1, "price": "x"}),
        value("string", 4, "text"),
        value(small, 5, {"k": 8, "at": 1}),
        value(small, 5, {"k": 8, "at": 1}) + b"\0",
        b"\0\0\0\0\6\2",
        good,
    ]
    found = decoded(writers, values)
    assert found.events["k"].to_pylist() == [9, 8, 9]
    assert found.good.tolist() == [0, 9, 12]
    reasons = dict(found.bad)
    assert reasons[1] == "the record has no value"
    assert [reasons[at] for at in (2, 3, 4)] == [HEADLESS] * 3
    assert reasons[5] == "schema id 99 is unknown"
    assert "left over" in reasons[6]
    assert "column price is of type string" in reasons[7]
    assert [reasons[at] for at in (8, 11)] == ["the registered schema is no Avro record"] * 2
    assert "left over" in reasons[10]


def test_a_writer_without_the_event_time_fits_nothing() -> None:
    source = Source("s", fields={"k": "int64", "ts": "timestamp(us)"}, event_time="ts", topic="s", encoding="confluent")
    found = decoded({1: record(("k", "long"))}, [value(record(("k", "long")), 1, {"k": 1})], source)
    assert found.bad == [(0, "source s: there is no column 'ts', the event time; columns are k.")]


def test_a_registry_that_is_away_is_no_fault_of_a_value() -> None:
    def away(number: int) -> Any:
        raise StoreAway("away")

    with pytest.raises(StoreAway, match="away"):
        ConfluentDecoder(SOURCE, away).decode(pa.array([b"\0\0\0\0\1\2"]))
    assert ConfluentDecoder(SOURCE, away).decode(pa.array([b"", None], pa.binary())).events.num_rows == 0


def test_a_slice_of_values_is_read_as_it_stands() -> None:
    values = [value(record(("k", "long")), 1, {"k": number}) for number in range(10)]
    whole = pa.array([*values[:5], None, b"", *values[5:]], pa.binary())
    found = ConfluentDecoder(SOURCE, lambda number: record(("k", "long"))).decode(whole.slice(3, 7))
    assert found.events["k"].to_pylist() == [3, 4, 5, 6, 7]
    assert found.good.tolist() == [0, 1, 4, 5, 6]


KINDS: dict[str, tuple[Any, Any]] = {
    "int": (st.integers(-(2**31), 2**31 - 1), "int"),
    "long": (st.integers(-(2**53), 2**53), "long"),
    "float": (st.floats(width=32, allow_nan=False), "float"),
    "double": (st.floats(allow_nan=False), "double"),
    "string": (st.text(), "string"),
    "bytes": (st.binary(), "bytes"),
    "boolean": (st.booleans(), "boolean"),
    "decimal": (
        st.decimals(-1000, 1000, places=2, allow_nan=False),
        {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2},
    ),
}
PROMOTED = {"int": ["int", "long", "double"], "long": ["long"], "float": ["float", "double"]}


@given(st.data())
def test_resolution_is_that_of_avro(data: Any) -> None:
    names = data.draw(st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=6, unique=True))
    kinds = {name: data.draw(st.sampled_from(list(KINDS))) for name in names}
    optional = {name: data.draw(st.booleans()) for name in names}

    def typed(kind: str, may_be_null: bool) -> Any:
        return ["null", KINDS[kind][1]] if may_be_null else KINDS[kind][1]

    writer = record(*[(name, typed(kinds[name], optional[name])) for name in names])
    kept = data.draw(st.lists(st.sampled_from(names), min_size=1, unique=True))
    fields = [
        {"name": name, "type": typed(data.draw(st.sampled_from(PROMOTED.get(kinds[name], [kinds[name]]))), True)}
        for name in kept
    ]
    fields.append({"name": "new", "type": "long", "default": data.draw(st.integers(0, 99))})
    reader = {"type": "record", "name": "buy", "fields": data.draw(st.permutations(fields))}
    events = [
        {
            name: data.draw(KINDS[kinds[name]][0] if not optional[name] else st.none() | KINDS[kinds[name]][0])
            for name in names
        }
        for _ in range(data.draw(st.integers(1, 4)))
    ]
    values = [value(writer, 5, event) for event in events]
    source = Source("s", avro=json.dumps(reader), topic="s", encoding="confluent")
    found = decoded({5: writer}, list(values), source)
    assert found.bad == []
    wanted = [fastavro.schemaless_reader(io.BytesIO(each[5:]), writer, reader) for each in values]
    assert [plain(row) for row in found.events.to_pylist()] == [plain(row) for row in wanted]


def plain(row: Any) -> dict[str, Any]:
    return {name: float(each) if isinstance(each, Decimal) else each for name, each in row.items()}
