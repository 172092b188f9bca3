"""Upkeep: files joined and deleted beside writers and readers; as many files as come while old ones are kept."""

from __future__ import annotations

import logging
import os
import threading
from pathlib import Path

import pyarrow as pa
import pytest

from pipelines.upkeep import tidy
from serving.stores.delta import Conflict
from serving.stores.offline import OfflineStore

LANE, OTHER = "s/topic-t/0", "s/topic-t/1"
SECOND = 1_000_000
KEEP = 60 * SECOND


def rows(offset: int, lane: str = LANE) -> pa.RecordBatch:
    return pa.record_batch({"_lane": [lane], "_offset": pa.array([offset], pa.int64()), "x": [float(offset)]})


def fill(store: OfflineStore, start: int, end: int, lane: str = LANE) -> None:
    for offset in range(start, end):
        store.append("t", [rows(offset, lane)], {(lane, ""): offset + 1})


def offsets(store: OfflineStore, lane: str = LANE) -> list[int]:
    found = store.read("t", ["_lane", "_offset"]).to_pylist()
    return sorted(row["_offset"] for row in found if row["_lane"] == lane)


def files(root: Path) -> int:
    return sum(path.is_file() for path in (root / "t").rglob("*"))


def age(root: Path, seconds: int) -> None:
    """Makes all files of the table older."""
    for path in (root / "t").rglob("*"):
        stamp = path.stat().st_mtime - seconds
        os.utime(path, (stamp, stamp))


def now(root: Path) -> int:
    """µs of the newest file."""
    return max(path.stat().st_mtime_ns for path in (root / "t").rglob("*")) // 1000


def test_files_do_not_grow_with_the_number_of_commits(tmp_path: Path) -> None:
    store, counts = OfflineStore(tmp_path), []
    for turn in range(8):
        fill(store, turn * 12, turn * 12 + 12)
        store.tidy("t", KEEP, now(tmp_path) + turn * 2 * KEEP)
        age(tmp_path, 2 * KEEP // SECOND)
        counts.append(files(tmp_path))
    assert counts[-1] == counts[2]
    assert offsets(store) == list(range(96))
    again = OfflineStore(tmp_path)
    assert again.positions("t") == {(LANE, ""): 96}
    fill(again, 96, 98)
    assert offsets(store) == list(range(98))


def test_few_files_are_left_alone(tmp_path: Path) -> None:
    store = OfflineStore(tmp_path)
    fill(store, 0, 5)
    before = files(tmp_path)
    store.tidy("t", 0, now(tmp_path))
    assert files(tmp_path) == before


def test_what_was_replaced_stays_for_readers_that_have_begun(tmp_path: Path) -> None:
    store = OfflineStore(tmp_path)
    fill(store, 0, 10)
    reader = store.scan("t")
    begun = now(tmp_path)
    store.tidy("t", KEEP, begun)
    store.tidy("t", KEEP, begun + KEEP - 1)
    assert sorted(reader.collect()["_offset"]) == list(range(10))
    count = files(tmp_path)
    store.tidy("t", KEEP, begun + KEEP)
    assert files(tmp_path) == count - 10


def test_a_file_that_is_not_committed_yet_stays(tmp_path: Path) -> None:
    store = OfflineStore(tmp_path)
    fill(store, 0, 2)
    written = tmp_path / "t" / "part-new.zstd.parquet"
    written.write_bytes(b"a twin's, written and not committed")
    begun = now(tmp_path)
    age(tmp_path, 10 * KEEP // SECOND)
    store.tidy("t", KEEP, begun)
    store.tidy("t", KEEP, begun + KEEP - 1)
    assert written.exists()
    store.tidy("t", KEEP, begun + KEEP)
    assert not written.exists()


@pytest.mark.parametrize("commits", [12, 130])
def test_a_writer_that_was_left_behind_goes_on(tmp_path: Path, commits: int) -> None:
    """Entries after the version that it knows are gone from the log."""
    behind, store = OfflineStore(tmp_path), OfflineStore(tmp_path)
    fill(behind, 0, 2, OTHER)
    assert behind.positions("t") == {(OTHER, ""): 2}
    fill(store, 0, commits)
    age(tmp_path, 10 * KEEP // SECOND)
    store.tidy("t", KEEP, now(tmp_path) + KEEP)
    assert not list((tmp_path / "t" / "_delta_log").glob(f"{3:020}.json"))
    try:
        behind.append("t", [rows(2, OTHER)], {(OTHER, ""): 3})
    except Conflict:
        assert behind.positions("t") == {(LANE, ""): commits, (OTHER, ""): 2}
        behind.append("t", [rows(2, OTHER)], {(OTHER, ""): 3})
    assert (offsets(store), offsets(store, OTHER)) == (list(range(commits)), [0, 1, 2])
    assert store.positions("t") == {(LANE, ""): commits, (OTHER, ""): 3}
    fill(store, commits, commits + 2)


def test_a_table_that_cannot_be_looked_after_is_logged_and_the_others_are(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = OfflineStore(tmp_path)
    fill(store, 0, 12)
    (tmp_path / "bad" / "_delta_log").mkdir(parents=True)
    (tmp_path / "bad" / "_delta_log" / f"{0:020}.json").write_text("{")
    with caplog.at_level(logging.WARNING):
        tidy(store, ["bad", "none", "t"], KEEP, now(tmp_path), threading.Event())
    assert "bad was not looked after" in caplog.text
    assert "t was not" not in caplog.text
    assert store.compact("t") == 0
