"""Generated rows: the same for ever, of any schema, on which rules are proven."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa

ROWS = 64
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAYS = 20_000

_FLOATS = (0.0, -0.0, 1.0, -1.0, 0.1, 2.5, float("nan"), float("inf"), float("-inf"), 1e300, -1e300, 5e-324, 1e16)
_TEXTS = (
    "",
    "a",
    "A",
    " b ",
    "card",
    "ä",
    "日本",
    "🙂",
    "1",
    "-2.5",
    "2024-02-29",
    "2024-02-29T23:59:59Z",
    "a,b,c",
    "x'y",
)
_TIMES = (0, -1, 1_709_251_199_999_999, 1_709_164_800_000_000, 86_400_000_000, 1)


def generated_rows(schema: pa.Schema, rows: int = ROWS) -> pa.RecordBatch:
    """Rows of a schema: first those with nulls and extremes, from the middle on ordinary ones.

    Args:
        schema: columns of the types that columns have.
        rows: how many.

    Returns:
        `rows` rows; the same ones for the same names and types.
    """
    arrays = [pa.array(_column(field, rows), field.type) for field in schema]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _column(field: pa.Field, rows: int) -> list[Any]:
    chance = random.Random(f"{field.name}:{field.type}")
    edges = sorted(_edges(field.type), key=lambda _: chance.random())
    values = []
    for row in range(rows):
        if row >= rows // 2:
            values.append(_ordinary(field.type, chance))
        elif field.nullable and chance.random() < 0.15:
            values.append(None)
        else:
            values.append(edges[row % len(edges)])
    return values


def _whole(chance: random.Random, low: int, high: int) -> int:
    return low + int(chance.random() * (high - low + 1))


def _edges(kind: pa.DataType) -> list[Any]:
    """Extremes of a type."""
    if pa.types.is_integer(kind):
        top = 2 ** (kind.bit_width - 1)
        return [0, 1, -1, 2, 3, 7, 10, -100, 100, top - 1, -top, top // 2]
    if pa.types.is_floating(kind):
        return [value if kind.bit_width == 64 or abs(value) < 1e30 else value / 1e280 for value in _FLOATS]
    if pa.types.is_decimal(kind):
        greatest = Decimal(10**kind.precision - 1).scaleb(-kind.scale)
        return [Decimal(0), Decimal(1).scaleb(-kind.scale), greatest, -greatest]
    if pa.types.is_timestamp(kind):
        return [_EPOCH + timedelta(microseconds=micros) for micros in _TIMES]
    if pa.types.is_date(kind):
        return [date(1970, 1, 1), date(1969, 12, 31), date(2024, 2, 29), date(2000, 12, 31)]
    if pa.types.is_boolean(kind):
        return [True, False]
    if pa.types.is_binary(kind):
        return [text.encode() for text in _TEXTS] + [b"\xff\x00"]
    if pa.types.is_string(kind):
        return list(_TEXTS)
    if pa.types.is_map(kind):
        return [[], *([(key, value)] for key, value in zip("abcd", _edges(kind.item_type), strict=False))]
    if pa.types.is_list(kind):
        inner = _edges(kind.value_type)
        return [[], [None], inner[:1], inner[:3], [*inner[-2:], None]]
    fields = [kind.field(index) for index in range(kind.num_fields)]
    columns = {field.name: [None, *_edges(field.type)] for field in fields}
    most = max(len(column) for column in columns.values())
    return [{name: column[row % len(column)] for name, column in columns.items()} for row in range(most)]


def _ordinary(kind: pa.DataType, chance: random.Random) -> Any:
    """Value as events have them."""
    scalars: dict[Callable[[pa.DataType], bool], Callable[[], Any]] = {
        pa.types.is_integer: lambda: _whole(chance, 0, 100),
        pa.types.is_floating: lambda: round(chance.random() * 1000, 2),
        pa.types.is_decimal: lambda: Decimal(_whole(chance, 0, 10 ** min(kind.precision, 6) - 1)).scaleb(-kind.scale),
        pa.types.is_timestamp: lambda: _EPOCH + timedelta(microseconds=_whole(chance, 0, _DAYS * 86_400_000_000)),
        pa.types.is_date: lambda: date(1970, 1, 1) + timedelta(days=_whole(chance, 0, _DAYS)),
        pa.types.is_boolean: lambda: chance.random() < 0.5,
        pa.types.is_binary: lambda: bytes(_whole(chance, 97, 122) for _ in range(_whole(chance, 1, 6))),
        pa.types.is_string: lambda: "".join(chr(_whole(chance, 97, 122)) for _ in range(_whole(chance, 1, 8))),
        pa.types.is_map: lambda: [(key, _ordinary(kind.item_type, chance)) for key in "ab"],
        pa.types.is_list: lambda: [_ordinary(kind.value_type, chance) for _ in range(_whole(chance, 1, 3))],
        pa.types.is_struct: lambda: {
            kind.field(index).name: _ordinary(kind.field(index).type, chance) for index in range(kind.num_fields)
        },
    }
    return next(make() for check, make in scalars.items() if check(kind))
