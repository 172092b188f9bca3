"""Keys and request values of a read as JSON brings them, made into what the read takes."""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa

from schemas.types import Field, type_text
from serving.server.problems import Problem
from transforms.encodings.objects import object_column
from transforms.requests import column_types
from transforms.selection import Selection

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LEAST, _MOST = -62_135_596_800_000_000, 253_402_300_799_999_999
_BEYOND = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
NOW = 'now: give ISO 8601 text as in 2026-12-01T12:00:00Z, µs since the epoch, or "latest"'


class GivenColumns:
    """Columns of one selection's requests.

    Args:
        selection: the features.
    """

    def __init__(self, selection: Selection) -> None:
        # Numbers and texts are checked, and told of, by the read itself.
        self._fields = {
            name: Field.parse(name, type_text(kind))
            for name, kind in column_types(selection).items()
            if not (pa.types.is_integer(kind) or pa.types.is_string(kind) or pa.types.is_boolean(kind))
        }

    def columns(self, given: Any, what: str) -> Any:
        """Keys or request values with the values of JSON in the types of the definitions.

        Args:
            given: columns (a scalar repeats) or rows.
            what: "keys" or "request", for errors.

        Raises:
            Problem: a value is not legal for its column.
        """
        if not self._fields:
            return given
        columns = given if isinstance(given, dict) else _turned(given)
        return {name: self._typed(name, column, what) for name, column in columns.items()}

    def _typed(self, name: str, column: Any, what: str) -> Any:
        field = self._fields.get(name)
        if field is None:
            return column
        is_list = isinstance(column, list) and not (pa.types.is_list(field.type) and not _nested(column))
        values = column if is_list else [column]
        if pa.types.is_binary(field.type):
            values = [_binary(value, f"{what}.{name}") for value in values]
        if pa.types.is_floating(field.type):
            values = [_BEYOND.get(value, value) if isinstance(value, str) else value for value in values]
        found = object_column(field, values)
        if found.bad:
            row, reason = next(iter(sorted(found.bad.items())))
            raise Problem(400, reason, where=f"{what}.{name}[{row}]" if is_list else f"{what}.{name}")
        return found.values if is_list else found.values[0].as_py()


def rows_of(given: Any) -> int:
    """How many rows keys have: columns with scalars alone have one.

    Raises:
        Problem: columns differ in length.
    """
    if isinstance(given, list):
        return len(given)
    lengths = {len(column) for column in given.values() if isinstance(column, list)}
    if len(lengths) > 1:
        raise Problem(400, f"columns have different lengths: {', '.join(map(str, sorted(lengths)))}", where="keys")
    return lengths.pop() if lengths else 1


def instant_of(now: str | int | None) -> int | str | None:
    """An instant in µs, "latest", or None for the clock; a time without a zone is UTC.

    Raises:
        Problem: it is no time.
    """
    if now is None or now == "latest":
        return now
    if isinstance(now, str):
        try:
            moment = datetime.fromisoformat(now)
            aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
            return (aware - _EPOCH) // timedelta(microseconds=1)
        except (ValueError, OverflowError):
            raise Problem(400, f"{now!r} is no time: {NOW}", where="now") from None
    if not _LEAST <= now <= _MOST:
        raise Problem(400, f"{now} is beyond the years 1 to 9999: {NOW}", where="now")
    return now


def _turned(rows: list[Mapping[str, Any]]) -> dict[str, list[Any]]:
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: [row.get(name) for row in rows] for name in names}


def _nested(column: list[Any]) -> bool:
    return any(isinstance(value, list) for value in column)


def _binary(value: Any, where: str) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        raise Problem(400, "legal is base64 text", where=where) from None
