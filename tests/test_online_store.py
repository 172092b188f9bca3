"""Every implementation of the online store's port keeps its promise."""

from __future__ import annotations

import hashlib
import multiprocessing
import random
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.dev.cassandra import Cassandra
from serving.stores.base import SEALED, Found, Mark, OnlineStore, Slice
from serving.stores.cassandra import CassandraStore
from serving.stores.cassandra_access import Access
from serving.stores.sqlite import SqliteStore
from tests.servers import drop_keyspaces
from transforms.cells import Cells

LANE, OTHER = "purchases/topic-3f2a9c1e/0", "purchases/topic-3f2a9c1e/1"
EVERYTHING = -(2**63)


class Kind(NamedTuple):
    """One implementation: opens (or opens again) the store that lies at a place.

    Attributes:
        transactions: whether a snapshot is one state of the whole store.
        many: keys that are more than it looks at together.
    """

    name: str
    open: Callable[[Path], OnlineStore]
    transactions: bool
    many: int


def open_sqlite(place: Path) -> OnlineStore:
    return SqliteStore(place / "online.db")


def open_cassandra(hosts: str, run: str, place: Path) -> OnlineStore:
    return CassandraStore(Access((hosts,), f"{run}_{hashlib.sha256(bytes(place)).hexdigest()[:16]}", window=0.0))


@pytest.fixture(scope="module", params=["sqlite", "cassandra"])
def kind(request: pytest.FixtureRequest) -> Iterator[Kind]:
    if request.param == "sqlite":
        yield Kind("sqlite", open_sqlite, True, 45_000)
        return
    cassandra: Cassandra = request.getfixturevalue("cassandra")
    run = f"t{uuid.uuid4().hex[:12]}"
    with closing(CassandraStore(Access((cassandra.hosts,), run))):  # one session for all stores below
        yield Kind("cassandra", partial(open_cassandra, cassandra.hosts, run), False, 6_000)
        drop_keyspaces(cassandra, run)


@pytest.fixture
def store(kind: Kind, tmp_path: Path) -> Iterator[OnlineStore]:
    opened = kind.open(tmp_path)
    opened.prepare(["user", "Carrier_2"])
    yield opened
    opened.close()


Cell = tuple[bytes, int, int, bytes]  # key, tile, version, blob


def cells(rows: Sequence[Cell], block: str = "b1", lane: str = LANE) -> Cells:
    return Cells(
        block,
        lane,
        [row[0] for row in rows],
        np.array([row[1] for row in rows], np.int64),
        np.array([row[2] for row in rows], np.int64),
        [row[3] for row in rows],
    )


def content(found: Found) -> set[tuple[int, int, int, str, int, bytes]]:
    rows = zip(
        found.key.tolist(),
        found.slice.tolist(),
        found.tile.tolist(),
        found.lane,
        found.version.tolist(),
        found.blob,
        strict=True,
    )
    listed = list(rows)
    assert len(listed) == len(set(listed))
    return set(listed)


def read(store: OnlineStore, keys: Sequence[bytes], block: str = "b1", first: int = EVERYTHING) -> set[object]:
    return set(content(store.read("user", keys, [Slice(block, first)])))


def test_reads_back_what_was_written(store: OnlineStore) -> None:
    store.write("user", [cells([(b"a", -5, 3, b"x"), (b"\x00\xff", 2**62, 2**62, b"")])])
    assert read(store, [b"\x00\xff", b"none", b"a"]) == {(2, 0, -5, LANE, 3, b"x"), (0, 0, 2**62, LANE, 2**62, b"")}


def test_nothing_is_found_where_nothing_was_written(store: OnlineStore) -> None:
    assert read(store, [b"a"]) == set()
    assert content(store.read("Carrier_2", [b"a"], [Slice("b1", 0), Slice("b2", 0)])) == set()
    assert content(store.read("user", [], [Slice("b1", 0)])) == set()
    assert content(store.read("user", [b"a"], [])) == set()
    assert store.marks(["b1"]) == []


