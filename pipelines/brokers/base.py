"""Ports of a broker: its topics, publishing to them, and reading their logs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from pipelines.lanes.base import LaneReader


class Topics(Protocol):
    """Names, ids and bounds of topics.

    Promise: a topic has an id of its own, one that is deleted and created again has another; the end of a partition
    never falls.
    """

    def create(self, topic: str, partitions: int) -> None:
        """Creates a topic; does nothing if it exists with as many partitions.

        Raises:
            StoreError: it exists with another number of partitions, or the number is below 1.
        """

    def names(self) -> list[str]:
        """Names of all topics, in order."""

    def id(self, topic: str) -> str:
        """Id of a topic.

        Raises:
            LaneError: there is no such topic.
        """

    def starts(self, topic: str, whole: bool = False) -> dict[int, int]:
        """Offset of each partition where a lane begins of which the stores hold nothing; empty if all begin at 0.

        Args:
            topic: name of an existing topic.
            whole: with the first record that is still there, whatever the broker's settings say.

        Raises:
            LaneError: there is no such topic.
        """

    def ends(self, topic: str) -> dict[int, int]:
        """The next offset of each partition: what lies below it can be read.

        Raises:
            LaneError: there is no such topic.
        """


class Publisher(Protocol):
    """Appends records to topics.

    Promise: a record that was acknowledged is kept; records of one key are in one partition, in the order sent.
    """

    def publish(
        self, topic: str, keys: Sequence[bytes | None], values: Sequence[bytes | None], *, now: int
    ) -> dict[int, int]:
        """Appends n records and returns when they are kept; a call that raises may have appended some of them.

        Args:
            topic: name of an existing topic.
            keys: n keys or None.
            values: n values.
            now: time of arrival, µs, for a broker without a clock of its own.

        Returns:
            The last offset written in each partition that got a record.

        Raises:
            LaneError: there is no such topic.
            StoreError: the broker cannot take them.
        """

    def replay(
        self, topic: str, ids: Sequence[str], keys: Sequence[bytes | None], values: Sequence[bytes | None], *, now: int
    ) -> tuple[int, dict[int, int]]:
        """Appends those of n records whose id was never replayed into this topic before.

        Args:
            topic: name of an existing topic.
            ids: n texts, for instance the lane and offset that a record came from.
            keys: n keys or None.
            values: n values.
            now: time of arrival, µs, for a broker without a clock of its own.

        Returns:
            How many were appended, and the last offset written in each partition that got one.

        Raises:
            LaneError: there is no such topic.
            StoreError: the broker cannot take them.
        """


class Logs(Protocol):
    """Readers of partitions; they share what the broker holds open, and are used by one thread at a time."""

    def reader(self, topic: str) -> LaneReader:
        """A reader of one partition of a topic."""

    def pulse(self) -> int | None:
        """Number that changes when a topic may have more, compared with earlier ones of the same object; or None."""

    def behind(self, topic: str, positions: Mapping[int, int]) -> dict[int, int]:
        """Records past positions of partitions that are read, as far as is known without waiting."""

    def commit(self, topic: str, offsets: Mapping[int, int]) -> None:
        """Tells the broker how far partitions are read, for its own tools to show; nothing is ever read from there."""

    def close(self) -> None:
        """Closes what is open; the next call opens it again."""


class Broker(Topics, Publisher, Logs, Protocol):
    """A broker: pickled by its settings, and opened in any process."""
