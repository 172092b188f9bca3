"""Values of a schema registry through a real Kafka: those of others' producers read, and ours read by others."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer, AvroSerializer
from confluent_kafka.serialization import MessageField, SerializationContext

from pipelines.dev.kafka import Kafka
from schemas.errors import StoreAway
from tests.brokers import eventually
from tests.kafka_streams import Shop, buys, check, counted, kept, raw_send, running, wait_for
from tests.registry_server import Registry, serving

FIELDS: list[dict[str, Any]] = [
    {"name": "user_id", "type": "long"},
    {"name": "ts", "type": {"type": "long", "logicalType": "timestamp-millis"}},
    {"name": "price", "type": "double"},
    {"name": "kind", "type": "string"},
]
WRITTEN = {"type": "record", "name": "Buy", "namespace": "shop", "fields": FIELDS}
LATER = {**WRITTEN, "fields": [FIELDS[3], FIELDS[2], {"name": "shop", "type": ["null", "int"]}, FIELDS[1], FIELDS[0]]}


@pytest.fixture
def registry() -> Iterator[Registry]:
    with serving(Registry()) as made:
        yield made


@pytest.fixture
def shop(tmp_path: Path, kafka: Kafka, topic_prefix: str, registry: Registry) -> Shop:
    topic = f"{topic_prefix}buys"
    return Shop(tmp_path / "shop", kafka.servers, topic, encoding="confluent", registry=registry.url)


@pytest.fixture
def client(registry: Registry) -> Iterator[SchemaRegistryClient]:
    """Confluent's own client."""
    with SchemaRegistryClient({"url": registry.url}) as made:
        yield made


def test_a_plain_avro_producer_feeds_a_stream(shop: Shop, registry: Registry, client: SchemaRegistryClient) -> None:
    events = buys(range(80))
    with shop.open() as platform:
        context = SerializationContext(shop.topic, MessageField.VALUE)
        producer = Producer({"bootstrap.servers": shop.servers, "compression.type": "zstd"})
        first, second = (AvroSerializer(client, json.dumps(schema)) for schema in (WRITTEN, LATER))
        for number, event in enumerate(events):
            value = (second if number % 3 == 0 else first)({**event, "shop": number}, context)
            producer.produce(shop.topic, key=str(event["user_id"]), value=value)
        assert producer.flush(30) == 0
        raw_send(shop.servers, shop.topic, [(None, b"\0\0\0\x03\xe7rest"), (None, b"{}"), (b"tombstone", None)])
        report = platform.run_stream(until="caught_up")
        assert (report.events, report.dead_letters) == (80, 3)
        letters = platform.offline.read("dead_letters/buys")["reason"].to_pylist()
        assert [sum(text in letter for letter in letters) for text in ("id 999 is unknown", "lacks", "no value")] == [
            1,
            1,
            1,
        ]
        check(platform, events)
        assert registry.asked["GET /schemas/ids/1"] <= 2


def test_others_read_what_we_publish(shop: Shop, registry: Registry, client: SchemaRegistryClient) -> None:
    events = buys(range(30))
    with shop.open() as platform:
        last = platform.publish("buys", events)
        assert registry.subjects == {f"{shop.topic}-value": [1]}
    reader = AvroDeserializer(client)
    consumer = Consumer({"bootstrap.servers": shop.servers, "group.id": "other"})
    consumer.assign([TopicPartition(shop.topic, number, 0) for number in range(3)])
    found: list[Any] = []
    while len(found) < 30:
        for message in consumer.consume(30, timeout=30):
            assert message.error() is None
            found.append(reader(message.value(), SerializationContext(shop.topic, MessageField.VALUE)))
    consumer.close()
    assert sorted(found, key=lambda event: event["price"]) == events
    assert len(last) > 1


def test_a_registry_that_is_away_holds_the_stream_up_and_loses_nothing(shop: Shop, registry: Registry) -> None:
    events = buys(range(40))
    with shop.open() as platform:
        platform.publish("buys", events)
        registry.broken = True
        with pytest.raises(StoreAway, match=r"schema registry .*does not answer"):
            platform.run_stream(until="caught_up")
        with running(shop) as run:
            for _ in eventually():
                if registry.asked["GET /schemas/ids/1"] >= 2:
                    break
            assert counted(platform) == 0
            registry.broken = False
            wait_for(platform, kept(events))
            assert run.end().events == 40
        check(platform, events)