def test_an_entity_that_was_never_prepared_reads_as_empty(store: OnlineStore) -> None:
    assert content(store.read("nobody", [b"a"], [Slice("b1", 0)])) == set()


def test_prepare_again_keeps_the_cells(store: OnlineStore) -> None:
    store.write("user", [cells([(b"a", 0, 3, b"x")])])
    store.prepare(["user"])
    assert read(store, [b"a"]) == {(0, 0, 0, LANE, 3, b"x")}


def test_a_slice_begins_at_its_first_cell(store: OnlineStore) -> None:
    store.write("user", [cells([(b"a", tile, 1, b"x") for tile in (-10, 0, 10, 20)])])
    assert {row[2] for row in content(store.read("user", [b"a"], [Slice("b1", 10)]))} == {10, 20}
    assert {row[2] for row in content(store.read("user", [b"a"], [Slice("b1", 11)]))} == {20}


def test_slices_are_told_apart_even_of_one_block(store: OnlineStore) -> None:
    store.write("user", [cells([(b"a", 0, 1, b"x"), (b"a", 9, 1, b"y")]), cells([(b"a", 9, 1, b"z")], "b2")])
    found = content(
        store.read("user", [b"a", b"a"], [Slice("b1", 9), Slice("none", 0), Slice("b2", 0), Slice("b1", 0)])
    )
    assert found == {
        (key, part, tile, LANE, 1, blob)
        for key in (0, 1)
        for part, tile, blob in ((0, 9, b"y"), (2, 9, b"z"), (3, 0, b"x"), (3, 9, b"y"))
    }


def test_entities_blocks_and_lanes_are_apart(store: OnlineStore) -> None:
    store.write("user", [cells([(b"a", 0, 1, b"x")]), cells([(b"a", 0, 7, b"y")], lane=OTHER)])
    store.write("Carrier_2", [cells([(b"a", 0, 2, b"z")])])
    assert read(store, [b"a"]) == {(0, 0, 0, LANE, 1, b"x"), (0, 0, 0, OTHER, 7, b"y")}
    assert content(store.read("Carrier_2", [b"a"], [Slice("b1", 0)])) == {(0, 0, 0, LANE, 2, b"z")}


def test_many_keys_and_slices_are_all_found(store: OnlineStore) -> None:
    keys = [number.to_bytes(3, "big") for number in range(700)]
    for block in ("b1", "b2", "b3"):
        store.write("user", [cells([(key, tile, 1, key) for key in keys for tile in (0, 1)], block)])
    asked = random.Random(5).sample(keys, 700)
    found = content(store.read("user", asked, [Slice("b1", 1), Slice("b2", 0), Slice("b3", 2)]))
    assert found == {
        (row, part, tile, LANE, 1, key) for row, key in enumerate(asked) for part, tile in ((0, 1), (1, 0), (1, 1))
    }


def test_a_greater_version_stays(store: OnlineStore) -> None:
    store.write("user", [cells([(b"a", 0, 5, b"new")])])
    store.write("user", [cells([(b"a", 0, 4, b"zzz-old")])])
    assert read(store, [b"a"]) == {(0, 0, 0, LANE, 5, b"new")}
    store.write("user", [cells([(b"a", 0, 6, b"")])])
    assert read(store, [b"a"]) == {(0, 0, 0, LANE, 6, b"")}


def test_at_equal_versions_of_latest_cells_the_greater_bytes_stay(store: OnlineStore) -> None:
    written = [b"\x7f", b"\x80", b"\x80\x00", b"\x00\xff"]
    for blob in random.Random(1).sample(written, 4):
        store.write("user", [cells([(b"a", 0, -3, blob)], lane="")])
    assert read(store, [b"a"]) == {(0, 0, 0, "", -3, b"\x80\x00")}


def test_one_call_may_hold_a_cell_twice(store: OnlineStore) -> None:
    store.write("user", [cells([(b"a", 0, 5, b"new"), (b"a", 0, 3, b"old")]), cells([(b"a", 0, 4, b"mid")])])
    assert read(store, [b"a"]) == {(0, 0, 0, LANE, 5, b"new")}


