"""Fuzz of the Avro decoder against fastavro: the same datums are taken, with the same values to the bit.

fastavro reads one datum by the schema without its logical types, and must use every byte; what the logical types make
of that is worked out here. The decoder takes nothing that fastavro refuses. It refuses more on purpose, each shown by
`test_what_is_refused_on_purpose`: numbers of more than 64 bits, negative branches and symbols (fastavro counts them
from the end), bytes that are no bool, and values that no column holds: an `int` of more than 32 bits, a decimal of more
digits than its precision, a time outside the years 1 to 9999, more items than there are bytes.
"""

from __future__ import annotations

import io
import json
import math
import os
import random
import re
import struct
from decimal import Context
from pathlib import Path
from typing import Any

import fastavro
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.errors import EventError
from schemas.source import Source
from tests.avro_values import FIRST, LAST, UNITS, encode, records
from tests.file_corruptions import container
from transforms.encodings.avro import AvroDecoder
from transforms.encodings.avro_encode import physical
from transforms.encodings.files import read_file

SIZE = int(os.environ.get("TWINBEAM_SOAK_SIZE", "1"))
SEED = int(os.environ.get("TWINBEAM_SOAK_SEED", "0"))
DAY = 86_400_000_000
EXACT = Context(prec=100)
ON_PURPOSE = re.compile(
    r"the number is longer than 64 bits$|: -\d+ is no branch of|: the byte \d+ is no bool|: -\d+ is no symbol of"
    r"|: -?\d+ is no int32 |: the number does not fit decimal|: -?\d+ is no (timestamp|date).* of the years 1 to 9999$"
)
SPLICES = [b"\x80" * 9, b"\x80" * 10 + b"\x01", b"\xff" * 9 + b"\x01", b"\xff" * 9 + b"\x7f", b"\x01\x00", b"\x00" * 3]


def damage(whole: bytes, other: bytes, rng: random.Random) -> bytes:
    """A datum with some of its bytes changed, left out, added, or of another datum."""
    broken = bytearray(whole)
    for _ in range(rng.choice([0, 1, 1, 1, 2, 3])):
        at = rng.randrange(len(broken) + 1)
        action = rng.randrange(8)
        if action == 0:
            del broken[at:]
        elif action == 1:
            broken[at:at] = rng.choice([rng.randbytes(rng.randrange(12)), rng.choice(SPLICES)])
        elif action == 2:
            del broken[at : at + rng.randint(1, 4)]
        elif action == 3:
            broken[at:] = other[rng.randrange(len(other) + 1) :]
        elif at < len(broken):
            byte = broken[at]
            broken[at] = rng.choice([rng.randrange(256), byte ^ 1 << rng.randrange(8), byte ^ 0xFF, byte + 2 & 0xFF])
    return rng.randbytes(rng.randrange(30)) if rng.random() < 0.05 else bytes(broken)


class Unlawful(Exception):
    """A value that fastavro reads, but no column holds."""


