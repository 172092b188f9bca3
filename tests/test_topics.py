"""Brokers: one conformance suite over the embedded one and Kafka; and the embedded one's durability."""

from __future__ import annotations

import pickle
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.brokers import embedded as topics_module
from pipelines.brokers import embedded_log
from pipelines.brokers.embedded import EmbeddedBroker
from pipelines.lanes.base import LaneReader
from schemas.errors import LaneError, StoreError
from schemas.lane import Lane
from tests.brokers import KINDS, Held, contents, eventually, make_broker, partition, read_to

ROOT = Path(__file__).resolve().parent.parent

PUBLISHER = """
import sys
from pipelines.brokers.embedded import EmbeddedBroker
path, name, calls, size = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
topics = EmbeddedBroker(path)
topics.create("t", 3)
call = 0
while call != calls:
    values = [f"{name}/{call * size + at}".encode() for at in range(size)]
    topics.publish("t", [value[-1:] for value in values], values, now=call)
    print(call, flush=True)
    call += 1
"""


def publisher(path: Path, name: str, calls: int, size: int) -> subprocess.Popen[str]:
    arguments = [sys.executable, "-c", PUBLISHER, str(path), name, str(calls), str(size)]
    return subprocess.Popen(arguments, cwd=ROOT, stdout=subprocess.PIPE, text=True)


@pytest.fixture(params=KINDS)
def held(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Held]:
    made = make_broker(request.param, request, tmp_path)
    yield made
    made.broker.close()


@pytest.fixture
def topic(held: Held) -> str:
    name = f"{held.prefix}t"
    held.broker.create(name, 3)
    return name


@pytest.fixture
def topics(tmp_path: Path) -> EmbeddedBroker:
    made = EmbeddedBroker(tmp_path / "deep" / "topics.db")
    made.create("t", 3)
    return made


def wait_for_more(reader: LaneReader) -> list[pa.RecordBatch]:
    return next(batches for _ in eventually() if (batches := reader.poll(100)))


def test_records_come_back_as_published(held: Held, topic: str) -> None:
    broker = held.broker
    keys = [b"a", b"b", None, b"", b"a"]
    values = [b"1", b"2", b"3", None, b"5"]
    last = broker.publish(topic, keys, values, now=77)
    assert {number: offset + 1 for number, offset in last.items()} == {
        number: end for number, end in broker.ends(topic).items() if end
    }
    rows = [row for number in range(3) for row in partition(broker, topic, number).to_pylist()]
    found = sorted((row["key"], row["value"]) for row in rows if row["value"] and row["key"])
    assert found == [(b"a", b"1"), (b"a", b"5"), (b"b", b"2")]
    assert {row["value"] for row in rows if row["key"] is None} == {b"3"}
    assert [row["value"] for row in rows if row["key"] == b""] == [None]


def test_one_key_keeps_its_order_in_one_partition(held: Held, topic: str) -> None:
    values = [str(number).encode() for number in range(10_000)]
    held.broker.publish(topic, [b"k"] * len(values), values, now=1)
    assert [found for found in contents(held.broker, topic).values() if found] == [values]


def test_keys_and_keyless_values_are_spread(held: Held, topic: str) -> None:
    values = [str(number).encode() for number in range(3_000)]
    held.broker.publish(topic, [None] * len(values), values, now=1)
    held.broker.publish(topic, [number.to_bytes(8, "big") for number in range(3_000)], values, now=1)
    assert min(held.broker.ends(topic).values()) > 1_500


def test_creating_again_is_nothing_and_with_other_partitions_an_error(held: Held, topic: str) -> None:
    broker = held.broker
    name = broker.id(topic)
    broker.create(topic, 3)
    assert broker.id(topic) == name
    with pytest.raises(StoreError, match=f"'{topic}' has 3 partitions already, 4 were asked for"):
        broker.create(topic, 4)
    with pytest.raises(StoreError, match="0 partitions"):
        broker.create(f"{held.prefix}u", 0)
    assert [name for name in broker.names() if name.startswith(held.prefix)] == [topic]


