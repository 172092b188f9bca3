"""What decoding gives: the events that fit, and what is wrong with those that do not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Decoded:
    """Events decoded from n values.

    Attributes:
        events: the source's fields, one row for each good value, in their order.
        good: int64[events.num_rows], ascending indices of the good values.
        bad: (index, reason) of the others, ascending.
    """

    events: pa.RecordBatch
    good: Ints
    bad: list[tuple[int, str]]


class Decoder(Protocol):
    """Decodes the values of a topic by the encoding of its source."""

    def decode(self, values: pa.BinaryArray) -> Decoded:
        """Events of n values; a null value is bad. A bad value never changes what its neighbours become."""


@dataclass(frozen=True)
class Column:
    """One field of n values, some of which may not fit.

    Attributes:
        values: `pa.Array[n]` of the field's type; anything where a value does not fit.
        bad: index -> reason of the values that do not fit.
    """

    values: pa.Array
    bad: Mapping[int, str]


def gather(schema: pa.Schema, columns: Sequence[Column], bad: Mapping[int, str], event_time: str | None) -> Decoded:
    """Decoded events of columns, each of n values.

    A value is bad for the first reason found: its own, then its fields' in their order, then a null event time.

    Args:
        schema: of the events; its fields are the columns.
        columns: one of each field.
        bad: index -> reason of values that are bad as a whole.
        event_time: name of the field that must not be null, or None.
    """
    reasons = dict(bad)
    for column in columns:
        for index, reason in column.bad.items():
            reasons.setdefault(index, reason)
    if event_time is not None and event_time in schema.names:
        times = columns[schema.get_field_index(event_time)].values
        if times.null_count:
            for index in np.flatnonzero(times.is_null().to_numpy(zero_copy_only=False)).tolist():
                reasons.setdefault(index, f"{event_time}: null, but an event needs its event time")
    count = len(columns[0].values)
    arrays: list[Any] = [column.values for column in columns]
    good = np.arange(count)
    if reasons:
        keep = np.ones(count, np.bool_)
        keep[list(reasons)] = False
        good = np.flatnonzero(keep)
        arrays = [array.take(pa.array(good)) for array in arrays]
    return Decoded(pa.RecordBatch.from_arrays(arrays, schema=schema), good, sorted(reasons.items()))


def merge(parts: Sequence[tuple[Ints, Decoded]], schema: pa.Schema) -> Decoded:
    """One result of several: part k decoded the values at the given indices (ascending, each index in one part)."""
    if len(parts) == 1:
        where, part = parts[0]
        return Decoded(part.events, where[part.good], [(int(where[index]), reason) for index, reason in part.bad])
    good = np.concatenate([np.zeros(0, np.int64), *(where[part.good] for where, part in parts)])
    bad = sorted((int(where[index]), reason) for where, part in parts for index, reason in part.bad)
    tables = [part.events for _, part in parts if part.events.num_rows]
    if not tables:
        return Decoded(empty(schema), good, bad)
    events = pa.concat_batches(tables)
    order = np.argsort(good, kind="stable")
    if not np.array_equal(order, np.arange(len(order))):
        events = events.take(pa.array(order))
    return Decoded(events, good[order], bad)


def empty(schema: pa.Schema) -> pa.RecordBatch:
    """Batch of a schema without rows."""
    return pa.RecordBatch.from_arrays([pa.array([], field.type) for field in schema], schema=schema)
