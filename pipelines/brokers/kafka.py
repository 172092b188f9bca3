"""The broker over a Kafka cluster."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pipelines.brokers.kafka_clients import Causes
from pipelines.brokers.kafka_consumer import KafkaConsumer
from pipelines.brokers.kafka_offsets import KafkaOffsets
from pipelines.brokers.kafka_publisher import KafkaPublisher
from pipelines.brokers.kafka_reader import KafkaReader
from pipelines.brokers.kafka_records import Place
from pipelines.brokers.kafka_topics import KafkaTopics
from pipelines.engine_settings import KafkaSettings


class KafkaBroker:
    """Port `Broker` over Kafka: reading by confluent-kafka, publishing and making topics by kafka-python.

    All readers of one object share one consumer; a partition that several lanes read has one for each. Reading goes
    on by itself when brokers that were away are back; everything else fails after the timeout.

    Args:
        settings: how the cluster is reached.
    """

    def __init__(self, settings: KafkaSettings) -> None:
        self.settings = settings
        self._open()

    def __getstate__(self) -> dict[str, Any]:
        return {"settings": self.settings}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        self.settings = state["settings"]
        self._open()

    def create(self, topic: str, partitions: int) -> None:
        """Creates a topic; does nothing if it exists with as many partitions."""
        self._topics.create(topic, partitions)

    def names(self) -> list[str]:
        """Names of all topics but Kafka's own, in order."""
        return self._topics.names()

    def id(self, topic: str) -> str:
        """Id of a topic."""
        return self._topics.id(topic)

    def starts(self, topic: str, whole: bool = False) -> dict[int, int]:
        """Offset of each partition where a lane begins of which the stores hold nothing."""
        return self._topics.starts(topic, whole)

    def ends(self, topic: str) -> dict[int, int]:
        """The last stable offset of each partition."""
        return self._topics.ends(topic)

    def publish(
        self, topic: str, keys: Sequence[bytes | None], values: Sequence[bytes | None], *, now: int
    ) -> dict[int, int]:
        """Appends n records and returns when all replicas in sync have them."""
        return self._publisher.publish(topic, keys, values, now=now)

    def replay(
        self, topic: str, ids: Sequence[str], keys: Sequence[bytes | None], values: Sequence[bytes | None], *, now: int
    ) -> tuple[int, dict[int, int]]:
        """Appends those of n records whose id was never replayed into this topic before."""
        return self._publisher.replay(topic, ids, keys, values, now=now)

    def reader(self, topic: str) -> KafkaReader:
        """A reader of one partition of a topic."""
        return KafkaReader(self._topics, self._free, topic)

    def pulse(self) -> int | None:
        """Number that changes when something came of the partitions that are read."""
        return sum(consumer.pulse() for consumer in self._consumers)

    def behind(self, topic: str, positions: Mapping[int, int]) -> dict[int, int]:
        """Records past positions of the partitions that are read, as far as is known without asking."""
        found = {}
        for number, offset in positions.items():
            counts = [consumer.behind((topic, number), offset) for consumer in self._consumers]
            found[number] = max(counts)
        return found

    def commit(self, topic: str, offsets: Mapping[int, int]) -> None:
        """Commits offsets of the group, for Kafka's own tools to show."""
        self._offsets.tell(topic, offsets)

    def close(self) -> None:
        """Closes all clients; the next call opens them again."""
        for consumer in self._consumers:
            consumer.close()
        self._offsets.close()
        self._publisher.close()
        self._topics.close()

    def _open(self) -> None:
        self._causes = Causes(self.settings)
        self._topics = KafkaTopics(self.settings, self._causes)
        self._publisher = KafkaPublisher(self.settings, self._topics, self._causes)
        self._offsets = KafkaOffsets(self.settings)
        self._consumers = [KafkaConsumer(self.settings, self._topics, self._causes)]

    def _free(self, place: Place) -> KafkaConsumer:
        """A consumer that does not fetch the partition yet."""
        for consumer in self._consumers:
            if not consumer.holds(place):
                return consumer
        self._consumers.append(KafkaConsumer(self.settings, self._topics, self._causes))
        return self._consumers[-1]
