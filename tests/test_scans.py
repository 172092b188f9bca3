"""Scans batch by batch: files and row groups out of the span are passed over, columns that came later are null."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from serving.stores import parquet
from serving.stores.offline import OfflineStore

TIME = pa.timestamp("us", "UTC")
BEGINNING = np.iinfo(np.int64).min


def rows(times: range, **more: str) -> pa.RecordBatch:
    columns = {"_event_time": pa.array(times, TIME), "kind": pa.array([f"k{time % 3}" for time in times])}
    return pa.RecordBatch.from_pydict(columns | {name: pa.array([text] * len(times)) for name, text in more.items()})


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> OfflineStore:
    """Two files, the second with a column more, in row groups of ten rows."""
    monkeypatch.setattr(parquet, "ROW_GROUP", 10)
    offline = OfflineStore(tmp_path)
    offline.append("t", [rows(range(100))], {})
    offline.append("t", [rows(range(1000, 1100), late="x")], {})
    return offline


@pytest.mark.parametrize(
    ("first", "last", "read"),
    [
        (BEGINNING, 5000, [*range(100), *range(1000, 1100)]),
        (BEGINNING, 24, [*range(30)]),
        (35, 1009, [*range(30, 100), *range(1000, 1010)]),
        (1099, 1099, [*range(1090, 1100)]),
        (1095, 1100, [*range(1090, 1100)]),
        (200, 900, []),
    ],
)
def test_only_row_groups_in_the_span_are_read(store: OfflineStore, first: int, last: int, read: list[int]) -> None:
    batches = list(store.batches("t", ["_event_time"], [], "_event_time", first, last))
    found = [time for batch in batches for time in batch.column(0).cast(pa.int64()).to_pylist()]
    assert sorted(found) == read


def test_texts_come_as_dictionaries_and_new_columns_as_nulls(store: OfflineStore) -> None:
    columns = ["late", "kind", "_event_time"]
    batches = list(store.batches("t", columns, ["kind", "late"], "_event_time", BEGINNING, 5000))
    assert all(pa.types.is_dictionary(batch.column(at).type) for batch in batches for at in (0, 1))
    table = pa.Table.from_batches(batches).sort_by("_event_time").to_pylist()
    assert [row["kind"] for row in table] == [f"k{time % 3}" for time in [*range(100), *range(1000, 1100)]]
    assert [row["late"] for row in table] == [None] * 100 + ["x"] * 100
    plain = pa.Table.from_batches(list(store.batches("t", columns, [], "_event_time", BEGINNING, 5000)))
    assert plain.schema.types == [pa.string(), pa.string(), TIME]
