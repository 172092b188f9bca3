"""Port of lane readers, and the batches that they hand on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipelines.envelope import DEAD_SCHEMA, LOG_COLUMNS, TIME, Envelope
from schemas.lane import Lane

Ints = npt.NDArray[np.int64]


class LaneReader(Protocol):
    """Reads one lane in offset order; one instance reads one lane and is used by one thread at a time.

    Promise: every batch carries its `Envelope`; those of kind "raw" or "events" are contiguous from the offset given to
    `open` on, one of kind "dead" covers the same offsets as the one that follows it and is there only if something is
    dead; offsets ascend; reading again from an offset gives the same records again. A batch of kind "raw" has
    `RAW_SCHEMA`; one of kind "events" has the source's fields and `LOG_COLUMNS`; one of kind "dead" has `DEAD_SCHEMA`.
    """

    def open(self, lane: Lane, offset: int) -> None:
        """Begins at the offset, which need not exist yet if it is the end of the log.

        Raises:
            LaneError: the log is not the lane's any more, or it does not reach to the offset or from it.
        """

    def poll(self, limit: int) -> list[pa.RecordBatch]:
        """The next batches, of about `limit` offsets at most; never waits.

        An empty list says that everything that the log held at the call has been delivered; of a broker that has to be
        asked over a network, that nothing is at hand yet: `Topics.ends` tells how far its log reaches.

        Raises:
            LaneError: the log contradicts what was read of it before.
            StoreError: the log cannot be read now.
        """

    def close(self) -> None:
        """Gives back what `open` took; may be called twice."""


def event_schema(fields: pa.Schema) -> pa.Schema:
    """Schema of an events batch: the source's fields, then `LOG_COLUMNS`."""
    return pa.schema([*fields, *LOG_COLUMNS])


def events_batch(envelope: Envelope, events: pa.RecordBatch, offsets: Ints, arrivals: Ints) -> pa.RecordBatch:
    """Events batch of n decoded events.

    Args:
        envelope: any envelope of the offsets covered.
        events: the source's fields of the n events.
        offsets: int64[n], ascending.
        arrivals: int64[n], µs.
    """
    count = events.num_rows
    columns = [
        *events.columns,
        pa.repeat(pa.scalar(envelope.lane.text), count),
        pa.array(offsets),
        pa.array(np.zeros(count, np.int32)),
        pa.array(arrivals).cast(TIME),
    ]
    batch = pa.RecordBatch.from_arrays(columns, schema=event_schema(events.schema.remove_metadata()))
    return envelope.events().attach(batch)


def dead_batch(
    envelope: Envelope,
    reasons: Sequence[str],
    values: Sequence[bytes | None],
    keys: Sequence[bytes | None],
    offsets: Ints,
    arrivals: Ints,
) -> pa.RecordBatch:
    """Dead-letter batch of n events that could not be decoded.

    Args:
        envelope: any envelope of the offsets covered.
        reasons: n texts that say what is wrong.
        values: the n values as they came.
        keys: the n keys as they came.
        offsets: int64[n], ascending.
        arrivals: int64[n], µs.
    """
    columns: list[Any] = [
        pa.array(reasons, pa.string()),
        pa.array(values, pa.binary()),
        pa.array(keys, pa.binary()),
        pa.nulls(len(reasons), pa.string()),
        pa.repeat(pa.scalar(envelope.lane.text), len(reasons)),
        pa.array(offsets, pa.int64()),
        pa.array(arrivals, pa.int64()).cast(TIME),
    ]
    return envelope.dead().attach(pa.RecordBatch.from_arrays(columns, schema=DEAD_SCHEMA))
