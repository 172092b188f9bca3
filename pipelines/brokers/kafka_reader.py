"""Readers of a Kafka cluster: a partition each, over the consumer that they share."""

from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa

from pipelines.brokers.kafka_consumer import KafkaConsumer, check_id, lost
from pipelines.brokers.kafka_records import Place
from pipelines.brokers.kafka_topics import KafkaTopics
from pipelines.envelope import RAW_SCHEMA, Envelope
from schemas.errors import LaneError
from schemas.lane import Lane
from transforms.columns import integers


class KafkaReader:
    """Reads a partition; batches are of kind "raw", and cover the offsets that hold no record.

    What compaction, aborted transactions and markers leave out of a log is covered by the batch around it, or by one
    without records where nothing else follows.

    Args:
        topics: tells ids and partitions.
        consumer: gives a consumer that does not fetch a partition yet.
        topic: name of the topic.
    """

    def __init__(self, topics: KafkaTopics, consumer: Callable[[Place], KafkaConsumer], topic: str) -> None:
        self._topics, self._choose, self._topic = topics, consumer, topic
        self._lane: Lane | None = None
        self._consumer: KafkaConsumer | None = None
        self._offset = 0

    def open(self, lane: Lane, offset: int) -> None:
        """Begins at an offset.

        Raises:
            LaneError: the topic has another id than the lane, no such partition, or does not hold the offset.
            StoreAway: the cluster does not answer.
        """
        self.close()
        name, partitions = self._topics.described([self._topic])[self._topic]
        check_id(lane, self._topic, name)
        if lane.number not in partitions:
            raise LaneError(f"{lane.text}: topic {self._topic!r} has no partition {lane.number}")
        place = (self._topic, lane.number)
        consumer = self._choose(place)
        first, end = consumer.bounds(place)
        if not first <= offset <= end:
            raise lost(lane, self._topic, offset, first, end)
        consumer.assign(lane, place, offset)
        self._lane, self._offset, self._consumer = lane, offset, consumer

    def poll(self, limit: int) -> list[pa.RecordBatch]:
        """The next records at hand, or none."""
        lane, consumer = self._lane, self._consumer
        if lane is None or consumer is None:
            raise ValueError("the reader is not open")
        parts, ended = consumer.read((self._topic, lane.number), limit)
        start, end = self._offset, self._offset
        if parts:
            end = int(integers(parts[-1].column("_offset"))[-1]) + 1
        end = max(end, ended or 0)
        if end == start:
            return []
        self._offset = end
        envelope = Envelope("raw", lane.source, "", "", "", lane, start, end)
        return [envelope.attach(_joined(parts))]

    def close(self) -> None:
        """Gives the partition back; the consumer stays open for others."""
        if self._lane is not None and self._consumer is not None:
            self._consumer.unassign((self._topic, self._lane.number))
        self._lane = self._consumer = None


def _joined(parts: list[pa.RecordBatch]) -> pa.RecordBatch:
    if not parts:
        return pa.RecordBatch.from_pylist([], schema=RAW_SCHEMA)
    return parts[0] if len(parts) == 1 else pa.concat_batches(parts)
