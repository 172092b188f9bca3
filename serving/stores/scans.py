"""Scans of Delta tables that never hold a whole table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
from deltalake import DeltaTable

from serving.stores.delta import Place
from serving.stores.delta_schema import plain_schema

BATCH = 1 << 17
_TIME = pa.timestamp("us", "UTC")


def record_batches(
    place: Place, handle: DeltaTable, columns: Sequence[str], column: str, first: int, last: int
) -> Iterator[pa.RecordBatch]:
    """Rows of a table as the handle has it, see `OfflineStore.batches`."""
    with place.explained():
        data = handle.to_pyarrow_dataset()
        types = plain_schema(pa.schema([data.schema.field(name) for name in columns]))
        wanted = ds.field(column) <= pa.scalar(last, _TIME)
        if first > np.iinfo(np.int64).min:
            wanted &= ds.field(column) >= pa.scalar(first, _TIME)
        scanner = data.scanner(
            columns=list(columns), filter=wanted, batch_size=BATCH, batch_readahead=2, fragment_readahead=1
        )
        for batch in scanner.to_batches():
            if len(batch):
                yield batch if batch.schema == types else batch.cast(types)
