"""The heartbeat of runs: which are alive, told by cells that every run renews in the online store.

A run keeps one cell of the entity `_runs`: a slot, numbered where other cells have their tile, whose version is the
time of the beat; so a beat is a join like every other write, and any online store can hold it. A slot whose run has
ended, or fallen silent, is taken by the next run: there are never many more slots than runs alive at once, and all of
them are one read. Two runs that took one slot at the same time see it at the next beat, and the loser takes another.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import threading
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import numpy as np

from pipelines.clock import Clock
from schemas.errors import TwinbeamError
from serving.stores.base import CellReader, OnlineStore, Slice
from transforms.cells import Cells

LOG = logging.getLogger("twinbeam.heartbeat")
ENTITY = "_runs"
KEY = b"runs"
INTERVAL = 3_000_000
MISSED = 3
SLOTS = 64
_FAREWELL_SECONDS = 5.0
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class RunStatus:
    """A run that is alive, as of its last beat.

    Attributes:
        run: its unique name.
        kind: "batch" or "stream".
        host: name of the machine that launched it.
        pid: process there.
        sources: names of the sources that it reads.
        started: when it began to read.
        beat: when it was last heard of.
        events: events taken in so far.
        rate: events a second between its last two beats.
        lag: records of its topics not read yet, or None if it reads none.
        metrics: URL of its metrics, or None if it serves none.
    """

    run: str
    kind: str
    host: str
    pid: int
    sources: tuple[str, ...]
    started: datetime
    beat: datetime
    events: int
    rate: float
    lag: int | None
    metrics: str | None


@dataclass(frozen=True)
class _Slot:
    """What a slot holds: a run's last beat (µs) and the rest of it as JSON has it."""

    version: int
    beat: int
    content: dict[str, Any]

    @property
    def run(self) -> str:
        return str(self.content["run"])

    def alive(self, now: int) -> bool:
        """Whether its run has not said that it ended, and was heard of not long ago."""
        return not self.content["ended"] and now - self.beat <= MISSED * INTERVAL


def alive_runs(store: CellReader, now: int) -> list[RunStatus]:
    """Runs that are alive, the oldest first.

    A run that was killed counts as alive until it has missed a few beats.

    Args:
        store: the online store.
        now: µs.
    """
    slots = sorted(_slots(store).values(), key=lambda slot: slot.beat)
    newest = {slot.run: slot for slot in slots}
    found = [_status(slot) for slot in newest.values() if slot.alive(now)]
    return sorted(found, key=lambda status: (status.started, status.run))


class Heartbeat:
    """Beats of one run; for one thread.

    Args:
        run: unique name of the run.
        kind: "batch" or "stream".
        sources: names of the sources that it reads.
        clock: tells the time.
        counts: events taken in so far, and the lag if it is known.
        metrics: URL of the process's metrics, or None.
    """

    def __init__(
        self,
        run: str,
        kind: str,
        sources: Sequence[str],
        clock: Clock,
        counts: Callable[[], tuple[int, int | None]],
        metrics: str | None = None,
    ) -> None:
        self._run, self._clock, self._counts = run, clock, counts
        self._slot: int | None = None
        self._last = (clock.elapsed(), 0)
        self._content = {
            "run": run,
            "kind": kind,
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "sources": sorted(sources),
            "started": clock.now(),
            "metrics": metrics,
        }

    def beat(self, store: OnlineStore, ended: bool) -> None:
        """Renews the run's slot, once its entity was prepared.

        Raises:
            StoreError: the store cannot be read or written.
        """
        events, lag = self._counts()
        now, slots = self._clock.now(), _slots(store)
        if self._slot is None or self._lost(slots, self._slot, now):
            first = zlib.crc32(self._run.encode())
            order = ((first + step) % SLOTS if step < SLOTS else step for step in count())
            self._slot = next(slot for slot in order if not self._lost(slots, slot, now))
        before = slots.get(self._slot)
        # A clock that went back, here or on the machine that had the slot before, must not make the beat an old one.
        version = now if before is None else max(now, before.version + 1)
        counts = {"events": events, "rate": self._rate(events), "lag": lag}
        content = json.dumps(self._content | counts | {"beat": now, "ended": ended})
        places = np.array([self._slot], np.int64)
        store.write(ENTITY, [Cells(ENTITY, "", [KEY], places, np.array([version], np.int64), [content.encode()])])

    def keep(self, open_store: Callable[[], OnlineStore], over: threading.Event) -> None:
        """Beats until the run is over, and then a last time; what fails is logged once and tried again.

        Args:
            open_store: opens the online store.
            over: set when the run has ended.
        """
        store: OnlineStore | None = None
        told = False
        while True:
            ended = over.is_set()
            try:
                if store is None:
                    store = open_store()
                    store.prepare([ENTITY])
                self.beat(store, ended)
            except TwinbeamError as error:
                if not told:
                    LOG.warning("`twinbeam status` does not see this run, which goes on: %s", error)
                told = True
            if ended:
                break
            over.wait(INTERVAL / 1e6)
        if store is not None:
            store.close()

    def _rate(self, events: int) -> float:
        """Events a second since the beat before."""
        elapsed, (then, before) = self._clock.elapsed(), self._last
        self._last = (elapsed, events)
        return (events - before) / (elapsed - then) * 1e6 if elapsed > then else 0.0

    def _lost(self, slots: dict[int, _Slot], place: int, now: int) -> bool:
        """Whether a slot belongs to another run that is alive."""
        slot = slots.get(place)
        return slot is not None and slot.run != self._run and slot.alive(now)


@contextmanager
def beating(heartbeat: Heartbeat, open_store: Callable[[], OnlineStore]) -> Iterator[None]:
    """Says that a run is alive while the block lasts; a store that cannot be written never fails it nor holds it up."""
    over = threading.Event()
    thread = threading.Thread(target=heartbeat.keep, args=(open_store, over), name="twinbeam-heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(_FAREWELL_SECONDS)


def _slots(store: CellReader) -> dict[int, _Slot]:
    found = store.read(ENTITY, [KEY], [Slice(ENTITY, 0)])
    slots = {}
    for place, version, blob in zip(found.tile.tolist(), found.version.tolist(), found.blob, strict=True):
        content = json.loads(blob)
        slots[place] = _Slot(version, content["beat"], content)
    return slots


def _status(slot: _Slot) -> RunStatus:
    content = slot.content
    return RunStatus(
        content["run"],
        content["kind"],
        content["host"],
        content["pid"],
        tuple(content["sources"]),
        _instant(content["started"]),
        _instant(slot.beat),
        content["events"],
        content["rate"],
        content["lag"],
        content["metrics"],
    )


def _instant(time: int) -> datetime:
    return _EPOCH + timedelta(microseconds=time)
