"""The online sink over the real store: gaps refused, overlaps trimmed; any split, restart or twin, the same cells."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.cell_cache import CellCache
from pipelines.envelope import TIME, Envelope
from pipelines.fold import OnlineFold
from pipelines.lanes.base import events_batch
from pipelines.progress import FedView, Progress
from schemas.entity import Entity
from schemas.errors import LaneError, StoreError
from schemas.feature import agg
from schemas.feature_view import FeatureView
from schemas.lane import Lane
from schemas.registry import Registry
from schemas.source import Source
from schemas.window import HOUR, MINUTE
from serving.stores.base import SEALED, Slice
from serving.stores.sqlite import SqliteStore
from transforms.blocks import assign_blocks
from transforms.catalog import Catalog
from transforms.cells import Cells
from transforms.keys import encode_keys

LANE, OTHER = Lane("s", "topic", "t0", 0), Lane("s", "topic", "t0", 1)
BIG = 1 << 30

source = Source("s", fields={"k": "int64", "ts": "timestamp(us)", "x": "float64"}, event_time="ts", topic="s")
view = FeatureView(
    "v",
    entity=Entity("thing", keys={"k": "int64"}),
    source=source,
    features=["x", agg.sum("x", over=["1h", "24h"]), agg.last_k("x", k=3, over="1h"), agg.count()],
)
COMPILED = Catalog.compile(Registry.of([view])).views["v"]
FED = FedView(COMPILED, assign_blocks(COMPILED))
KEYS = encode_keys([pa.array(range(4), pa.int64())]).to_pylist()


def event(offset: int) -> tuple[int, int, float]:
    """Key, time and value of the event at an offset: times go forth and back over hours."""
    return offset % 4, (offset * 7 % 11) * HOUR + offset * MINUTE, offset * 0.1


def rows(start: int, end: int, lane: Lane = LANE) -> tuple[pa.RecordBatch, Envelope]:
    """Rows of a view, of the offsets from start to end."""
    events = [event(offset) for offset in range(start, end)]
    fields = pa.RecordBatch.from_arrays(
        [
            pa.array([key for key, _, _ in events], pa.int64()),
            pa.array([time for _, time, _ in events], pa.int64()).cast(TIME),
            pa.array([value for *_, value in events], pa.float64()),
        ],
        schema=source.schema,
    )
    envelope = Envelope("rows", "s", "v", FED.table, "", lane, start, end)
    batch = events_batch(envelope, fields, np.arange(start, end), np.zeros(end - start, np.int64))
    return envelope.attach(COMPILED.rules["s"].apply(batch.replace_schema_metadata(None)).rows), envelope


def opened(
    store: SqliteStore, budget: int = BIG, patience: int = 0, at_once: int = BIG
) -> tuple[OnlineFold, CellCache]:
    """A fold of a process of its own, begun where the store is."""
    cache = CellCache(budget)
    progress = Progress({}, {(mark.log, mark.lane): mark for mark in store.marks([block.id for block in FED.blocks])})
    return OnlineFold([FED], store, progress, cache, patience, at_once), cache


def take(fold: OnlineFold, *bounds: tuple[int, int], lane: Lane = LANE) -> None:
    """One bundle of batches."""
    for start, end in bounds:
        fold.add(*rows(start, end, lane))
    fold.flush(lambda view, lane, batch: None)


def contents(store: SqliteStore) -> list[tuple[object, ...]]:
    """Every cell of the store."""
    slices = [Slice(block.id, -(2**62)) for block in FED.blocks]
    found = store.read("thing", KEYS, slices)
    columns = (found.key.tolist(), found.slice.tolist(), found.tile.tolist(), found.lane, found.version.tolist())
    return sorted(zip(*columns, found.blob, strict=True))


def whole(folder: Path, end: int) -> list[tuple[object, ...]]:
    """Cells of one fold of all rows at once."""
    store = SqliteStore(folder / "whole.db", synchronous="OFF")
    take(opened(store)[0], (0, end))
    found = contents(store)
    store.close()
    return found


def offsets(store: SqliteStore, lane: Lane = LANE) -> set[int]:
    marks = store.marks([block.id for block in FED.blocks])
    return {mark.offset for mark in marks if mark.lane == lane.text}


@pytest.fixture
def store(tmp_path: Path) -> SqliteStore:
    return SqliteStore(tmp_path / "online.db", synchronous="OFF")


def test_a_gap_is_refused(store: SqliteStore) -> None:
    fold, _ = opened(store)
    take(fold, (0, 5))
    with pytest.raises(LaneError, match=r"lane s/topic-t0/0: v has everything before offset 5, .* begins at 6: a gap"):
        fold.add(*rows(6, 8))
    with pytest.raises(LaneError, match="before offset 0, but the next batch begins at 1"):
        fold.add(*rows(1, 2, OTHER))
    with pytest.raises(LaneError, match="before offset 5"):
        opened(store)[0].add(*rows(7, 9))


def test_an_overlap_is_trimmed_row_by_row(store: SqliteStore, tmp_path: Path) -> None:
    fold, _ = opened(store)
    take(fold, (0, 10), (4, 12), (0, 12))
    take(fold, (9, 20))
    take(opened(store)[0], (0, 23), (23, 23), (23, 40))
    assert contents(store) == whole(tmp_path, 40)
    assert offsets(store) == {40}


def test_a_block_that_is_behind_takes_only_what_it_lacks(store: SqliteStore, tmp_path: Path) -> None:
    first = FedView(COMPILED, FED.blocks[:1])
    early = OnlineFold([first], store, Progress({}, {}), CellCache(BIG))
    early.add(*rows(0, 30))
    early.flush(lambda view, lane, batch: None)
    take(opened(store)[0], (0, 17), (17, 33))
    assert contents(store) == whole(tmp_path, 33)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 12), st.booleans(), st.booleans()), max_size=8), st.sampled_from([BIG, 3_000, 0])
)
def test_any_split_restart_and_size_of_the_cache_give_the_same_cells(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[int, bool, bool]], budget: int
) -> None:
    folder = tmp_path_factory.mktemp("split")
    store = SqliteStore(folder / "online.db", synchronous="OFF")
    fold, cache = opened(store, budget)
    end = 0
    for length, again, restart in steps:
        if restart:
            fold, cache = opened(store, budget)
        take(fold, (max(end - 3, 0) if again else end, end + length))
        assert cache.bytes <= budget
        end += length
    assert contents(store) == whole(folder, end)
    store.close()


def test_twins_and_zombies_change_nothing(store: SqliteStore, tmp_path: Path) -> None:
    one, two = opened(store)[0], opened(store)[0]
    take(one, (0, 12))
    take(two, (0, 5), (5, 25))
    take(one, (12, 18))
    zombie = opened(store)[0]
    take(two, (25, 44))
    take(one, (18, 30))
    take(zombie, (25, 40))
    assert contents(store) == whole(tmp_path, 44)
    assert offsets(store) == {44}


def test_lanes_have_cells_and_marks_of_their_own(store: SqliteStore) -> None:
    fold, _ = opened(store)
    take(fold, (0, 8))
    take(fold, (0, 5), lane=OTHER)
    assert (offsets(store), offsets(store, OTHER)) == ({8}, {5})
    assert {lane for _, _, _, lane, *_ in contents(store)} == {"", LANE.text, OTHER.text}


def test_cells_that_cannot_exist_are_not_read(store: SqliteStore) -> None:
    fold, cache = opened(store)
    take(fold, (0, 30))
    take(fold, (30, 60))
    assert cache.reads == 0
    again, cold = opened(store)
    take(again, (60, 61))
    assert 0 < cold.reads <= 3


def test_blocks_are_sealed_when_they_have_folded_what_events_held(store: SqliteStore) -> None:
    tables = {"events/s": {(LANE.text, ""): 10, (OTHER.text, ""): 4}}
    fold = OnlineFold([FED], store, Progress(tables, {}), CellCache(BIG))
    ids = [block.id for block in FED.blocks]

    def sealed() -> set[str]:
        return {mark.log for mark in store.marks(ids) if mark.lane == SEALED}

    take(fold, (0, 12))
    assert sealed() == set()
    take(fold, (0, 3), lane=OTHER)
    assert sealed() == set()
    take(fold, (3, 4), lane=OTHER)
    assert sealed() == set(ids)


def test_blocks_without_history_are_sealed_at_once(store: SqliteStore) -> None:
    opened(store)
    assert {mark.log for mark in store.marks([block.id for block in FED.blocks])} == {block.id for block in FED.blocks}


def test_a_store_that_refuses_keeps_marks_and_cells_as_they_were(store: SqliteStore, tmp_path: Path) -> None:
    fold, _ = opened(store)
    take(fold, (0, 5))
    before = contents(store)
    store.close()
    fold.add(*rows(5, 9))
    with pytest.raises(StoreError, match="closed"):
        fold.flush(lambda view, lane, batch: None)
    again = SqliteStore(tmp_path / "online.db")
    assert contents(again) == before
    take(opened(again)[0], (5, 9))
    assert contents(again) == whole(tmp_path, 9)


def test_rows_wait_until_there_are_many_or_everything_is_wanted(store: SqliteStore, tmp_path: Path) -> None:
    patience = 3 * rows(0, 10)[0].nbytes
    fold, _ = opened(store, patience=patience)
    for start in (0, 10):
        fold.add(*rows(start, start + 10))
        fold.flush(lambda view, lane, batch: None, everything=False)
        assert not contents(store)
        assert not offsets(store)
    fold.add(*rows(20, 31))
    fold.flush(lambda view, lane, batch: None, everything=False)
    assert contents(store) == whole(tmp_path, 31)
    assert offsets(store) == {31}
    fold.add(*rows(31, 32))
    fold.flush(lambda view, lane, batch: None, everything=False)
    assert offsets(store) == {31}
    fold.flush(lambda view, lane, batch: None, everything=True)
    assert contents(store) == whole(tmp_path, 32)


@pytest.mark.parametrize("budget", [0, 700, 5_000, BIG])
@pytest.mark.parametrize("at_once", [1, 3, 10])
def test_many_rows_are_folded_in_parts_to_the_same_cells(
    store: SqliteStore, tmp_path: Path, at_once: int, budget: int
) -> None:
    fold, _ = opened(store, budget, at_once=at_once)
    take(fold, (0, 9), (9, 25))
    take(fold, (25, 26))
    take(fold, (26, 60))
    take(opened(store, budget, at_once=at_once)[0], (50, 90))
    assert contents(store) == whole(tmp_path, 90)
    assert offsets(store) == {90}


def test_the_least_recently_used_cells_are_dropped_first() -> None:
    cache = CellCache(4 * 1_000)
    cache.begin("b", "l", 0, whole=True)

    def read(keys: list[bytes], tiles: np.ndarray) -> tuple[np.ndarray, list[bytes | None]]:
        return np.full(len(keys), 7), [b"stored"] * len(keys)

    for number in range(4):
        cache.put(Cells("b", "l", [b"%d" % number], np.zeros(1, np.int64), np.ones(1, np.int64), [b"x" * 600]))
    cache.lookup("b", "l", [b"0"], np.zeros(1, np.int64), read)
    assert cache.reads == 0
    cache.put(Cells("b", "l", [b"4"], np.zeros(1, np.int64), np.ones(1, np.int64), [b"x" * 600]))
    cache.shrink()
    versions, blobs = cache.lookup("b", "l", [b"0", b"1", b"4"], np.zeros(3, np.int64), read)
    assert versions.tolist() == [1, 7, 1]
    assert blobs[1] == b"stored"
    assert cache.bytes <= 4_000
