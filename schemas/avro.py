"""Avro schemas and the fields of a source: one made from the other."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import fastavro.schema

from schemas.types import Field, parse_type

PRIMITIVES = {
    "boolean": "bool",
    "int": "int32",
    "long": "int64",
    "float": "float32",
    "double": "float64",
    "string": "string",
    "bytes": "bytes",
    "fixed": "bytes",
    "enum": "string",
}
LOGICAL = {
    ("long", "timestamp-millis"): "timestamp(ms)",
    ("long", "timestamp-micros"): "timestamp(us)",
    ("long", "local-timestamp-millis"): "timestamp(ms)",
    ("long", "local-timestamp-micros"): "timestamp(us)",
    ("long", "timestamp-seconds"): "timestamp(s)",
    ("int", "date"): "date",
    ("string", "uuid"): "string",
}
REFUSED = frozenset({"time-millis", "time-micros", "duration", "timestamp-nanos", "local-timestamp-nanos", "uuid"})
WRITTEN: dict[str, Any] = {
    "bool": "boolean",
    "int8": "int",
    "int16": "int",
    "int32": "int",
    "int64": "long",
    "uint8": "int",
    "uint16": "int",
    "uint32": "long",
    "float32": "float",
    "float64": "double",
    "string": "string",
    "bytes": "bytes",
    "date": {"type": "int", "logicalType": "date"},
    "timestamp": {"type": "long", "logicalType": "timestamp-micros"},
    "timestamp(us)": {"type": "long", "logicalType": "timestamp-micros"},
    "timestamp(ms)": {"type": "long", "logicalType": "timestamp-millis"},
    "timestamp(s)": {"type": "long", "logicalType": "timestamp-seconds"},
}


def read_avro(path: Path) -> Any:
    """JSON value of a schema file.

    Raises:
        ValueError: the file cannot be read or holds no JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"cannot read the Avro schema {str(path)!r}: {error.strerror}") from error
    except ValueError as error:
        raise ValueError(f"the Avro schema {str(path)!r} is no JSON: {error}") from error


def avro_fields(schema: Any) -> tuple[Field, ...]:
    """Fields of an Avro record schema (its JSON value).

    Enums and uuids are strings, fixed is bytes, a union of null and one type is that type (nulls are legal anyway).

    Raises:
        ValueError: it is no legal record, or a type in it has no place here; the message gives the path to it.
    """
    try:
        record: Any = fastavro.schema.expand_schema(schema)
    except Exception as error:  # fastavro reports a bad schema by many exceptions, KeyError and TypeError among them
        raise ValueError(f"the Avro schema is not legal: {type(error).__name__}: {error}") from error
    if not isinstance(record, dict) or record.get("type") not in ("record", "error"):
        raise ValueError("the Avro schema is no record: expected an object of type 'record' at the top")
    if not isinstance(record.get("fields"), list):
        raise ValueError("the Avro schema is a record without fields")
    return tuple(Field.parse(member["name"], _text(member["type"], member["name"])) for member in record["fields"])


def avro_schema(name: str, fields: tuple[Field, ...], event_time: str | None) -> dict[str, Any]:
    """Avro schema of a source that declares its fields: a record of nullable fields; the event time is not.

    `timestamp(s)` is a long with the logical type "timestamp-seconds" of our own, which other readers see as a plain
    long of seconds; a bare `timestamp` is µs.
    """
    members = []
    for member in fields:
        kind = _avro(member, f"{name}_{member.name}")
        if member.name == event_time:
            members.append({"name": member.name, "type": kind})
        else:
            members.append({"name": member.name, "type": ["null", kind], "default": None})
    return {"type": "record", "name": name, "fields": members}


def _text(schema: Any, path: str) -> str:
    """Type text of an Avro type."""
    if isinstance(schema, list):
        present = [item for item in schema if _kind(item) != "null"]
        if len(present) != 1:
            kinds = ", ".join(str(_kind(item)) for item in schema)
            raise ValueError(f"{path} is a union of {kinds}: legal is one type, or a union of null and one type")
        return _text(present[0], path)
    kind = _kind(schema)
    spec = schema if isinstance(schema, dict) else {}
    if isinstance(kind, (dict, list)):
        return _text(kind, path)
    if kind == "array":
        return f"list<{_text(spec['items'], f'{path}.items')}>"
    if kind == "map":
        return f"map<string,{_text(spec['values'], f'{path}.values')}>"
    if kind in ("record", "error"):
        return _struct(spec, path)
    return _scalar(kind, spec, path)


def _struct(spec: dict[str, Any], path: str) -> str:
    if not spec.get("fields"):
        raise ValueError(f"{path} is a record without fields: legal is a record of at least one field")
    members = (f"{item['name']}:{_text(item['type'], path + '.' + item['name'])}" for item in spec["fields"])
    return f"struct<{','.join(members)}>"


def _scalar(kind: Any, spec: dict[str, Any], path: str) -> str:
    logical = str(spec.get("logicalType"))
    if logical == "decimal" and kind in ("bytes", "fixed"):
        text = f"decimal({spec.get('precision')},{spec.get('scale', 0)})"
        try:
            parse_type(text)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error
        return text
    if (kind, logical) in LOGICAL:
        return LOGICAL[kind, logical]
    if logical in REFUSED:
        legal = ", ".join(sorted({name for _, name in LOGICAL} | {"decimal"}))
        raise ValueError(f"{path} has the logical type {logical} on {kind}: legal are {legal}")
    if kind not in PRIMITIVES:
        legal = ", ".join((*PRIMITIVES, "array", "map", "record"))
        hint = "" if kind == "null" else " (a record within itself has no place here)"
        raise ValueError(f"{path} is of type {kind}{hint}: legal are {legal}")
    return PRIMITIVES[kind]


def _kind(schema: Any) -> Any:
    return schema["type"] if isinstance(schema, dict) else schema


def _avro(member: Field, name: str) -> Any:
    """Avro type of a field; records inside are named by their path."""
    head = member.text.partition("<")[0]
    nested = [_avro(child, f"{name}_{child.name}") for child in member.children]
    if head == "list":
        return {"type": "array", "items": ["null", nested[0]]}
    if head == "map":
        return {"type": "map", "values": ["null", nested[0]]}
    if head == "struct":
        inside = zip(member.children, nested, strict=True)
        parts = [{"name": child.name, "type": ["null", kind], "default": None} for child, kind in inside]
        return {"type": "record", "name": name, "fields": parts}
    if member.text.startswith("decimal("):
        precision, _, scale = member.text[8:-1].partition(",")
        return {"type": "bytes", "logicalType": "decimal", "precision": int(precision), "scale": int(scale)}
    return WRITTEN[member.text]