def test_a_topic_created_again_is_another(held: Held, topic: str) -> None:
    broker, other = held.broker, f"{held.prefix}other"
    broker.create(other, 1)
    broker.publish(other, [b"k"], [b"kept"], now=1)
    broker.publish(topic, [b"k"], [b"gone"], now=1)
    broker.replay(topic, ["x"], [b"k"], [b"gone too"], now=1)
    before = broker.id(topic)
    reader = broker.reader(topic)
    reader.open(Lane("s", "topic", before, 0), 0)
    held.delete(topic)
    with pytest.raises(LaneError, match=f"there is no topic '{topic}'; topics: .*{other}"):
        broker.ends(topic)
    broker.create(topic, 3)
    assert broker.id(topic) != before
    assert broker.ends(topic) == {0: 0, 1: 0, 2: 0}
    assert broker.replay(topic, ["x"], [b"k"], [b"new"], now=1)[0] == 1
    broker.publish(topic, [None] * 64, [bytes([number]) for number in range(64)], now=1)
    with pytest.raises(LaneError, match="was deleted and created again"):
        read_to(reader, Lane("s", "topic", before, 0), 0, 1)
    assert contents(broker, other) == {0: [b"kept"]}


def test_a_reader_that_is_open_does_not_slip_into_a_topic_created_again(held: Held, topic: str) -> None:
    broker = held.broker
    values = [b"old %d" % number for number in range(9)]
    broker.publish(topic, [b"k"] * 9, values, now=1)
    (number,) = [number for number, end in broker.ends(topic).items() if end]
    lane = Lane("s", "topic", broker.id(topic), number)
    reader = broker.reader(topic)
    reader.open(lane, 0)
    found: list[bytes] = []
    for _ in eventually():
        found += [value for batch in reader.poll(100) for value in batch["value"].to_pylist()]
        if len(found) == 9:
            break
    held.delete(topic)
    broker.create(topic, 3)
    broker.publish(topic, [b"k"] * 30, [b"new"] * 30, now=1)
    with pytest.raises(LaneError, match="was deleted and created again"):
        wait_for_more(reader)
    assert found == values


def test_unknown_names_are_refused_with_a_hint(held: Held, topic: str) -> None:
    broker, name = held.broker, f"{held.prefix}purchases"
    broker.create(name, 1)
    with pytest.raises(LaneError, match=rf"no topic '{name[:-1]}'; topics: .*{name}.*Did you mean '{name}'\?"):
        broker.publish(name[:-1], [None], [b""], now=1)
    with pytest.raises(LaneError, match="has no partition 7"):
        broker.reader(topic).open(Lane("s", "topic", broker.id(topic), 7), 0)


def test_a_replayed_record_is_there_once(held: Held, topic: str) -> None:
    broker, other = held.broker, f"{held.prefix}u"
    assert broker.replay(topic, ["a", "b", "a"], [b"k"] * 3, [b"1", b"2", b"1"], now=1)[0] == 2
    again = pickle.loads(pickle.dumps(broker))
    assert again.replay(topic, ["b", "c"], [b"k"] * 2, [b"2", b"3"], now=2)[0] == 1
    assert again.replay(topic, ["b", "c"], [b"k"] * 2, [b"2", b"3"], now=2) == (0, {})
    again.create(other, 1)
    assert again.replay(other, ["a"], [b"k"], [b"1"], now=2) == (1, {0: 0})
    assert sorted(value for values in contents(broker, topic).values() for value in values) == [b"1", b"2", b"3"]
    again.close()


def test_it_tells_of_others_and_of_own_publishing(held: Held, topic: str) -> None:
    broker, other = held.broker, pickle.loads(pickle.dumps(held.broker))
    lanes = [Lane("s", "topic", broker.id(topic), number) for number in range(3)]
    readers = [broker.reader(topic) for _ in lanes]
    for lane, reader in zip(lanes, readers, strict=True):
        reader.open(lane, 0)
    for publisher in (broker, other):
        seen = broker.pulse()
        publisher.publish(topic, [b"k"], [b"v"], now=1)
        for _ in eventually():
            if broker.pulse() != seen:
                break
    positions = dict.fromkeys(range(3), 0)
    for _ in eventually():
        # The last change may have been news of another partition.
        broker.pulse()
        if sum(broker.behind(topic, positions).values()) == 2:
            break
    for reader in readers:
        reader.close()
    other.close()


def test_two_sources_may_read_one_topic(held: Held, topic: str) -> None:
    values = [b"%d" % number for number in range(50)]
    held.broker.publish(topic, [None] * 50, values, now=1)
    name = held.broker.id(topic)
    readers = {(source, number): held.broker.reader(topic) for source in "ab" for number in range(3)}
    found: dict[str, list[bytes]] = {"a": [], "b": []}
    for (source, number), reader in readers.items():
        reader.open(Lane(source, "topic", name, number), 0)
    for _ in eventually():
        for (source, _), reader in readers.items():
            found[source] += [value for batch in reader.poll(10) for value in batch["value"].to_pylist()]
        if all(len(each) == 50 for each in found.values()):
            break
    assert sorted(found["a"]) == sorted(found["b"]) == sorted(values)
    for reader in readers.values():
        reader.close()


