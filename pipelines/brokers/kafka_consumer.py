"""The one consumer of a process: it fetches the partitions of all lanes and keeps for each what is not read yet."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass, field

import pyarrow as pa
from confluent_kafka import Consumer, KafkaError, Message, TopicPartition

from pipelines.brokers.kafka_clients import Causes, confluent_options
from pipelines.brokers.kafka_records import Place, columns, told
from pipelines.brokers.kafka_topics import KafkaTopics
from pipelines.engine_settings import KafkaSettings
from schemas.errors import LaneError, StoreAway, StoreError
from schemas.lane import Lane
from transforms.columns import integers

FETCH = 10_000
FETCHES = 16
HELD_ROWS = 250_000
HELD_BYTES = 64 << 20
VERIFY_SECONDS = 2.0
_LOST = {KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE, KafkaError._LOG_TRUNCATION}
_REFUSALS = {KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.GROUP_AUTHORIZATION_FAILED}


@dataclass
class Held:
    """What is held of one partition.

    Attributes:
        lane: the lane that it is.
        place: the partition.
        next: offset after the last record fetched, or the first offset.
        fetched: records whose topic is not known to be the right one yet.
        ready: records to be read.
        end: offset at which the log ended after everything fetched, or None.
        error: what fetching met, raised by the next read.
        paused: whether no more is fetched for now.
    """

    lane: Lane
    place: Place
    next: int
    fetched: deque[pa.RecordBatch] = field(default_factory=deque)
    ready: deque[pa.RecordBatch] = field(default_factory=deque)
    end: int | None = None
    error: KafkaError | None = None
    paused: bool = False

    @property
    def rows(self) -> int:
        """Records held."""
        return sum(batch.num_rows for held in (self.fetched, self.ready) for batch in held)

    @property
    def bytes(self) -> int:
        """Bytes held."""
        return sum(batch.nbytes for held in (self.fetched, self.ready) for batch in held)

    def add(self, records: pa.RecordBatch) -> None:
        """Takes records; those that were fetched before are dropped."""
        offsets = integers(records.column("_offset"))
        known = int((offsets < self.next).sum())
        if known < len(offsets):
            self.fetched.append(records.slice(known))
            self.next, self.end = int(offsets[-1]) + 1, None

    def take(self, limit: int) -> list[pa.RecordBatch]:
        """The next records that are ready, at most so many."""
        taken: list[pa.RecordBatch] = []
        while self.ready and limit > 0:
            batch = self.ready.popleft()
            if batch.num_rows > limit:
                self.ready.appendleft(batch.slice(limit))
                batch = batch.slice(0, limit)
            taken.append(batch)
            limit -= batch.num_rows
        return taken


class KafkaConsumer:
    """Fetches partitions that are assigned by hand; thread-safe.

    Committed records alone are read. Where the log ends, aborted records and markers included, is told by the broker.
    librdkafka knows a topic by its name: if it is deleted and created again, it goes on in the new one. Therefore the
    topic's id is asked for after records came and before they are read.

    Args:
        settings: how the cluster is reached.
        topics: tells ids of topics.
        causes: tells errors in words.
    """

    def __init__(self, settings: KafkaSettings, topics: KafkaTopics, causes: Causes) -> None:
        self._settings, self._topics, self._causes = settings, topics, causes
        self._seconds = settings.timeout / 1e6
        self._lock = threading.RLock()
        self._held: dict[Place, Held] = {}
        self._consumer: Consumer | None = None
        self._came = 0

    def bounds(self, place: Place) -> tuple[int, int]:
        """First offset of a partition that is still there, and its last stable offset.

        Raises:
            StoreAway: the cluster does not answer.
        """
        with self._lock, self._causes.told():
            found = self._client().get_watermark_offsets(TopicPartition(*place), timeout=self._seconds)
        if found is None:
            raise self._causes.away()
        return int(found[0]), int(found[1])

    def holds(self, place: Place) -> bool:
        """Whether a partition is fetched."""
        return place in self._held

    def assign(self, lane: Lane, place: Place, offset: int) -> None:
        """Begins to fetch a partition from an offset on."""
        with self._lock, self._causes.told():
            self.unassign(place)
            self._held[place] = Held(lane, place, offset)
            self._client().incremental_assign([TopicPartition(*place, offset)])

    def unassign(self, place: Place) -> None:
        """Fetches a partition no more; what is held of it is dropped."""
        with self._lock:
            if self._held.pop(place, None) is not None and self._consumer is not None:
                self._consumer.incremental_unassign([TopicPartition(*place)])

    def pulse(self) -> int:
        """Number that changes when records, ends or errors came of any partition; takes what has come."""
        with self._lock:
            self._fetch(1)
            # What could not be made ready is tried again.
            self._came += any(held.fetched for held in self._held.values())
            return self._came

    def read(self, place: Place, limit: int) -> tuple[list[pa.RecordBatch], int | None]:
        """The next records of a partition that are at hand, and where its log ended if they are the last ones.

        Raises:
            LaneError: the topic was created again, or the log has lost what is to be read next.
            StoreError: the cluster refuses to hand records over.
        """
        with self._lock:
            held = self._held[place]
            fetches = 0
            while sum(batch.num_rows for batch in held.ready) < limit and fetches < FETCHES and self._fetch(1):
                fetches += 1
            self._verify()
            taken = held.take(limit)
            if not taken and held.error is not None:
                self._raise(held)
            if held.paused and not held.rows:
                self._client().resume([TopicPartition(*place)])
                held.paused = False
            return taken, None if held.ready or held.fetched else held.end

    def behind(self, place: Place, offset: int) -> int:
        """Records past an offset, as far as is known without asking."""
        with self._lock:
            if self._consumer is None or place not in self._held:
                return 0
            held = self._held[place]
            if held.end is not None:
                return max(held.end - offset, 0)
            found = self._consumer.get_watermark_offsets(TopicPartition(*place), cached=True)
            return max(held.next - offset, int(found[1]) - offset if found else 0, 0)

    def close(self) -> None:
        """Closes the client."""
        with self._lock:
            consumer, self._consumer, self._held = self._consumer, None, {}
            if consumer is not None:
                consumer.unassign()
                consumer.close()

    def _client(self) -> Consumer:
        if self._consumer is None:
            self._consumer = Consumer(
                {
                    **confluent_options(self._settings),
                    "group.id": self._settings.group or "twinbeam",
                    "enable.auto.commit": False,
                    "enable.auto.offset.store": False,
                    "enable.partition.eof": True,
                    "auto.offset.reset": "error",
                    "isolation.level": "read_committed",
                    "fetch.queue.backoff.ms": 10,
                    "fetch.wait.max.ms": 100,
                    "queued.min.messages": 50_000,
                    "max.poll.interval.ms": 86_400_000,
                    "topic.metadata.refresh.interval.ms": 10_000,
                    "error_cb": self._causes.note,
                }
            )
        return self._consumer

    def _fetch(self, most: int) -> bool:
        """Takes what the client has, up to so many times; whether there may be more."""
        for _ in range(most):
            messages = self._client().consume(FETCH, timeout=0)
            self._came += len(messages)
            records, signals = told(messages)
            for fetched in columns(records):
                held = self._held.get(fetched.place)
                if held is not None:
                    held.add(fetched.records)
                    self._hold_back(held)
            for signal in signals:
                self._signalled(signal)
            if len(messages) < FETCH:
                return False
        return True

    def _hold_back(self, held: Held) -> None:
        """Fetches no more of a partition that is not read as fast as it is fetched."""
        if not held.paused and (held.rows > HELD_ROWS or held.bytes > HELD_BYTES):
            self._client().pause([TopicPartition(*held.place)])
            held.paused = True

    def _signalled(self, signal: Message) -> None:
        error = signal.error()
        held = self._held.get((str(signal.topic()), int(signal.partition() or 0)))
        if error is None or held is None:
            return
        if error.code() == KafkaError._PARTITION_EOF:
            held.end = max(int(signal.offset() or 0), held.next)
        elif error.code() in _LOST | _REFUSALS:
            held.error = error

    def _verify(self) -> None:
        """Makes records ready whose topic is the right one; nothing while the cluster does not answer."""
        waiting = [held for held in self._held.values() if held.fetched]
        if not waiting:
            return
        try:
            found = self._topics.described(sorted({held.place[0] for held in waiting}), VERIFY_SECONDS)
        except StoreAway:
            return
        for held in waiting:
            check_id(held.lane, held.place[0], found[held.place[0]][0])
            held.ready += held.fetched
            held.fetched.clear()

    def _raise(self, held: Held) -> None:
        assert held.error is not None
        if held.error.code() in _REFUSALS:
            raise StoreError(f"topic {held.place[0]!r}: {held.error.str()}; give the user of [stream.kafka] the right")
        check_id(held.lane, held.place[0], self._topics.id(held.place[0]))
        raise lost(held.lane, held.place[0], held.next, *self.bounds(held.place))


def check_id(lane: Lane, topic: str, found: str) -> None:
    """Refuses a topic that is another than the lane's.

    Raises:
        LaneError: it is.
    """
    if found != lane.id:
        raise LaneError(
            f"{lane.text}: topic {topic!r} was deleted and created again: its id is {found} now; it is another lane, "
            "apply finds it"
        )


def lost(lane: Lane, topic: str, offset: int, first: int, end: int) -> LaneError:
    """The error of a log that does not hold the offset that is to be read next."""
    if offset < first:
        return LaneError(
            f"{lane.text}: the log of topic {topic!r} begins at offset {first} now, above the stored progress "
            f"{offset}: its retention has dropped {first - offset} records that were never read; bring them back, or "
            "give the source a new topic"
        )
    return LaneError(
        f"{lane.text}: the log of topic {topic!r} ends at offset {end}, below the stored progress {offset}: records "
        "that were read before are lost; bring the log back, or give the source a new topic"
    )