def test_current_finds_exactly_the_lane_s_cells(store: OnlineStore) -> None:
    keys = [number.to_bytes(2, "big") for number in range(600)]
    store.write("user", [cells([(key, 7, 100 + i, key) for i, key in enumerate(keys) if i % 3])])
    store.write("user", [cells([(keys[0], 7, 9, b"?")], lane=OTHER), cells([(keys[3], 7, 9, b"?")], "b2")])
    order = random.Random(2).sample(range(600), 600)
    tiles = np.array([7 if i % 2 else 8 for i in order], np.int64)
    versions, blobs = store.current("user", "b1", LANE, [keys[i] for i in order], tiles)
    assert versions.dtype == np.int64
    assert versions.tolist() == [100 + i if i % 3 and i % 2 else 0 for i in order]
    assert blobs == [keys[i] if i % 3 and i % 2 else None for i in order]
    assert store.current("user", "b1", "purchases/topic-0/9", [keys[0]], tiles[:1])[1] == [None]
    assert store.current("user", "b1", LANE, [], tiles[:0])[1] == []


def test_marks_are_joins_field_by_field(store: OnlineStore) -> None:
    store.write("user", [], [Mark("b1", LANE, 10, 500)])
    store.write("user", [], [Mark("b1", LANE, 7, 900), Mark("b1", OTHER, 1, -1)])
    store.write("user", [], [Mark("b1", LANE, 12, 100), Mark("b2", LANE, 2, 2)])
    assert set(store.marks(["b1"])) == {Mark("b1", LANE, 12, 900), Mark("b1", OTHER, 1, -1)}
    assert set(store.marks(["b2", "none", "b1", "b2"])) == {*store.marks(["b1"]), Mark("b2", LANE, 2, 2)}
    assert len(store.marks(["b2", "b2"])) == 1


def test_a_sealed_block_stays_sealed(store: OnlineStore) -> None:
    store.write("user", [], [Mark("b1", SEALED, 1, 0)])
    store.write("user", [cells([(b"a", 0, 1, b"x")])], [Mark("b1", LANE, 1, 0)])
    assert set(store.marks(["b1"])) == {Mark("b1", SEALED, 1, 0), Mark("b1", LANE, 1, 0)}


def test_expiry_takes_the_older_tiles_of_one_block_only(store: OnlineStore) -> None:
    keys = [number.to_bytes(2, "big") for number in range(500)]
    rows = [(key, tile, 1, b"x") for key in keys for tile in (-10, 0, 10)]
    store.write("user", [cells(rows), cells(rows, lane=OTHER), cells(rows, "b2")], [Mark("b1", LANE, 3, 10)])
    assert store.expire("user", "b1", 0) == 1000
    assert store.expire("user", "b1", 0) == 0
    assert store.expire("user", "none", 0) == 0
    assert {row[2] for row in content(store.read("user", keys, [Slice("b1", EVERYTHING)]))} == {0, 10}
    assert len(content(store.read("user", keys, [Slice("b2", EVERYTHING)]))) == 1500
    assert store.marks(["b1"]) == [Mark("b1", LANE, 3, 10)]


def test_expiry_reaches_every_key_of_a_large_table(kind: Kind, store: OnlineStore) -> None:
    keys = [number.to_bytes(3, "big") for number in range(kind.many)]
    store.write("user", [cells([(key, tile, 1, b"") for key in keys for tile in (0, 5)])])
    assert store.expire("user", "b1", 5) == kind.many
    assert len(content(store.read("user", keys, [Slice("b1", EVERYTHING)]))) == kind.many


def test_what_has_expired_stays_away(store: OnlineStore) -> None:
    """A replay may write it again; no reader looks there, and the next round takes it, if it is there at all."""
    old = cells([(b"a", 0, 2**62, b"x")])
    store.write("user", [old, cells([(b"a", 5, 1, b"y")])])
    assert store.expire("user", "b1", 5) == 1
    store.write("user", [old])
    assert store.expire("user", "b1", 5) in (0, 1)
    assert read(store, [b"a"]) == {(0, 0, 5, LANE, 1, b"y")}


