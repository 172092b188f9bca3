"""Avro files (object container files) of events."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, BinaryIO, cast

import fastavro
import pyarrow as pa

from schemas.avro import avro_fields
from schemas.errors import EventError
from schemas.source import Source
from transforms.encodings.decoded import gather
from transforms.encodings.file_access import damage, open_file
from transforms.encodings.file_batch import FileBatch, row_json
from transforms.encodings.frames import column_events, fields_there
from transforms.encodings.objects import object_column

FORM = "Avro"


def read_avro_file(source: Source, path: str, start_row: int, batch_rows: int) -> Iterator[FileBatch]:
    """Rows of an Avro file from `start_row` on, by the schema in the file; blocks before it are not decoded."""
    with open_file(path) as content:
        with _damage(path):
            blocks = fastavro.block_reader(cast(BinaryIO, content))
        names = _check_types(source, blocks.writer_schema, path)
        row = 0
        rows: list[dict[str, Any]] = []
        while True:
            with _damage(path):
                block = next(blocks, None)
                if block is not None and row + len(rows) + block.num_records <= start_row:
                    row += block.num_records
                    continue
                rows += [] if block is None else [_chosen(record, names) for record in cast(Any, block)]
            skipped = min(max(start_row - row, 0), len(rows))
            rows, row = rows[skipped:], row + skipped
            while len(rows) >= batch_rows or (block is None and rows):
                yield _batch(source, rows[:batch_rows], row)
                rows, row = rows[batch_rows:], row + len(rows[:batch_rows])
            if block is None:
                return


def _damage(path: str) -> Any:
    return damage(path, FORM)


def _chosen(record: dict[str, Any], names: list[str]) -> dict[str, Any]:
    return {name: record[name] for name in names}


def _check_types(source: Source, schema: Any, path: str) -> list[str]:
    """The source's fields that are in the file's schema.

    Raises:
        EventError: the file holds no records, or a field has a type there that never holds the declared one.
    """
    if not isinstance(schema, dict) or schema.get("type") != "record":
        raise EventError(f"{path}: holds no records but {json.dumps(schema, default=str)[:60]}; legal are records")
    names = fields_there(source, [member["name"] for member in schema["fields"]], path)
    used = [member for member in schema["fields"] if member["name"] in names]
    try:
        fields = avro_fields({**schema, "fields": used})
    except ValueError as error:
        raise EventError(f"{path}: {error}") from None
    nothing = {field.name: pa.array([], field.type) for field in fields}
    column_events(source, nothing, 0, path)
    return names


def _batch(source: Source, rows: list[dict[str, Any]], row: int) -> FileBatch:
    columns = [object_column(field, [record.get(field.name) for record in rows]) for field in source.resolved_fields]
    decoded = gather(source.schema, columns, {}, source.event_time)
    return FileBatch(row, row + len(rows), decoded, lambda index: row_json(rows[index]))
