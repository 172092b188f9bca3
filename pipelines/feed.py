"""The feed of a run: all its lanes, read in turns, each at its own offset."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa

from pipelines.envelope import Envelope
from pipelines.lanes.base import LaneReader
from schemas.lane import Lane

_FIRST = {"dead": 0}


@dataclass(frozen=True)
class LaneTask:
    """What a run reads of one lane.

    Attributes:
        lane: the lane.
        start: first offset.
        seam: offset below which it is read from the offline store's events, and from which on from its own log.
        end: offset at which the run has caught up; a bounded run ends there.
        live: whether its own log is read at all.
    """

    lane: Lane
    start: int
    seam: int
    end: int
    live: bool


Open = Callable[[LaneTask, bool], LaneReader]


class Feed:
    """Reads the lanes of a run in turns, at most so many records of each per turn.

    Args:
        tasks: the lanes.
        open_reader: makes a reader for a lane: of its own log, or (true) of the events offline.
    """

    def __init__(self, tasks: Sequence[LaneTask], open_reader: Open) -> None:
        self._tasks = {task.lane.text: task for task in tasks}
        self._open_reader = open_reader
        self._readers: dict[str, tuple[bool, LaneReader]] = {}
        self._names = deque(self._tasks)
        self.positions = {name: task.start for name, task in self._tasks.items()}

    def seek(self, positions: Sequence[tuple[str, int]]) -> None:
        """Goes to offsets; a lane that is there already goes on as it is."""
        for name, offset in positions:
            if self.positions[name] != offset:
                self._close(name)
                self.positions[name] = offset

    def next_lane(self, among: Container[str] | None = None) -> str:
        """Name of the lane whose turn it is, of all or some; each comes once before any comes again."""
        self._names.rotate(-1)
        while among is not None and self._names[-1] not in among:
            self._names.rotate(-1)
        return self._names[-1]

    def turn(self, name: str, limit: int) -> Iterator[pa.RecordBatch]:
        """The next batches of one lane, about `limit` records at most; none if it has nothing now."""
        task, offset = self._tasks[name], self.positions[name]
        if offset >= task.seam and not task.live:
            return
        past = offset < task.seam
        reader = self._reader(task, past, offset)
        batches = reader.poll(limit)
        envelopes = [Envelope.of(batch) for batch in batches]
        if envelopes:
            self.positions[name] = max(envelope.end for envelope in envelopes)
        for _, batch in sorted(
            zip(envelopes, batches, strict=True), key=lambda pair: (pair[0].start, _FIRST.get(pair[0].kind, 1))
        ):
            yield batch

    def caught_up(self, among: Container[str] | None = None) -> bool:
        """Whether every lane, of all or some, has reached the offset that it is to reach."""
        return all(
            self.positions[name] >= task.end for name, task in self._tasks.items() if among is None or name in among
        )

    def close(self) -> None:
        """Closes every reader."""
        for name in list(self._readers):
            self._close(name)

    def _reader(self, task: LaneTask, past: bool, offset: int) -> LaneReader:
        known = self._readers.get(task.lane.text)
        if known is not None and known[0] == past:
            return known[1]
        self._close(task.lane.text)
        reader = self._open_reader(task, past)
        reader.open(task.lane, offset)
        self._readers[task.lane.text] = (past, reader)
        return reader

    def _close(self, name: str) -> None:
        known = self._readers.pop(name, None)
        if known is not None:
            known[1].close()
