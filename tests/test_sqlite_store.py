"""What the SQLite store says when its file is locked, damaged, read-only, full or not its own."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import resource
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from schemas.errors import SettingsError, StoreError
from serving.stores.base import Mark, Slice
from serving.stores.sqlite import SqliteStore
from transforms.cells import Cells


def cells(n: int, blob: bytes = b"x") -> Cells:
    keys = [number.to_bytes(4, "big") for number in range(n)]
    return Cells("b1", "s/topic-1/0", keys, np.zeros(n, np.int64), np.ones(n, np.int64), [blob] * n)


def filled(path: Path, n: int = 10) -> None:
    store = SqliteStore(path)
    store.prepare(["user"])
    store.write("user", [cells(n)])
    store.close()


def test_the_file_is_laid_out_for_large_cells(tmp_path: Path) -> None:
    filled(tmp_path / "deep" / "er" / "online.db")
    connection = sqlite3.connect(tmp_path / "deep" / "er" / "online.db")
    assert connection.execute("PRAGMA page_size").fetchone() == (16384,)
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    connection.close()


def test_acknowledged_writes_are_synced_unless_told_otherwise(tmp_path: Path) -> None:
    for name, number in (("FULL", 2), ("NORMAL", 1), ("OFF", 0)):
        store = SqliteStore(tmp_path / "online.db", synchronous=name)
        with store._file.connection() as connection:
            assert connection.execute("PRAGMA synchronous").fetchone() == (number,)
        store.close()
    with pytest.raises(SettingsError, match=r"'full'.*FULL, NORMAL, OFF"):
        SqliteStore(tmp_path / "online.db", synchronous="full")


def test_a_locked_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "online.db"
    filled(path)
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    store = SqliteStore(path, timeout=0.05)
    assert len(store.read("user", [bytes(4)], [Slice("b1", 0)]).blob) == 1
    with pytest.raises(StoreError, match=r"online\.db: locked by another writer for more than 0\.05 s") as caught:
        store.write("user", [cells(1)])
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)
    holder.execute("ROLLBACK")
    holder.close()
    store.write("user", [cells(1)])
    store.close()


@pytest.mark.parametrize("damage", ["head", "middle"])
def test_a_damaged_file_is_named_with_the_way_back(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "online.db"
    filled(path, 20_000)
    with path.open("r+b") as file:
        if damage == "middle":
            file.seek(16384)
        file.write(os.urandom(16384 * (1 if damage == "head" else 4)))
    with pytest.raises(StoreError, match=r"online\.db: damaged .* move it away .* filled anew from the offline store"):
        SqliteStore(path).read("user", [bytes(4)], [Slice("b1", 0)])


def test_another_database_is_refused(tmp_path: Path) -> None:
    other = sqlite3.connect(tmp_path / "topics.db")
    other.execute("CREATE TABLE blocks (id INTEGER)")
    other.close()
    with pytest.raises(StoreError, match=r"topics\.db: a SQLite file, but no online store"):
        SqliteStore(tmp_path / "topics.db")


def test_another_layout_is_refused(tmp_path: Path) -> None:
    filled(tmp_path / "online.db")
    connection = sqlite3.connect(tmp_path / "online.db")
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(StoreError, match="layout 99, this one reads 2"):
        SqliteStore(tmp_path / "online.db")


def test_a_read_only_store_reads_and_refuses_to_write(tmp_path: Path) -> None:
    path = tmp_path / "online.db"
    with pytest.raises(StoreError, match="there is no online store yet; run twinbeam apply"):
        SqliteStore(path, read_only=True)
    assert not path.exists()
    path.touch()
    with pytest.raises(StoreError, match="there is no online store yet"):
        SqliteStore(path, read_only=True)
    filled(path)
    store = SqliteStore(path, read_only=True)
    assert len(store.read("user", [bytes(4)], [Slice("b1", 0)]).blob) == 1
    with pytest.raises(StoreError, match="cannot be written: it was opened for reading"):
        store.write("user", [cells(1)])
    with pytest.raises(StoreError, match="cannot be written"):
        store.prepare(["seller"])
    store.close()


def test_a_folder_in_the_place_of_the_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=f"{tmp_path}: cannot be opened"):
        SqliteStore(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match=r"file/online\.db: its folder cannot be made"):
        SqliteStore(tmp_path / "file" / "online.db")


def test_an_entity_without_a_table_is_named(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "online.db")
    with pytest.raises(StoreError, match="no room for entity 'user' yet; run twinbeam apply"):
        store.write("user", [cells(1)], [Mark("b1", "s/topic-1/0", 1, 0)])
    assert store.marks(["b1"]) == []
    store.close()


def test_a_closed_store_says_so(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "online.db")
    store.close()
    with pytest.raises(StoreError, match="was closed"):
        store.marks(["b1"])


def test_a_write_that_finds_no_space_keeps_nothing(tmp_path: Path) -> None:
    """A file size limit stands in for a full disk; the next write goes through once there is space again."""
    script = f"""
import resource, sys
sys.path[:0] = {[str(Path(__file__).parent), str(Path(__file__).parent.parent)]!r}
from test_sqlite_store import cells
from schemas.errors import StoreError
from serving.stores.sqlite import SqliteStore
from serving.stores.base import Mark
store = SqliteStore({str(tmp_path / "online.db")!r})
store.prepare(["user"])
store.write("user", [cells(5)])
limit = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, limit[1]))
try:
    store.write("user", [cells(4000, b"y" * 1000)], [Mark("b1", "s/topic-1/0", 9, 9)])
except StoreError as error:
    print(error)
resource.setrlimit(resource.RLIMIT_FSIZE, limit)
print(store.marks(["b1"]))
store.write("user", [cells(4000, b"y" * 1000)], [Mark("b1", "s/topic-1/0", 9, 9)])
print(len(store.marks(["b1"])))
"""
    assert resource.RLIMIT_FSIZE is not None
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert "online.db: " in lines[0]
    assert "nothing of this" in lines[0]
    assert lines[1:] == ["[]", "1"]


def _read_in_child(store: SqliteStore, n: int) -> None:
    found = store.read("user", [number.to_bytes(4, "big") for number in range(n)], [Slice("b1", 0)])
    os._exit(0 if len(found.blob) == n else 1)


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_opens_its_own_connections(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "online.db")
    store.prepare(["user"])
    store.write("user", [cells(10)])
    child = multiprocessing.get_context("fork").Process(target=_read_in_child, args=(store, 10))
    child.start()
    child.join()
    assert child.exitcode == 0
    store.write("user", [cells(20)])
    store.close()


def test_threads_share_a_store(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "online.db")
    store.prepare(["user"])

    def work(number: int) -> None:
        for version in range(1, 20):
            lane = f"s/topic-{version}/{number}"
            row = Cells(f"b{version}", lane, [b"k"], np.zeros(1, np.int64), np.array([version]), [b"x"])
            store.write("user", [row])
            assert lane in store.read("user", [b"k"], [Slice(f"b{version}", 0)]).lane

    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(work, range(8))) == [None] * 8
    store.close()
