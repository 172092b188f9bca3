"""Brokers of tests: every kind behind the port, with what a test needs beside it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from confluent_kafka.admin import AdminClient, NewTopic

from pipelines.brokers.base import Broker
from pipelines.brokers.embedded import EmbeddedBroker
from pipelines.brokers.kafka import KafkaBroker
from pipelines.engine_settings import KafkaSettings
from pipelines.envelope import RAW_SCHEMA, Envelope
from pipelines.lanes.base import LaneReader
from schemas.lane import Lane

KINDS = ("embedded", "kafka")
PATIENCE = 120.0
SETTINGS = KafkaSettings(
    servers=(),
    group="tests",
    start="stores",
    replication=1,
    retention=None,
    timeout=30_000_000,
    security="plaintext",
    mechanism="PLAIN",
    user=None,
    ca=None,
    certificate=None,
    key=None,
    secrets={},
)


def kafka_settings(servers: str, **changes: Any) -> KafkaSettings:
    """Settings of a cluster without security."""
    return replace(SETTINGS, servers=(servers,), **changes)


@dataclass
class Held:
    """A broker of a test.

    Attributes:
        broker: the broker.
        prefix: what names of its topics begin with.
        delete: deletes a topic.
    """

    broker: Broker
    prefix: str
    delete: Callable[[str], None]


def make_broker(kind: str, request: pytest.FixtureRequest, folder: Path) -> Held:
    """A broker of a kind; the test closes it."""
    if kind == "embedded":
        embedded = EmbeddedBroker(folder / "deep" / "topics.db")
        return Held(embedded, "", embedded.delete)
    servers = request.getfixturevalue("kafka").servers
    broker = KafkaBroker(kafka_settings(servers))
    return Held(broker, request.getfixturevalue("topic_prefix"), lambda topic: delete_topic(servers, topic))


def eventually() -> Iterator[None]:
    """Turns of a wait for something, with a pause between them; too many of them are a failure."""
    until = time.monotonic() + PATIENCE
    while True:
        yield
        assert time.monotonic() < until, "this takes too long"
        time.sleep(0.005)


def make_topic(servers: str, topic: str, config: Mapping[str, str], partitions: int = 1) -> None:
    """Creates a topic of Kafka as others do."""
    admin = AdminClient({"bootstrap.servers": servers})
    for done in admin.create_topics([NewTopic(topic, partitions, 1, config=dict(config))]).values():
        done.result(PATIENCE)
    for _ in eventually():
        if topic in admin.list_topics(timeout=PATIENCE).topics:
            return


def delete_topic(servers: str, topic: str) -> None:
    """Deletes a topic of Kafka, and returns when it is gone."""
    admin = AdminClient({"bootstrap.servers": servers})
    for done in admin.delete_topics([topic]).values():
        done.result(PATIENCE)
    until = time.monotonic() + PATIENCE
    while topic in admin.list_topics(timeout=PATIENCE).topics:
        assert time.monotonic() < until
        time.sleep(0.02)


def read_to(reader: LaneReader, lane: Lane, offset: int, end: int, limit: int = 1_000_000) -> list[pa.RecordBatch]:
    """Batches of a lane from an offset to another; there is nothing beyond that."""
    reader.open(lane, offset)
    batches: list[pa.RecordBatch] = []
    until = time.monotonic() + PATIENCE
    while offset < end:
        for batch in reader.poll(limit):
            batches.append(batch)
            offset = Envelope.of(batch).end
        assert time.monotonic() < until, f"{lane.text} reaches {offset}, not {end}"
    assert reader.poll(limit) == []
    assert offset == end or not batches
    reader.close()
    reader.close()
    return batches


def partition(broker: Broker, topic: str, number: int) -> pa.Table:
    """All records of a partition, which its batches cover without a gap."""
    end = broker.ends(topic)[number]
    batches = read_to(broker.reader(topic), Lane("s", "topic", broker.id(topic), number), 0, end)
    bounds = [0, *(Envelope.of(batch).end for batch in batches)]
    assert [Envelope.of(batch).start for batch in batches] == bounds[:-1]
    return pa.Table.from_batches([batch.replace_schema_metadata(None) for batch in batches], schema=RAW_SCHEMA)


def contents(broker: Broker, topic: str) -> Mapping[int, list[Any]]:
    """Values of every partition, in order."""
    found = {}
    for number in broker.ends(topic):
        records = partition(broker, topic, number)
        offsets, arrivals = (records[name].cast("int64").to_pylist() for name in ("_offset", "_arrival"))
        assert offsets == sorted(set(offsets))
        assert arrivals == sorted(arrivals)
        found[number] = records["value"].to_pylist()
    return found
