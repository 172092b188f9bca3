"""Parquet files of events."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from schemas.source import Source
from transforms.encodings.file_access import damage, open_file
from transforms.encodings.file_batch import FileBatch, arrow_row, row_json
from transforms.encodings.frames import arrow_columns, column_events, fields_there

FORM = "Parquet"


def read_parquet(source: Source, path: str, start_row: int, batch_rows: int) -> Iterator[FileBatch]:
    """Rows of a Parquet file from `start_row` on; only the source's columns are read."""
    with open_file(path) as content:
        with damage(path, FORM):
            file: Any = pq.ParquetFile(content, coerce_int96_timestamp_unit="us")
            schema = file.schema_arrow
        names = fields_there(source, schema.names, path)
        # Types are wrong or right for the file as a whole, rows or none.
        nothing = pa.schema([schema.field(name) for name in names]).empty_table()
        column_events(source, arrow_columns(nothing), 0, path)
        groups, row = _groups(file, start_row)
        batches = file.iter_batches(batch_size=batch_rows, row_groups=groups, columns=names, use_threads=False)
        while True:
            with damage(path, FORM):
                batch = next(batches, None)
            if batch is None:
                return
            end = row + batch.num_rows
            if end > start_row:
                first = max(start_row - row, 0)
                yield _batch(source, batch.slice(first), row + first, path)
            row = end


def _groups(file: Any, start_row: int) -> tuple[list[int], int]:
    """Row groups that end after a row, and the number of the first row in them."""
    row = 0
    for group in range(file.num_row_groups):
        count = file.metadata.row_group(group).num_rows
        if row + count > start_row:
            return list(range(group, file.num_row_groups)), row
        row += count
    return [], row


def _batch(source: Source, batch: pa.RecordBatch, row: int, path: str) -> FileBatch:
    decoded = column_events(source, arrow_columns(batch), batch.num_rows, path)
    return FileBatch(row, row + batch.num_rows, decoded, lambda index: row_json(arrow_row(batch, index)))
