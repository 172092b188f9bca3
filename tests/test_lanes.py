"""Lane readers: one conformance suite over all of them, and what each does beyond it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from confluent_kafka import Producer

from pipelines.brokers.embedded import EmbeddedBroker
from pipelines.brokers.kafka import KafkaBroker
from pipelines.envelope import DEAD_SCHEMA, LOG_COLUMNS, RAW_SCHEMA, Envelope
from pipelines.lanes import events as events_module
from pipelines.lanes.base import LaneReader, dead_batch, event_schema, events_batch
from pipelines.lanes.events import EventsReader
from pipelines.lanes.files import FileReader, next_file
from pipelines.lanes.topic import topic_lanes
from schemas.errors import EventError, LaneError
from schemas.lane import Lane
from schemas.source import Source
from serving.manifest import Manifest
from serving.stores.offline import OfflineStore
from serving.tables import dead_table, events_table, rows_table
from tests.brokers import kafka_settings, make_topic, read_to

SOURCE = Source("s", fields={"id": "int64", "ts": "timestamp", "name": "string"}, event_time="ts", topic="t", files="*")
ROW = 1 << 40


def batch_of(ids: list[int]) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays(
        [
            pa.array(ids, pa.int64()),
            pa.array(ids, pa.int64()).cast(SOURCE.schema.field("ts").type),
            pa.array(map(str, ids)),
        ],
        schema=SOURCE.schema,
    )


@dataclass
class Log:
    """A lane with 10 records, their offsets, and a maker of readers."""

    lane: Lane
    offsets: list[int]
    end: int
    reader: Callable[[], LaneReader]
    kind: str
    arrival: int = 5


def kafka_log(request: pytest.FixtureRequest, folder: Path) -> Log:
    """A partition with records of transactions, aborted ones and markers between them and at its end."""
    servers, topic = request.getfixturevalue("kafka").servers, f"{request.getfixturevalue('topic_prefix')}t"
    broker = KafkaBroker(kafka_settings(servers))
    request.addfinalizer(broker.close)
    make_topic(servers, topic, {"message.timestamp.type": "CreateTime"})
    producer = Producer({"bootstrap.servers": servers, "transactional.id": topic})
    producer.init_transactions()
    number = 0
    for count, kept in [(4, True), (2, False), (3, True), (3, True), (2, False)]:
        producer.begin_transaction()
        for at in range(count):
            producer.produce(topic, value=b"%d" % (number + at if kept else 99), key=b"k", timestamp=5)
        producer.flush()
        producer.commit_transaction() if kept else producer.abort_transaction()
        number += count if kept else 0
    offsets = [*range(4), *range(8, 11), *range(12, 15)]
    lane = Lane("s", "topic", broker.id(topic), 0)
    return Log(lane, offsets, 19, lambda: broker.reader(topic), "raw", 5_000)


def topic_log(request: pytest.FixtureRequest, folder: Path) -> Log:
    topics = EmbeddedBroker(folder / "topics.db")
    topics.create("t", 1)
    topics.publish("t", [b"k"] * 10, [b"%d" % number for number in range(10)], now=5)
    lane = Lane("s", "topic", topics.id("t"), 0)
    return Log(lane, list(range(10)), 10, lambda: topics.reader("t"), "raw")


def files_log(request: pytest.FixtureRequest, folder: Path) -> Log:
    """Files of 4, 3, 0 and 3 rows in two lanes, of which the other one takes the odd numbers."""
    paths = []
    for number, ids in enumerate([[0, 1, 2, 3], [99], [4, 5, 6], [98], [], [97], [7, 8, 9]]):
        paths.append(folder / f"f{number}.parquet")
        pq.write_table(pa.Table.from_batches([batch_of(ids)]), paths[-1])
    entries = Manifest(OfflineStore(folder / "store")).discover("s", map(str, paths), 5, lanes=2)
    offsets = [*range(4), *(2 * ROW + row for row in range(3)), *(6 * ROW + row for row in range(3))]
    return Log(entries[0].lane, offsets, 8 * ROW, lambda: FileReader(SOURCE, entries), "events")


def events_log(request: pytest.FixtureRequest, folder: Path) -> Log:
    """Events stored in several commits, two lanes mixed, with holes where records were no events."""
    offline = OfflineStore(folder / "store")
    lanes = [Lane("s", "topic", "abc", number) for number in range(2)]
    offsets = [0, 1, 2, 5, 6, 7, 1_000, 1_001, 1_002, 3_000]
    for low, high, end in [(0, 4, 6), (4, 9, 2_000), (9, 10, 3_500)]:
        batches = []
        for lane in lanes:
            envelope = Envelope("events", "s", "", "", "", lane, 0, end)
            at = np.array(offsets[low:high])
            batches.append(events_batch(envelope, batch_of(list(range(low, high))), at, np.full(len(at), 5)))
        offline.positions("events/s")
        offline.append("events/s", batches, {(lane.text, ""): end for lane in lanes})
    return Log(lanes[1], offsets, 3_500, lambda: EventsReader(offline, SOURCE), "events")


@pytest.fixture(params=[topic_log, kafka_log, files_log, events_log], ids=["topic", "kafka", "files", "events"])
def log(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Log:
    monkeypatch.setattr(events_module, "CHUNK_OFFSETS", 500)
    made: Log = request.param(request, tmp_path)
    return made


def drained(reader: LaneReader, lane: Lane, offset: int, limit: int) -> list[pa.RecordBatch]:
    reader.open(lane, offset)
    batches: list[pa.RecordBatch] = []
    while found := reader.poll(limit):
        batches += found
    assert reader.poll(limit) == []
    reader.close()
    reader.close()
    return batches


def values(batches: list[pa.RecordBatch]) -> list[int]:
    column = "value" if "value" in batches[0].schema.names else "id"
    return [int(value) for batch in batches for value in batch.column(column).to_pylist()]


@pytest.mark.parametrize("limit", [1, 3, 1_000])
def test_a_lane_is_read_whole_in_contiguous_batches(log: Log, limit: int) -> None:
    batches = read_to(log.reader(), log.lane, 0, log.end, limit)
    expected = RAW_SCHEMA if log.kind == "raw" else event_schema(SOURCE.schema)
    next_offset = 0
    for batch in batches:
        envelope = Envelope.of(batch)
        assert (envelope.kind, envelope.lane, envelope.source) == (log.kind, log.lane, "s")
        assert envelope.start == next_offset < envelope.end
        assert batch.schema.equals(expected)
        assert batch.num_rows <= limit
        assert all(envelope.start <= offset < envelope.end for offset in batch["_offset"].to_pylist())
        assert set(batch["_arrival"].cast("int64").to_pylist()) <= {log.arrival}
        next_offset = envelope.end
    assert next_offset == log.end
    assert [offset for batch in batches for offset in batch["_offset"].to_pylist()] == log.offsets
    assert values(batches) == list(range(10))


@pytest.mark.parametrize("limit", [2, 1_000])
def test_reading_begins_at_any_offset(log: Log, limit: int) -> None:
    for index, offset in enumerate(log.offsets):
        for start in {offset, log.offsets[index - 1] + 1 if index else 0}:
            batches = read_to(log.reader(), log.lane, start, log.end, limit)
            assert Envelope.of(batches[0]).start == start
            assert values(batches) == list(range(index, 10))
    assert read_to(log.reader(), log.lane, log.end, log.end, limit) == []


def test_a_log_that_ends_below_the_progress_is_refused_with_both_numbers(log: Log) -> None:
    with pytest.raises(LaneError, match=rf"{log.lane.text}: .*{log.end}, below the stored progress {log.end + 1}"):
        log.reader().open(log.lane, log.end + 1)


def test_a_reader_that_is_not_open_says_so(log: Log) -> None:
    with pytest.raises(ValueError, match="not open"):
        log.reader().poll(1)


def test_a_topic_goes_on_where_it_was_read_to(tmp_path: Path) -> None:
    topics = EmbeddedBroker(tmp_path / "topics.db")
    topics.create("t", 2)
    (lane, _), (other, _) = topic_lanes(topics, "s", "t").items()
    reader = topics.reader("t")
    reader.open(lane, 0)
    assert reader.poll(10) == []
    topics.publish("t", [bytes([number]) for number in range(8)], [b"%d" % number for number in range(8)], now=1)
    ends = topic_lanes(topics, "s", "t")
    (batch,) = reader.poll(10)
    assert batch.num_rows == ends[lane] > 0
    assert ends[other] == 8 - ends[lane]
    assert batch["key"].to_pylist() == [bytes([int(value)]) for value in batch["value"].to_pylist()]


def test_a_topic_created_again_is_refused(tmp_path: Path) -> None:
    topics = EmbeddedBroker(tmp_path / "topics.db")
    topics.create("t", 1)
    (lane,) = topic_lanes(topics, "s", "t")
    reader = topics.reader("t")
    reader.open(lane, 0)
    topics.delete("t")
    topics.create("t", 1)
    with pytest.raises(LaneError, match=f"{lane.id} was being read"):
        reader.poll(1)
    with pytest.raises(LaneError, match=rf"{lane.text}: topic 't' was deleted and created again"):
        topics.reader("t").open(lane, 0)
    with pytest.raises(LaneError, match="has no partition 1"):
        topics.reader("t").open(Lane("s", "topic", topics.id("t"), 1), 0)


def lane_of_file(folder: Path, name: str, content: bytes) -> tuple[Lane, FileReader]:
    path = folder / name
    path.write_bytes(content)
    entries = Manifest(OfflineStore(folder / "store")).discover("s", [str(path)], 7)
    return entries[0].lane, FileReader(SOURCE, entries)


def test_rows_of_a_file_that_do_not_fit_are_dead(tmp_path: Path) -> None:
    lines = [{"id": 1, "ts": "2026-12-01"}, {"id": "x", "ts": "2026-12-01"}, {"id": 3}, {"id": 4, "ts": "1970-01-01"}]
    content = "\n".join(map(json.dumps, lines)).encode()
    lane, reader = lane_of_file(tmp_path, "a.jsonl", content)
    dead, events, end = drained(reader, lane, 0, 100)
    assert events["id"].to_pylist() == [1, 4]
    assert events["_offset"].to_pylist() == [0, 3]
    assert (Envelope.of(end).start, Envelope.of(end).end, end.num_rows) == (4, ROW, 0)
    envelope = Envelope.of(dead)
    assert (envelope.kind, envelope.table, envelope.scope) == ("dead", "dead_letters/s", "")
    assert (envelope.start, envelope.end) == (Envelope.of(events).start, Envelope.of(events).end) == (0, 4)
    assert dead.schema.equals(DEAD_SCHEMA)
    rows = dead.to_pylist()
    assert [json.loads(row["value"]) for row in rows] == lines[1:3]
    assert [(row["_offset"], row["_lane"], row["view"], row["key"]) for row in rows] == [
        (1, lane.text, None, None),
        (2, lane.text, None, None),
    ]
    path = tmp_path / "a.jsonl"
    assert rows[0]["reason"] == f'{path}: row 1: id: "x" is no int64'
    assert rows[1]["reason"] == f"{path}: row 2: ts: null, but an event needs its event time"
    assert drained(reader, lane, 2, 1)[0].to_pylist() == rows[1:]


def test_a_file_whose_column_is_of_a_wrong_type_is_an_error(tmp_path: Path) -> None:
    lane, reader = lane_of_file(tmp_path, "a.csv", b"id,name\n1,x\n")
    reader.open(lane, 0)
    with pytest.raises(EventError, match=r"a\.csv: there is no column 'ts', the event time; columns are id, name"):
        reader.poll(1)


def test_files_of_another_generation_are_refused(tmp_path: Path) -> None:
    _, reader = lane_of_file(tmp_path, "a.jsonl", b"")
    with pytest.raises(LaneError, match="generation 1 now"):
        reader.open(Lane("s", "files", "2", 0), 0)


def test_a_lane_without_files_is_empty(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b"")
    entries = Manifest(OfflineStore(tmp_path / "store")).discover("s", [str(tmp_path / "a.jsonl")], 7, lanes=3)
    reader = FileReader(SOURCE, entries)
    assert drained(reader, Lane("s", "files", "1", 2), 0, 10) == []
    (end,) = drained(reader, Lane("s", "files", "1", 0), 0, 10)
    assert (end.num_rows, Envelope.of(end).end) == (0, next_file(entries[0])) == (0, 3 * ROW)


def test_events_read_back_have_the_fields_that_were_added_since(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    log = events_log(request, tmp_path)
    fields = {"id": "int64", "ts": "timestamp", "name": "string", "more": "float64"}
    wider = Source("s", fields=fields, event_time="ts", topic="t")
    batches = drained(EventsReader(OfflineStore(tmp_path / "store"), wider), log.lane, 0, 100)
    assert [row["more"] for batch in batches for row in batch.to_pylist()] == [None] * 10
    other = Source("s", fields={"id": "int64", "ts": "timestamp", "name": "bool"}, event_time="ts", topic="t")
    with pytest.raises(LaneError, match="column name is of type string; legal for bool are booleans"):
        drained(EventsReader(OfflineStore(tmp_path / "store"), other), log.lane, 0, 100)


def test_events_of_a_lane_that_was_never_stored(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    events_log(request, tmp_path)
    reader = EventsReader(OfflineStore(tmp_path / "store"), SOURCE)
    assert drained(reader, Lane("s", "topic", "abc", 7), 0, 10) == []


def test_envelopes_travel_with_their_batches() -> None:
    lane = Lane("s", "topic", "abc", 3)
    raw = Envelope("raw", "s", "", "", "", lane, 4, 9)
    rows = raw.rows("v", "f00d")
    assert (rows.kind, rows.table, rows.view, rows.scope) == ("rows", rows_table("v", "f00d"), "v", "")
    dead = raw.dead("v", "f00d")
    assert (dead.kind, dead.table, dead.view, dead.scope) == ("dead", dead_table("s"), "v", "v/f00d")
    assert (raw.events().table, raw.dead().scope, raw.dead().view) == (events_table("s"), "", "")
    batch = pa.RecordBatch.from_pydict({"a": [1]}, metadata={"other": "kept"})
    for envelope in (raw, rows, dead):
        attached = envelope.attach(batch)
        sent = pa.ipc.read_record_batch(attached.serialize(), pa.ipc.read_schema(attached.schema.serialize()))
        assert Envelope.of(sent) == envelope
        assert sent.schema.metadata[b"other"] == b"kept"
        assert Envelope.of(raw.attach(attached)) == raw
    with pytest.raises(ValueError, match="no envelope: columns a"):
        Envelope.of(batch)


def test_batches_of_nothing_have_their_schemas() -> None:
    envelope = Envelope("raw", "s", "", "", "", Lane("s", "topic", "abc", 3), 4, 9)
    nothing: Any = np.zeros(0, np.int64)
    assert events_batch(envelope, batch_of([]), nothing, nothing).schema.names[-4:] == [f.name for f in LOG_COLUMNS]
    assert dead_batch(envelope, [], [], [], nothing, nothing).schema.equals(DEAD_SCHEMA)
