"""Files of events for tests: the same rows in every form."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import fastavro
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from schemas.source import Source
from transforms.encodings.file_batch import FileBatch
from transforms.encodings.json import encode_json

FIELDS = {
    "id": "int64",
    "ts": "timestamp",
    "price": "float64",
    "kind": "string",
    "ok": "bool",
    "day": "date",
    "cost": "decimal(10,2)",
    "raw": "bytes",
    "small": "uint8",
}
SOURCE = Source("s", fields=FIELDS, event_time="ts", files="*")
NESTED = {**FIELDS, "tags": "map<string,int64>", "items": "list<struct<qty:int32,at:timestamp>>"}
DEEP = Source("s", fields=NESTED, event_time="ts", files="*")


def moment(index: int) -> datetime:
    return datetime(2026, 12, 1, 0, 0, index % 60, index, tzinfo=UTC)


def rows(count: int, deep: bool = False) -> list[dict[str, Any]]:
    found = []
    for index in range(count):
        row: dict[str, Any] = {
            "id": index,
            "ts": moment(index),
            "price": index / 3 if index % 4 else None,
            "kind": ["card", "", 'é,\n"x"', None][index % 4],
            "ok": [True, False, None][index % 3],
            "day": date(2026, 1, 1 + index % 28),
            "cost": Decimal(index) / 100,
            "raw": bytes([index % 256]),
            "small": index % 256,
        }
        if deep:
            row["tags"] = [("a", index), ("b", None)] if index % 2 else None
            row["items"] = [{"qty": index, "at": moment(index)}, None] if index % 3 else []
        found.append(row)
    return found


def table(source: Source, events: Sequence[dict[str, Any]]) -> pa.Table:
    return pa.Table.from_pylist(list(events), schema=pa.schema([f.with_nullable(True) for f in source.schema]))


def write_parquet(path: Path, source: Source, events: Sequence[dict[str, Any]]) -> None:
    pq.write_table(table(source, events), path, row_group_size=7)


def write_avro(path: Path, source: Source, events: Sequence[dict[str, Any]]) -> None:
    records = [{**row, "tags": dict(row["tags"])} if row.get("tags") else row for row in events]
    with path.open("wb") as out:
        fastavro.writer(out, fastavro.parse_schema(source.avro_schema), records, sync_interval=200)


def write_csv(path: Path, source: Source, events: Sequence[dict[str, Any]]) -> None:
    odd = [name for name in ("raw", "tags", "items") if name in source.schema.names]
    plain = table(source, events).drop_columns(odd)
    frame = pl.from_arrow(plain)
    assert isinstance(frame, pl.DataFrame)
    texts = [json.loads(line) for line in encode_json(table(source, events).combine_chunks().to_batches()[0])]
    for name in odd:
        values = [text[name] for text in texts]
        written = [value if isinstance(value, str | None) else json.dumps(value) for value in values]
        frame = frame.with_columns(pl.Series(name, written, pl.String))
    frame.write_csv(path)


def write_jsonl(path: Path, source: Source, events: Sequence[dict[str, Any]]) -> None:
    lines = encode_json(table(source, events).combine_chunks().to_batches()[0])
    path.write_bytes(b"\xef\xbb\xbf" + b"\r\n\n".join(lines))


WRITERS: dict[str, Callable[[Path, Source, Sequence[dict[str, Any]]], None]] = {
    ".parquet": write_parquet,
    ".avro": write_avro,
    ".csv": write_csv,
    ".jsonl": write_jsonl,
}


def contiguous(batches: list[FileBatch], start: int, most: int) -> None:
    for batch in batches:
        assert batch.start_row == start
        assert 0 <= batch.end_row - batch.start_row <= most
        found = [*batch.decoded.good.tolist(), *(index for index, _ in batch.decoded.bad)]
        assert sorted(found) == list(range(batch.end_row - batch.start_row))
        start = batch.end_row


def good_and_bad(batches: list[FileBatch]) -> tuple[list[Any], dict[int, str], dict[int, Any]]:
    good = [row for batch in batches for row in batch.decoded.events.to_pylist()]
    bad = {batch.start_row + index: reason for batch in batches for index, reason in batch.decoded.bad}
    raw = {batch.start_row + index: json.loads(batch.raw(index)) for batch in batches for index, _ in batch.decoded.bad}
    return good, bad, raw
