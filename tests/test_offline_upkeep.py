"""Upkeep of the offline store: compaction, vacuum, and what it says when a table is damaged."""

from __future__ import annotations

import fcntl
import os
import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl
import pyarrow as pa
import pytest
from deltalake import DeltaTable

from schemas.errors import StoreError
from serving.stores.compaction import kept_rows, undo
from serving.stores.delta import Place
from serving.stores.offline import OfflineStore

TIME = pa.timestamp("us", "UTC")
NOBODY = 65534
SCHEMA = pa.schema(
    [
        pa.field("price", pa.float64()),
        pa.field("_event_time", TIME, nullable=False),
        pa.field("_lane", pa.string()),
        pa.field("_offset", pa.int64()),
    ]
)
LANE, OTHER = "purchases/topic-3f2a9c1e/0", "purchases/topic-3f2a9c1e/1"


def rows(start: int, end: int, lane: str = LANE, every: int = 1_000) -> pa.RecordBatch:
    offsets = list(range(start, end))
    return pa.record_batch(
        [
            pa.array([float(offset) for offset in offsets], pa.float64()),
            pa.array([offset * every for offset in offsets], TIME),
            pa.array([lane] * len(offsets), pa.string()),
            pa.array(offsets, pa.int64()),
        ],
        schema=SCHEMA,
    )


def offsets(store: OfflineStore, table: str = "events/purchases", lane: str = LANE) -> list[int]:
    found = store.read(table, ["_offset"], pl.col("_lane") == lane).column(0).to_pylist()
    return sorted(found)


@pytest.fixture(params=["folder", "url"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> OfflineStore:
    """A folder, and the same by URL, which takes the way of object stores."""
    return OfflineStore(tmp_path / "offline" if request.param == "folder" else f"file://{tmp_path}/offline")


def test_compaction_keeps_every_row_and_position(store: OfflineStore) -> None:
    for start in range(6):
        store.append("t", [rows(start, start + 1)], {(LANE, ""): start + 1})
    assert store.compact("t") == 6
    assert store.compact("t") == 0
    assert offsets(store, "t") == list(range(6))
    assert store.positions("t") == {(LANE, ""): 6}
    store.append("t", [rows(6, 7)], {(LANE, ""): 7})
    assert OfflineStore(store.root).positions("t") == {(LANE, ""): 7}
    assert store.count("t") == 7


def test_one_process_compacts_at_a_time(tmp_path: Path) -> None:
    store = OfflineStore(tmp_path)
    store.append("t/u", [rows(0, 1)], {})
    lock = store._lock_file("t/u")
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(StoreError, match="t/u: another process is compacting it"):
            store.compact("t/u")
    assert store.compact("t/u") == 0
    assert store.tables() == ["t/u"]


def test_doubled_rows_are_found_and_taken_back(tmp_path: Path) -> None:
    """Two compactions from one version double every row in Delta; appends that came after must stay."""
    store = OfflineStore(tmp_path)
    for start in range(4):
        store.append("t", [rows(start, start + 1)], {(LANE, ""): start + 1})
    one, two = DeltaTable(str(tmp_path / "t")), DeltaTable(str(tmp_path / "t"))
    one.optimize.compact()
    two.optimize.compact()
    store.append("t", [rows(4, 5)], {(LANE, ""): 5})
    assert store.count("t") == 9
    place = Place("t", str(tmp_path / "t"))
    assert [version for version in range(1, store.version("t") + 1) if not kept_rows(place, version)] == [6]
    undo(place, 6)
    assert offsets(store, "t") == [0, 1, 2, 3, 4]
    assert store.positions("t") == {(LANE, ""): 5}


def test_vacuum_keeps_versions_that_are_named(store: OfflineStore) -> None:
    for start in range(3):
        store.append("t", [rows(start, start + 1)], {(LANE, ""): start + 1})
    saved = store.version("t")
    store.compact("t")
    assert store.vacuum("t") == []
    assert store.vacuum("t", 0, [saved]) == []
    address = f"{store.root}/t"
    assert pl.scan_delta(address, version=saved).collect().height == 3
    assert len(store.vacuum("t", 0)) == 3
    assert offsets(store, "t") == [0, 1, 2]


def test_tables_are_listed(store: OfflineStore) -> None:
    assert store.tables() == []
    for table in ("rows/v/1", "events/purchases", "manifests"):
        store.append(table, [rows(0, 1)], {})
    store.append("events/purchases", [rows(1, 2)], {})
    assert store.tables() == ["events/purchases", "manifests", "rows/v/1"]


def test_a_damaged_log_is_named_with_the_way_back(tmp_path: Path) -> None:
    for start in range(3):
        OfflineStore(tmp_path).append("t", [rows(start, start + 1)], {})
    log = tmp_path / "t" / "_delta_log"
    (log / f"{2:020}.json").write_text('{"add": {"pa')
    with pytest.raises(
        StoreError, match=r"t: the table cannot be read or written: .* put it back from a copy"
    ) as caught:
        OfflineStore(tmp_path).positions("t")
    assert "\n" not in str(caught.value)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)
    (log / f"{1:020}.json").unlink()
    with pytest.raises(StoreError, match="gap"):
        OfflineStore(tmp_path).count("t")


def test_a_damaged_file_is_named(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    store = OfflineStore(tmp_path)
    store.append("t", [rows(0, 100)], {})
    for path in (tmp_path / "t").glob("*.parquet"):
        path.write_bytes(b"junk" * 3)
    with pytest.raises(StoreError, match="t: the table cannot be read"):
        store.read("t")
    capfd.readouterr()


def test_a_root_that_is_no_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "offline").write_text("x")
    with pytest.raises(StoreError, match="offline/t: the table cannot be read or written"):
        OfflineStore(tmp_path / "offline").append("t", [rows(0, 1)], {})


@contextmanager
def somebody() -> Iterator[None]:
    """As a user whom the permissions of files bind, also where the tests run as root."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


def test_a_root_that_may_not_be_written_is_named() -> None:
    with TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)  # others may enter; pytest's own folders are closed to them
        store = OfflineStore(folder)
        store.append("t", [rows(0, 1)], {})
        (Path(folder) / "t").chmod(0o555)
        (Path(folder) / "t" / "_delta_log").chmod(0o555)
        with somebody(), pytest.raises(StoreError, match="check that this user may write there"):
            store.append("t", [rows(1, 2)], {})
        (Path(folder) / "t").chmod(0o755)
        (Path(folder) / "t" / "_delta_log").chmod(0o755)


def test_a_store_can_be_sent_to_another_process(store: OfflineStore) -> None:
    store.append("t", [rows(0, 2)], {(LANE, ""): 2})
    copy = pickle.loads(pickle.dumps(store))
    assert copy.positions("t") == {(LANE, ""): 2}
