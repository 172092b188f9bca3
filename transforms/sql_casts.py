"""Casts of row-local SQL: which types become which, how they round, and which values are faults."""

from __future__ import annotations

import polars as pl
import pyarrow as pa

from schemas.types import TIME, parse_type
from transforms.sql_dialect import SqlMistake
from transforms.sql_types import (
    BOOL,
    DATE,
    FLOAT,
    NULL,
    TEXT,
    Scope,
    Value,
    is_decimal,
    is_float,
    is_int,
    is_number,
    is_time,
    polars_type,
    shown,
    typed,
)

_TRUE, _FALSE = ("true", "t", "yes", "y", "1"), ("false", "f", "no", "n", "0")
_TIME_PATTERN = (
    r"^(\d{4}-\d{2}-\d{2})"
    r"(?:[T ](\d{2}):(\d{2})(?::(\d{2})(?:\.(\d{1,9}))?)?[ ]?(?:[Zz]|([+-])(\d{2})(?::?(\d{2}))?)?)?$"
)
SECOND = 1_000_000
DAY = 86_400 * SECOND
YEAR_ONE = -62_135_596_800 * SECOND

_SQL_TYPES = {
    "boolean": "bool",
    "tinyint": "int8",
    "smallint": "int16",
    "int": "int32",
    "integer": "int32",
    "bigint": "int64",
    "float": "float32",
    "real": "float32",
    "double": "float64",
    "text": "string",
    "varchar": "string",
    "varbinary": "bytes",
    "binary": "bytes",
    "timestamptz": "timestamp",
    "datetime": "timestamp",
    "timestampntz": "timestamp",
}


def cast_target(text: str) -> pa.DataType:
    """Type that a CAST names, by the name that columns call it or by that of SQL.

    Raises:
        SqlMistake: there is no such type.
    """
    bare = "".join(text.lower().split()).replace('"', "")
    head, _, rest = bare.partition("(")
    if head in ("varchar", "timestamp"):
        bare = head
    if head in ("numeric", "dec"):
        bare = f"decimal({rest}" if rest else "decimal"
    try:
        return parse_type(_SQL_TYPES.get(bare, bare))
    except ValueError as error:
        raise SqlMistake(str(error)) from None


def cast(scope: Scope, value: Value, target: pa.DataType, strict: bool = True) -> Value:
    """Value as another type.

    Floats round half to even, decimals half away from zero; float64 beyond float32 is inf; text is trimmed and must
    be the whole value; timestamps are ISO 8601 (without a zone: UTC), floored to µs; a timestamp's date is floored.

    Args:
        scope: takes the faults.
        value: what to cast.
        target: type wanted.
        strict: whether a value that does not fit is a fault; else it is null.

    Raises:
        SqlMistake: no value of the one type becomes one of the other.
    """
    if value.dtype == target:
        return Value(value.expr, target, value.text)
    if value.dtype == NULL:
        return typed(value, target)
    expr = _convert(value, target)
    if expr is None:
        raise SqlMistake(f"{value.text} is {shown(value.dtype)}, which cannot be cast to {shown(target)}")
    if strict and not _always_fits(value.dtype, target):
        unfit = value.expr.is_not_null() & expr.is_null()
        scope.fault(unfit, value.expr, f"({value.text}) is no {shown(target)}")
    return Value(expr, target, f"CAST({value.text} AS {shown(target)})")


def coerce(scope: Scope, value: Value, target: pa.DataType) -> Value:
    """Value as the common type of several; a literal text becomes a time when the expression is compiled.

    Raises:
        SqlMistake: a literal text is no time.
    """
    if value.dtype == target:
        return value
    changed = cast(scope, value, target, strict=False)
    if value.dtype == TEXT and pl.select(changed.expr.is_null()).item():
        example = "2024-12-31T23:59:59Z" if target == TIME else "2024-12-31"
        raise SqlMistake(f"{value.text} is no {shown(target)}: write it like '{example}'")
    return Value(changed.expr, target, value.text, value.literal)


