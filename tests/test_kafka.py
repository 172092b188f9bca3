"""Topics in a real Kafka: made, published to, read and shown as its users and its own tools expect."""

from __future__ import annotations

import json
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer

from pipelines.brokers import kafka_consumer
from pipelines.brokers.kafka_clients import partition_of
from pipelines.dev.kafka import Kafka
from pipelines.platform import Platform
from schemas.errors import LaneError
from schemas.lane import Lane
from tests.brokers import contents, delete_topic, eventually, make_topic
from tests.kafka_streams import (
    MORE,
    Shop,
    buys,
    check,
    configuration,
    drop,
    grow,
    kept,
    positions,
    raw_send,
    running,
    tool,
    wait_for,
)

Json = dict[str, Any]


@pytest.fixture
def shop(tmp_path: Path, kafka: Kafka, topic_prefix: str) -> Shop:
    return Shop(tmp_path / "shop", kafka.servers, f"{topic_prefix}buys")


def encoded(events: list[Json]) -> list[bytes]:
    return [json.dumps(event | {"ts": event["ts"].isoformat()}).encode() for event in events]


def test_a_topic_is_made_as_the_settings_say(shop: Shop) -> None:
    with shop.open(retention="3d") as platform:
        assert sorted(platform.broker.ends(shop.topic)) == [0, 1, 2]
    found = configuration(shop.servers, shop.topic)
    assert found["message.timestamp.type"] == "LogAppendTime"
    assert found["retention.ms"] == str(3 * 24 * 3600 * 1000)
    shop.topic += "2"
    with shop.open(retention="forever"):
        assert configuration(shop.servers, shop.topic)["retention.ms"] == "-1"


def test_a_stream_goes_on_where_it_was(shop: Shop) -> None:
    events = buys(range(40))
    for begin in range(0, 40, 10):
        with shop.open() as platform:
            platform.publish("buys", events[begin : begin + 10])
            assert platform.run_stream(until="caught_up").events == 10
            assert platform.run_stream(until="caught_up").events == 0
            check(platform, events[: begin + 10])


def test_a_stream_takes_what_comes_while_it_runs(shop: Shop) -> None:
    events = buys(range(30))
    with shop.open() as platform, running(shop) as run:
        for begin in range(0, 30, 10):
            platform.publish("buys", events[begin : begin + 10])
            wait_for(platform, kept(events[: begin + 10]))
        assert run.end().events == 30
        check(platform, events)


def test_keys_lie_where_kafkas_own_producer_puts_them(shop: Shop) -> None:
    keys = [f"key {number}" for number in range(60)]
    lines = "".join(f"{key}\t{key}\n" for key in keys)
    words = ("--topic", shop.topic, "--reader-property", "parse.key=true")
    with shop.open() as platform:
        tool("ConsoleProducer", shop.servers, *words, given=lines)
        theirs = contents(platform.broker, shop.topic)
        placed = [key.encode() for key in keys]
        platform.broker.publish(shop.topic, placed, placed, now=1)
        both = contents(platform.broker, shop.topic)
    assert sorted(map(len, theirs.values()))[0] > 5
    for number, values in both.items():
        assert Counter(values) == Counter([*theirs[number], *theirs[number]])
        assert all(partition_of(value, 3) == number for value in values)


def test_the_console_consumer_reads_what_was_published(shop: Shop) -> None:
    events = buys(range(25))
    with shop.open() as platform:
        platform.publish("buys", events)
    words = ("--topic", shop.topic, "--from-beginning", "--max-messages", "25", "--timeout-ms", "60000")
    lines = tool("consumer.ConsoleConsumer", shop.servers, *words).splitlines()
    found = sorted((json.loads(line) for line in lines), key=lambda event: event["price"])
    assert [event | {"ts": datetime.fromisoformat(event["ts"])} for event in found] == events


def test_lag_shows_in_kafkas_own_tool(shop: Shop) -> None:
    with shop.open() as platform:
        platform.publish("buys", buys(range(50)))
        platform.run_stream(until="caught_up")
        assert offsets(shop) == {number: (end, 0) for number, end in platform.broker.ends(shop.topic).items()}
        stored = positions(platform)
        platform.publish("buys", buys(range(50, 57)))
        after = offsets(shop)
        assert {number: offset for number, (offset, _) in after.items()} == stored
        assert sum(lag for _, lag in after.values()) == 7


def offsets(shop: Shop) -> dict[int, tuple[int, int]]:
    """Offset and lag of each partition, as Kafka's own tool tells."""
    said = tool("consumer.group.ConsumerGroupCommand", shop.servers, "--describe", "--group", shop.group)
    rows = [line.split() for line in said.splitlines() if shop.topic in line]
    return {int(row[2]): (int(row[3]), int(row[5])) for row in rows}