def test_a_store_opened_again_holds_the_same(kind: Kind, tmp_path: Path) -> None:
    first = kind.open(tmp_path)
    first.prepare(["user"])
    first.write("user", [cells([(b"a", 0, 5, b"x")]), cells([(b"a", 0, 9, b"l")], "b2", "")], [Mark("b1", LANE, 5, 0)])
    first.close()
    again = kind.open(tmp_path)
    assert read(again, [b"a"]) == {(0, 0, 0, LANE, 5, b"x")}
    assert read(again, [b"a"], "b2") == {(0, 0, 0, "", 9, b"l")}
    assert again.marks(["b1"]) == [Mark("b1", LANE, 5, 0)]
    again.write("user", [cells([(b"a", 0, 4, b"old")])], [Mark("b1", LANE, 4, 0)])
    assert read(again, [b"a"]) == {(0, 0, 0, LANE, 5, b"x")}
    again.close()


def test_a_snapshot_is_one_state_or_holds_at_least_what_its_marks_say(
    kind: Kind, store: OnlineStore, tmp_path: Path
) -> None:
    store.write("user", [cells([(b"a", 0, 1, b"x")])], [Mark("b1", LANE, 1, 0)])
    before, after = {(0, 0, 0, LANE, 1, b"x")}, {(0, 0, 0, LANE, 2, b"y"), (0, 1, 0, OTHER, 1, b"q")}
    slices = [Slice("b1", 0), Slice("b9", 0)]
    with closing(kind.open(tmp_path)) as twin, store.snapshot() as snapshot:
        assert snapshot.marks(["b1"]) == [Mark("b1", LANE, 1, 0)]
        assert content(snapshot.read("user", [b"a"], slices)) == before
        twin.write(
            "user", [cells([(b"a", 0, 2, b"y")]), cells([(b"a", 0, 1, b"q")], "b9", OTHER)], [Mark("b1", LANE, 2, 0)]
        )
        assert content(snapshot.read("user", [b"a"], slices)) == (before if kind.transactions else after)
        assert snapshot.marks(["b1"]) == [Mark("b1", LANE, 1 if kind.transactions else 2, 0)]
    assert content(store.read("user", [b"a"], slices)) == after
    assert store.marks(["b1"]) == [Mark("b1", LANE, 2, 0)]


def test_a_reader_never_sees_half_a_write(kind: Kind, store: OnlineStore) -> None:
    """What is written together carries one number and the mark says it too: readers must never see two of an entity.

    Of several entities they may, where the store has no transactions; never do cells say less than marks read before.
    """
    keys = [number.to_bytes(1, "big") for number in range(20)]
    done = threading.Event()
    torn: list[object] = []
    reads = [0]

    def write(version: int) -> None:
        rows = [(key, tile, version, bytes([version]) * 300) for key in keys for tile in (0, 7)]
        parts = [cells(rows), cells(rows, lane=OTHER), cells(rows, "b2")]
        store.write("user", parts, [Mark("b1", LANE, version, 0)])

    def watch() -> None:
        while not done.is_set():
            with store.snapshot() as snapshot:
                marks = {mark.offset for mark in snapshot.marks(["b1"])}
                found = snapshot.read("user", keys, [Slice("b1", 0), Slice("b2", 0)])
            of_key = [set(found.version[found.key == number].tolist()) for number in range(len(keys))]
            several = any(len(versions) != 1 for versions in of_key)
            union = set().union(*of_key)
            if several or (union != marks if kind.transactions else min(union) < max(marks)):
                torn.append((of_key, marks))
            reads[0] += 1

    write(1)
    readers = [threading.Thread(target=watch) for _ in range(3)]
    for reader in readers:
        reader.start()
    for version in range(2, 60):
        write(version)
    done.set()
    for reader in readers:
        reader.join()
    assert torn == []
    assert reads[0] > 5


