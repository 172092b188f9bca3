"""Plan by which Avro records are read: one reader for each field of their schema."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import fastavro.schema
import pyarrow as pa

from schemas import types
from transforms.encodings.avro_columns import (
    Booleans,
    ByteStrings,
    Dates,
    Decimals,
    Doubles,
    Enums,
    Floats,
    Integers,
    Reader,
    Strings,
    Times,
)
from transforms.encodings.avro_cursor import Fault
from transforms.encodings.avro_nested import Field, Lists, Maps, Records, Unions
from transforms.encodings.ranges import INTEGERS, expected
from transforms.encodings.times import UNIT_MICROSECONDS

SECONDS = {"timestamp-seconds": "s", "timestamp-millis": "ms", "timestamp-micros": "us"}


@dataclass(frozen=True)
class Place:
    """What is known of a field when its reasons are written.

    Attributes:
        path: as users write it, `items[].price`.
        expected: its type.
        branches: of its union, as texts.
        symbols: of its enum.
    """

    path: str
    expected: str
    branches: tuple[str, ...]
    symbols: tuple[str, ...]


class Plan:
    """Readers of a record's fields, and the places that they are numbered by.

    Args:
        schema: of the record.
        fields: what its fields become.

    Attributes:
        members: one of each field.
        places: of all fields, those inside others too.
    """

    def __init__(self, schema: Any, fields: tuple[types.Field, ...]) -> None:
        self.places: list[Place] = []
        self.members = self._members(expanded(schema)["fields"], fields, "")

    def reason(self, fault: int, place: int, detail: int) -> str:
        """Text of a fault: the field, what was found, what is legal."""
        if fault == Fault.LEFT:
            return f"{detail} bytes are left over after the last field"
        at = self.places[place]
        texts = {
            Fault.TRUNCATED: "the value ends inside this field",
            Fault.VARINT: "the number is longer than 64 bits",
            Fault.LENGTH: f"the length {detail} is negative",
            Fault.BRANCH: f"{detail} is no branch of the union, legal are "
            + " and ".join(f"{number} ({name})" for number, name in enumerate(at.branches)),
            Fault.BOOLEAN: f"the byte {detail} is no bool, legal are 0 and 1",
            Fault.SYMBOL: f"{detail} is no symbol of the enum, legal are 0 to {len(at.symbols) - 1}",
            Fault.TEXT: "the text is not UTF-8",
            Fault.RANGE: f"{detail} is no {at.expected}",
            Fault.DECIMAL: f"the number does not fit {at.expected}",
            Fault.TIME: f"{detail} is no {at.expected} of the years 1 to 9999",
        }
        return f"{at.path}: {texts[Fault(fault)]}"

    def _members(self, members: list[Any], fields: tuple[types.Field, ...], path: str) -> tuple[Field, ...]:
        return tuple(
            self._member(member["type"], field, f"{path}{field.name}")
            for member, field in zip(members, fields, strict=True)
        )

    def _member(self, schema: Any, field: types.Field, path: str) -> Field:
        number = len(self.places)
        schema = bare(schema)
        branches = tuple(str(kind(branch)) for branch in schema) if isinstance(schema, list) else ()
        spec = present(schema)
        symbols = tuple(spec.get("symbols", ())) if isinstance(spec, dict) else ()
        self.places.append(Place(path, expected(field), branches, symbols))
        reader = self._reader(spec, field, path)
        if isinstance(schema, list):
            at = next(index for index, branch in enumerate(schema) if kind(branch) != "null")
            reader = Unions(reader, field.type, at, len(schema))
        return Field(number, pa.field(field.name, field.type), reader)

    def _reader(self, spec: Any, field: types.Field, path: str) -> Reader:
        name = kind(spec)
        if name == "array":
            return Lists(field.type, self._member(spec["items"], field.children[0], f"{path}[]"))
        if name == "map":
            return Maps(field.type, self._member(spec["values"], field.children[0], f"{path}{{}}"))
        if name in ("record", "error"):
            return Records(self._members(spec["fields"], field.children, f"{path}."))
        return _primitive(name, spec if isinstance(spec, dict) else {}, field)


def expanded(schema: Any) -> Any:
    """The schema with every named type written out where it is used."""
    return fastavro.schema.expand_schema(schema)


def bare(schema: Any) -> Any:
    """The schema without wrappers such as `{"type": {"type": "int"}}`."""
    while isinstance(schema, dict) and isinstance(schema["type"], (dict, list)):
        schema = schema["type"]
    return schema


def kind(schema: Any) -> Any:
    """Name of a schema's type."""
    plain = bare(schema)
    return plain["type"] if isinstance(plain, dict) else plain


def present(schema: Any) -> Any:
    """The schema, or the one of its branches that is not null."""
    plain = bare(schema)
    return bare(next(branch for branch in plain if kind(branch) != "null")) if isinstance(plain, list) else plain


def time_unit(spec: dict[str, Any]) -> int | None:
    """µs of the unit of a timestamp's logical type, or None for any other type."""
    logical = str(spec.get("logicalType", "")).removeprefix("local-")
    return UNIT_MICROSECONDS[SECONDS[logical]] if logical in SECONDS else None


def _primitive(name: Any, spec: dict[str, Any], field: types.Field) -> Reader:
    size = spec.get("size")
    if pa.types.is_decimal128(field.type):
        return Decimals(field.type, size)
    if pa.types.is_date32(field.type):
        return Dates()
    if pa.types.is_timestamp(field.type):
        return Times(time_unit(spec) or 1)
    if name in ("int", "long"):
        low, high = INTEGERS[field.text]
        return Integers(field.type, low, high)
    if name in ("bytes", "fixed"):
        return ByteStrings(size)
    if name == "enum":
        return Enums(tuple(spec["symbols"]))
    plain: dict[str, Reader] = {"boolean": Booleans(), "float": Floats(), "double": Doubles(), "string": Strings()}
    return plain[name]
