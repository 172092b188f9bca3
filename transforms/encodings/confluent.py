"""Avro values behind the header of a schema registry: each read by the schema that it was written with."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from typing import Any

import fastavro
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from schemas.avro import avro_fields
from schemas.errors import EventError
from schemas.source import Source
from transforms.encodings.avro import HEADER, AvroDecoder
from transforms.encodings.avro_blocks import Block, DamagedBlock
from transforms.encodings.avro_plan import expanded
from transforms.encodings.avro_projection import Projection
from transforms.encodings.decoded import Decoded, Decoder, empty, merge
from transforms.encodings.frames import arrow_columns, column_events, fields_there
from transforms.encodings.objects import object_column

Ints = npt.NDArray[np.int64]

HEADLESS = "the value lacks a schema registry's header: a zero byte and 4 bytes of schema id"
Writers = Callable[[int], Any]
"""Gives the schema (its JSON value) of an id; raises EventError, with the reason, if there is none to be read by."""


class ConfluentDecoder:
    """Decodes values by the schemas that their ids name, resolved against the source's own.

    A field of the source is the writer's of its name, or of one of its aliases in the source's Avro schema; else it
    has that schema's default, or is null. A writer's field that the source lacks is passed over, and values of other
    types are taken as those of files are.

    Args:
        source: the source.
        writers: gives schemas by id; what it raises besides EventError passes.
    """

    def __init__(self, source: Source, writers: Writers) -> None:
        self._source, self._writers = source, writers
        self._decoders: dict[int, Decoder] = {}

    def decode(self, values: pa.BinaryArray) -> Decoded:
        """Events of n values."""
        ids = schema_ids(values)
        parts = []
        for number in np.unique(ids).tolist():
            where = np.flatnonzero(ids == number)
            part = values if len(where) == len(values) else values.take(pa.array(where))
            parts.append((where, self._part(number, part)))
        return merge(parts, self._source.schema)

    def _part(self, number: int, values: pa.BinaryArray) -> Decoded:
        """Events of values of one id."""
        if number < 0:
            reasons = ["the record has no value" if value is None else HEADLESS for value in values.to_pylist()]
            return _none(self._source, reasons)
        try:
            if number not in self._decoders:
                self._decoders[number] = self._decoder(self._writers(number))
            return self._decoders[number].decode(values)
        except EventError as error:
            return _none(self._source, [str(error)] * len(values))

    def _decoder(self, schema: Any) -> Decoder:
        if _fields(schema) == _fields(self._source.avro_schema):
            return AvroDecoder(self._source, confluent=True)
        return _Resolved(self._source, schema)


def schema_ids(values: pa.BinaryArray) -> Ints:
    """Schema id of each value; -1 where there is no header."""
    found = np.full(len(values), -1, np.int64)
    offsets = np.frombuffer(values.buffers()[1], np.int32)[values.offset : values.offset + len(values) + 1]
    offsets = offsets.astype(np.int64)
    data = np.frombuffer(values.buffers()[2] or b"", np.uint8)
    long = np.diff(offsets) >= HEADER
    if values.null_count:
        long &= values.is_valid().to_numpy(zero_copy_only=False)
    starts = offsets[:-1][long]
    heads = data[starts[:, None] + np.arange(HEADER)]
    numbers = heads[:, 1:].astype(np.int64) @ np.array([1 << 24, 1 << 16, 1 << 8, 1])
    found[long] = np.where(heads[:, 0] == 0, numbers, -1)
    return found


class _Resolved:
    """Decodes values of one writer's schema as events of a source."""

    def __init__(self, source: Source, schema: Any) -> None:
        self._source = source
        written = _fields(schema)
        if written is None:
            raise EventError("the registered schema is no Avro record")
        names = [member["name"] for member in written]
        self._renamed = _renamed(source, names)
        wanted = [self._renamed.get(name, name) for name in source.schema.names]
        self._defaults = _defaults(source, set(names), set(self._renamed))
        fields_there(source, [*names, *self._renamed, *self._defaults], f"source {source.name}")
        self._projection: Projection | None = None
        schema = expanded(schema)
        try:
            avro_fields(schema)
        except ValueError:
            self._projection = Projection(schema, [name for name in wanted if name in names])
            schema = self._projection.schema
        writer = Source("writer", avro=json.dumps(schema, default=str), topic="t")
        if writer.problem is not None:
            raise EventError(f"the registered schema does not fit: {writer.problem}")
        self._decoder = AvroDecoder(writer, confluent=True)

    def decode(self, values: pa.BinaryArray) -> Decoded:
        bad: dict[int, str] = {}
        if self._projection is not None:
            values = self._projected(self._projection, values, bad)
        found = self._decoder.decode(values)
        bad = {**dict(found.bad), **bad}
        keep = np.array([index not in bad for index in found.good.tolist()], np.bool_)
        events = found.events.filter(pa.array(keep))
        good = found.good[keep]
        columns = arrow_columns(events)
        columns |= {name: columns[other] for name, other in self._renamed.items()}
        for name, default in self._defaults.items():
            field = next(field for field in self._source.resolved_fields if field.name == name)
            columns[name] = object_column(field, [default] * len(good)).values
        fitted = column_events(self._source, columns, len(good), f"source {self._source.name}")
        bad |= {int(good[index]): reason for index, reason in fitted.bad}
        return Decoded(fitted.events, good[fitted.good], sorted(bad.items()))

    def _projected(self, projection: Projection, values: pa.BinaryArray, bad: dict[int, str]) -> pa.BinaryArray:
        """Values without the fields that have no type of ours."""
        found = []
        for index, value in enumerate(values.to_pylist()):
            try:
                found.append(value[:HEADER] + projection.of(Block(1, value[HEADER:])).content)
            except DamagedBlock as damage:
                bad[index] = str(damage).replace("a block of 1 rows", "the value")
                found.append(value)
        return pa.array(found, pa.binary())


