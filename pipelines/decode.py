"""Decoding and checks: log records become events of a source, or dead letters that say why not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.envelope import TIME, Envelope
from pipelines.lanes.base import dead_batch, events_batch
from pipelines.monitor import Monitor
from pipelines.progress import CHECKS
from schemas.durations import duration_text
from schemas.source import Source
from transforms.columns import integers
from transforms.encodings.confluent import Writers
from transforms.encodings.decoder import decoder
from transforms.encodings.json import encode_json

Ints = npt.NDArray[np.int64]
VALUE, KEY = "_value", "_key"


class Intake:
    """Takes records of one source's lanes: decodes them, checks their times, passes over the wrong side of a cutover.

    Events read back from the offline store were checked when they came, and pass.

    Args:
        source: the source.
        max_skew: µs by which an event may be later than its arrival.
        seams: lane text -> offset below which the lane is read from the offline store.
        monitor: counts what is passed over and what fails.
        writers: gives the schemas of a registry by id, or None without one.
    """

    def __init__(
        self,
        source: Source,
        max_skew: int,
        seams: Mapping[str, int],
        monitor: Monitor,
        writers: Writers | None = None,
    ) -> None:
        self._source, self._max_skew, self._seams, self._monitor = source, max_skew, seams, monitor
        self._decoder = decoder(source, writers)
        self._cutover = source.cutover_time
        assert source.event_time is not None
        self._event_time = source.event_time

    def take(self, batch: pa.RecordBatch, envelope: Envelope) -> Iterator[pa.RecordBatch]:
        """Batches that follow from one of the reader's: dead letters first, then events.

        Events of a topic carry their records' bytes along in the columns `_value` and `_key`.
        """
        if envelope.kind == "raw":
            yield from self._decode(batch, envelope)
        elif envelope.kind == "events" and envelope.end > self._seams.get(envelope.lane.text, 0):
            yield from self._check(batch, envelope)
        else:
            if envelope.kind == "dead":
                self._monitor.dead_letters += batch.num_rows
            yield batch

    def _decode(self, batch: pa.RecordBatch, envelope: Envelope) -> Iterator[pa.RecordBatch]:
        decoded = self._decoder.decode(batch.column("value"))
        if decoded.bad:
            reasons = [reason for _, reason in decoded.bad]
            yield self._dead(batch, envelope, np.asarray([index for index, _ in decoded.bad], np.int64), reasons)
        good = batch if len(decoded.good) == batch.num_rows else batch.take(pa.array(decoded.good))
        arrivals = integers(good.column("_arrival"))
        events = events_batch(envelope, decoded.events, integers(good.column("_offset")), arrivals)
        events = events.append_column(VALUE, good.column("value")).append_column(KEY, good.column("key"))
        yield from self._check(events, envelope)

    def _check(self, batch: pa.RecordBatch, envelope: Envelope) -> Iterator[pa.RecordBatch]:
        batch = self._arrived(batch)
        times = batch.column(self._event_time)
        known = times.is_valid().to_numpy(zero_copy_only=False)
        instants = integers(times.fill_null(0))
        arrivals = integers(batch.column("_arrival"))
        skipped = known & self._other_side(instants, envelope.lane.kind)
        late = known & ~skipped & (instants > arrivals + self._max_skew)
        dead = np.flatnonzero(~known | late)
        if len(dead):
            reasons = [self._reason(bool(known[i]), int(instants[i]), int(arrivals[i])) for i in dead]
            yield self._dead(batch, envelope, dead, reasons, CHECKS)
        self._monitor.skipped += int(skipped.sum())
        keep = known & ~skipped & ~late
        events = batch if keep.all() else batch.filter(pa.array(keep))
        yield envelope.events().attach(_not_null(events, self._event_time))

    def _arrived(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The batch with the source's own arrival time, where it has one."""
        name = self._source.arrival_time
        if name is None:
            return batch
        arrival = pc.coalesce(batch.column(name).cast(TIME), batch.column("_arrival"))
        return batch.set_column(batch.schema.get_field_index("_arrival"), batch.schema.field("_arrival"), arrival)

    def _other_side(self, instants: Ints, kind: str) -> npt.NDArray[np.bool_]:
        if self._cutover is None or kind not in ("files", "topic"):
            return np.zeros(len(instants), np.bool_)
        return instants >= self._cutover if kind == "files" else instants < self._cutover

    def _reason(self, known: bool, instant: int, arrival: int) -> str:
        if not known:
            return f"event time {self._event_time} is null"
        limit = duration_text(self._max_skew)
        return f"event time {_iso(instant)} is later than its arrival {_iso(arrival)} by more than max_skew = {limit}"

    def _dead(
        self, batch: pa.RecordBatch, envelope: Envelope, at: Ints, reasons: list[str], scope: str | None = None
    ) -> pa.RecordBatch:
        self._monitor.dead_letters += len(at)
        rows = batch.take(pa.array(at))
        if envelope.kind == "raw" and VALUE not in batch.schema.names:
            values, keys = rows.column("value").to_pylist(), rows.column("key").to_pylist()
        else:
            values, keys = originals(rows, self._source)
        dead = dead_batch(
            envelope, reasons, values, keys, integers(rows.column("_offset")), integers(rows.column("_arrival"))
        )
        return dead if scope is None else replace(envelope.dead(), scope=scope).attach(dead)


def originals(events: pa.RecordBatch, source: Source) -> tuple[list[bytes | None], list[bytes | None]]:
    """Values and keys of events as they came; for events of files, or read back, their JSON and no keys."""
    if VALUE in events.schema.names:
        return events.column(VALUE).to_pylist(), events.column(KEY).to_pylist()
    return list(encode_json(events.select(source.schema.names))), [None] * events.num_rows


def _not_null(events: pa.RecordBatch, name: str) -> pa.RecordBatch:
    at = events.schema.get_field_index(name)
    return events.cast(events.schema.set(at, events.schema.field(at).with_nullable(False)))


def _iso(instant: int) -> str:
    """ISO 8601 text of an instant (µs), of any year."""
    return str(np.datetime64(instant, "us")).rstrip("0").rstrip(".") + "Z"