def meant(schema: Any, value: Any) -> Any:
    """What a value read without logical types stands for, in a form that is equal if and only if the bits are."""
    if isinstance(schema, list):
        return None if value is None else meant(next(branch for branch in schema if branch != "null"), value)
    spec = schema if isinstance(schema, dict) else {}
    kind, logical = spec.get("type", schema), spec.get("logicalType", "")
    if kind == "record":
        return {member["name"]: meant(member["type"], value[member["name"]]) for member in spec["fields"]}
    if kind == "array":
        return [meant(spec["items"], item) for item in value]
    if kind == "map":
        return {key: meant(spec["values"], item) for key, item in value.items()}
    if logical == "decimal":
        number = int.from_bytes(value, "big", signed=True)
        return lawful(number, abs(number) < 10 ** spec["precision"])
    if logical == "date":
        return lawful(value, FIRST // DAY <= value <= LAST // DAY)
    if logical in UNITS:
        return lawful(value * UNITS[logical], FIRST <= value * UNITS[logical] <= LAST)
    if kind == "int":
        return lawful(value, -(2**31) <= value < 2**31)
    return bits(value) if kind in ("float", "double") else value


def lawful(value: int, legal: bool) -> int:
    if not legal:
        raise Unlawful
    return value


def bits(value: float) -> Any:
    return "nan" if math.isnan(value) else struct.pack("<d", value)


def shown(schema: Any, value: Any) -> Any:
    """A value of a column in the form of `meant`: times as µs, dates as days, decimals as their digits."""
    if isinstance(schema, list):
        return None if value is None else shown(next(branch for branch in schema if branch != "null"), value)
    spec = schema if isinstance(schema, dict) else {}
    kind, logical = spec.get("type", schema), spec.get("logicalType", "")
    if kind == "record":
        return {member["name"]: shown(member["type"], value[member["name"]]) for member in spec["fields"]}
    if kind == "array":
        return [shown(spec["items"], item) for item in value]
    if kind == "map":
        return {key: shown(spec["values"], item) for key, item in value}
    if logical == "decimal":
        return int(EXACT.scaleb(value, spec.get("scale", 0)))
    return bits(value) if kind in ("float", "double") else value


def columns(events: pa.RecordBatch) -> list[dict[str, Any]]:
    """Rows with times and dates as the integers that they are."""
    plain = [counted(column) for column in events.columns]
    found: list[dict[str, Any]] = pa.RecordBatch.from_arrays(plain, events.schema.names).to_pylist()
    return found


def counted(column: Any) -> Any:
    kind = column.type
    if pa.types.is_timestamp(kind) or pa.types.is_date32(kind):
        return column.cast(pa.int64() if pa.types.is_timestamp(kind) else pa.int32())
    if pa.types.is_list(kind):
        return pa.ListArray.from_arrays(column.offsets, counted(column.values), mask=column.is_null())
    if pa.types.is_map(kind):
        absent = pa.array([*column.is_null().to_pylist(), False])
        offsets = pa.array(column.offsets.to_numpy(), mask=absent.to_numpy(zero_copy_only=False))
        return pa.MapArray.from_arrays(offsets, column.keys, counted(column.items))
    if pa.types.is_struct(kind):
        names = [kind.field(index).name for index in range(kind.num_fields)]
        members = [counted(column.field(index)) for index in range(kind.num_fields)]
        return pa.StructArray.from_arrays(members, names, mask=column.is_null())
    return column


def theirs(parsed: Any, value: bytes) -> Any:
    """What fastavro reads of one datum that uses every byte, or None."""
    content = io.BytesIO(value)
    try:
        found = fastavro.schemaless_reader(content, parsed, None)
    except (ArithmeticError, EOFError, LookupError, MemoryError, TypeError, ValueError):
        return None
    return found if content.tell() == len(value) else None


def compare(schema: Any, values: list[bytes], rng: random.Random) -> None:
    """The decoder and fastavro on the same values: all at once, in any parts, and one by one."""
    source = Source("s", avro=json.dumps(schema), topic="s")
    assert source.problem is None
    decoder = AvroDecoder(source)
    found = decoder.decode(pa.array([b"skipped", *values], pa.binary())[1:])
    found.events.validate(full=True)
    assert found.events.schema == source.schema
    ours = dict(zip(found.good.tolist(), columns(found.events), strict=True))
    reasons = dict(found.bad)
    assert sorted([*ours, *reasons]) == list(range(len(values)))
    parsed = fastavro.parse_schema(physical(json.loads(json.dumps(schema))))
    for at, value in enumerate(values):
        other = theirs(parsed, value)
        if other is None:
            assert at in reasons, (schema, value, ours[at])
        elif at in reasons:
            assert ON_PURPOSE.search(reasons[at]), (schema, value, reasons[at], other)
        else:
            assert shown(schema, ours[at]) == meant(schema, other), (schema, value)
    start = 0
    while start < len(values):
        end = start + rng.randint(1, 5)
        part = decoder.decode(pa.array(values[start:end], pa.binary()))
        assert [(start + at, reason) for at, reason in part.bad] == [b for b in found.bad if start <= b[0] < end]
        again = dict(zip((start + part.good).tolist(), columns(part.events), strict=True))
        assert repr(again) == repr({at: row for at, row in ours.items() if start <= at < end})
        start = end


@settings(max_examples=150 * SIZE)
@given(st.data(), st.integers(0, 2**32))
def test_the_decoder_takes_what_fastavro_takes(data: st.DataObject, seed: int) -> None:
    schema, strategy = data.draw(records())
    parsed = fastavro.parse_schema(schema)
    sound = [encode(parsed, record) for record in data.draw(st.lists(strategy, min_size=1, max_size=4))]
    rng = random.Random(seed ^ SEED)
    values = [*sound, *(damage(rng.choice(sound), rng.choice(sound), rng) for _ in range(24))]
    rng.shuffle(values)
    compare(schema, values, rng)


def one(kind: Any) -> dict[str, Any]:
    return {"type": "record", "name": "r", "fields": [{"name": "a", "type": kind}]}


ENUM = {"type": "enum", "name": "e", "symbols": ["A", "B"]}
MONEY = {"type": "bytes", "logicalType": "decimal", "precision": 4, "scale": 2}
STAMP = {"type": "long", "logicalType": "timestamp-millis"}
DATE = {"type": "int", "logicalType": "date"}
NOTHINGS = {"type": "array", "items": {"type": "fixed", "name": "f", "size": 0}}


@pytest.mark.parametrize(
    ("kind", "value", "read", "reason"),
    [
        ("long", b"\x80" * 20 + b"\x01", 2048, "a: the number is longer than 64 bits"),
        ("long", b"\xff" * 9 + b"\x7f", -(2**63), "a: the number is longer than 64 bits"),
        (["null", "int"], b"\x01\x02", 1, "a: -1 is no branch of the union, legal are 0 (null) and 1 (int)"),
        (ENUM, b"\x01", "B", "a: -1 is no symbol of the enum, legal are 0 to 1"),
        ("boolean", b"\x07", True, "a: the byte 7 is no bool, legal are 0 and 1"),
        ("int", b"\xfe" + b"\xff" * 4 + b"\x01", 2**35 - 1, "a: 34359738367 is no int32 (-2147483648 to 2147483647)"),
        (MONEY, b"\x04\x7f\xff", b"\x7f\xff", "a: the number does not fit decimal(4,2)"),
        (STAMP, b"\xff" * 9 + b"\x01", -(2**63), f"a: {-(2**63)} is no timestamp(ms) of the years 1 to 9999"),
        (
            DATE,
            b"\xfe\xff\xff\xff\x0f",
            2**31 - 1,
            "a: 2147483647 is no date of the years 1 to 9999",
        ),
        (NOTHINGS, b"\x06\x00", [b""] * 3, "a: the value ends inside this field"),
        ({"type": "array", "items": "int"}, b"\xff" * 9 + b"\x01\x00\x00", [], "a: the value ends inside this field"),
    ],
)
def test_what_is_refused_on_purpose(kind: Any, value: bytes, read: Any, reason: str) -> None:
    found = AvroDecoder(Source("s", avro=json.dumps(one(kind)), topic="s")).decode(pa.array([value]))
    assert theirs(fastavro.parse_schema(physical(one(kind))), value) == {"a": read}
    assert found.bad == [(0, reason)]


def test_uuids_are_texts() -> None:
    kind = {"type": "string", "logicalType": "uuid"}
    found = AvroDecoder(Source("s", avro=json.dumps(one(kind)), topic="s")).decode(pa.array([b"\x06abc"]))
    assert found.events.to_pylist() == [{"a": "abc"}]
    with pytest.raises(ValueError, match="UUID"):
        fastavro.schemaless_reader(io.BytesIO(b"\x06abc"), fastavro.parse_schema(one(kind)), None)


@settings(max_examples=60 * SIZE)
@given(st.data(), st.integers(0, 2**32))
def test_files_hold_what_topics_hold(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, seed: int) -> None:
    """Blocks of sound datums are read as the datums are, however they are cut; damage is told by the file's name."""
    schema, strategy = data.draw(records())
    parsed = fastavro.parse_schema(schema)
    rng = random.Random(seed ^ SEED)
    sound = [encode(parsed, record) for record in data.draw(st.lists(strategy, min_size=1, max_size=4))]
    datums = [rng.choice(sound) for _ in range(rng.choice([1, 5, 300]))]
    most = rng.choice([1, 2, 1_000])
    blocks = []
    for at in range(0, len(datums), most):
        blocks.append((len(datums[at : at + most]), b"".join(datums[at : at + most])))
    whole = container(schema, blocks, rng.choice(["null", "deflate"]))
    source = Source("s", avro=json.dumps(schema), topic="s")
    path = tmp_path_factory.mktemp("fuzz") / "a.avro"
    path.write_bytes(whole)
    expected = columns(AvroDecoder(source).decode(pa.array(datums, pa.binary())).events)
    rows, bad = read(source, path, rng.choice([1, 7, 10_000]))
    assert repr(rows) == repr(expected)
    assert bad == {}
    for _ in range(5):
        path.write_bytes(damage(whole, whole, rng))
        said = ""
        try:
            read(source, path, 100)
        except EventError as error:
            said = str(error)
        assert not said or said.startswith(f"{path}: ")


def read(source: Source, path: Path, batch_rows: int) -> tuple[list[dict[str, Any]], dict[int, str]]:
    rows: list[dict[str, Any]] = []
    bad: dict[int, str] = {}
    for batch in read_file(source, str(path), 0, batch_rows):
        batch.decoded.events.validate(full=True)
        rows += columns(batch.decoded.events)
        bad |= {batch.start_row + index: reason for index, reason in batch.decoded.bad}
        for index, _ in batch.decoded.bad:
            json.loads(batch.raw(index))
    return rows, bad
