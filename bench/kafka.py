"""Publishing to a real Kafka and reading it, beside confluent-kafka doing nothing but the I/O.

Records have keys of 16 bytes and values of 200, in 4 partitions; every record is acknowledged by all replicas. Figures
are records per CPU second of the client's process, its threads included; the broker's own work is not in them.
"""

from __future__ import annotations

import random
import tempfile
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, Producer, TopicPartition

from bench.measuring import Stopwatch, call, run
from bench.table import Measured
from pipelines.brokers.kafka import KafkaBroker
from pipelines.dev.kafka import Kafka
from pipelines.envelope import Envelope
from pipelines.settings import Settings
from pipelines.stores import Stores
from schemas.lane import Lane

PARTITIONS = 4
CHUNK = 10_000
TURN = 20_000


def make_records(count: int) -> tuple[list[bytes | None], list[bytes | None]]:
    """Keys and values: ten thousand keys, values that hardly compress."""
    draw = random.Random(7)
    keys = [draw.randbytes(16) for _ in range(10_000)]
    block = draw.randbytes(1 << 20)
    starts = [draw.randrange(len(block) - 200) for _ in range(count)]
    return [draw.choice(keys) for _ in range(count)], [block[start : start + 200] for start in starts]


def open_broker(servers: str) -> KafkaBroker:
    """A broker with the usual settings."""
    stream = {"broker": "kafka", "kafka": {"servers": servers}}
    kafka = Stores.of(Settings.of({"project": "bench", "stream": stream}, ".")).kafka
    assert kafka is not None
    return KafkaBroker(kafka)


def publish(servers: str, topic: str, count: int) -> dict[str, Any]:
    """Records appended by ours, which also makes their topic."""
    keys, values = make_records(count)
    broker = open_broker(servers)
    broker.create(topic, PARTITIONS)
    broker.publish(topic, keys[:1], values[:1], now=0)
    with Stopwatch() as watch:
        for start in range(1, count, CHUNK):
            broker.publish(topic, keys[start : start + CHUNK], values[start : start + CHUNK], now=0)
    broker.close()
    return watch.to_json()


def produce(servers: str, topic: str, count: int) -> dict[str, Any]:
    """The same by confluent-kafka."""
    keys, values = make_records(count)
    producer = Producer({"bootstrap.servers": servers, "acks": "all", "linger.ms": 5})
    producer.produce(topic, key=keys[0], value=values[0])
    producer.flush()
    with Stopwatch() as watch:
        for start in range(1, count, CHUNK):
            for key, value in zip(keys[start : start + CHUNK], values[start : start + CHUNK], strict=True):
                producer.produce(topic, key=key, value=value)
            producer.flush()
    return watch.to_json()


def read(servers: str, topic: str) -> dict[str, Any]:
    """All partitions read by ours, as batches of columns, by turns as a stream does."""
    broker = open_broker(servers)
    ends, name = broker.ends(topic), broker.id(topic)
    readers = {number: broker.reader(topic) for number in ends}
    count, positions = 0, dict.fromkeys(ends, 0)
    with Stopwatch() as watch:
        for number, reader in readers.items():
            reader.open(Lane("bench", "topic", name, number), 0)
        while positions != ends:
            broker.pulse()
            for number, reader in readers.items():
                for batch in reader.poll(TURN):
                    count += batch.num_rows
                    positions[number] = Envelope.of(batch).end
    broker.close()
    return watch.to_json() | {"count": count}


def consume(servers: str, topic: str) -> dict[str, Any]:
    """The same records taken by confluent-kafka, and looked at no more."""
    options = {"bootstrap.servers": servers, "group.id": "raw", "fetch.queue.backoff.ms": 10, "fetch.wait.max.ms": 100}
    consumer = Consumer({**options, "queued.min.messages": 50_000, "enable.auto.commit": False})
    ends = [consumer.get_watermark_offsets(TopicPartition(topic, number))[1] for number in range(PARTITIONS)]
    count = 0
    with Stopwatch() as watch:
        consumer.assign([TopicPartition(topic, number, 0) for number in range(PARTITIONS)])
        while count < sum(ends):
            count += len(consumer.consume(10_000, timeout=0.1))
    consumer.close()
    return watch.to_json() | {"count": count}


def measure(scale: float = 1.0) -> list[Measured]:
    """Publishing and reading over one Kafka of the bench's own."""
    sent, waiting = int(200_000 * scale), int(2_000_000 * scale)
    with tempfile.TemporaryDirectory() as scratch:
        kafka = Kafka(Path(scratch) / "kafka")
        kafka.start()
        try:
            where = {"servers": kafka.servers}
            ours = run(call("bench.kafka:publish", {**where, "topic": "records", "count": sent}))
            theirs = run(call("bench.kafka:produce", {**where, "topic": "records", "count": sent}))
            rows = [_row("published to Kafka, acknowledged", sent, ours, theirs)]
            run(call("bench.kafka:produce", {**where, "topic": "records", "count": waiting}))
            ours = run(call("bench.kafka:read", {**where, "topic": "records"}))
            theirs = run(call("bench.kafka:consume", {**where, "topic": "records"}))
            assert ours.answer["count"] == theirs.answer["count"]
            return [*rows, _row("read from Kafka, as columns", int(ours.answer["count"]), ours, theirs)]
        finally:
            kafka.stop()


def _row(case: str, count: int, ours: Any, theirs: Any) -> Measured:
    return Measured(
        case,
        f"{count / 1e6:g} M records of 200 bytes",
        count / ours.answer["cpu"],
        "records per CPU s",
        "higher",
        "confluent-kafka alone",
        count / theirs.answer["cpu"],
        ours.mb,
        theirs.mb,
    )
