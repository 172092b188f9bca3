"""Publishing to a Kafka cluster, and sending records again once each."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.errors import KafkaError

from pipelines.brokers.kafka_clients import Causes, partition_of, python_options
from pipelines.brokers.kafka_topics import KafkaTopics
from pipelines.engine_settings import KafkaSettings

CHUNK_ROWS = 5_000
LINGER_MS = 5
BATCH_BYTES = 256 << 10
TRANSACTION_MS = 300_000
REPLAYED = "-replayed"
_FAREWELL_SECONDS = 5.0


class KafkaPublisher:
    """Port `Publisher` over Kafka: every record acknowledged by all replicas in sync, none doubled by a retry.

    Records sent again are written in one transaction with their ids, which a compacted topic of one partition keeps,
    `<topic>-replayed`. The producer's transactional id is that topic's name, so that a second one ends the first and
    ids are read when no other can add any: each record is there once, whoever fails or asks again.

    Args:
        settings: how the cluster is reached.
        topics: tells ids and partitions.
        causes: tells errors in words.
    """

    def __init__(self, settings: KafkaSettings, topics: KafkaTopics, causes: Causes) -> None:
        self._settings, self._topics, self._causes = settings, topics, causes
        self._patience = max(settings.timeout // 1_000, 1_000)
        self._producer: Any = None

    def publish(
        self, topic: str, keys: Sequence[bytes | None], values: Sequence[bytes | None], *, now: int
    ) -> dict[int, int]:
        """Appends n records; their time of arrival is the broker's."""
        if len(keys) != len(values):
            raise ValueError(f"{len(values)} values came with {len(keys)} keys")
        count = len(self._topics.described([topic])[topic][1])
        last: dict[int, int] = {}
        with self._causes.told(), self._kept() as producer:
            for start in range(0, len(values), CHUNK_ROWS):
                end = start + CHUNK_ROWS
                _merge(last, self._send(producer, topic, keys[start:end], values[start:end], count))
        return last

    def replay(
        self, topic: str, ids: Sequence[str], keys: Sequence[bytes | None], values: Sequence[bytes | None], *, now: int
    ) -> tuple[int, dict[int, int]]:
        """Appends those of n records whose id was never replayed into this topic before."""
        if not len(ids) == len(keys) == len(values):
            raise ValueError(f"{len(values)} values came with {len(keys)} keys and {len(ids)} ids")
        name, partitions = self._topics.described([topic])[topic]
        kept = f"{topic}{REPLAYED}"
        self._topics.make(kept, 1, {"cleanup.policy": "compact"})
        sent, last = 0, dict[int, int]()
        with self._causes.told(), self._transactions(kept) as producer:
            known = self._known(kept)
            wanted = {f"{name}/{ids[at]}".encode(): at for at in range(len(ids) - 1, -1, -1)}
            fresh = sorted((at, mark) for mark, at in wanted.items() if mark not in known)
            for start in range(0, len(fresh), CHUNK_ROWS):
                part = fresh[start : start + CHUNK_ROWS]
                producer.begin_transaction()
                try:
                    for _, mark in part:
                        producer.send(kept, key=mark, value=b"1", partition=0)
                    rows = [at for at, _ in part]
                    found = self._send(
                        producer, topic, [keys[at] for at in rows], [values[at] for at in rows], len(partitions)
                    )
                except BaseException:
                    producer.abort_transaction()
                    raise
                producer.commit_transaction()
                sent += len(part)
                _merge(last, found)
        return sent, last

    def close(self) -> None:
        """Closes the client; the next call opens it again."""
        producer, self._producer = self._producer, None
        if producer is not None:
            _end(producer, self._patience / 1e3)

    def _options(self) -> dict[str, Any]:
        return {
            **python_options(self._settings),
            "acks": "all",
            "enable_idempotence": True,
            "linger_ms": LINGER_MS,
            "batch_size": BATCH_BYTES,
            "max_block_ms": self._patience,
            "delivery_timeout_ms": self._patience + LINGER_MS,
        }

    def _send(
        self,
        producer: Any,
        topic: str,
        keys: Sequence[bytes | None],
        values: Sequence[bytes | None],
        partitions: int,
    ) -> dict[int, int]:
        """Sends records, waits for all of them, and gives the last offset of each partition."""
        places: dict[bytes, int] = {}
        futures = []
        for key, value in zip(keys, values, strict=True):
            if key is None:
                at = zlib.crc32(value or b"") % partitions
            else:
                at = places[key] if key in places else places.setdefault(key, partition_of(key, partitions))
            # The client refuses a record of nothing.
            kept = b"" if key is None and value is None else key
            futures.append(producer.send(topic, value=value, key=kept, partition=at))
        producer.flush(timeout=self._patience / 1e3)
        last: dict[int, int] = {}
        for future in futures:
            sent = future.get(timeout=self._patience / 1e3)
            last[sent.partition] = max(sent.offset, last.get(sent.partition, -1))
        return last

    @contextmanager
    def _kept(self) -> Iterator[Any]:
        """The producer that calls share; one that failed is given up, so that none goes on trying by itself."""
        if self._producer is None:
            self._producer = KafkaProducer(**self._options())
        try:
            yield self._producer
        except BaseException:
            producer, self._producer = self._producer, None
            _give_up(producer)
            raise

    @contextmanager
    def _transactions(self, name: str) -> Iterator[Any]:
        producer = KafkaProducer(**self._options(), transactional_id=name, transaction_timeout_ms=TRANSACTION_MS)
        try:
            producer.init_transactions()
            yield producer
        finally:
            _end(producer, self._patience / 1e3)

    def _known(self, kept: str) -> set[bytes]:
        """All ids that were replayed."""
        place = TopicPartition(kept, 0)
        consumer = KafkaConsumer(
            **python_options(self._settings), isolation_level="read_committed", enable_auto_commit=False
        )
        try:
            end = self._topics.ends(kept)[0]
            consumer.assign([place])
            consumer.seek_to_beginning(place)
            found: set[bytes] = set()
            while consumer.position(place) < end:
                for records in consumer.poll(timeout_ms=self._patience, max_records=CHUNK_ROWS).values():
                    found.update(record.key for record in records)
            return found
        finally:
            consumer.close()


def _end(producer: Any, seconds: float) -> None:
    """Closes a producer; one that cannot send what it holds is given up."""
    try:
        producer.close(timeout=seconds)
    except KafkaError:
        _give_up(producer)


def _give_up(producer: Any) -> None:
    """Ends a producer with what it holds; its own `close` waits for that, and its finaliser would once more."""
    sender = producer._sender
    if sender is not None:
        sender.force_close()
        sender.join(_FAREWELL_SECONDS)
    producer._unregister_cleanup()
    producer._closed = True


def _merge(last: dict[int, int], found: dict[int, int]) -> None:
    for number, offset in found.items():
        last[number] = max(offset, last.get(number, -1))