def _write_all(open_store: Callable[[Path], OnlineStore], place: Path, seed: int) -> None:
    store = open_store(place)
    store.prepare(["user"])
    shuffled = random.Random(seed)
    versions = list(range(1, 31))
    shuffled.shuffle(versions)
    for version in versions:
        rows = [(bytes([key]), 0, version, bytes([version])) for key in range(10)]
        own = f"purchases/topic-0/{seed}"
        store.write("user", [cells(rows), cells(rows, lane=own)], [Mark("b1", LANE, version, version)])
    store.close()


def test_several_processes_may_create_and_write_at_once(kind: Kind, tmp_path: Path) -> None:
    fresh = multiprocessing.get_context("spawn")
    writers = [fresh.Process(target=_write_all, args=(kind.open, tmp_path, seed)) for seed in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [writer.exitcode for writer in writers] == [0, 0, 0]
    store = kind.open(tmp_path)
    lanes = [LANE, *(f"purchases/topic-0/{seed}" for seed in range(3))]
    assert read(store, [bytes([key]) for key in range(10)]) == {
        (key, 0, 0, lane, 30, bytes([30])) for key in range(10) for lane in lanes
    }
    assert store.marks(["b1"]) == [Mark("b1", LANE, 30, 30)]
    store.close()


ROWS = st.tuples(st.sampled_from([b"a", b"b"]), st.integers(0, 1), st.integers(1, 4))
LATEST = st.tuples(st.sampled_from([b"a", b"b"]), st.just(0), st.integers(1, 3), st.sampled_from([b"p", b"q", b"qq"]))
WRITES = st.lists(
    st.one_of(
        st.builds(
            lambda rows, lane: ("cells", cells([(*row, b"%d" % row[2]) for row in rows], lane=lane)),
            st.lists(ROWS, max_size=4),
            st.sampled_from([LANE, OTHER]),
        ),
        st.builds(lambda rows: ("cells", cells(rows, "latest", "")), st.lists(LATEST, max_size=4)),
        st.builds(
            lambda lane, offset, tile: ("mark", Mark("b1", lane, offset, tile)),
            st.sampled_from([LANE, SEALED]),
            st.integers(0, 5),
            st.integers(-5, 5),
        ),
    ),
    min_size=1,
    max_size=8,
)


@pytest.fixture(scope="module")
def joined(kind: Kind, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OnlineStore]:
    store = kind.open(tmp_path_factory.mktemp("joined"))
    store.prepare(["user"])
    yield store
    store.close()


@given(writes=WRITES, data=st.data())
@settings(max_examples=60, deadline=None)
def test_writes_are_joins(joined: OnlineStore, writes: list[tuple[str, Cells | Mark]], data: st.DataObject) -> None:
    """In any order, grouped in any way, repeated at will: the same cells and marks."""
    shuffled = data.draw(st.permutations(writes))
    repeats = data.draw(st.lists(st.sampled_from(writes), max_size=4))
    cut = data.draw(st.integers(0, len(shuffled)))
    one, two = uuid.uuid4().hex, uuid.uuid4().hex
    for write in writes:
        _apply(joined, one, [write])
    _apply(joined, two, shuffled[:cut])
    _apply(joined, two, [*shuffled[cut:], *repeats])
    assert _state(joined, one) == _state(joined, two)


def _apply(store: OnlineStore, own: str, writes: Sequence[tuple[str, Cells | Mark]]) -> None:
    """Writes into blocks of one's own."""
    parts = [replace(part, block=own + part.block) for _, part in writes if isinstance(part, Cells)]
    marks = [replace(part, log=own + part.log) for _, part in writes if isinstance(part, Mark)]
    store.write("user", parts, marks)


def _state(store: OnlineStore, own: str) -> tuple[object, object]:
    found = store.read("user", [b"a", b"b"], [Slice(own + "b1", 0), Slice(own + "latest", 0)])
    return content(found), {replace(mark, log="") for mark in store.marks([own + "b1"])}
