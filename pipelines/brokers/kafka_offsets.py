"""Offsets of a consumer group, told to Kafka for its own tools to show."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

from kafka import KafkaAdminClient, TopicPartition
from kafka.errors import KafkaError
from kafka.structs import OffsetAndMetadata

from pipelines.brokers.kafka_clients import python_options
from pipelines.engine_settings import KafkaSettings

CLOSE_SECONDS = 5.0


class KafkaOffsets:
    """Tells a group's offsets in a thread of its own, the newest of each partition; what fails is told by the next.

    confluent-kafka is not asked to: a consumer with a commit under way does not close while the broker is away, and
    its admin client ends the process (an assertion of librdkafka 2.16) if the group's coordinator is not found in time.

    Args:
        settings: how the cluster is reached, and the group.
    """

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._changed = threading.Condition()
        self._waiting: dict[Any, Any] = {}
        self._thread: threading.Thread | None = None
        self._closed = False

    def tell(self, topic: str, offsets: Mapping[int, int]) -> None:
        """Takes offsets to be told soon."""
        with self._changed:
            for number, offset in offsets.items():
                self._waiting[TopicPartition(topic, number)] = OffsetAndMetadata(offset, "", -1)
            self._closed = False
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="twinbeam-offsets", daemon=True)
                self._thread.start()
            self._changed.notify()

    def close(self) -> None:
        """Tells what is left, if the cluster answers soon."""
        with self._changed:
            thread, self._thread = self._thread, None
            self._closed = True
            self._changed.notify()
        if thread is not None:
            thread.join(CLOSE_SECONDS)

    def _run(self) -> None:
        admin: Any = None
        while True:
            with self._changed:
                while not self._waiting and not self._closed:
                    self._changed.wait()
                offsets, self._waiting = self._waiting, {}
            if not offsets:
                break
            try:
                admin = admin or KafkaAdminClient(**python_options(self._settings))
                admin.alter_group_offsets(self._settings.group or "twinbeam", offsets)
            except KafkaError:
                if admin is not None:
                    admin.close()
                admin = None
        if admin is not None:
            admin.close()
