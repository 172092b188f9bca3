"""Files of events: Parquet, Avro, CSV and JSON lines, told apart by suffix."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pyarrow as pa

from schemas.errors import EventError, did_you_mean
from schemas.source import SUFFIXES, Source
from transforms.encodings.avro_files import read_avro_file
from transforms.encodings.conform import check_events
from transforms.encodings.csv_files import read_csv
from transforms.encodings.file_batch import FileBatch
from transforms.encodings.json_lines import read_json_lines
from transforms.encodings.parquet_files import read_parquet
from transforms.encodings.symbols import Symbols

BATCH_ROWS = 50_000
_READERS: dict[str, Callable[[Source, str, int, int], Iterator[FileBatch]]] = {
    ".parquet": read_parquet,
    ".avro": read_avro_file,
    ".csv": read_csv,
    ".jsonl": read_json_lines,
}


def read_file(source: Source, path: str, start_row: int = 0, batch_rows: int = BATCH_ROWS) -> Iterator[FileBatch]:
    """Rows of a file, in order and without gaps, of which only the source's fields are read.

    A field that the file lacks is null.

    Args:
        source: of the events.
        path: local path or URL of an object store.
        start_row: number of the first row wanted.
        batch_rows: greatest number of rows of a batch.

    Raises:
        EventError: the suffix is unknown, the file cannot be read, the event time is not among its columns, or a
            column is of a type that never holds the declared one; names the file, the column and what is legal.
    """
    suffix = os.path.splitext(path)[1].lower()  # noqa: PTH122 - a URL is no path of this system
    if suffix not in _READERS:
        hint = did_you_mean(suffix, SUFFIXES)
        raise EventError(f"{path}: the suffix {suffix!r} names no form of file; legal are {', '.join(SUFFIXES)}.{hint}")
    symbols = Symbols(source)
    batches = _READERS[suffix](source, path, start_row, batch_rows)
    return (replace(batch, decoded=symbols.check(batch.decoded)) for batch in batches)


def read_events(source: Source, events: Any) -> pa.Table:
    """All events of a source, in hand or in a file, as a table of its fields.

    Args:
        source: of the events.
        events: dicts, an Arrow table, a polars or pandas frame, or the path of a file.

    Raises:
        EventError: an event or the file does not fit; names the row, the field and what is legal.
    """
    if not isinstance(events, str | os.PathLike):
        return pa.Table.from_batches([check_events(source, events)], schema=source.schema)
    path = os.fspath(events)
    batches = []
    for batch in read_file(source, path):
        if batch.decoded.bad:
            index, reason = batch.decoded.bad[0]
            raise EventError(f"{path}: row {batch.start_row + index}: {reason}")
        batches.append(batch.decoded.events)
    return pa.Table.from_batches(batches, schema=source.schema)