def test_transactions_that_were_aborted_leave_nothing_and_hold_nothing_up(shop: Shop) -> None:
    events = buys(range(30))
    producer = Producer({"bootstrap.servers": shop.servers, "transactional.id": shop.topic})
    with shop.open() as platform:
        producer.init_transactions()
        for begin in range(0, 30, 10):
            for values, commit in [(events[begin : begin + 10], True), (buys(range(100, 120)), False)]:
                producer.begin_transaction()
                for value in encoded(values):
                    producer.produce(shop.topic, value=value)
                producer.flush()
                producer.commit_transaction() if commit else producer.abort_transaction()
        assert platform.run_stream(until="caught_up").events == 30
        assert positions(platform) == platform.broker.ends(shop.topic)
        check(platform, events)
        producer.begin_transaction()
        for value in encoded(buys(range(30, 40))):
            producer.produce(shop.topic, value=value)
        producer.flush()
        assert platform.run_stream(until="caught_up").events == 0
        producer.commit_transaction()
        # The markers of the partitions are written after the commit has returned.
        events_taken: list[int] = []
        while sum(events_taken) < 10 and len(events_taken) < 60:
            events_taken.append(platform.run_stream(until="caught_up").events)
        assert sum(events_taken) == 10
        check(platform, buys(range(40)))


def test_a_compacted_topic_is_read_over_its_gaps(shop: Shop) -> None:
    shop.partitions = 1
    config = {"cleanup.policy": "compact", "segment.ms": "100", "min.cleanable.dirty.ratio": "0.01"}
    config |= {"max.compaction.lag.ms": "100", "message.timestamp.type": "LogAppendTime"}
    make_topic(shop.servers, shop.topic, config)
    events = buys(range(60))
    with shop.open() as platform:
        for begin in range(0, 60, 20):
            part = events[begin : begin + 20]
            raw_send(shop.servers, shop.topic, zip([b"%d" % (n % 20) for n in range(20)], encoded(part), strict=True))
            time.sleep(0.3)  # segments roll by age
        raw_send(shop.servers, shop.topic, [(b"last", encoded(buys([60]))[0])])
        for _ in eventually():
            (values,) = contents(platform.broker, shop.topic).values()
            if len(values) < 61:
                break
        left = [json.loads(value) for value in values]
        kept_events = [event | {"ts": datetime.fromisoformat(event["ts"])} for event in left]
        assert platform.run_stream(until="caught_up").events >= len(values) - 20
        assert positions(platform) == {0: 61}
        read = platform.offline.read("events/buys").sort_by("_offset").to_pylist()
        check(platform, [{name: row[name] for name in ("user_id", "ts", "price", "kind")} for row in read])
        assert kept_events[-1]["price"] == read[-1]["price"]


def test_new_partitions_are_taken_up_while_a_stream_runs(shop: Shop) -> None:
    shop.partitions = 1
    events = buys(range(60))
    with shop.open(start="latest") as platform, running(shop) as run:
        for _ in eventually():
            if positions_or_none(platform):
                break
        platform.publish("buys", events[:10])
        wait_for(platform, kept(events[:10]))
        grow(shop.servers, shop.topic, 4)
        for _ in eventually():
            if sorted(platform.broker.ends(shop.topic)) == [0, 1, 2, 3]:
                break
        raw_send(shop.servers, shop.topic, [(b"%d" % n, v) for n, v in enumerate(encoded(events[10:]))])
        wait_for(platform, kept(events))
        assert run.end().events == 60
        assert all(platform.broker.ends(shop.topic).values())
        check(platform, events)


def positions_or_none(platform: Platform) -> dict[int, int]:
    return positions(platform) if platform.offline.exists("events/buys") else {}


@pytest.mark.parametrize("start", ["stores", "earliest", "latest", "time"])
def test_where_a_topic_begins_of_which_the_stores_hold_nothing(shop: Shop, start: str) -> None:
    first, second, third = buys(range(20)), buys(range(20, 40)), buys(range(40, 60))
    with shop.open() as platform:
        platform.publish("buys", first)
        if start == "stores":
            drop(shop.servers, shop.topic, platform.broker.ends(shop.topic))
        time.sleep(0.01)
        now = datetime.now(UTC)
        time.sleep(0.01)
        platform.publish("buys", second)
    given = now.isoformat() if start == "time" else start
    wanted = {"stores": second, "earliest": first + second, "latest": [], "time": second}[start]
    with shop.open(start=given) as platform:
        assert platform.run_stream(until="caught_up").events == len(wanted)
        platform.publish("buys", third)
        assert platform.run_stream(until="caught_up").events == 20
        check(platform, wanted + third)
        (shop.folder / "features.py").write_text((shop.folder / "features.py").read_text() + MORE)
    with shop.open(start="latest") as platform:
        platform.run_stream(until="caught_up")
        check(platform, wanted + third, "prices")
        check(platform, wanted + third)


