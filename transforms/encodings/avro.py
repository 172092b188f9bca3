"""Avro values of a topic: bare datums, or datums behind a Confluent header, decoded field by field across values.

The decoder is our own, since a value that is wrong must be named and must not touch its neighbours: fastavro reads a
union branch of -1 as the last branch, a boolean byte of 7 as true and a varint of eleven bytes as a number, and the
vectorised readers of other libraries fail for a whole block. All of these are bad values here.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from schemas.source import Source
from transforms.encodings.avro_cursor import Cursor
from transforms.encodings.avro_nested import read_members
from transforms.encodings.avro_plan import Plan
from transforms.encodings.decoded import Column, Decoded, gather

HEADER = 5


class AvroDecoder:
    """Decodes datums of the source's Avro schema; every byte of a value has to be used."""

    def __init__(self, source: Source, confluent: bool = False) -> None:
        self._schema = source.schema
        self._event_time = source.event_time
        self._plan = Plan(source.avro_schema, source.resolved_fields)
        self._skip = HEADER if confluent else 0

    def decode(self, values: pa.BinaryArray) -> Decoded:
        """Events of n values."""
        cursor = Cursor.over(values, self._skip)
        bad = self._headless(values, cursor)
        arrays = read_members(cursor, self._plan.members)
        cursor.finish()
        if cursor.failed:
            for row in np.flatnonzero(cursor.fault).tolist():
                reason = self._plan.reason(int(cursor.fault[row]), int(cursor.place[row]), int(cursor.detail[row]))
                bad.setdefault(row, reason)
        return gather(self._schema, [Column(array, {}) for array in arrays], bad, self._event_time)

    def _headless(self, values: pa.BinaryArray, cursor: Cursor) -> dict[int, str]:
        """Values that are null, or lack the header of a schema registry."""
        bad: dict[int, str] = {}
        if values.null_count:
            absent = np.flatnonzero(values.is_null().to_numpy(zero_copy_only=False))
            bad = dict.fromkeys(absent.tolist(), "the record has no value")
        if self._skip:
            wrong = (cursor.fault != 0) | (cursor.data[cursor.at - self._skip] != 0)
            for row in np.flatnonzero(wrong).tolist():
                bad.setdefault(row, "the value lacks a schema registry's header: a zero byte and 4 bytes of schema id")
        return bad
