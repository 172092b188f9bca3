"""The offline buffer over the real store: gaps refused, overlaps trimmed, twins and late commits harmless."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from pipelines.envelope import DEAD_SCHEMA, LOG_COLUMNS, TIME, Envelope
from pipelines.offline_buffer import FlushRule, OfflineBuffer
from pipelines.progress import NULL_KEYS, Progress
from schemas.errors import LaneError
from schemas.lane import Lane
from serving.stores.offline import OfflineStore

LANE = Lane("s", "topic", "t0", 0)
OTHER = Lane("s", "topic", "t0", 1)
RULE = FlushRule(rows=100, bytes=100_000, every=5_000_000, advance=30_000_000)
SCHEMA = pa.schema([pa.field("x", pa.int64()), *LOG_COLUMNS])


def events(start: int, end: int, lane: Lane = LANE, step: int = 1) -> tuple[pa.RecordBatch, Envelope]:
    """Events of the offsets start, start + step, ... below end."""
    offsets = list(range(start, end, step))
    columns = [
        pa.array(offsets, pa.int64()),
        pa.array([lane.text] * len(offsets)),
        pa.array(offsets, pa.int64()),
        pa.array([0] * len(offsets), pa.int32()),
        pa.array([0] * len(offsets), pa.int64()).cast(TIME),
    ]
    envelope = Envelope("events", "s", "", "events/s", "", lane, start, end)
    batch = pa.RecordBatch.from_arrays(columns, schema=SCHEMA)
    return envelope.attach(batch), envelope


def dead(offset: int, start: int, end: int, scope: str = "") -> tuple[pa.RecordBatch, Envelope]:
    """One dead letter."""
    values = [["bad"], [b"v"], [None], [None], [LANE.text], [offset], [0]]
    columns = [
        pa.array(value, pa.int64()).cast(TIME) if field.type == TIME else pa.array(value, field.type)
        for value, field in zip(values, DEAD_SCHEMA, strict=True)
    ]
    envelope = Envelope("dead", "s", "", "dead_letters/s", scope, LANE, start, end)
    return pa.RecordBatch.from_arrays(columns, schema=DEAD_SCHEMA), envelope


def buffer(store: OfflineStore) -> OfflineBuffer:
    """A buffer over the store as it is now, of a process of its own."""
    return OfflineBuffer([], store, Progress({name: store.positions(name) for name in TABLES}, {}), RULE, 0)


TABLES = ("events/s", "dead_letters/s")


def stored(root: Path, table: str = "events/s") -> list[tuple[str, int]]:
    rows = OfflineStore(root).read(table, ["_lane", "_offset"])
    return sorted(zip(rows.column("_lane").to_pylist(), rows.column("_offset").to_pylist(), strict=True))


def test_a_gap_is_refused(tmp_path: Path) -> None:
    taker = buffer(OfflineStore(tmp_path))
    taker.add(*events(0, 3))
    with pytest.raises(LaneError, match=r"before offset 3, but the next batch begins at 4"):
        taker.add(*events(4, 6))
    taker.add(*events(0, 2, OTHER))
    with pytest.raises(LaneError, match="gap"):
        taker.add(*events(3, 4, OTHER))


def test_a_gap_to_what_is_stored_is_refused(tmp_path: Path) -> None:
    first = buffer(OfflineStore(tmp_path))
    first.add(*events(0, 3))
    first.flush(1, everything=True)
    with pytest.raises(LaneError, match="before offset 3"):
        buffer(OfflineStore(tmp_path)).add(*events(5, 6))


def test_an_overlap_is_trimmed_row_by_row(tmp_path: Path) -> None:
    first = buffer(OfflineStore(tmp_path))
    first.add(*events(0, 5))
    first.add(*events(3, 7))
    first.add(*events(0, 7))
    first.flush(1, everything=True)
    second = buffer(OfflineStore(tmp_path))
    second.add(*events(2, 9))
    assert second.flush(2, everything=True) == 2
    assert stored(tmp_path) == [(LANE.text, offset) for offset in range(9)]


def test_offsets_without_rows_advance_the_lane(tmp_path: Path) -> None:
    taker = buffer(OfflineStore(tmp_path))
    taker.add(*events(0, 10, step=4))
    taker.add(*events(10, 10))
    taker.add(*events(10, 12))
    taker.flush(1, everything=True)
    assert OfflineStore(tmp_path).positions("events/s") == {(LANE.text, ""): 12}
    assert [offset for _, offset in stored(tmp_path)] == [0, 4, 8, 10, 11]


def test_positions_without_rows_are_committed_late_or_at_the_end(tmp_path: Path) -> None:
    store = OfflineStore(tmp_path)
    taker = buffer(store)
    empty, envelope = events(0, 7, step=8)
    taker.add(empty.slice(0, 0), envelope)
    assert not taker.due(RULE.every)
    taker.flush(RULE.every, everything=False)
    assert store.positions("events/s") == {}
    assert taker.due(2 * RULE.advance)
    taker.flush(2 * RULE.advance, everything=False)
    assert store.positions("events/s") == {(LANE.text, ""): 7}
    assert stored(tmp_path) == []


def test_rows_are_due_by_number_and_by_time(tmp_path: Path) -> None:
    taker = buffer(OfflineStore(tmp_path))
    taker.add(*events(0, 1))
    assert not taker.due(RULE.every - 1)
    assert taker.due(RULE.every)
    taker.add(*events(1, RULE.rows))
    assert taker.due(0)


def test_twins_store_every_row_once(tmp_path: Path) -> None:
    one, two = buffer(OfflineStore(tmp_path)), buffer(OfflineStore(tmp_path))
    one.add(*events(0, 4))
    two.add(*events(0, 6))
    one.flush(1, everything=True)
    assert two.flush(1, everything=True) == 2
    one.add(*events(4, 5))
    one.add(*events(5, 8))
    assert one.flush(2, everything=True) == 2
    assert stored(tmp_path) == [(LANE.text, offset) for offset in range(8)]


def test_dead_letters_below_the_events_position_are_old(tmp_path: Path) -> None:
    first = buffer(OfflineStore(tmp_path))
    first.add(*dead(1, 0, 4))
    first.add(*events(0, 4))
    first.flush(1, everything=True)
    first.add(*events(4, 9))
    first.flush(2, everything=True)
    again = buffer(OfflineStore(tmp_path))
    again.add(*dead(1, 0, 4))
    again.add(*dead(6, 4, 9, NULL_KEYS))
    assert again.flush(1, everything=True) == 0
    again.add(*dead(9, 9, 10))
    again.add(*events(9, 10))
    assert again.flush(2, everything=True) == 2
    assert [offset for _, offset in stored(tmp_path, "dead_letters/s")] == [1, 9]


def test_dead_letters_are_committed_before_events(tmp_path: Path) -> None:
    store = OfflineStore(tmp_path)
    taker = buffer(store)
    taker.add(*events(0, 4))
    taker.add(*dead(1, 0, 4))
    (tmp_path / "events").write_text("in the way")
    with pytest.raises(Exception, match="events"):
        taker.flush(1, everything=True)
    assert [offset for _, offset in stored(tmp_path, "dead_letters/s")] == [1]


def test_rows_are_due_by_size(tmp_path: Path) -> None:
    rule = FlushRule(rows=1_000_000, bytes=10_000, every=5_000_000, advance=30_000_000)
    store = OfflineStore(tmp_path)
    taker = OfflineBuffer([], store, Progress({name: {} for name in TABLES}, {}), rule, 0)
    taker.add(*events(0, 50))
    assert not taker.due(0)
    taker.add(*events(50, 300))
    assert taker.due(0)
    taker.flush(0, everything=False)
    assert not taker.due(0)