def test_where_a_topic_begins_is_decided_once(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that dies before it has stored anything has decided all the same."""
    with shop.open(start="latest") as platform:
        platform.publish("buys", buys(range(10)))
        monkeypatch.setattr("pipelines.launch.execute", lambda job, launch: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            platform.run_stream(until="caught_up")
        monkeypatch.undo()
        platform.publish("buys", buys(range(10, 20)))
        assert platform.run_stream(until="caught_up").events == 10
        check(platform, buys(range(10, 20)))


def test_twins_that_begin_at_once_agree(shop: Shop) -> None:
    with shop.open(start="latest") as platform:
        platform.publish("buys", buys(range(10)))
        with running(shop) as one, running(shop) as other:
            for _ in eventually():
                if len(positions_or_none(platform)) == 3:
                    break
            platform.publish("buys", buys(range(10, 60)))
            wait_for(platform, kept(buys(range(10, 60))))
            one.end()
            other.end()
        check(platform, buys(range(10, 60)))


def test_records_that_retention_dropped_before_they_were_read_are_named(shop: Shop) -> None:
    shop.partitions = 1
    with shop.open() as platform:
        platform.publish("buys", buys(range(10)))
        platform.run_stream(until="caught_up")
        platform.publish("buys", buys(range(10, 30)))
        drop(shop.servers, shop.topic, {0: 25})
        wanted = r"buys/topic-\w+/0: .*begins at offset 25 now, above the stored progress 10.*15 records"
        with pytest.raises(LaneError, match=wanted):
            platform.run_stream(until="caught_up")
        check(platform, buys(range(10)))


def test_dead_letters_are_sent_again_once(shop: Shop) -> None:
    with shop.open() as platform:
        raw_send(shop.servers, shop.topic, [(None, b"no JSON"), (b"k", encoded(buys([1]))[0])])
        report = platform.run_stream(until="caught_up")
        assert (report.events, report.dead_letters) == (1, 1)
        (letter,) = platform.offline.read("dead_letters/buys").to_pylist()
        place = f"{letter['_lane']}@{letter['_offset']}"
        mended = encoded(buys([2]))
        for sent in (1, 0, 0):
            assert platform.broker.replay(shop.topic, [place], [None], mended, now=1)[0] == sent
        assert platform.run_stream(until="caught_up").events == 1
        check(platform, buys([1, 2]))


def test_a_partition_that_is_not_read_is_held_back_and_loses_nothing(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is held of a partition is bounded, however much others bring along."""
    monkeypatch.setattr(kafka_consumer, "HELD_ROWS", 500)
    monkeypatch.setattr(kafka_consumer, "FETCH", 300)
    with shop.open() as platform:
        raw_send(shop.servers, shop.topic, [(b"%d" % (n % 50), b"%d" % n) for n in range(9_000)])
        broker, name = platform.broker, platform.broker.id(shop.topic)
        readers = {number: broker.reader(shop.topic) for number in range(3)}
        found: dict[int, list[bytes]] = {number: [] for number in readers}
        for number, reader in readers.items():
            reader.open(Lane("buys", "topic", name, number), 0)
        ends, most = broker.ends(shop.topic), 0
        for number, reader in readers.items():
            for _ in eventually():
                found[number] += [value for batch in reader.poll(700) for value in batch["value"].to_pylist()]
                others = broker.behind(shop.topic, dict.fromkeys(range(3), 0))
                most = max(most, *(held.rows for held in broker._consumers[0]._held.values()))  # type: ignore[attr-defined]
                assert set(others) == {0, 1, 2}
                if len(found[number]) == ends[number]:
                    break
        assert 500 < most <= 1_100
        for number, values in found.items():
            assert values == contents(broker, shop.topic)[number]


def test_a_topic_made_again_under_a_stream_is_another_lane(shop: Shop) -> None:
    first, second = buys(range(30)), buys(range(30, 90))
    with shop.open() as platform:
        platform.publish("buys", first)
        with running(shop) as run:
            wait_for(platform, kept(first))
            for _ in eventually():
                if sum(positions(platform).values()) == 30:
                    break
            delete_topic(shop.servers, shop.topic)
            make_topic(shop.servers, shop.topic, {}, 3)
            platform.publish("buys", second)
            with pytest.raises(LaneError, match="was deleted and created again"):
                run.result()
        assert platform.run_stream(until="caught_up").events == 60
        check(platform, first + second)
