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
