"""CSV files of events: a line of column names, then a line per event (lines may go on within quotes)."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from schemas.errors import EventError
from schemas.source import Source
from transforms.encodings.arrow_columns import NO_TEXT, strings, true
from transforms.encodings.decoded import Column, Decoded, empty, gather
from transforms.encodings.file_access import damage, open_file
from transforms.encodings.file_batch import FileBatch, row_json
from transforms.encodings.frames import fields_there
from transforms.encodings.text_columns import text_column

FORM = "CSV"
BLOCK_BYTES = 8 << 20
_MARK = b"\xef\xbb\xbf"
_LONGEST_HEAD = 1 << 20
_FIRST_ROW = 2

Ints = npt.NDArray[np.int64]


def read_csv(source: Source, path: str, start_row: int, batch_rows: int) -> Iterator[FileBatch]:
    """Rows of a CSV file from `start_row` on; blank lines are none; a row with too few or many values is bad."""
    names = fields_there(source, _head(path), path)
    odd: dict[int, _OddLine] = {}

    def note(line: Any) -> str:
        text = line.text.encode("latin-1").decode("utf-8", "backslashreplace")
        odd[line.number - _FIRST_ROW] = _OddLine(text, line.actual_columns, line.expected_columns)
        return "skip"

    row = 0
    with open_file(path) as content:
        with damage(path, FORM):
            reader = _open(content, names, note)
        while True:
            with damage(path, FORM):
                block = _next(reader)
            if block is None:
                break
            places = _places(row, block.num_rows, odd)
            if len(places):
                yield from _cut(
                    _Block(source, names, block, places, odd), row, int(places[-1]) + 1, start_row, batch_rows
                )
                row = int(places[-1]) + 1
        if odd and max(odd) >= row:
            nothing = _Block(source, names, None, np.zeros(0, np.int64), odd)
            yield from _cut(nothing, row, max(odd) + 1, start_row, batch_rows)


@dataclass(frozen=True)
class _OddLine:
    """A line that has not as many values as the head has names."""

    text: str
    values: int
    names: int

    @property
    def reason(self) -> str:
        return f"the line has {self.values} values, the head of the file {self.names} names"


@dataclass(frozen=True)
class _Block:
    """Lines that were read together.

    Attributes:
        source: of the events.
        names: of the columns.
        batch: columns of bytes of the lines that have all their values, None if there are none.
        places: int64[batch.num_rows], numbers of their rows.
        odd: row -> line of all others so far.
    """

    source: Source
    names: list[str]
    batch: pa.RecordBatch | None
    places: Ints
    odd: Mapping[int, _OddLine]

    def part(self, start: int, end: int) -> FileBatch:
        """Rows from `start` to before `end`."""
        low, high = np.searchsorted(self.places, [start, end]).tolist()
        where = self.places[low:high] - start
        bad = {row - start: line.reason for row, line in self.odd.items() if start <= row < end}
        given: dict[str, Any] = {}
        events, good = empty(self.source.schema), np.zeros(0, np.int64)
        if self.batch is not None:
            lines = self.batch.slice(low, high - low)
            given = {name: _restored(lines.column(index)) for index, name in enumerate(self.names)}
            texts = {name: strings(column) for name, column in given.items()}
            found = self._decoded(given, texts, len(where))
            events, good = found.events, where[found.good]
            bad |= {int(where[index]): reason for index, reason in found.bad}

        def raw(index: int) -> bytes:
            if index + start in self.odd:
                return json.dumps(self.odd[index + start].text, ensure_ascii=False).encode()
            line = int(np.searchsorted(where, index))
            values = {name: column[line].as_py() for name, column in given.items()}
            return row_json(
                {name: value and value.decode("utf-8", "backslashreplace") for name, value in values.items()}
            )

        return FileBatch(start, end, Decoded(events, good, sorted(bad.items())), raw)

    def _decoded(self, given: Mapping[str, Any], texts: Mapping[str, Any], count: int) -> Decoded:
        columns = []
        bad: dict[int, str] = {}
        for field in self.source.resolved_fields:
            text = texts.get(field.name)
            if text is None:
                columns.append(Column(pa.nulls(count, field.type), {}))
                continue
            columns.append(text_column(field, text))
            if text.null_count > given[field.name].null_count:
                lost = true(text.is_null()) & true(given[field.name].is_valid())
                for line in np.flatnonzero(lost).tolist():
                    bad.setdefault(line, f"{field.name}: {NO_TEXT}")
        return gather(self.source.schema, columns, bad, self.source.event_time)


def _head(path: str) -> list[str]:
    """Names of the columns."""
    with open_file(path) as content, damage(path, FORM):
        text = content.read(_LONGEST_HEAD).decode("utf-8-sig", "replace")
    names = next((line for line in csv.reader(io.StringIO(text, newline="")) if line), None)
    if names is None:
        raise EventError(f"{path}: is empty; the first line of a CSV file holds the names of its columns")
    return names


def _open(content: pa.NativeFile, names: list[str], note: Callable[[Any], str]) -> Any:
    """Arrow's reader of the named columns as bytes; an unquoted empty value is null, a quoted one an empty text.

    The file is read as Latin-1, in which every byte is a character, since a line that is no UTF-8 cannot be handed to
    `note`; `_restored` gives the bytes back.
    """
    if content.read(len(_MARK)) != _MARK:
        content.seek(0)
    known = [name.encode().decode("latin-1") for name in names]
    return pyarrow.csv.open_csv(
        content,
        pyarrow.csv.ReadOptions(use_threads=False, block_size=BLOCK_BYTES, encoding="latin1"),
        pyarrow.csv.ParseOptions(newlines_in_values=True, invalid_row_handler=note),
        pyarrow.csv.ConvertOptions(
            column_types=dict.fromkeys(known, pa.binary()),
            include_columns=known,
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
            check_utf8=False,
        ),
    )


def _restored(column: Any) -> Any:
    """Bytes that were read as Latin-1 and written as UTF-8: 0xC2 or 0xC3 and a byte make one again."""
    _, bounds, content = column.buffers()
    if content is None:
        return column
    offsets = np.frombuffer(bounds, np.int32)[column.offset : column.offset + len(column) + 1]
    data = np.frombuffer(content, np.uint8)[offsets[0] : offsets[-1]]
    lead = np.flatnonzero(data >= 0xC0)
    if not len(lead):
        return column
    whole = data.copy()
    whole[lead + 1] = (data[lead] & 3) << 6 | data[lead + 1] & 0x3F
    starts = offsets - offsets[0]
    starts = (starts - np.searchsorted(lead, starts)).astype(np.int32)
    kept = np.delete(whole, lead)
    mask = column.is_null().to_numpy(zero_copy_only=False) if column.null_count else None
    restored = pa.Array.from_buffers(pa.binary(), len(column), [None, pa.py_buffer(starts), pa.py_buffer(kept)])
    return restored if mask is None else pc.if_else(pa.array(mask), pa.scalar(None, pa.binary()), restored)


def _next(reader: Any) -> pa.RecordBatch | None:
    try:
        batch: pa.RecordBatch = reader.read_next_batch()
    except StopIteration:
        return None
    return batch


def _places(row: int, count: int, odd: Mapping[int, _OddLine]) -> Ints:
    """Numbers of the next `count` rows that are not odd, from a row on."""
    later = [place for place in odd if place >= row]
    rows = np.arange(row, row + count + len(later))
    return rows[~np.isin(rows, later)][:count]


def _cut(block: _Block, first: int, last: int, start_row: int, batch_rows: int) -> Iterator[FileBatch]:
    for start in range(max(first, start_row), last, batch_rows):
        yield block.part(start, min(start + batch_rows, last))