def _fields(schema: Any) -> list[Any] | None:
    """Fields of a record's schema, without what does not change its bytes; None if it is no record."""
    try:
        record = expanded(schema)
    except Exception:  # noqa: BLE001 (fastavro reports a bad schema by many exceptions)
        return None
    if not isinstance(record, dict) or record.get("type") != "record":
        return None
    found: list[Any] = _plain(record["fields"])
    return found


def _plain(schema: Any) -> Any:
    if isinstance(schema, dict):
        return {
            name: _plain(part)
            for name, part in schema.items()
            if name not in ("doc", "aliases", "default", "order", "namespace") and not name.startswith("__")
        }
    return [_plain(part) for part in schema] if isinstance(schema, list) else schema


def _renamed(source: Source, names: list[str]) -> dict[str, str]:
    """Fields of the source that a writer has under an alias, and that alias."""
    found = {}
    for member in source.avro_schema["fields"]:
        if member["name"] not in names:
            alias = next((alias for alias in member.get("aliases", ()) if alias in names), None)
            if alias is not None:
                found[member["name"]] = alias
    return found


def _defaults(source: Source, names: set[str], renamed: set[str]) -> dict[str, Any]:
    """Defaults of fields of the source that a writer lacks; those without one, or with null, are left out."""
    found = {}
    for member in expanded(source.avro_schema)["fields"]:
        name = member["name"]
        if name not in names and name not in renamed and member.get("default") is not None:
            written: Any = {"type": "record", "name": "writer", "fields": []}
            read: Any = {"type": "record", "name": "writer", "fields": [member]}
            answer: Any = fastavro.schemaless_reader(io.BytesIO(), written, read)
            found[name] = answer[name]
    return found


def _none(source: Source, reasons: list[str]) -> Decoded:
    """No event, and a reason for every value."""
    return Decoded(empty(source.schema), np.zeros(0, np.int64), list(enumerate(reasons)))
