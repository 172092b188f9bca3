"""What a reader of files gives: some rows of a file, decoded."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import numpy as np
import pyarrow as pa

from transforms.encodings.decoded import Decoded


@dataclass(frozen=True)
class FileBatch:
    """Rows of a file.

    Attributes:
        start_row: number of the first.
        end_row: number of the one after the last.
        decoded: its events; indices are counted from `start_row`.
        raw: index of a bad row -> the row as JSON, as far as it can be had.
    """

    start_row: int
    end_row: int
    decoded: Decoded
    raw: Callable[[int], bytes]


def row_json(row: Mapping[str, Any]) -> bytes:
    """A row of Python values as JSON; what JSON has no form for becomes text."""
    return json.dumps(row, ensure_ascii=False, default=_written).encode("utf-8", "backslashreplace")


def arrow_row(batch: pa.RecordBatch, index: int) -> dict[str, Any]:
    """A row of a batch as Python values; those that Python has none for, such as the year 10000, as texts."""
    return {name: _value(column[index]) for name, column in zip(batch.schema.names, batch.columns, strict=True)}


def _value(scalar: Any) -> Any:
    """Value of an Arrow scalar, a text where it has none in Python."""
    try:
        return scalar.as_py()
    except (ValueError, OverflowError):  # UnicodeDecodeError is a ValueError
        kind: Any = scalar.type
    if pa.types.is_date32(kind):
        return str(np.datetime64(scalar.value, "D"))
    if pa.types.is_timestamp(kind):
        return str(np.datetime64(scalar.value, kind.unit))
    if pa.types.is_struct(kind):
        return {kind.field(index).name: _value(scalar[index]) for index in range(kind.num_fields)}
    if pa.types.is_map(kind):
        return [[_value(entry[0]), _value(entry[1])] for entry in scalar.values]
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return [_value(item) for item in scalar.values]
    buffer = scalar.as_buffer() if hasattr(scalar, "as_buffer") else None
    return str(scalar.type) if buffer is None else buffer.to_pybytes().decode("utf-8", "backslashreplace")


def _written(value: Any) -> Any:
    if isinstance(value, datetime):
        aware = value if value.tzinfo is not None else value.replace(tzinfo=UTC)
        return aware.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, Decimal | UUID):
        return str(value)
    return repr(value)
