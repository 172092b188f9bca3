"""Fuzz of the JSON decoder against Python's json: what is taken and refused by the declared types, and the values."""

from __future__ import annotations

import base64
import json
import math
import os
import re
import struct
from datetime import date
from decimal import Decimal, InvalidOperation, localcontext
from typing import Any

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.source import Source
from schemas.types import Field
from tests.json_texts import ANY, ROWS, objects, values
from transforms.encodings import times
from transforms.encodings.json import JsonDecoder

SIZE = int(os.environ.get("TWINBEAM_SOAK_SIZE", "1"))
FIELDS = {
    "flag": "bool",
    "small": "int8",
    "big": "int64",
    "wide": "uint32",
    "ratio": "float64",
    "single": "float32",
    "name": "string",
    "raw": "bytes",
    "at_ms": "timestamp(ms)",
    "day": "date",
    "cost": "decimal(10,2)",
    "fine": "decimal(38,10)",
    "numbers": "list<int64>",
    "box": "struct<a:int64,b:string>",
    "items": "list<struct<qty:int32,price:float64>>",
}
SOURCE = Source("s", fields=FIELDS, topic="s", encoding="json")
DEEPEST = 100
BOUNDS = {"int8": (-128, 127), "int32": (-(2**31), 2**31 - 1), "int64": (-(2**63), 2**63 - 1), "uint32": (0, 2**32 - 1)}
REFUSED = "refused"


class Refused(Exception):
    """Python's json, or the declared types, do not take a value."""


class Whole(str):
    """Text of a number without point or exponent."""


class Real(str):
    """Text of any other number."""


def depth(value: Any) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if inner is None else 1 + max(map(depth, inner), default=0)


def need(fits: bool) -> None:
    if not fits:
        raise Refused


def read(value: bytes | None) -> dict[str, Any]:
    """The row of a value by Python's json and plain checks."""
    try:
        found = json.loads((value or b"").decode(), parse_int=Whole, parse_float=Real, parse_constant=Real)
    except (ValueError, RecursionError):
        raise Refused from None
    need(isinstance(found, dict) and depth(found) <= DEEPEST)
    return {field.name: fitted(field, found.get(field.name)) for field in SOURCE.resolved_fields}


def fitted(field: Field, value: Any) -> Any:
    """What a value is as the declared type."""
    if value is None:
        return None
    kind = field.text.partition("<")[0].partition("(")[0]
    if kind == "list":
        need(isinstance(value, list))
        return [fitted(field.children[0], item) for item in value]
    if kind == "struct":
        need(isinstance(value, dict))
        return {child.name: fitted(child, value.get(child.name)) for child in field.children}
    if kind == "bool":
        need(isinstance(value, bool))
        return value
    return SCALARS[kind if kind in SCALARS else "int"](field, value)


def integer(field: Field, value: Any) -> int:
    need(isinstance(value, Whole) and len(value) < 4_000)
    low, high = BOUNDS[field.text]
    need(low <= int(value) <= high)
    return int(value)


def real(field: Field, value: Any) -> bytes:
    need(isinstance(value, Whole | Real))
    number = float(value)
    if field.text == "float32":
        try:
            number = struct.unpack("<f", struct.pack("<f", number))[0]
        except OverflowError:
            raise Refused from None
    return bits(number)


def bits(number: float) -> bytes:
    return b"nan" if math.isnan(number) else struct.pack("<d", number)


def string(field: Field, value: Any) -> str:
    need(type(value) is str and not re.search("[\ud800-\udfff]", value))
    return str(value)


def octets(field: Field, value: Any) -> bytes:
    need(type(value) is str and value.isascii())
    try:
        return base64.b64decode(value, validate=True)
    except ValueError:
        raise Refused from None


def counted(field: Field, value: Any) -> int:
    if type(value) is str:
        need(is_instant(value))
        return times.instant(value)
    need(isinstance(value, Whole) and len(value) < 4_000)
    need(times.FIRST <= int(value) * 1_000 <= times.LAST)
    return int(value) * 1_000


def is_instant(text: str) -> bool:
    """Texts of times are tested elsewhere, against Python's datetime."""
    try:
        times.instant(text)
    except ValueError:
        return False
    return True


def day(field: Field, value: Any) -> date:
    need(type(value) is str and re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", value) is not None)
    try:
        return date.fromisoformat(value)
    except ValueError:
        raise Refused from None


def exact(field: Field, value: Any) -> Decimal:
    need(isinstance(value, str))
    if type(value) is str:
        need(re.fullmatch(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?", value) is not None)
    precision, scale = map(int, field.text[8:-1].split(","))
    with localcontext(prec=2_000):
        try:
            number = Decimal(str(value))
            need(number.is_finite() and (number == 0 or -scale - 2_000 < number.adjusted() < precision - scale))
            scaled = number.scaleb(scale)
            need(scaled == scaled.to_integral_value() and abs(scaled) < 10**precision)
        except InvalidOperation:
            raise Refused from None
        return Decimal(int(scaled)).scaleb(-scale)


SCALARS = {
    "int": integer,
    "float64": real,
    "float32": real,
    "string": string,
    "bytes": octets,
    "timestamp": counted,
    "date": day,
    "decimal": exact,
}


def plain(value: Any) -> Any:
    """A row of ours in the form of `read`."""
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return bits(value) if isinstance(value, float) else value


def rows(events: pa.RecordBatch) -> list[Any]:
    at = events.schema.get_field_index("at_ms")
    return [plain(row) for row in events.set_column(at, "at_ms", events.column(at).cast(pa.int64())).to_pylist()]


@settings(max_examples=150 * SIZE)
@given(
    st.lists(values() | objects(ANY).map(str.encode), min_size=1, max_size=8), st.lists(ROWS, min_size=1, max_size=3)
)
def test_the_decoder_takes_what_python_takes(odd: list[bytes | None], sound: list[str]) -> None:
    datums = [*odd, *(text.encode() for text in sound)]
    expected: list[Any] = []
    for datum in datums:
        try:
            expected.append(read(datum))
        except Refused:
            expected.append(REFUSED)
    decoder = JsonDecoder(SOURCE)
    # So often that they are read by the column too.
    for times_over in (1, 200 // len(datums)):
        found = decoder.decode(pa.array(datums * times_over, pa.binary()))
        taken = dict(zip(found.good.tolist(), rows(found.events), strict=True))
        assert sorted([*taken, *(index for index, _ in found.bad)]) == list(range(len(datums) * times_over))
        for index in range(len(datums) * times_over):
            assert taken.get(index, REFUSED) == expected[index % len(datums)], datums[index % len(datums)]
