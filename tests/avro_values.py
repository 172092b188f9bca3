"""Avro for tests: a plain, strict reader of single datums, and generated schemas with values."""

from __future__ import annotations

import io
import itertools
import math
import struct
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import fastavro
from hypothesis import strategies as st

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
FIRST, LAST = -62_135_596_800_000_000, 253_402_300_799_999_999
UNITS = {"timestamp-seconds": 10**6, "timestamp-millis": 1000, "timestamp-micros": 1, "local-timestamp-micros": 1}


def strict(schema: Any, data: bytes, at: int) -> tuple[Any, int]:
    """Reads one value, plainly and strictly: the oracle for damaged datums."""
    if isinstance(schema, list):
        branch, at = strict("long", data, at)
        assert 0 <= branch < len(schema)
        return strict(schema[branch], data, at)
    spec = schema if isinstance(schema, dict) else {}
    kind = spec.get("type", schema)
    logical = spec.get("logicalType", "")
    if kind == "null":
        return None, at
    if kind == "record":
        found = {}
        for member in spec["fields"]:
            found[member["name"]], at = strict(member["type"], data, at)
        return found, at
    if kind in ("array", "map"):
        items: list[Any] = []
        while True:
            count, at = strict("long", data, at)
            if count < 0:
                _, at = strict("long", data, at)
            for _ in range(abs(count)):
                key = None
                if kind == "map":
                    key, at = strict("string", data, at)
                item, at = strict(spec["items" if kind == "array" else "values"], data, at)
                items.append((key, item))
            if count == 0:
                return (dict(items) if kind == "map" else [item for _, item in items]), at
    if kind == "boolean":
        assert data[at] in (0, 1)
        return bool(data[at]), at + 1
    if kind in ("float", "double"):
        width = 4 if kind == "float" else 8
        return struct.unpack("<f" if width == 4 else "<d", data[at : at + width])[0], at + width
    if kind in ("int", "long", "enum"):
        raw = shift = 0
        while True:
            raw |= (data[at] & 127) << shift
            shift, at = shift + 7, at + 1
            if data[at - 1] < 128:
                break
            assert shift < 70
        assert raw < 1 << 64
        value = (raw >> 1) ^ -(raw & 1)
        if kind == "enum":
            assert 0 <= value < len(spec["symbols"])
            return spec["symbols"][value], at
        if logical == "date":
            assert FIRST // 86_400_000_000 <= value <= LAST // 86_400_000_000
        elif logical:
            value *= UNITS[logical]
            assert FIRST <= value <= LAST
        assert kind == "long" or -(2**31) <= value < 2**31
        return value, at
    size = spec.get("size")
    if size is None:
        size, at = strict("long", data, at)
    assert 0 <= size <= len(data) - at
    raw_bytes = data[at : at + size]
    if logical == "decimal":
        number = int.from_bytes(raw_bytes, "big", signed=True)
        assert abs(number) < 10 ** spec["precision"]
        return Decimal(f"{number}E-{spec['scale']}"), at + size
    return (raw_bytes.decode() if kind == "string" else raw_bytes), at + size


def strictly(schema: Any, data: bytes) -> Any:
    """The record of a datum, or None if it is damaged."""
    try:
        value, at = strict(schema, data, 0)
    except (AssertionError, IndexError, struct.error, UnicodeDecodeError):
        return None
    return plain(value) if at == len(data) else None


def plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list):
        if value and all(isinstance(item, tuple) for item in value):
            return {key: plain(item) for key, item in value}
        return [plain(item) for item in value]
    if isinstance(value, datetime):
        return (value - EPOCH) // timedelta(microseconds=1)
    if isinstance(value, date):
        return value.toordinal() - 719_163
    if isinstance(value, float):
        return "nan" if math.isnan(value) else (value, math.copysign(1, value))
    return value


PRIMITIVES: list[tuple[Any, st.SearchStrategy[Any]]] = [
    ("boolean", st.booleans()),
    ("int", st.integers(-(2**31), 2**31 - 1)),
    ("long", st.integers(-(2**63), 2**63 - 1)),
    ("float", st.floats(width=32)),
    ("double", st.floats()),
    ("string", st.text(max_size=20)),
    ("bytes", st.binary(max_size=20)),
    ({"type": "int", "logicalType": "date"}, st.dates(date(1, 1, 2))),
    *(
        ({"type": "long", "logicalType": f"timestamp-{unit}"}, st.datetimes(timezones=st.just(UTC)))
        for unit in ("millis", "micros")
    ),
    ({"type": "string", "logicalType": "uuid"}, st.uuids()),
    (
        {"type": "bytes", "logicalType": "decimal", "precision": 38, "scale": 3},
        st.decimals(-(10**34), 10**34, places=3),
    ),
    ({"type": "bytes", "logicalType": "decimal", "precision": 6, "scale": 0}, st.decimals(-999_999, 999_999, places=0)),
]


NUMBERS = itertools.count()  # names of types must differ within a schema


@st.composite
def types(draw: st.DrawFn, depth: int = 2) -> tuple[Any, st.SearchStrategy[Any]]:
    """An Avro type and a strategy of values for it."""
    choice = draw(st.integers(0, 19 if depth else 15))
    number = next(NUMBERS)
    if choice == 13:
        symbols = ["A", "B", "C_3"]
        return {"type": "enum", "name": f"e{number}", "symbols": symbols}, st.sampled_from(symbols)
    if choice == 14:
        return {"type": "fixed", "name": f"f{number}", "size": 5}, st.binary(min_size=5, max_size=5)
    if choice == 15:
        spec = {
            "type": "fixed",
            "name": f"d{number}",
            "size": 17,
            "logicalType": "decimal",
            "precision": 30,
            "scale": 2,
        }
        return spec, st.decimals(-(10**27), 10**27, places=2)
    if choice == 16:
        item, values = draw(unions(depth - 1))
        return {"type": "array", "items": item}, st.lists(values, max_size=4)
    if choice == 17:
        item, values = draw(unions(depth - 1))
        return {"type": "map", "values": item}, st.dictionaries(st.text(max_size=3), values, max_size=3)
    if choice >= 18:
        return draw(records(depth - 1, f"r{number}"))
    return PRIMITIVES[choice]


@st.composite
def unions(draw: st.DrawFn, depth: int = 2) -> tuple[Any, st.SearchStrategy[Any]]:
    kind, values = draw(types(depth))
    form = draw(st.integers(0, 3))
    if form == 0:
        return ["null", kind], st.none() | values
    if form == 1:
        return [kind, "null"], st.none() | values
    return kind, values


@st.composite
def records(draw: st.DrawFn, depth: int = 2, name: str = "top") -> tuple[Any, st.SearchStrategy[Any]]:
    members = [draw(unions(depth)) for _ in range(draw(st.integers(1, 5)))]
    schema = {
        "type": "record",
        "name": name,
        "fields": [{"name": f"c{index}", "type": kind} for index, (kind, _) in enumerate(members)],
    }
    return schema, st.fixed_dictionaries({f"c{index}": values for index, (_, values) in enumerate(members)})


def encode(schema: Any, record: Any) -> bytes:
    out = io.BytesIO()
    fastavro.schemaless_writer(out, schema, record)
    return out.getvalue()
