"""Envelopes: what a batch in the pipeline carries, of which lane, from which offset to which."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from typing import Any

import pyarrow as pa

from schemas.lane import Lane
from serving.tables import dead_table, events_table, rows_table

KINDS = ("raw", "events", "rows", "dead")
_METADATA = b"twinbeam.envelope"

TIME = pa.timestamp("us", "UTC")
_LANE: pa.Field[Any] = pa.field("_lane", pa.string(), nullable=False)
_OFFSET: pa.Field[Any] = pa.field("_offset", pa.int64(), nullable=False)
_PART: pa.Field[Any] = pa.field("_part", pa.int32(), nullable=False)
_ARRIVAL: pa.Field[Any] = pa.field("_arrival", TIME, nullable=False)
_KEY: pa.Field[Any] = pa.field("key", pa.binary())
_VALUE: pa.Field[Any] = pa.field("value", pa.binary())
_REASON: pa.Field[Any] = pa.field("reason", pa.string(), nullable=False)
_VIEW: pa.Field[Any] = pa.field("view", pa.string())

RAW_SCHEMA = pa.schema([_OFFSET, _ARRIVAL, _KEY, _VALUE])
LOG_COLUMNS = (_LANE, _OFFSET, _PART, _ARRIVAL)
DEAD_SCHEMA = pa.schema([_REASON, _VALUE, _KEY, _VIEW, _LANE, _OFFSET, _ARRIVAL])


@dataclass(frozen=True)
class Envelope:
    """What a batch is and which offsets of its lane it covers, rows or none.

    Batches of one lane and one (table, scope) are contiguous: the start of the next is the end of the one before;
    every offset of the batch lies in `start <= offset < end`, and all parts of one offset are in one batch.

    Attributes:
        kind: one of `KINDS`: undecoded log records, events of a source, rows of a view, or dead letters.
        source: name of the source.
        view: name of the view for kind "rows" and for the dead letters of a view, else empty.
        table: offline table that the batch is appended to; empty for kind "raw".
        scope: progress within the table: empty, or `<view>/<rows fingerprint>` for the dead letters of a view.
        lane: the lane it was read from.
        start: first offset covered.
        end: offset after the last one covered.
    """

    kind: str
    source: str
    view: str
    table: str
    scope: str
    lane: Lane
    start: int
    end: int

    def attach(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The same batch with this envelope in its schema's metadata."""
        metadata = dict(batch.schema.metadata or {})
        metadata[_METADATA] = json.dumps(asdict(self), ensure_ascii=False).encode()
        return batch.replace_schema_metadata(metadata)

    @staticmethod
    def of(batch: pa.RecordBatch) -> Envelope:
        """Envelope that a batch carries.

        Raises:
            ValueError: it carries none.
        """
        text = (batch.schema.metadata or {}).get(_METADATA)
        if text is None:
            raise ValueError(f"the batch has no envelope: columns {', '.join(batch.schema.names)}")
        content = json.loads(text)
        return Envelope(**{**content, "lane": Lane(**content["lane"])})

    def events(self) -> Envelope:
        """Envelope of the events decoded from the same offsets."""
        return replace(self, kind="events", view="", table=events_table(self.source), scope="")

    def dead(self, view: str = "", rows_fingerprint: str = "") -> Envelope:
        """Envelope of the dead letters of the same offsets: of the decoding, or of a view."""
        scope = f"{view}/{rows_fingerprint}" if view else ""
        return replace(self, kind="dead", view=view, table=dead_table(self.source), scope=scope)

    def rows(self, view: str, rows_fingerprint: str) -> Envelope:
        """Envelope of a view's rows made from the same offsets."""
        return replace(self, kind="rows", view=view, table=rows_table(view, rows_fingerprint), scope="")
