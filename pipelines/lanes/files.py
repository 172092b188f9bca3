"""Lanes of files: the files of a source that the manifest dealt to one lane, one after the other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa

from pipelines.envelope import Envelope
from pipelines.lanes.base import dead_batch, events_batch
from schemas.errors import LaneError
from schemas.lane import Lane
from schemas.source import Source
from serving.manifest import ROW_BITS, FileEntry
from transforms.encodings.decoded import empty
from transforms.encodings.file_batch import FileBatch
from transforms.encodings.files import read_file


def next_file(entry: FileEntry) -> int:
    """Offset at which the next file of an entry's lane begins, whether it is there yet or not."""
    return (entry.number + entry.lanes) << ROW_BITS


class FileReader:
    """Reads the files of one lane in the order of their numbers; row r of file n has the offset `n << 40 | r`.

    Batches are of kind "events", and of kind "dead" where rows do not fit. The batch that ends a file ends where the
    next file of the lane begins.

    Args:
        source: the source.
        entries: the manifest's files of the source, of all lanes.
    """

    def __init__(self, source: Source, entries: Sequence[FileEntry]) -> None:
        self._source = source
        self._entries = sorted(entries, key=lambda entry: entry.number)
        self._lane: Lane | None = None
        self._files: list[FileEntry] = []
        self._rows: Iterator[FileBatch] | None = None
        self._limit = 0
        self._offset = 0

    def open(self, lane: Lane, offset: int) -> None:
        """Begins at an offset.

        Raises:
            LaneError: the files are numbered in another generation, or end before the offset.
        """
        mine = [entry for entry in self._entries if entry.lane == lane]
        if self._entries and not any(entry.lane.id == lane.id for entry in self._entries):
            raise LaneError(
                f"{lane.text}: the files of source {lane.source!r} are numbered in generation "
                f"{self._entries[0].generation} now"
            )
        end = next_file(mine[-1]) if mine else 0
        if offset > end:
            raise LaneError(
                f"{lane.text}: its files end at offset {end}, below the stored progress {offset}: files that were "
                "read before are not in the manifest any more"
            )
        self._lane, self._offset = lane, offset
        self._files = [entry for entry in mine if next_file(entry) > offset]
        self._rows = None

    def poll(self, limit: int) -> list[pa.RecordBatch]:
        """The next rows of the file in turn, or none once all files are read.

        Raises:
            EventError: a file cannot be read, or a column is of a type that never fits.
        """
        lane = self._lane
        if lane is None:
            raise ValueError("the reader is not open")
        if not self._files:
            return []
        entry = self._files[0]
        if self._rows is None or self._limit != limit:
            row = max(self._offset - entry.start, 0)
            self._rows, self._limit = read_file(self._source, entry.path, row, limit), limit
        rows = next(self._rows, None)
        if rows is None:
            self._files, self._rows = self._files[1:], None
            return [self._end(lane, entry)]
        start, self._offset = self._offset, entry.start + rows.end_row
        return _batches(Envelope("events", lane.source, "", "", "", lane, start, self._offset), entry, rows)

    def close(self) -> None:
        """Lets go of the file."""
        self._lane, self._files, self._rows = None, [], None

    def _end(self, lane: Lane, entry: FileEntry) -> pa.RecordBatch:
        """Batch without rows from the end of a file to the beginning of the next."""
        start, self._offset = self._offset, next_file(entry)
        nothing = np.zeros(0, np.int64)
        envelope = Envelope("events", lane.source, "", "", "", lane, start, self._offset)
        return events_batch(envelope, empty(self._source.schema), nothing, nothing)


def _batches(envelope: Envelope, entry: FileEntry, rows: FileBatch) -> list[pa.RecordBatch]:
    first = entry.start + rows.start_row
    decoded = rows.decoded
    arrivals = np.full(len(decoded.good), entry.arrival, np.int64)
    batches = [events_batch(envelope, decoded.events, first + decoded.good, arrivals)]
    if decoded.bad:
        at = np.asarray([index for index, _ in decoded.bad], np.int64)
        raw = [rows.raw(index) for index, _ in decoded.bad]
        reasons = [f"{entry.path}: row {rows.start_row + index}: {reason}" for index, reason in decoded.bad]
        keys: list[bytes | None] = [None] * len(at)
        batches.insert(0, dead_batch(envelope, reasons, raw, keys, first + at, np.full(len(at), entry.arrival)))
    return batches
