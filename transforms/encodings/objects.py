"""Events as Python objects: what a caller hands over as dicts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from types import NoneType
from typing import Any
from uuid import UUID

import numpy as np
import pyarrow as pa

from schemas.types import Field
from transforms.encodings import times
from transforms.encodings.decoded import Column
from transforms.encodings.ranges import INTEGERS
from transforms.encodings.values import (
    Dialect,
    counted,
    decimal_of_text,
    exact_decimal,
    floating,
    kind,
    text,
    whole_number,
)

_SHOWN = 60
_EPOCH_DAY = date(1970, 1, 1).toordinal()
_PLAIN: dict[str, tuple[frozenset[type], pa.DataType]] = {
    "bool": (frozenset({bool}), pa.bool_()),
    "int": (frozenset({int}), pa.int64()),
    "float": (frozenset({float, int}), pa.float64()),
    "string": (frozenset({str}), pa.string()),
    "bytes": (frozenset({bytes}), pa.binary()),
}


def object_column(field: Field, values: Sequence[Any]) -> Column:
    """Column of n Python objects.

    Legal are None (and pandas' NA and NaT), numpy scalars like their Python twins, an int for a float, datetimes
    (naive is UTC), dates, UUIDs for strings, and ISO 8601 texts and counts of the declared unit as in JSON.
    """
    name = kind(field.type)
    types = set(map(type, values)) - {NoneType}
    plain, dtype = _PLAIN.get(name, (frozenset(), pa.null()))
    if types <= plain:
        try:
            found = _narrowed(field, pa.array(values, dtype))
        except (pa.ArrowInvalid, OverflowError, UnicodeEncodeError):
            found = None
        if found is not None:
            return Column(found, {})
    if types == {datetime} and name == "timestamp":
        moments = [None if value is None else times.of_datetime(value) for value in values]
        return Column(pa.array(moments, field.type), {})
    return OBJECTS.column(field, values)


def _narrowed(field: Field, array: Any) -> pa.Array | None:
    """The column in the declared width, or None if a value is beyond it."""
    if pa.types.is_integer(field.type) and len(array) > array.null_count:
        low, high = INTEGERS[field.text]
        values = array.drop_null().to_numpy()
        if values.min() < low or values.max() > high:
            return None
    if pa.types.is_float32(field.type):
        values = array.drop_null().to_numpy()
        with np.errstate(over="ignore"):
            if (np.isinf(values.astype(np.float32)) & np.isfinite(values)).any():
                return None
    narrowed: pa.Array = array.cast(field.type, safe=False)
    return narrowed


def _bare(value: Any) -> Any:
    """A numpy scalar as the Python object that it stands for."""
    return value.item() if isinstance(value, np.generic) and not isinstance(value, np.datetime64) else value


def _boolean(field: Field, value: Any) -> bool:
    value = _bare(value)
    if not isinstance(value, bool):
        raise ValueError
    return value


def _integer(field: Field, value: Any) -> int:
    value = _bare(value)
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError
    return whole_number(field, value)


def _float(field: Field, value: Any) -> float:
    value = _bare(value)
    if not isinstance(value, float | int) or isinstance(value, bool):
        raise ValueError
    return floating(field, float(value))


def _string(field: Field, value: Any) -> str:
    if not isinstance(value, str | UUID):
        raise ValueError
    return text(field, str(value))


def _bytes(field: Field, value: Any) -> bytes:
    if not isinstance(value, bytes | bytearray | memoryview):
        raise ValueError("legal are bytes")
    return bytes(value)


def _timestamp(field: Field, value: Any) -> int:
    value = _bare(value)
    if isinstance(value, datetime):
        return _year(times.of_datetime(value))
    if isinstance(value, np.datetime64):
        return _year(int(value.astype("datetime64[us]").astype(np.int64)))
    if isinstance(value, str):
        try:
            return times.instant(value)
        except ValueError:
            raise ValueError("legal is a datetime, or ISO 8601 text as in 2026-12-01T00:00:00Z") from None
    if isinstance(value, int) and not isinstance(value, bool):
        return counted(field, value)
    raise ValueError("legal is a datetime, or ISO 8601 text as in 2026-12-01T00:00:00Z")


def _year(value: int) -> int:
    if not times.FIRST <= value <= times.LAST:
        raise ValueError("legal are the years 1 to 9999")
    return value


def _date(field: Field, value: Any) -> int:
    if isinstance(value, date) and not isinstance(value, datetime):
        return value.toordinal() - _EPOCH_DAY
    if isinstance(value, str):
        return times.day(value)
    raise ValueError("legal is a date, or ISO 8601 text as in 2026-12-01")


def _decimal(field: Field, value: Any) -> Decimal:
    value = _bare(value)
    if isinstance(value, str):
        return decimal_of_text(field, value)
    if not isinstance(value, Decimal | int) or isinstance(value, bool):
        raise ValueError("legal is a Decimal, an int, or text")
    return exact_decimal(field, Decimal(value))


def _members(value: Any) -> Mapping[Any, Any] | None:
    if isinstance(value, Mapping):
        return value
    # Arrow gives maps as lists of pairs.
    if isinstance(value, list | tuple) and all(isinstance(pair, tuple) and len(pair) == 2 for pair in value):
        return dict(value)
    return None


def _items(value: Any) -> Iterable[Any] | None:
    return value if isinstance(value, list | tuple | np.ndarray) else None


def _absent(value: Any) -> bool:
    return value is None or type(value).__name__ in ("NAType", "NaTType") or _not_a_time(value)


def _not_a_time(value: Any) -> bool:
    return isinstance(value, np.datetime64) and bool(np.isnat(value))


def _show(value: Any) -> str:
    shown = repr(value)
    return shown if len(shown) <= _SHOWN else shown[:_SHOWN] + "…"


OBJECTS = Dialect(
    {
        "bool": _boolean,
        "int": _integer,
        "float": _float,
        "string": _string,
        "bytes": _bytes,
        "timestamp": _timestamp,
        "date": _date,
        "decimal": _decimal,
    },
    _members,
    _items,
    _absent,
    _show,
)