def _always_fits(source: pa.DataType, target: pa.DataType) -> bool:
    if target in (TEXT, BOOL) and source != TEXT:
        return True
    if is_float(target):
        return bool(source != TEXT)
    if is_int(source) and is_int(target):
        return bool(source.bit_width < target.bit_width)
    return bool(source == BOOL or is_time(source) or target == pa.binary())


def _convert(value: Value, target: pa.DataType) -> pl.Expr | None:
    source, expr, goal = value.dtype, value.expr, polars_type(target)
    if source == TEXT:
        return _from_text(expr.str.strip_chars(), target) if target != pa.binary() else expr.cast(goal)
    if target == TEXT:
        return _to_text(expr, source)
    if source == BOOL:
        return expr.cast(goal) if is_int(target) or is_float(target) else None
    if target == BOOL:
        return expr != 0 if is_int(source) or is_float(source) else None
    if is_time(source) and is_time(target):
        return expr.cast(goal)
    if not is_number(source) or not is_number(target):
        return None
    if is_decimal(source) and not is_float(target):
        expr = expr.round(target.scale if is_decimal(target) else 0, mode="half_away_from_zero")
    elif is_float(source) and is_int(target):
        expr = expr.round(0, mode="half_to_even")
    elif is_float(source) and is_decimal(target):
        # The engine cuts digits off; through text a float is the decimal that it is shown as.
        return expr.cast(FLOAT_TYPE).cast(pl.String).cast(goal, strict=False)
    return expr.cast(goal, strict=False)


FLOAT_TYPE = polars_type(FLOAT)


def _to_text(expr: pl.Expr, source: pa.DataType) -> pl.Expr | None:
    if source == TIME:
        return expr.dt.strftime("%Y-%m-%dT%H:%M:%S%.6fZ")
    if source == DATE:
        return expr.dt.strftime("%Y-%m-%d")
    return expr.cast(pl.String) if is_number(source) or source == BOOL else None


def _from_text(text: pl.Expr, target: pa.DataType) -> pl.Expr | None:
    if target == BOOL:
        lower = text.str.to_lowercase()
        return pl.when(lower.is_in(_TRUE)).then(True).when(lower.is_in(_FALSE)).then(False).otherwise(None)
    if target == DATE:
        day = pl.when(text.str.contains(r"^\d{4}-\d{2}-\d{2}$")).then(text)
        return day.otherwise(None).str.to_date("%Y-%m-%d", strict=False)
    if target == TIME:
        return _time_of(text)
    return text.cast(polars_type(target), strict=False) if is_number(target) else None


def _time_of(text: pl.Expr) -> pl.Expr:
    """Timestamps of ISO 8601 texts; null for every other text."""
    parts = text.str.extract_groups(_TIME_PATTERN)

    def number(group: int) -> pl.Expr:
        return parts.struct.field(str(group)).cast(pl.Int64, strict=False).fill_null(0)

    day = parts.struct.field("1").str.to_date("%Y-%m-%d", strict=False)
    hour, minute, second = number(2), number(3), number(4)
    micros = parts.struct.field("5").str.pad_end(6, "0").str.slice(0, 6).cast(pl.Int64, strict=False).fill_null(0)
    zone = (number(7) * 60 + number(8)) * 60 * pl.when(parts.struct.field("6") == "-").then(-1).otherwise(1)
    legal = (hour < 24) & (minute < 60) & (second < 60) & (number(7) < 24) & (number(8) < 60)
    seconds = (hour * 60 + minute) * 60 + second - zone
    total = day.cast(pl.Int32).cast(pl.Int64) * DAY + seconds * SECOND + micros
    return pl.when(legal & (total >= YEAR_ONE)).then(total).otherwise(None).cast(polars_type(TIME))
