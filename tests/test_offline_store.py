"""The offline store: appends are joins by lane, every type comes back as it went in, other tools read the files."""

from __future__ import annotations

import json
import multiprocessing
import threading
from pathlib import Path

import duckdb
import polars as pl
import pyarrow as pa
import pytest
from deltalake import DeltaTable

from schemas.errors import StoreError
from serving.stores.delta import Conflict
from serving.stores.offline import OfflineStore

TIME = pa.timestamp("us", "UTC")
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


def at(time: int) -> pl.Expr:
    return pl.lit(time).cast(pl.Datetime("us", "UTC"))


def offsets(store: OfflineStore, table: str = "events/purchases", lane: str = LANE) -> list[int]:
    found = store.read(table, ["_offset"], pl.col("_lane") == lane).column(0).to_pylist()
    return sorted(found)


@pytest.fixture(params=["folder", "url"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> OfflineStore:
    """A folder, and the same by URL, which takes the way of object stores."""
    return OfflineStore(tmp_path / "offline" if request.param == "folder" else f"file://{tmp_path}/offline")


def test_a_table_is_made_by_its_first_append(store: OfflineStore) -> None:
    assert not store.exists("events/purchases")
    assert store.positions("events/purchases") == {}
    assert store.count("events/purchases") == 0
    store.append("events/purchases", [rows(0, 3), rows(3, 5), rows(0, 2, OTHER)], {(LANE, ""): 5, (OTHER, ""): 9})
    assert store.exists("events/purchases")
    assert store.positions("events/purchases") == {(LANE, ""): 5, (OTHER, ""): 9}
    assert store.count("events/purchases") == 7
    assert store.schema("events/purchases") == SCHEMA
    found = store.read("events/purchases")
    assert found.schema == SCHEMA
    assert (
        found.sort_by([("_lane", "ascending"), ("_offset", "ascending")])
        == pa.Table.from_batches([rows(0, 5), rows(0, 2, OTHER)]).combine_chunks()
    )


def test_positions_advance_without_rows(store: OfflineStore) -> None:
    with pytest.raises(StoreError, match="dead_letters/purchases: no such table"):
        store.append("dead_letters/purchases", [], {(LANE, ""): 4})
    store.append("dead_letters/purchases", [rows(0, 0)], {(LANE, ""): 4})
    store.append("dead_letters/purchases", [], {(LANE, ""): 6, (LANE, "view/0123"): 2})
    assert OfflineStore(store.root).positions("dead_letters/purchases") == {(LANE, ""): 6, (LANE, "view/0123"): 2}
    assert store.count("dead_letters/purchases") == 0
    assert store.read("dead_letters/purchases").schema == SCHEMA


def test_positions_are_joins(store: OfflineStore) -> None:
    store.append("t", [rows(0, 5)], {(LANE, ""): 5})
    store.append("t", [], {(LANE, ""): 3, (OTHER, ""): 0})
    assert store.positions("t") == {(LANE, ""): 5, (OTHER, ""): 0}
    store.append("t", [rows(5, 6)], {(LANE, ""): 6})
    assert store.positions("t")[LANE, ""] == 6


def test_rows_that_are_stored_already_are_refused(store: OfflineStore) -> None:
    store.append("t", [rows(0, 5)], {(LANE, ""): 5})
    with pytest.raises(Conflict):
        store.append("t", [rows(4, 8)], {(LANE, ""): 8})
    assert store.positions("t") == {(LANE, ""): 5}
    assert offsets(store, "t") == [0, 1, 2, 3, 4]


def test_a_twin_is_refused_until_it_has_read_the_positions_again(store: OfflineStore) -> None:
    twin = OfflineStore(store.root)
    store.append("t", [rows(0, 5)], {(LANE, ""): 5})
    with pytest.raises(Conflict, match="stored up to 5 already"):
        twin.append("t", [rows(0, 7)], {(LANE, ""): 7})
    assert twin.positions("t") == {(LANE, ""): 5}
    twin.append("t", [rows(5, 7)], {(LANE, ""): 7})
    with pytest.raises(Conflict):
        store.append("t", [rows(5, 9)], {(LANE, ""): 9})
    with pytest.raises(Conflict):
        store.append("t", [rows(7, 9)], {(LANE, ""): 9})
    assert store.positions("t") == {(LANE, ""): 7}
    store.append("t", [rows(7, 9)], {(LANE, ""): 9})
    assert offsets(store, "t") == list(range(9))


def test_a_lost_race_leaves_no_file(tmp_path: Path) -> None:
    store, twin = OfflineStore(tmp_path), OfflineStore(tmp_path)
    store.append("t", [rows(0, 1)], {(LANE, ""): 1})
    assert twin.positions("t") == {(LANE, ""): 1}
    store.append("t", [rows(1, 3)], {(LANE, ""): 3})
    before = sorted(path.name for path in (tmp_path / "t").iterdir())
    with pytest.raises(Conflict):
        twin.append("t", [rows(1, 4)], {(LANE, ""): 4})
    assert sorted(path.name for path in (tmp_path / "t").iterdir()) == before


def test_twins_of_different_lanes_do_not_meet(store: OfflineStore) -> None:
    twin = OfflineStore(store.root)
    store.append("t", [rows(0, 0)], {})
    assert store.positions("t") == twin.positions("t") == {}
    for step in range(3):
        store.append("t", [rows(step, step + 1)], {(LANE, ""): step + 1})
        twin.append("t", [rows(step, step + 1, OTHER)], {(OTHER, ""): step + 1})
    assert store.positions("t") == {(LANE, ""): 3, (OTHER, ""): 3}
    assert offsets(store, "t") == offsets(store, "t", OTHER) == [0, 1, 2]


def test_what_a_twin_appended_is_noticed_through_ones_own_append_to_another_lane(store: OfflineStore) -> None:
    """After its own append the handle has taken in the twin's, so that Delta itself would let the rows through."""
    twin = OfflineStore(store.root)
    store.append("t", [rows(0, 1), rows(0, 1, OTHER)], {(LANE, ""): 1, (OTHER, "v/1"): 1, (OTHER, ""): 1})
    assert twin.positions("t")[OTHER, "v/1"] == 1
    twin.append("t", [rows(1, 5, OTHER)], {(OTHER, "v/1"): 5})
    store.append("t", [rows(1, 2)], {(LANE, ""): 2})
    with pytest.raises(Conflict):
        store.append("t", [rows(1, 4, OTHER)], {(OTHER, ""): 4, (OTHER, "v/1"): 4})


def _append_everything(root: str, end: int) -> None:
    store = OfflineStore(root)
    while True:
        position = store.positions("t").get((LANE, ""), 0)
        if position >= end:
            return
        try:
            store.append("t", [rows(position, min(position + 3, end))], {(LANE, ""): min(position + 3, end)})
        except Conflict:
            continue


def test_processes_that_append_the_same_lane_store_every_row_once(tmp_path: Path) -> None:
    fresh = multiprocessing.get_context("spawn")
    writers = [fresh.Process(target=_append_everything, args=(str(tmp_path), 40)) for _ in range(2)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [writer.exitcode for writer in writers] == [0, 0]
    assert offsets(OfflineStore(tmp_path), "t") == list(range(40))


def test_threads_that_append_the_same_lane_store_every_row_once(tmp_path: Path) -> None:
    store = OfflineStore(tmp_path)
    store.append("t", [rows(0, 0)], {})

    def work() -> None:
        while (position := store.positions("t").get((LANE, ""), 0)) < 40:
            try:
                store.append("t", [rows(position, position + 2)], {(LANE, ""): position + 2})
            except Conflict:
                continue

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert offsets(store, "t") == list(range(40))


def test_appends_without_positions_never_conflict(store: OfflineStore) -> None:
    twin = OfflineStore(store.root)
    store.append("served", [rows(0, 1)], {})
    twin.append("served", [rows(1, 2)], {})
    wider = rows(2, 3).append_column("note", pa.array(["x"]))
    store.append("served", [wider], {})
    twin.append("served", [rows(3, 4)], {})
    assert offsets(store, "served") == [0, 1, 2, 3]


def test_positions_outlive_checkpoints(tmp_path: Path) -> None:
    store = OfflineStore(tmp_path)
    store.append("t", [rows(0, 1)], {("a/topic-1/0", "first"): 7})
    for step in range(1, 230):
        store.append("t", [], {(f"a/topic-1/{step % 7}", "v/1"): step})
    listed = sorted(path.name for path in (tmp_path / "t" / "_delta_log").glob("*.json"))
    assert list((tmp_path / "t" / "_delta_log").glob("*.checkpoint.parquet"))
    for name in listed[:150]:
        (tmp_path / "t" / "_delta_log" / name).unlink()
    expected = {(f"a/topic-1/{lane}", "v/1"): max(s for s in range(1, 230) if s % 7 == lane) for lane in range(7)}
    assert OfflineStore(tmp_path).positions("t") == {("a/topic-1/0", "first"): 7, **expected}


def test_a_new_field_becomes_a_nullable_column(store: OfflineStore) -> None:
    old = OfflineStore(store.root)
    store.append("t", [rows(0, 2)], {(LANE, ""): 2})
    assert old.positions("t") == {(LANE, ""): 2}
    kind = pa.map_(pa.string(), pa.list_(pa.int64()))
    new = rows(2, 3).append_column(pa.field("extra", kind, nullable=False), pa.array([[("k", [1])]], kind))
    store.append("t", [new], {(LANE, ""): 3})
    assert store.schema("t") == SCHEMA.append(pa.field("extra", kind))
    with pytest.raises(Conflict):
        old.append("t", [rows(2, 4)], {(LANE, ""): 4})
    assert old.positions("t") == {(LANE, ""): 3}
    old.append("t", [rows(3, 4)], {(LANE, ""): 4})
    found = store.read("t", ["_offset", "extra"]).sort_by("_offset").column("extra").to_pylist()
    assert found == [None, None, [("k", [1])], None]
    assert store.compact("t") == 3
    assert store.read("t", ["_offset", "extra"]).sort_by("_offset").column("extra").to_pylist() == found


def test_a_field_of_another_type_is_refused(store: OfflineStore) -> None:
    store.append("t", [rows(0, 2)], {(LANE, ""): 2})
    with pytest.raises(StoreError, match="t: column 'price' is double in the offline store and string now"):
        store.append("t", [pa.record_batch({"price": ["x"]})], {(LANE, ""): 3})


def test_reads_of_a_missing_table_need_a_schema(store: OfflineStore) -> None:
    with pytest.raises(StoreError, match="none: the table cannot be read"):
        store.read("none")
    assert store.read("none", schema=SCHEMA) == SCHEMA.empty_table()
    assert store.scan("none", ["price"], pl.col("_offset") > 3, SCHEMA).collect().columns == ["price"]
    store.append("none", [rows(0, 0)], {})
    assert store.read("none", ["_offset", "price"], schema=SCHEMA).schema.names == ["_offset", "price"]


def test_filters_hold_to_the_microsecond_before_and_after_compaction(store: OfflineStore) -> None:
    for start in (0, 10, 20):
        store.append("t", [rows(start, start + 10, every=1_234_567)], {(LANE, ""): start + 10})
    for _ in range(2):
        for offset in range(30):
            time = offset * 1_234_567
            later = store.read("t", ["_offset"], pl.col("_event_time") >= at(time)).num_rows
            after = store.read("t", ["_offset"], pl.col("_event_time") > at(time)).num_rows
            until = store.read("t", ["_offset"], pl.col("_event_time") <= at(time)).num_rows
            assert (later, after, until) == (30 - offset, 29 - offset, offset + 1)
        store.compact("t")
    assert len(DeltaTable(f"{store.root}/t").file_uris()) == 1


def test_filters_skip_files_by_their_statistics(tmp_path: Path) -> None:
    store = OfflineStore(tmp_path)
    for start in (0, 10, 20):
        store.append("t", [rows(start, start + 10, every=1_000_000)], {(LANE, ""): start + 10})
    for path in (tmp_path / "t").glob("*.parquet"):
        if pl.read_parquet(path)["_offset"][0] < 20:
            path.unlink()
    assert store.read("t", ["_offset"], pl.col("_event_time") >= at(20_000_000)).num_rows == 10
    assert store.read("t", ["_offset"], pl.col("_offset") >= 20).num_rows == 10
    with pytest.raises(StoreError, match=r"t: the table cannot be read .*/part-\S+ is missing; put it back"):
        store.read("t")


def test_statistics_round_outwards_and_survive_any_time(tmp_path: Path) -> None:
    store = OfflineStore(tmp_path)
    times = [-(10**17), 10**18, 1_001, 2_999]
    for number, time in enumerate(times):
        batch = pa.record_batch(
            [pa.array([1.0, None]), pa.array([time, time], TIME), pa.array([LANE, LANE]), pa.array([number, number])],
            schema=SCHEMA,
        )
        store.append("t", [batch], {})
    log = (tmp_path / "t" / "_delta_log").glob("*.json")
    actions = [json.loads(line) for entry in sorted(log) for line in entry.read_text().splitlines()]
    ends = [json.loads(action["add"]["stats"]) for action in actions if "add" in action]
    assert "_event_time" not in ends[0]["minValues"]
    assert "_event_time" not in ends[1]["maxValues"]
    assert ends[2]["minValues"]["_event_time"] == "1970-01-01T00:00:00.001Z"
    assert ends[2]["maxValues"]["_event_time"] == "1970-01-01T00:00:00.002Z"
    assert ends[3]["nullCount"] == {"_event_time": 0, "_lane": 0, "_offset": 0}
    found = store.read("t", ["_event_time"]).column(0).cast(pa.int64()).to_pylist()
    assert sorted(found) == sorted(times * 2)


def test_polars_duckdb_and_pandas_read_the_tables_as_they_are(tmp_path: Path) -> None:
    store = OfflineStore(tmp_path)
    for start in (0, 5):
        store.append("rows/purchases/0123", [rows(start, start + 5)], {(LANE, ""): start + 5})
    path = str(tmp_path / "rows" / "purchases" / "0123")
    assert pl.read_delta(path)["_offset"].sum() == 45
    files = DeltaTable(path).file_uris()
    with duckdb.connect() as connection:
        found = connection.execute("SELECT sum(_offset), max(_event_time) FROM read_parquet(?)", [files]).fetchone()
    assert found is not None
    assert found[0] == 45
    assert DeltaTable(path).to_pandas()["price"].sum() == 45.0
