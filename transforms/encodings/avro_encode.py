"""Events written as Avro: the bare datum of each, by the source's schema."""

from __future__ import annotations

import io
import json
from typing import Any

import fastavro
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from schemas.errors import EventError
from schemas.source import Source
from transforms.encodings.arrow_columns import true
from transforms.encodings.avro_plan import bare, expanded, kind, present, time_unit
from transforms.encodings.ranges import decimal_words


def encode_avro(source: Source, events: pa.RecordBatch, schema_id: int = 0) -> list[bytes]:
    """Datum of each event; with the encoding "confluent", behind a header with the id of its schema.

    A time finer than the unit of its field is floored to it.

    Raises:
        EventError: a value is null, no symbol or of another size than the schema allows; names row, field and what is
            legal.
    """
    schema = expanded(source.avro_schema)
    names = [member["name"] for member in schema["fields"]]
    columns = [
        _plain(member["type"], events.column(member["name"]), f"{source.name}: row ", member["name"])
        for member in schema["fields"]
    ]
    parsed: Any = fastavro.parse_schema(physical(json.loads(json.dumps(source.avro_schema))))
    head = b"\0" + schema_id.to_bytes(4, "big") if source.encoding == "confluent" else b""
    out = io.BytesIO()
    written: list[bytes] = []
    for row in zip(*columns, strict=True):
        out.seek(0)
        out.truncate()
        out.write(head)
        fastavro.schemaless_writer(out, parsed, dict(zip(names, row, strict=True)))
        written.append(out.getvalue())
    return written


def physical(schema: Any) -> Any:
    """The schema without logical types: what is really written."""
    if isinstance(schema, dict):
        return {name: physical(part) for name, part in schema.items() if name != "logicalType"}
    return [physical(part) for part in schema] if isinstance(schema, list) else schema


def _plain(schema: Any, column: Any, place: str, path: str) -> list[Any]:
    """What fastavro writes of a column by the schema without logical types."""
    branches = bare(schema)
    if column.null_count and not (isinstance(branches, list) and "null" in map(kind, branches)):
        row = int(np.flatnonzero(column.is_null().to_numpy(zero_copy_only=False))[0])
        raise EventError(f"{place}{row}: {path}: null, but the Avro schema wants {kind(present(schema))}")
    spec = present(schema)
    name = kind(spec)
    if name == "array":
        return _spans(column, _plain(spec["items"], column.values, f"{place}of item ", f"{path}[]"))
    if name == "map":
        items = _plain(spec["values"], column.items, f"{place}of item ", f"{path}{{}}")
        pairs = list(zip(column.keys.to_pylist(), items, strict=True))
        return [None if span is None else dict(span) for span in _spans(column, pairs)]
    if name in ("record", "error"):
        return _records(spec, column, place, path)
    return _scalars(name, spec if isinstance(spec, dict) else {}, column, place, path)


def _records(spec: dict[str, Any], column: Any, place: str, path: str) -> list[Any]:
    there = pa.array(np.flatnonzero(column.is_valid().to_numpy(zero_copy_only=False)))
    inner = column.take(there)
    names = [member["name"] for member in spec["fields"]]
    members = [_plain(m["type"], inner.field(m["name"]), place, f"{path}.{m['name']}") for m in spec["fields"]]
    records = (dict(zip(names, row, strict=True)) for row in zip(*members, strict=True))
    return [next(records) if valid else None for valid in column.is_valid().to_pylist()]


def _scalars(name: Any, spec: dict[str, Any], column: Any, place: str, path: str) -> list[Any]:
    if pa.types.is_timestamp(column.type):
        counts = column.cast(pa.int64())
        unit = time_unit(spec) or 1
        floored = np.asarray(counts.fill_null(0).to_numpy()) // unit
        return [
            int(count) if valid else None for count, valid in zip(floored, column.is_valid().to_pylist(), strict=True)
        ]
    if pa.types.is_date32(column.type):
        dates: list[Any] = column.cast(pa.int32()).to_pylist()
        return dates
    if pa.types.is_decimal128(column.type):
        return _decimals(column, spec.get("size"))
    if name == "enum":
        _refuse(column, pc.is_in(column, pa.array(spec["symbols"], column.type)), place, path, spec["symbols"])
    if name == "fixed":
        size = spec["size"]
        _refuse(column, pc.equal(pc.binary_length(column), size), place, path, [f"{size} bytes"])
    plain: list[Any] = column.to_pylist()
    return plain


def _refuse(column: Any, fits: Any, place: str, path: str, legal: list[str]) -> None:
    wrong = np.flatnonzero(~true(fits) & true(column.is_valid()))
    if len(wrong):
        row = int(wrong[0])
        listed = ", ".join(legal)
        raise EventError(f"{place}{row}: {path}: {column[row].as_py()!r} is not legal in the Avro schema: {listed}")


def _decimals(column: Any, size: int | None) -> list[bytes | None]:
    low, high = decimal_words(column)
    found: list[bytes | None] = []
    for row, valid in enumerate(column.is_valid().to_pylist()):
        value = (int(high[row]) << 64) | (int(low[row]) & 0xFFFF_FFFF_FFFF_FFFF) if valid else 0
        least = (value.bit_length() + 8) // 8
        # A legal schema's `fixed` holds every number of its precision.
        found.append(value.to_bytes(size or least, "big", signed=True) if valid else None)
    return found


def _spans(column: Any, items: list[Any]) -> list[list[Any] | None]:
    bounds = column.offsets.to_pylist()
    valid = column.is_valid().to_pylist()
    return [items[bounds[row] : bounds[row + 1]] if valid[row] else None for row in range(len(column))]
