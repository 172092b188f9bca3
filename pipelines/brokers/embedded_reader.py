"""Readers of the embedded broker: a partition each."""

from __future__ import annotations

from typing import Protocol

import pyarrow as pa

from pipelines.envelope import RAW_SCHEMA, Envelope
from schemas.errors import LaneError
from schemas.lane import Lane
from transforms.columns import integers


class PartitionLog(Protocol):
    """What a reader asks of the embedded broker."""

    path: str

    def id(self, topic: str) -> str:
        """Id of a topic."""

    def ends(self, topic: str) -> dict[int, int]:
        """The next offset of each partition."""

    def read(self, topic: str, partition: int, offset: int, limit: int, id: str | None = None) -> pa.RecordBatch:
        """Records of a partition from an offset on."""


class EmbeddedReader:
    """Reads a partition of a topic; batches are of kind "raw".

    Args:
        topics: the broker; shared with other readers.
        topic: name of the topic.
    """

    def __init__(self, topics: PartitionLog, topic: str) -> None:
        self._topics, self._topic = topics, topic
        self._lane: Lane | None = None
        self._offset = 0

    def open(self, lane: Lane, offset: int) -> None:
        """Begins at an offset.

        Raises:
            LaneError: the topic has another id than the lane, no such partition, or ends before the offset.
        """
        name = self._topics.id(self._topic)
        if name != lane.id:
            raise LaneError(
                f"{lane.text}: topic {self._topic!r} was deleted and created again: its id is {name} now; "
                "it is another lane, apply finds it"
            )
        end = self._topics.ends(self._topic).get(lane.number)
        if end is None:
            raise LaneError(f"{lane.text}: topic {self._topic!r} has no partition {lane.number}")
        if offset > end:
            raise LaneError(
                f"{lane.text}: the log of topic {self._topic!r} ends at offset {end}, below the stored progress "
                f"{offset}: records that were read before are lost; restore the file {self._topics.path}"
            )
        self._lane, self._offset = lane, offset

    def poll(self, limit: int) -> list[pa.RecordBatch]:
        """The next records, or none."""
        lane = self._lane
        if lane is None:
            raise ValueError("the reader is not open")
        records = self._topics.read(self._topic, lane.number, self._offset, limit, lane.id)
        if not records.num_rows:
            return []
        offsets = integers(records.column("_offset"))
        start, end = self._offset, int(offsets[-1]) + 1
        if int(offsets[0]) != start or end - start != len(offsets):
            raise LaneError(
                f"{lane.text}: of the offsets {start} to {end - 1} of topic {self._topic!r} only {len(offsets)} are "
                f"there, from {int(offsets[0])} on; restore the file {self._topics.path}"
            )
        self._offset = end
        envelope = Envelope("raw", lane.source, "", "", "", lane, start, end)
        return [envelope.attach(records.select(RAW_SCHEMA.names))]

    def close(self) -> None:
        """Forgets the lane; the broker stays open for others."""
        self._lane = None
