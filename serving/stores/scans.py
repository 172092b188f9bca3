"""Scans of Delta tables that never hold a whole table."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from deltalake import DeltaTable

from serving.stores.delta import Place
from serving.stores.delta_schema import plain_schema

BATCH = 1 << 17
_TIME = pa.timestamp("us", "UTC")
_TEXT = pa.dictionary(pa.int32(), pa.string())
_LEAST = np.iinfo(np.int64).min


def record_batches(
    place: Place,
    handle: DeltaTable,
    paths: Iterable[str],
    columns: Sequence[str],
    texts: Sequence[str],
    column: str,
    first: int,
    last: int,
) -> Iterator[pa.RecordBatch]:
    """Rows of a table as the handle has it, see `OfflineStore.batches`; on a local disk those of the files at `paths`.

    Row groups are read one after the other, with half the CPU time and a fraction of the memory that a dataset takes
    for them (measured on 10M rows of 10 columns).
    """
    with place.explained():
        stored = plain_schema(pa.schema(handle.schema().to_arrow()))
        types = pa.schema([stored.field(name) for name in columns])
        if place.folder is None:
            wanted = ds.field(column) <= pa.scalar(last, _TIME)
            if first > _LEAST:
                wanted &= ds.field(column) >= pa.scalar(first, _TIME)
            scanner = handle.to_pyarrow_dataset().scanner(
                columns=list(columns), filter=wanted, batch_size=BATCH, batch_readahead=2, fragment_readahead=1
            )
            yield from (batch.cast(types) for batch in scanner.to_batches() if len(batch))
            return
        for name in texts:
            types = types.set(types.get_field_index(name), pa.field(name, _TEXT))
        for path in paths:
            yield from _row_groups(place.folder / path, types, texts, column, first, last)


def _row_groups(
    path: Path, types: pa.Schema, texts: Sequence[str], column: str, first: int, last: int
) -> Iterator[pa.RecordBatch]:
    """Rows of a file, but for row groups whose statistics say that none of theirs is wanted."""
    footer = pq.read_metadata(path)
    stored = footer.schema.to_arrow_schema().names
    there = [name for name in types.names if name in stored]
    with pq.ParquetFile(path, metadata=footer, read_dictionary=[name for name in texts if name in there]) as file:
        names = [file.metadata.schema.column(number).path for number in range(file.metadata.num_columns)]
        for number in range(file.num_row_groups):
            known = file.metadata.row_group(number).column(names.index(column)).statistics
            micros = file.schema_arrow.field(column).type == _TIME  # then its integers are µs
            if micros and known is not None and known.has_min_max and (known.min_raw > last or known.max_raw < first):
                continue
            rows = file.read_row_group(number, there)
            arrays = [
                rows.column(field.name).cast(field.type) if field.name in there else pa.nulls(len(rows), field.type)
                for field in types
            ]
            yield from pa.Table.from_arrays(arrays, schema=types).to_batches()
