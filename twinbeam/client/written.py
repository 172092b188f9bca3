"""Values as they are written for the server: Python's, and those of numpy and pandas, as JSON."""

from __future__ import annotations

import json
import math
from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from schemas.errors import EventError, RequestError

_MISSING = ("NAType", "NaTType")


def plain(value: Any) -> Any:
    """What JSON has for a value that it does not know.

    Raises:
        TypeError: there is nothing.
    """
    if type(value).__name__ in _MISSING:
        return None
    if isinstance(value, datetime):
        return instant_text(value)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Decimal | UUID):
        return str(value)
    if isinstance(value, bytes | bytearray | memoryview):
        return b64encode(value).decode()
    if isinstance(value, Mapping):
        return dict(value)
    if (column := listed(value)) is not None:
        return column
    if hasattr(value, "dtype") and hasattr(value, "item"):
        return (value.astype("datetime64[us]") if value.dtype.kind == "M" else value).item()
    raise TypeError(f"a {type(value).__name__} is no value: {_shown(value)}")


def instant_text(moment: datetime) -> str:
    """A datetime in RFC 3339; one without a zone is UTC."""
    aware = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    return aware.replace(tzinfo=None).isoformat() + "Z"


def listed(column: Any) -> list[Any] | None:
    """Values of a list, or of a column of numpy, pandas, polars or Arrow; None for a value by itself."""
    if isinstance(column, list):
        return column
    if isinstance(column, str | bytes | bytearray | memoryview | Mapping):
        return None
    if isinstance(column, Sequence):
        return list(column)
    if getattr(column, "ndim", 1) == 0:
        return None
    for name in ("to_pylist", "to_list", "tolist"):
        if hasattr(column, name):
            of_times = getattr(getattr(column, "dtype", None), "kind", "") == "M" and name == "tolist"
            found: list[Any] = getattr(column.astype("datetime64[us]") if of_times else column, name)()
            return found
    return None


def body_bytes(body: Mapping[str, Any]) -> bytes:
    """JSON of a request's body; numbers beyond the finite are texts.

    Raises:
        RequestError: a value cannot be written.
    """
    try:
        try:
            return _dumps(body, allow_nan=False)
        except ValueError:
            return _dumps(finite(body), allow_nan=False)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise RequestError(f"keys or request: {error}") from None


def finite(value: Any) -> Any:
    """A value with the texts NaN, Infinity and -Infinity for the numbers that JSON does not have."""
    if value is None or isinstance(value, str | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else "NaN" if math.isnan(value) else f"{'-' * (value < 0)}Infinity"
    if isinstance(value, dict):
        return {name: finite(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return finite(plain(value))


def has_beyond_finite(value: Any) -> bool:
    """Whether there is a NaN or an infinity in a value."""
    if isinstance(value, float):
        return not math.isfinite(value)
    if isinstance(value, dict):
        return any(map(has_beyond_finite, value.values()))
    return any(map(has_beyond_finite, value)) if isinstance(value, list | tuple) else False


def event_lines(source: str, events: Iterable[Mapping[str, Any]]) -> list[bytes]:
    """JSON of each event.

    Raises:
        EventError: one of them is no event, or holds what cannot be written; says which.
    """
    lines = []
    for number, event in enumerate(events):
        if not isinstance(event, Mapping):
            raise EventError(f"{source}: event {number} is a {type(event).__name__}: give dicts by the source's fields")
        try:
            lines.append(_dumps(event, allow_nan=True))
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            raise EventError(f"{source}: event {number}: {error}") from None
    return lines


def _dumps(value: Any, allow_nan: bool) -> bytes:
    return json.dumps(value, allow_nan=allow_nan, default=plain, separators=(",", ":")).encode()


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:60] + "…"
