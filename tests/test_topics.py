"""Embedded topics: dense offsets, durability, several processes at once."""

from __future__ import annotations

import pickle
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.brokers import embedded as topics_module
from pipelines.brokers import embedded_log
from pipelines.brokers.embedded import EmbeddedBroker
from schemas.errors import LaneError, StoreError

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


def everything(topics: EmbeddedBroker, topic: str = "t") -> dict[int, list[bytes]]:
    found = {}
    for partition, end in topics.ends(topic).items():
        batch = topics.read(topic, partition, 0, 1_000_000)
        assert batch["_offset"].to_pylist() == list(range(end))
        arrivals = batch["_arrival"].cast("int64").to_pylist()
        assert arrivals == sorted(arrivals)
        found[partition] = batch["value"].to_pylist()
    return found


@pytest.fixture
def topics(tmp_path: Path) -> EmbeddedBroker:
    made = EmbeddedBroker(tmp_path / "deep" / "topics.db")
    made.create("t", 3)
    return made


def test_records_come_back_as_published(topics: EmbeddedBroker) -> None:
    keys = [b"a", b"b", None, b"", b"a"]
    values = [b"1", b"2", b"3", None, b"5"]
    last = topics.publish("t", keys, values, [b"h", None, b"", None, b"\x00"], now=77)
    assert {partition: offset + 1 for partition, offset in last.items()} == {
        partition: end for partition, end in topics.ends("t").items() if end
    }
    rows = [row for partition in range(3) for row in topics.read("t", partition, 0, 10).to_pylist()]
    assert sorted((row["key"], row["value"], row["headers"]) for row in rows if row["value"] and row["key"]) == [
        (b"a", b"1", b"h"),
        (b"a", b"5", b"\x00"),
        (b"b", b"2", None),
    ]
    assert {row["value"] for row in rows if row["key"] is None} == {b"3"}
    assert all(int(row["_arrival"].timestamp() * 1e6) == 77 for row in rows)


def test_one_key_keeps_its_order_in_one_partition(topics: EmbeddedBroker) -> None:
    values = [str(number).encode() for number in range(10_000)]
    topics.publish("t", [b"k"] * len(values), values, now=1)
    assert [found for found in everything(topics).values() if found] == [values]


def test_keys_and_keyless_values_are_spread(topics: EmbeddedBroker) -> None:
    values = [str(number).encode() for number in range(3_000)]
    topics.publish("t", [None] * len(values), values, now=1)
    topics.publish("t", [number.to_bytes(8, "big") for number in range(3_000)], values, now=1)
    assert min(topics.ends("t").values()) > 1_500


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


def test_creating_again_is_nothing_and_with_other_partitions_an_error(topics: EmbeddedBroker) -> None:
    name = topics.id("t")
    topics.create("t", 3)
    assert topics.id("t") == name
    with pytest.raises(StoreError, match="'t' has 3 partitions already, 4 were asked for"):
        topics.create("t", 4)
    with pytest.raises(StoreError, match="0 partitions"):
        topics.create("u", 0)
    assert topics.names() == ["t"]


def test_a_topic_created_again_is_another(topics: EmbeddedBroker) -> None:
    topics.create("other", 1)
    topics.publish("other", [b"k"], [b"kept"], now=1)
    topics.publish("t", [b"k"], [b"gone"], now=1)
    topics.replay("t", ["x"], [b"k"], [b"gone too"], now=1)
    before = topics.id("t")
    topics.delete("t")
    with pytest.raises(LaneError, match="there is no topic 't'; topics: other"):
        topics.ends("t")
    topics.create("t", 3)
    assert topics.id("t") != before
    assert topics.ends("t") == {0: 0, 1: 0, 2: 0}
    assert topics.replay("t", ["x"], [b"k"], [b"new"], now=1)[0] == 1
    with pytest.raises(LaneError, match=f"{before} was being read"):
        topics.read("t", 0, 0, 1, before)
    assert topics.read("other", 0, 0, 9)["value"].to_pylist() == [b"kept"]


def test_unknown_names_are_refused_with_a_hint(topics: EmbeddedBroker) -> None:
    topics.create("purchases", 1)
    with pytest.raises(LaneError, match=r"no topic 'purchase'; topics: purchases, t\. Did you mean 'purchases'\?"):
        topics.publish("purchase", [None], [b""], now=1)
    with pytest.raises(LaneError, match="has no partition 7"):
        topics.read("t", 7, 0, 1)


def test_a_call_that_fails_publishes_nothing(topics: EmbeddedBroker) -> None:
    with pytest.raises(ValueError, match="2 values came with 1 keys"):
        topics.publish("t", [b"k"], [b"1", b"2"], now=1)
    with pytest.raises(StoreError):
        topics.publish("t", [b"k", b"k"], [b"1", {}], now=1)  # type: ignore[list-item]
    assert set(topics.ends("t").values()) == {0}


def test_a_replayed_record_is_there_once(topics: EmbeddedBroker) -> None:
    assert topics.replay("t", ["a", "b", "a"], [b"k"] * 3, [b"1", b"2", b"1"], now=1)[0] == 2
    again = EmbeddedBroker(topics.path)
    assert again.replay("t", ["b", "c"], [b"k"] * 2, [b"2", b"3"], now=2)[0] == 1
    again.create("u", 1)
    assert again.replay("u", ["a"], [b"k"], [b"1"], now=2) == (1, {0: 0})
    assert sorted(value for values in everything(topics).values() for value in values) == [b"1", b"2", b"3"]


def test_pulse_tells_of_others_and_of_own_publishing(topics: EmbeddedBroker) -> None:
    other = EmbeddedBroker(topics.path)
    seen = topics.pulse()
    assert topics.pulse() == seen
    topics.publish("t", [b"k"], [b"v"], now=1)
    after_own = topics.pulse()
    assert after_own != seen
    other.publish("t", [b"k"], [b"v"], now=1)
    assert topics.pulse() != after_own


def test_it_travels_by_pickle_and_opens_again(topics: EmbeddedBroker) -> None:
    topics.publish("t", [b"k"], [b"v"], now=1)
    copy = pickle.loads(pickle.dumps(topics))
    topics.close()
    assert everything(copy) == everything(topics)


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
    found = everything(EmbeddedBroker(path))
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
        values = [value for found in everything(EmbeddedBroker(path)).values() for value in found]
        mine = sorted(int(v.split(b"/")[1]) for v in values if v.startswith(b"r%d/" % round_number))
        assert mine == list(range(len(mine)))
        assert len(mine) % 40 == 0
        assert len(mine) // 40 in (acknowledged[-1] + 1, acknowledged[-1] + 2)