def test_it_travels_by_pickle_and_opens_again(held: Held, topic: str) -> None:
    held.broker.publish(topic, [b"k"], [b"v"], now=1)
    copy = pickle.loads(pickle.dumps(held.broker))
    held.broker.close()
    assert contents(copy, topic) == contents(held.broker, topic)
    copy.close()


def test_arrival_never_falls(topics: EmbeddedBroker) -> None:
    for now in (50, 20, 60):
        topics.publish("t", [b"k"], [b"v"], now=now)
    batch = [topics.read("t", partition, 0, 9) for partition in range(3)]
    assert sorted(t for b in batch for t in b["_arrival"].cast("int64").to_pylist()) == [50, 50, 60]


def test_limits_and_offsets_beyond_the_end(topics: EmbeddedBroker) -> None:
    topics.publish("t", [b"k"] * 20, [b"%d" % number for number in range(20)], now=1)
    (partition,) = [number for number, end in topics.ends("t").items() if end]
    assert topics.read("t", partition, 5, 3)["_offset"].to_pylist() == [5, 6, 7]
    assert topics.read("t", partition, 20, 3).num_rows == 0
    assert topics.read("t", (partition + 1) % 3, 0, 3).num_rows == 0


def test_large_values_shorten_a_read(topics: EmbeddedBroker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded_log, "READ_BYTES", 1_000)
    topics.publish("t", [b"k"] * 1_200, [b"v" * 100] * 1_200, now=1)
    partition = max(topics.ends("t"), key=topics.ends("t").__getitem__)
    assert topics.read("t", partition, 0, 1_200)["_offset"].to_pylist() == list(range(500))


@given(st.lists(st.integers(0, 300), max_size=30))
@settings(max_examples=50)
def test_chunks_cover_everything_once(lengths: list[int]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(topics_module, "CHUNK_ROWS", 4)
        patch.setattr(topics_module, "CHUNK_BYTES", 256)
        values = [b"x" * length for length in lengths]
        spans = list(topics_module._chunks(values))
    assert [at for start, end in spans for at in range(start, end)] == list(range(len(values)))
    for start, end in spans:
        assert end - start == 1 or (end - start <= 4 and sum(lengths[start:end]) <= 256)


def test_a_call_that_fails_publishes_nothing(topics: EmbeddedBroker) -> None:
    with pytest.raises(ValueError, match="2 values came with 1 keys"):
        topics.publish("t", [b"k"], [b"1", b"2"], now=1)
    with pytest.raises(StoreError):
        topics.publish("t", [b"k", b"k"], [b"1", {}], now=1)  # type: ignore[list-item]
    assert set(topics.ends("t").values()) == {0}


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "topics.db"
    path.write_bytes(b"no database at all" * 1_000)
    with pytest.raises(StoreError, match=r"topics\.db"):
        EmbeddedBroker(path).names()


def test_several_processes_publish_at_once(tmp_path: Path) -> None:
    path = tmp_path / "topics.db"
    workers = [publisher(path, name, 20, 25) for name in "abcd"]
    for worker in workers:
        worker.communicate(timeout=120)
        assert worker.returncode == 0
    found = contents(EmbeddedBroker(path), "t")
    assert Counter(value for values in found.values() for value in values) == Counter(
        f"{name}/{number}".encode() for name in "abcd" for number in range(500)
    )
    for values in found.values():
        for name in "abcd":
            mine = [int(value.split(b"/")[1]) for value in values if value.startswith(name.encode())]
            assert mine == sorted(mine)


def test_killing_a_publisher_loses_nothing_acknowledged(tmp_path: Path) -> None:
    path = tmp_path / "topics.db"
    chance = random.Random(3)
    for round_number in range(3):
        worker = publisher(path, f"r{round_number}", -1, 40)
        assert worker.stdout is not None
        worker.stdout.readline()
        time.sleep(chance.uniform(0.05, 0.3))
        worker.send_signal(signal.SIGKILL)
        acknowledged = [0, *(int(line) for line in worker.stdout.read().split())]
        worker.stdout.close()
        worker.wait(timeout=30)
        values = [value for found in contents(EmbeddedBroker(path), "t").values() for value in found]
        mine = sorted(int(v.split(b"/")[1]) for v in values if v.startswith(b"r%d/" % round_number))
        assert mine == list(range(len(mine)))
        assert len(mine) % 40 == 0
        assert len(mine) // 40 in (acknowledged[-1] + 1, acknowledged[-1] + 2)
