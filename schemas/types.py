"""Types of columns: the text a user writes, and the Arrow type that carries it."""

from __future__ import annotations

import re
from dataclasses import dataclass

import pyarrow as pa

from schemas.errors import did_you_mean
from schemas.type_texts import bare, members, split

TIME = pa.timestamp("us", "UTC")
PLAIN: dict[str, pa.DataType] = {
    "bool": pa.bool_(),
    "int8": pa.int8(),
    "int16": pa.int16(),
    "int32": pa.int32(),
    "int64": pa.int64(),
    "float32": pa.float32(),
    "float64": pa.float64(),
    "string": pa.string(),
    "bytes": pa.binary(),
    "timestamp": TIME,
    "date": pa.date32(),
}
WIDENED: dict[str, pa.DataType] = {"uint8": pa.int16(), "uint16": pa.int32(), "uint32": pa.int64()}
UNITS = ("s", "ms", "us")
NESTED = ("timestamp(s|ms|us)", "decimal(p,s)", "list<T>", "map<string,T>", "struct<a:T,b:U>")
LEGAL = (*PLAIN, *WIDENED, *NESTED)
MAX_PRECISION = 38

_TEXTS: dict[pa.DataType, str] = {kind: text for text, kind in PLAIN.items()}
_MEMBER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True)
class Field:
    """One column of a source.

    Attributes:
        name: of the column, or of a member of a struct.
        text: type as it was written, without blanks.
        type: Arrow type that carries it.
        unit: unit of integers on the wire, of a declared `timestamp(unit)`; None for every other type.
    """

    name: str
    text: str
    type: pa.DataType
    unit: str | None

    @staticmethod
    def parse(name: str, text: str) -> Field:
        """Field of a name and the text of its type.

        Raises:
            ValueError: the text is no type.
        """
        kind = parse_type(text)
        plain = bare(text)
        return Field(name, plain, kind, plain[10:-1] if plain.startswith("timestamp(") else None)

    @property
    def children(self) -> tuple[Field, ...]:
        """Fields inside a nested type: the `element` of a list, the `value` of a map, the members of a struct."""
        return tuple(Field.parse(name, text) for name, text in members(self.text))


def parse_type(text: str) -> pa.DataType:
    """Arrow type of a type's text.

    Times become µs UTC whatever their unit on the wire; unsigned integers become the next wider signed ones.

    Raises:
        ValueError: the text is no type; the message names the part at fault and the legal types.
    """
    return _parse(bare(str(text)))


def type_text(dtype: pa.DataType) -> str:
    """Canonical text of an Arrow type, from which `parse_type` makes an equal one.

    Raises:
        ValueError: columns never have this type.
    """
    if dtype in _TEXTS:
        return _TEXTS[dtype]
    if pa.types.is_decimal128(dtype):
        return f"decimal({dtype.precision},{dtype.scale})"
    if pa.types.is_list(dtype):
        return f"list<{type_text(dtype.value_type)}>"
    if pa.types.is_map(dtype) and pa.types.is_string(dtype.key_type):
        return f"map<string,{type_text(dtype.item_type)}>"
    if pa.types.is_struct(dtype) and dtype.num_fields:
        members = (dtype.field(index) for index in range(dtype.num_fields))
        return f"struct<{','.join(f'{member.name}:{type_text(member.type)}' for member in members)}>"
    raise ValueError(f"Arrow type {dtype} has no place here; legal types are {', '.join(LEGAL)}")


def _parse(text: str) -> pa.DataType:
    if text in PLAIN:
        return PLAIN[text]
    if text in WIDENED:
        return WIDENED[text]
    if text.startswith("timestamp(") and text.endswith(")") and text[10:-1] in UNITS:
        return TIME
    if text.startswith("decimal(") and text.endswith(")"):
        return _decimal(text)
    if text.startswith("list<") and text.endswith(">"):
        return pa.list_(_parse(text[5:-1]))
    if text.startswith("map<") and text.endswith(">"):
        return _map(text)
    if text.startswith("struct<") and text.endswith(">"):
        return _struct(text)
    if text == "uint64":
        raise ValueError("uint64 does not fit any signed integer: use int64, decimal(20,0) or string")
    raise ValueError(f"unknown type {text!r}.{did_you_mean(text, LEGAL)} Legal types are {', '.join(LEGAL)}")


def _decimal(text: str) -> pa.DataType:
    match = re.fullmatch(r"decimal\((\d+),(\d+)\)", text)
    if not match or not 1 <= int(match[1]) <= MAX_PRECISION or int(match[2]) > int(match[1]):
        raise ValueError(f"{text!r} is no decimal: expected decimal(p,s) with 1 <= p <= {MAX_PRECISION}, 0 <= s <= p")
    return pa.decimal128(int(match[1]), int(match[2]))


def _map(text: str) -> pa.DataType:
    parts = split(text[4:-1])
    if len(parts) != 2 or parts[0] != "string":
        raise ValueError(f"{text!r} is no map: expected map<string,T>, keys are strings")
    return pa.map_(pa.string(), _parse(parts[1]))


def _struct(text: str) -> pa.DataType:
    found: dict[str, pa.DataType] = {}
    for part in split(text[7:-1]):
        name, colon, kind = part.partition(":")
        if not colon or not _MEMBER.fullmatch(name):
            raise ValueError(f"{part!r} in {text!r} is no member of a struct: expected name:T as in struct<a:T,b:U>")
        if name in found:
            raise ValueError(f"{text!r} has two members named {name!r}")
        found[name] = _parse(kind)
    return pa.struct(list(found.items()))
