"""Lanes read back: events of a lane as the offline store keeps them, in offset order, up to the stored position."""

from __future__ import annotations

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.envelope import Envelope
from pipelines.lanes.base import events_batch
from schemas.errors import EventError, LaneError
from schemas.lane import Lane
from schemas.source import Source
from serving.stores.offline import OfflineStore
from serving.tables import events_table
from transforms.columns import integers
from transforms.encodings.frames import arrow_columns, column_events

CHUNK_OFFSETS = 250_000


class EventsReader:
    """Reads the events of a lane below the position that `events/<source>` had when it was opened.

    Whether the lane's own log still holds them does not matter. Offsets are read in spans, so that memory is bounded.
    Fields that the source has got since are null.

    Args:
        offline: the offline store; shared with other readers.
        source: the source.
    """

    def __init__(self, offline: OfflineStore, source: Source) -> None:
        self._offline, self._source = offline, source
        self._table = events_table(source.name)
        self._lane: Lane | None = None
        self._offset = 0
        self._end = 0
        self._span_end = 0
        self._held = pa.table({})

    def open(self, lane: Lane, offset: int) -> None:
        """Begins at an offset.

        Raises:
            LaneError: the stored position of the lane is below the offset.
        """
        end = self._offline.positions(self._table).get((lane.text, ""), 0)
        if offset > end:
            raise LaneError(f"{lane.text}: {self._table} ends at offset {end}, below the stored progress {offset}")
        self._lane, self._offset, self._end, self._held = lane, offset, end, pa.table({})

    def poll(self, limit: int) -> list[pa.RecordBatch]:
        """The next events, or none once the position is reached.

        Raises:
            LaneError: a stored column does not fit the source as it is declared now.
        """
        lane = self._lane
        if lane is None:
            raise ValueError("the reader is not open")
        if self._offset >= self._end:
            return []
        if not self._held.num_rows:
            self._held = self._next_rows(lane)
        rows, self._held = self._held.slice(0, limit), self._held.slice(limit)
        start = self._offset
        # Up to the next event there is nothing but what was no event.
        self._offset = int(integers(rows.column("_offset"))[-1]) + 1 if self._held.num_rows else self._span_end
        return [self._batch(Envelope("events", lane.source, "", "", "", lane, start, self._offset), rows)]

    def close(self) -> None:
        """Lets go of what is held."""
        self._lane, self._held = None, pa.table({})

    def _next_rows(self, lane: Lane) -> pa.Table:
        """Events of the first span of offsets that has any, and where the span ends; none at the end."""
        start = self._offset
        while start < self._end:
            self._span_end = min(start + CHUNK_OFFSETS, self._end)
            rows = self._read(None, lane, start, self._span_end)
            if rows.num_rows:
                return rows.sort_by("_offset")
            first = pc.min(self._read(["_offset"], lane, self._span_end, self._end).column("_offset")).as_py()
            start = self._end if first is None else int(first)
        self._span_end = self._end
        return self._offline.schema(self._table).empty_table()

    def _read(self, columns: list[str] | None, lane: Lane, start: int, end: int) -> pa.Table:
        """Stored events of a lane from an offset to another."""
        within = [("_lane", lane.text, lane.text), ("_offset", start, end - 1)]
        return self._offline.read(self._table, columns, _between(lane, start, end), within=within)

    def _batch(self, envelope: Envelope, rows: pa.Table) -> pa.RecordBatch:
        try:
            found = column_events(self._source, arrow_columns(rows), rows.num_rows, self._table)
        except EventError as error:
            raise LaneError(f"{envelope.lane.text}: stored events do not fit the source any more: {error}") from None
        kept = rows.take(pa.array(found.good))
        return events_batch(envelope, found.events, integers(kept.column("_offset")), integers(kept.column("_arrival")))


def _between(lane: Lane, start: int, end: int) -> pl.Expr:
    offset = pl.col("_offset")
    return (pl.col("_lane") == lane.text) & (offset >= start) & (offset < end)
