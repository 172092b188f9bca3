"""Topics of a Kafka cluster: made, named, and how far their partitions reach."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from functools import partial
from typing import Any, TypeVar

from confluent_kafka import (
    IsolationLevel,
    KafkaError,
    KafkaException,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, OffsetSpec
from kafka import KafkaAdminClient
from kafka.errors import TopicAlreadyExistsError

from pipelines.brokers.kafka_clients import Causes, confluent_options, python_options
from pipelines.engine_settings import KafkaSettings
from schemas.errors import LaneError, StoreError, did_you_mean

T = TypeVar("T")
ID_LENGTH = 12
_INTERNAL = "__"
_PAUSE_SECONDS = 0.05
_UNSETTLED = {
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.UNKNOWN_TOPIC_OR_PART,
    KafkaError.UNKNOWN_LEADER_EPOCH,
    KafkaError.FENCED_LEADER_EPOCH,
}


class _Unsettled(Exception):
    """A partition has no leader that knows of it yet."""


class KafkaTopics:
    """Port `Topics` over Kafka; thread-safe.

    Partitions end at their last stable offset: records of transactions still open lie beyond it.

    Args:
        settings: how the cluster is reached.
        causes: tells errors in words.
    """

    def __init__(self, settings: KafkaSettings, causes: Causes) -> None:
        self._settings, self._causes = settings, causes
        self._seconds = settings.timeout / 1e6
        self._lock = threading.Lock()
        self._admin: AdminClient | None = None

    def create(self, topic: str, partitions: int) -> None:
        """Creates a topic; records get the time of the broker, and stay as long as the settings say."""
        if partitions < 1:
            raise StoreError(f"topic {topic!r}: {partitions} partitions asked for, at least 1 is needed")
        retention = self._settings.retention
        config = {
            "message.timestamp.type": "LogAppendTime",
            "retention.ms": str(-1 if retention is None else retention // 1_000),
        }
        if not self.make(topic, partitions, config):
            there = len(self._partitions(topic))
            if there != partitions:
                raise StoreError(f"topic {topic!r} has {there} partitions already, {partitions} were asked for")

    def make(self, topic: str, partitions: int, config: Mapping[str, str]) -> bool:
        """Creates a topic of any kind; whether it was not there before."""
        wanted = {
            topic: {"num_partitions": partitions, "replication_factor": self._settings.replication, "configs": config}
        }
        with self._causes.told():
            if topic in self._names():
                return False
            admin = KafkaAdminClient(**python_options(self._settings))
            try:
                admin.create_topics(wanted, wait_for_metadata=True)
            except TopicAlreadyExistsError:
                return False
            finally:
                admin.close()
        return True

    def names(self) -> list[str]:
        """Names of all topics but Kafka's own, in order."""
        with self._causes.told():
            return self._names()

    def id(self, topic: str) -> str:
        """Id of a topic: the first digits of Kafka's own."""
        return self.described([topic])[topic][0]

    def starts(self, topic: str, whole: bool = False) -> dict[int, int]:
        """Where lanes begin of which the stores hold nothing, as the settings say."""
        start = "earliest" if whole else self._settings.start
        if start == "latest":
            return self._offsets(topic, OffsetSpec.latest())
        if not isinstance(start, int):
            return self._offsets(topic, OffsetSpec.earliest())
        ends = self._offsets(topic, OffsetSpec.latest())
        timed = self._offsets(topic, OffsetSpec.for_timestamp(-(-start // 1_000)))
        return {number: end if timed.get(number, -1) < 0 else timed[number] for number, end in ends.items()}

    def ends(self, topic: str) -> dict[int, int]:
        """The next offset of each partition."""
        return self._offsets(topic, OffsetSpec.latest())

    def described(self, topics: Sequence[str], seconds: float | None = None) -> dict[str, tuple[str, list[int]]]:
        """Id and partitions of topics, as the cluster has them at this moment.

        Args:
            topics: their names.
            seconds: to wait for the answer; by default as the settings say.

        Raises:
            LaneError: there is no such topic.
            StoreAway: the cluster does not answer.
        """
        wanted = TopicCollection(list(topics))
        with self._causes.told():
            asked = self._client().describe_topics(wanted, request_timeout=seconds or self._seconds)
            found = {topic: self._result(topic, future) for topic, future in asked.items()}
        return {
            topic: (_hex(each.topic_id), sorted(partition.id for partition in each.partitions))
            for topic, each in found.items()
        }

    def close(self) -> None:
        """Closes the client; the next call opens it again."""
        with self._lock:
            self._admin = None

    def _client(self) -> AdminClient:
        with self._lock:
            if self._admin is None:
                options: dict[str, Any] = {**confluent_options(self._settings), "error_cb": self._causes.note}
                self._admin = AdminClient(options)
                self._causes.listen(partial(self._admin.poll, 0.0))
            return self._admin

    def _names(self) -> list[str]:
        listed = self._client().list_topics(timeout=self._seconds).topics
        return sorted(name for name in listed if not name.startswith(_INTERNAL))

    def _partitions(self, topic: str) -> list[int]:
        return self.described([topic])[topic][1]

    def _offsets(self, topic: str, wanted: OffsetSpec) -> dict[int, int]:
        """An offset of each partition; those that have only just been made are waited for."""
        until = time.monotonic() + self._seconds
        while True:
            places = {TopicPartition(topic, number): wanted for number in self._partitions(topic)}
            try:
                with self._causes.told():
                    asked = self._client().list_offsets(
                        places, isolation_level=IsolationLevel.READ_COMMITTED, request_timeout=self._seconds
                    )
                    return {place.partition: int(self._settled(future).offset) for place, future in asked.items()}
            except _Unsettled:
                if time.monotonic() > until:
                    raise self._causes.away("a partition has no leader") from None
                time.sleep(_PAUSE_SECONDS)

    def _settled(self, future: Future[Any]) -> Any:
        try:
            return self._wait(future.result)
        except KafkaException as error:
            if error.args[0].code() in _UNSETTLED:
                raise _Unsettled from error
            raise

    def _result(self, topic: str, future: Future[Any]) -> Any:
        try:
            return self._wait(future.result)
        except KafkaException as error:
            if error.args[0].code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
                raise
        known = self._names()
        listed = ", ".join(known) if known else "none"
        raise LaneError(f"there is no topic {topic!r}; topics: {listed}.{did_you_mean(topic, known)}")

    def _wait(self, answer: Callable[..., T]) -> T:
        return answer(timeout=self._seconds + 5)


def _hex(uuid: Any) -> str:
    most = uuid.get_most_significant_bits() & 0xFFFFFFFFFFFFFFFF
    return f"{most:016x}"[:ID_LENGTH]
