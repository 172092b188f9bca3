"""Avro files (object container files) of events."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pyarrow as pa

from schemas.avro import avro_fields
from schemas.errors import EventError
from schemas.source import Source
from transforms.encodings.avro_blocks import Block, BlockDecoder, DamagedBlock, Fault, Records
from transforms.encodings.avro_container import Container
from transforms.encodings.avro_projection import Projection
from transforms.encodings.file_access import damage, open_file
from transforms.encodings.file_batch import FileBatch, arrow_row, row_json
from transforms.encodings.frames import column_events, fields_there

FORM = "Avro"
GROUP_BYTES = 32 << 20
GROUP_ROWS = 400_000


def read_avro_file(source: Source, path: str, start_row: int, batch_rows: int) -> Iterator[FileBatch]:
    """Rows of an Avro file from `start_row` on, by the schema in the file; blocks before it are not decoded.

    What is wrong with a value but leaves the next field in its place (a time of no year, a text that is not UTF-8)
    makes a bad row; anything else is damage of the file.
    """
    with open_file(path) as content:
        with _damage(path):
            container = Container(content)
        schema = container.schema
        names = _check_types(source, schema, path)
        decoder, projection = _decoder(schema, names)
        for row, group in _groups(container, path, start_row):
            with _damage(path):
                records = decoder.decode([projection.of(block) for block in group] if projection else group, row)
            end = row + sum(block.count for block in group)
            for start in range(max(row, start_row), end, batch_rows):
                yield _batch(source, records, path, start - row, min(start + batch_rows, end) - row, row)


def _groups(container: Container, path: str, start_row: int) -> Iterator[tuple[int, list[Block]]]:
    """Blocks that are read together, with the number of their first row; none before the block of `start_row`."""
    row = size = count = 0
    group: list[Block] = []
    blocks = container.blocks()
    while True:
        with _damage(path):
            rows, unpack = next(blocks, (-1, None))
            if unpack is not None and not group and row + rows <= start_row:
                row += rows
                continue
            if unpack is not None:
                group.append(unpack())
                count, size = count + rows, size + len(group[-1].content)
        if group and (unpack is None or count >= GROUP_ROWS or size >= GROUP_BYTES):
            yield row, group
            row, size, count, group = row + count, 0, 0, []
        if unpack is None:
            return


@contextmanager
def _damage(path: str) -> Iterator[None]:
    """Names the file in what is wrong with it."""
    try:
        with damage(path, FORM):
            yield
    except DamagedBlock as damaged:
        raise EventError(f"{path}: cannot be read as {FORM}: {damaged}") from None


def _check_types(source: Source, schema: Any, path: str) -> list[str]:
    """The source's fields that are in the file's schema.

    Raises:
        EventError: the file holds no records, or a field has a type there that never holds the declared one.
    """
    if not isinstance(schema, dict) or schema.get("type") != "record" or not isinstance(schema.get("fields"), list):
        raise EventError(f"{path}: holds no records but {json.dumps(schema, default=str)[:60]}; legal are records")
    names = fields_there(source, [member["name"] for member in schema["fields"]], path)
    try:
        fields = avro_fields(_narrowed(schema, names))
    except ValueError as error:
        raise EventError(f"{path}: {error}") from None
    nothing = {field.name: pa.array([], field.type) for field in fields}
    column_events(source, nothing, 0, path)
    return names


def _narrowed(schema: Any, names: list[str]) -> Any:
    return {**schema, "fields": [member for member in schema["fields"] if member["name"] in names]}


def _decoder(schema: Any, names: list[str]) -> tuple[BlockDecoder, Projection | None]:
    """Decoder of a file's blocks, and what they have to be rewritten by before, if a field has no type of ours."""
    try:
        return BlockDecoder(schema, avro_fields(schema), names), None
    except ValueError:
        projection = Projection(schema, names)
    return BlockDecoder(projection.schema, avro_fields(projection.schema), names), projection


def _batch(source: Source, records: Records, path: str, start: int, end: int, first: int) -> FileBatch:
    columns = {name: column.slice(start, end - start) for name, column in records.columns.items()}
    faults = {row - start: fault for row, fault in records.faults.items() if start <= row < end}
    decoded = column_events(source, columns, end - start, path, {row: fault.reason for row, fault in faults.items()})
    rows = pa.RecordBatch.from_pydict(columns)
    return FileBatch(first + start, first + end, decoded, lambda index: _raw(rows, index, faults))


def _raw(rows: pa.RecordBatch, index: int, faults: Mapping[int, Fault]) -> bytes:
    """A row as JSON, with the number at fault in place of the field, if it is one."""
    found = arrow_row(rows, index)
    if index in faults:
        found[faults[index].field] = faults[index].detail or None
    return row_json(found)
