"""Values as Feast's JSON has them: times are whole seconds, bytes base64, and maps come as JSON texts."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa

from serving.server.answer_bodies import json_values, time_text
from transforms.answers import NO_TIME

Convert = Callable[[Any], Any]
EPOCH_TEXT = "1970-01-01T00:00:00Z"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FLOATS = {"NaN": float("nan"), "Infinity": float("inf"), "-Infinity": float("-inf")}


def event_time(time: int) -> str:
    """An instant (µs) in RFC 3339 with 0, 3 or 6 digits; the epoch where there is none."""
    if time == NO_TIME:
        return EPOCH_TEXT
    text = time_text(time) or EPOCH_TEXT
    return f"{text[:-4]}Z" if text.endswith("000Z") and "." in text else text


def outgoing(dtype: pa.DataType) -> Convert:
    """Function of a list of values of a type that gives them as JSON has them."""
    convert = _out(dtype)
    if convert is None:
        return lambda values: json_values(dtype, values)
    return lambda values: [None if value is None else convert(value) for value in values]


def incoming(dtype: pa.DataType) -> Convert | None:
    """Function of one value of JSON that gives it as an event of a type has it; None where they are the same."""
    if pa.types.is_binary(dtype):
        return _binary
    if pa.types.is_timestamp(dtype):
        return _moment
    if pa.types.is_floating(dtype):
        return lambda value: _FLOATS.get(value, value) if isinstance(value, str) else value
    if pa.types.is_list(dtype):
        element = incoming(dtype.value_type)
        return lambda value: _items(value, element)
    if pa.types.is_map(dtype):
        inner = incoming(dtype.item_type)
        return lambda value: _members(value, lambda name: inner)
    if pa.types.is_struct(dtype):
        known = {dtype.field(number).name: incoming(dtype.field(number).type) for number in range(dtype.num_fields)}
        return lambda value: _members(value, known.get)
    return None


def _out(dtype: pa.DataType) -> Convert | None:
    """Function of one value that is not null; None where our own JSON has it alike."""
    if pa.types.is_timestamp(dtype):
        return lambda value: (value - _EPOCH) // timedelta(seconds=1)
    if pa.types.is_date(dtype):
        return date.isoformat
    if pa.types.is_decimal(dtype):
        return lambda value: format(value, "f") if isinstance(value, Decimal) else value
    if pa.types.is_list(dtype):
        inner = _out(dtype.value_type)
        return None if inner is None else lambda value: _each(value, inner)
    return None


def _each(value: Any, inner: Convert) -> Any:
    return [None if item is None else inner(item) for item in value] if isinstance(value, list) else value


def _items(value: Any, inner: Convert | None) -> Any:
    value = _parsed(value, "a list")
    return value if inner is None else _each(value, inner)


def _members(value: Any, inner: Callable[[str], Convert | None]) -> Any:
    value = _parsed(value, "an object")
    if not isinstance(value, dict):
        return value
    found = {}
    for name, member in value.items():
        convert = inner(name)
        found[name] = member if convert is None or member is None else convert(member)
    return found


def _parsed(value: Any, what: str) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        raise ValueError(f"legal is {what}, or JSON text of one") from None


def _binary(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("legal is base64 text") from None


def _moment(value: Any) -> Any:
    """Seconds since the epoch, or ISO 8601 text, which is UTC if it names no zone."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            return _EPOCH + timedelta(seconds=value)
        except (OverflowError, ValueError):
            raise ValueError("legal are seconds since the epoch in the years 1 to 9999") from None
    if isinstance(value, str):
        try:
            return datetime.fromisoformat(value)
        except ValueError:
            raise ValueError("legal is ISO 8601 text as in 2026-12-01T00:00:00, or seconds since the epoch") from None
    return value


def converted(dtype: pa.DataType, values: Sequence[Any]) -> list[Any]:
    """A column of JSON as events of a type have it.

    Raises:
        ValueError: a value is not legal; says in which row.
    """
    convert = incoming(dtype)
    if convert is None:
        return list(values)
    found = []
    for row, value in enumerate(values):
        try:
            found.append(None if value is None else convert(value))
        except ValueError as error:
            raise ValueError(f"row {row}: {value!r} is not legal: {error}") from None
    return found
