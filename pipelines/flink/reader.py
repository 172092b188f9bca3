"""The reader on Flink: native ticks, a key for each subtask, and a poll of its lanes with every tick.

No position is kept in Flink's state: a poll goes on where its process is, and a process that begins, or begins again
after an error, starts where the stores are. So checkpoints hold nothing, and there is nothing in them to go wrong.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from typing import Any

import apache_beam as beam
import pyarrow as pa
from apache_beam.io.flink.flink_streaming_impulse_source import FlinkStreamingImpulseSource
from apache_beam.transforms.userstate import ReadModifyWriteStateSpec

from pipelines.flink.attendance import attend
from pipelines.flink.slots import dealt, slot_keys
from pipelines.flink.ticks import INTERVAL, Ticks, tick
from pipelines.reader import read_lanes
from pipelines.restriction import Vector
from pipelines.work import JobRef, Work

_TICKS: dict[tuple[str, bytes], Ticks] = {}
_PROCESS = uuid.uuid4().bytes


class TickedLanes(beam.PTransform[Any, Any]):
    """All lanes of a job as one PCollection of batches, each lane polled by one subtask; the root of the graph.

    Args:
        job: the job.
        parallelism: subtasks that the lanes are dealt to.
    """

    def __init__(self, job: JobRef, parallelism: int) -> None:
        super().__init__()
        self._job = job
        self._parallelism = min(parallelism, max(len(job.lanes), 1))
        self._keys = slot_keys(parallelism)[: self._parallelism]

    def expand(self, pipeline: Any) -> Any:
        names = dealt([task.lane.text for task in self._job.lanes], self._parallelism)
        # Each of Flink's subtasks has a source of its own.
        source = FlinkStreamingImpulseSource()
        source.config = {"interval_ms": INTERVAL * len(self._keys) // 1000}
        ticks = pipeline | "ticks" >> source
        keyed = ticks | "slots" >> beam.ParDo(Slots(self._keys)).with_output_types(tuple[bytes, bytes])
        slots = dict(zip(self._keys, names, strict=True))
        return keyed | "poll" >> beam.ParDo(Poll(self._job, slots)).with_output_types(pa.RecordBatch)


class Slots(beam.DoFn):
    """One tick for every slot."""

    def __init__(self, keys: list[bytes]) -> None:
        self._keys = keys

    def process(self, element: bytes) -> Iterator[tuple[bytes, bytes]]:
        given = tick(_PROCESS, time.time_ns() // 1000)
        for key in self._keys:
            yield key, given


class Poll(beam.DoFn):
    """Reads the lanes of a slot for a moment; stateful, though it keeps nothing, so that one subtask has each slot.

    Args:
        job: the job.
        slots: texts of lanes by key.
    """

    ONE_SUBTASK = ReadModifyWriteStateSpec("one_subtask", beam.coders.BytesCoder())

    def __init__(self, job: JobRef, slots: dict[bytes, tuple[str, ...]]) -> None:
        self._job, self._slots = job, slots
        self._polled: list[bytes] = []

    def start_bundle(self) -> None:
        self._polled = []

    def process(
        self,
        element: tuple[bytes, bytes],
        one_subtask: Any = beam.DoFn.StateParam(ONE_SUBTASK),  # noqa: B008
    ) -> list[pa.RecordBatch]:
        slot, given = element
        with self._job.open().alone() as work:
            # Ticks that queued come many to a bundle: one poll does for all of them.
            if slot in self._polled or not self._ticks(slot).due(given, work.clock.now()):
                return []
            self._polled.append(slot)
            names = self._slots[slot]
            attend(work, names, first=slot == min(self._slots))
            return list(read_lanes(work, _Lanes(work, names), bounded=False))

    def finish_bundle(self) -> None:
        with self._job.open().alone() as work:
            for slot in self._polled:
                if work.job.ends and work.feed.caught_up(self._slots[slot]):
                    work.flush_online(everything=True)
                    work.flush_offline(everything=True)
                self._ticks(slot).done(work.clock.now())

    def _ticks(self, slot: bytes) -> Ticks:
        return _TICKS.setdefault((self._job.name, slot), Ticks())


class _Lanes:
    """Lanes of a slot in the place of a restriction: they are where the feed is."""

    def __init__(self, work: Work, names: tuple[str, ...]) -> None:
        self._feed, self._names = work.feed, names

    def current_restriction(self) -> Vector | None:
        return tuple((name, self._feed.positions[name]) for name in self._names)

    def try_claim(self, position: tuple[str, int] | None) -> bool:
        return True

    def defer_remainder(self, delay: Any) -> None:
        """The next tick goes on."""
