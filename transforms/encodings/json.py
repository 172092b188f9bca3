"""JSON values of a topic or file, one object each, and events written as JSON.

Fields that the source does not declare are ignored, missing ones are null; of equal names the last one counts. Nothing
is made to fit but an integer for a float. Times are ISO 8601 text (naive is UTC, digits beyond µs are dropped) or, for
`timestamp(s|ms|us)`, integers that count the unit; decimals are numbers or texts, exact; bytes are base64 text; NaN,
Infinity and -Infinity are legal floats.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from schemas.source import Source
from schemas.types import Field
from transforms.encodings.arrow_columns import arrow_column
from transforms.encodings.decoded import Column, Decoded, gather, merge
from transforms.encodings.json_columns import arrow_type, parsed, sound_for_arrow
from transforms.encodings.json_values import JSON, parse_object
from transforms.encodings.symbols import Symbols
from transforms.encodings.values import Unfit, kind

Ints = npt.NDArray[np.int64]
_FEW = 128
_PART = 512


class JsonDecoder:
    """Decodes JSON objects: by the column where that is sure to mean the same, the others one by one.

    Where one among many does not fit, they are read again in small parts, and the part that it is in one by one.
    """

    def __init__(self, source: Source) -> None:
        self._fields = source.resolved_fields
        self._schema = source.schema
        self._event_time = source.event_time
        self._symbols = Symbols(source)

    def decode(self, values: pa.BinaryArray) -> Decoded:
        """Events of n values."""
        return self._symbols.check(self.one_by_one(values) if len(values) <= _FEW else self._by_the_column(values))

    def _by_the_column(self, values: pa.BinaryArray) -> Decoded:
        parts: list[tuple[Ints, Decoded]] = []
        sound = sound_for_arrow(values)
        singles = [np.flatnonzero(~sound)]
        whole = np.flatnonzero(sound)
        if not self._read(values, whole, parts, singles):
            for start in range(0, len(whole), _PART):
                rows = whole[start : start + _PART]
                if not self._read(values, rows, parts, singles):
                    singles.append(rows)
        rest = np.sort(np.concatenate(singles))
        if len(rest):
            parts.append((rest, self.one_by_one(values.take(pa.array(rest)))))
        return merge(parts, self._schema)

    def _read(self, values: pa.BinaryArray, rows: Ints, parts: list[tuple[Ints, Decoded]], singles: list[Ints]) -> bool:
        """Reads rows by the column into parts, those that do not fit into singles; false if that is not possible."""
        if len(rows) <= _FEW:
            singles.append(rows)
            return True
        columns = self._columns(values if len(rows) == len(values) else values.take(pa.array(rows)))
        if columns is None:
            return False
        suspects = sorted({row for column in columns for row in column.bad})
        good = np.delete(np.arange(len(rows)), suspects)
        parts.append((rows[good], self._gather(columns, good)))
        singles.append(rows[suspects])
        return True

    def one_by_one(self, values: pa.BinaryArray) -> Decoded:
        """Events of n values, read exactly and slowly."""
        objects: list[Mapping[str, Any]] = []
        bad: dict[int, str] = {}
        for index, value in enumerate(values.to_pylist()):
            try:
                objects.append(parse_object(value))
            except Unfit as unfit:
                objects.append({})
                bad[index] = str(unfit)
        columns = [JSON.column(field, [found.get(field.name) for found in objects]) for field in self._fields]
        return gather(self._schema, columns, bad, self._event_time)

    def _columns(self, values: pa.BinaryArray) -> list[Column] | None:
        """Columns that Arrow's parser reads of values, or None if there is one among them that it does not take."""
        try:
            example = parse_object(values[0].as_py())
        except Unfit:
            return None
        types = [(field.name, _type(field, example.get(field.name))) for field in self._fields]
        if any(found is None for _, found in types):
            return None
        table = parsed(values, pa.schema([pa.field(name, found) for name, found in types if found is not None]))
        if table is None:
            return None
        return [_column(field, table.column(field.name)) for field in self._fields]

    def _gather(self, columns: list[Column], good: Ints) -> Decoded:
        rows = None if len(good) == len(columns[0].values) else pa.array(good)
        chosen = [Column(column.values if rows is None else column.values.take(rows), {}) for column in columns]
        return gather(self._schema, chosen, {}, self._event_time)


def encode_json(batch: pa.RecordBatch) -> list[bytes]:
    """Each row as a JSON object that `JsonDecoder` reads as the same row; null members are written as null."""
    names = batch.schema.names
    columns = [_writable(column) for column in batch.columns]
    rows = zip(*columns, strict=True) if columns else iter([()] * batch.num_rows)
    return [json.dumps(dict(zip(names, row, strict=True)), ensure_ascii=False).encode() for row in rows]


def _type(field: Field, example: Any) -> pa.DataType | None:
    return pa.string() if kind(field.type) == "bytes" else arrow_type(field, example)


def _column(field: Field, values: Any) -> Column:
    return JSON.column(field, values.to_pylist()) if kind(field.type) == "bytes" else arrow_column(field, values)


def _writable(column: Any) -> list[Any]:
    """Values of a column as `json` writes them."""
    dtype = column.type
    name = kind(dtype)
    if name in ("timestamp", "date"):
        unit, zone = ("us", "Z") if name == "timestamp" else ("D", "")
        counts = column.cast(pa.int64() if name == "timestamp" else pa.int32()).fill_null(0)
        texts = np.datetime_as_string(counts.to_numpy().astype(f"datetime64[{unit}]")).tolist()
        return [
            text + zone if valid else None for text, valid in zip(texts, column.is_valid().to_pylist(), strict=True)
        ]
    if name == "decimal":
        found: list[Any] = column.cast(pa.string()).to_pylist()
        return found
    if name == "bytes":
        return [None if value is None else base64.b64encode(value).decode() for value in column.to_pylist()]
    if name == "list":
        return _spans(column, _writable(column.values))
    if name == "map":
        pairs = list(zip(column.keys.to_pylist(), _writable(column.items), strict=True))
        return [None if span is None else dict(span) for span in _spans(column, pairs)]
    if name == "struct":
        names = [dtype.field(index).name for index in range(dtype.num_fields)]
        rows = zip(*(_writable(column.field(index)) for index in range(dtype.num_fields)), strict=True)
        valid = column.is_valid().to_pylist()
        return [dict(zip(names, row, strict=True)) if there else None for row, there in zip(rows, valid, strict=True)]
    plain: list[Any] = column.to_pylist()
    return plain


def _spans(column: Any, items: list[Any]) -> list[list[Any] | None]:
    bounds = column.offsets.to_pylist()
    valid = column.is_valid().to_pylist()
    return [items[bounds[row] : bounds[row + 1]] if valid[row] else None for row in range(len(column))]
