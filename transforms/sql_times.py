"""Time functions of row-local SQL; all times are UTC, in µs."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import polars as pl

from schemas.errors import did_you_mean
from schemas.types import TIME
from transforms.sql_casts import DAY, SECOND, cast
from transforms.sql_dialect import SqlMistake
from transforms.sql_operators import checked, quotient
from transforms.sql_texts import constant
from transforms.sql_types import FLOAT, INT, Scope, Value, is_int, is_number, is_time, polars_type, require, typed

_UNITS = {
    "microsecond": 1,
    "millisecond": 1_000,
    "second": SECOND,
    "minute": 60 * SECOND,
    "hour": 3_600 * SECOND,
    "day": DAY,
    "week": 7 * DAY,
}
_MONTHS = {"month": 1, "quarter": 3, "year": 12}
_SHORT = {"us": "microsecond", "ms": "millisecond", "s": "second", "m": "minute", "h": "hour", "d": "day", "w": "week"}
_MONDAY = 3 * DAY
_PAIR = re.compile(r"\s*([+-]?\d+)\s*([A-Za-z]+)\s*,?")

_PARTS: dict[str, Callable[[pl.Expr], pl.Expr]] = {
    "year": lambda t: t.dt.year(),
    "quarter": lambda t: t.dt.quarter(),
    "month": lambda t: t.dt.month(),
    "week": lambda t: t.dt.week(),
    "day": lambda t: t.dt.day(),
    "hour": lambda t: t.dt.hour(),
    "minute": lambda t: t.dt.minute(),
    "second": lambda t: t.dt.second(),
    "millisecond": lambda t: t.to_physical() % (60 * SECOND) // 1_000,
    "microsecond": lambda t: t.to_physical() % (60 * SECOND),
    "dow": lambda t: t.dt.weekday().cast(pl.Int64) % 7,
    "dayofweek": lambda t: t.dt.weekday().cast(pl.Int64) % 7,
    "isodow": lambda t: t.dt.weekday(),
    "doy": lambda t: t.dt.ordinal_day(),
    "dayofyear": lambda t: t.dt.ordinal_day(),
    "isoyear": lambda t: t.dt.iso_year(),
}


@dataclass(frozen=True)
class Interval:
    """Length of time: calendar months and µs."""

    months: int
    micros: int

    def __neg__(self) -> Interval:
        return Interval(-self.months, -self.micros)


def interval(text: str, unit: str | None) -> Interval:
    """Interval of `INTERVAL '<text>' <unit>`.

    Raises:
        SqlMistake: it cannot be read.
    """
    source = f"{text} {unit}" if unit else text
    months = micros = position = 0
    while position < len(source):
        match = _PAIR.match(source, position)
        if not match:
            raise SqlMistake(
                f"INTERVAL {source!r} cannot be read: write INTERVAL '1 day' or INTERVAL '2 hours 30 minutes'"
            )
        name = unit_name(match[2], (*_UNITS, *_MONTHS), "INTERVAL")
        months += int(match[1]) * _MONTHS.get(name, 0)
        micros += int(match[1]) * _UNITS.get(name, 0)
        position = match.end()
    if max(abs(months), abs(micros // DAY)) > 10_000_000:
        raise SqlMistake(f"INTERVAL {source!r} is too long")
    return Interval(months, micros)


def unit_name(text: str, legal: tuple[str, ...], what: str) -> str:
    """Name of a unit or part of time, whatever its case, in the plural or short.

    Raises:
        SqlMistake: it is none of the legal ones.
    """
    lower = text.lower()
    for name in (lower, lower.removesuffix("s"), _SHORT.get(lower, "")):
        if name in legal:
            return name
    raise SqlMistake(f"{what}: {text!r} is no unit of time.{did_you_mean(text, legal)} Legal are {', '.join(legal)}")


def shift(scope: Scope, value: Value, length: Interval, text: str) -> Value:
    """Time moved by an interval (a date becomes a timestamp); months keep the day where they have it."""
    moment = _time(scope, value, "+ INTERVAL")
    if length.months:
        moment = moment.dt.offset_by(f"{length.months}mo")
    if not length.micros:
        return Value(moment, TIME, text)
    wide = moment.cast(pl.Int64).cast(pl.Int128) + pl.lit(length.micros, dtype=pl.Int128)
    return checked(scope, wide, text, TIME)


def part(scope: Scope, name: str, value: Value, text: str) -> Value:
    """Part of a time: int64; `epoch` (seconds since 1970) float64. Milli- and microseconds include the seconds."""
    if name.lower() == "epoch":
        return epoch(scope, [value], text)
    which = unit_name(name, (*_PARTS, "epoch"), "EXTRACT")
    return Value(_PARTS[which](_time(scope, value, "EXTRACT")).cast(pl.Int64), INT, text)


def date_part(scope: Scope, args: list[Value], text: str) -> Value:
    """`DATE_PART('hour', time)`: see `part`."""
    return part(scope, constant(args[0], "DATE_PART"), args[1], text)


def date_trunc(scope: Scope, args: list[Value], text: str) -> Value:
    """Start of the unit that a time lies in, as a timestamp; weeks start on Monday."""
    name = unit_name(constant(args[0], "DATE_TRUNC"), (*_UNITS, *_MONTHS), "DATE_TRUNC")
    moment = _time(scope, args[1], "DATE_TRUNC")
    if name in _MONTHS:
        return Value(moment.dt.truncate(f"{_MONTHS[name]}mo"), TIME, text)
    return Value((_floor(moment, name) * _UNITS[name] - _origin(name)).cast(polars_type(TIME)), TIME, text)


def date_diff(scope: Scope, args: list[Value], text: str) -> Value:
    """Starts of the unit that lie between two times: `DATE_DIFF('day', a, b)` counts the midnights."""
    name = unit_name(constant(args[0], "DATE_DIFF"), (*_UNITS, *_MONTHS), "DATE_DIFF")
    first, last = (_time(scope, value, "DATE_DIFF") for value in args[1:])
    if name not in _MONTHS:
        return Value(_floor(last, name) - _floor(first, name), INT, text)

    def months(moment: pl.Expr) -> pl.Expr:
        count = moment.dt.year().cast(pl.Int64) * 12 + moment.dt.month().cast(pl.Int64) - 1
        return count // _MONTHS[name]

    return Value(months(last) - months(first), INT, text)


def epoch(scope: Scope, args: list[Value], text: str) -> Value:
    """Seconds since 1970, float64."""
    micros = _time(scope, args[0], "EPOCH").cast(pl.Int64).cast(pl.Float64)
    return Value(quotient(micros, pl.lit(float(SECOND))), FLOAT, text)


def epoch_us(scope: Scope, args: list[Value], text: str) -> Value:
    """Microseconds since 1970, int64."""
    return Value(_time(scope, args[0], "EPOCH_US").cast(pl.Int64), INT, text)


def epoch_ms(scope: Scope, args: list[Value], text: str) -> Value:
    """Of a time, milliseconds since 1970, floored; of an integer, the time of so many."""
    if is_int(args[0].dtype):
        return checked(scope, args[0].expr.cast(pl.Int128) * 1_000, text, TIME)
    return Value(_time(scope, args[0], "EPOCH_MS").cast(pl.Int64) // 1_000, INT, text)


def make_timestamp(scope: Scope, args: list[Value], text: str) -> Value:
    """Time of so many microseconds since 1970."""
    value = typed(require(args[0], is_int, "microseconds as an integer", "MAKE_TIMESTAMP"), INT)
    return Value(value.expr.cast(pl.Int64).cast(polars_type(TIME)), TIME, text)


def to_timestamp(scope: Scope, args: list[Value], text: str) -> Value:
    """Time of so many seconds since 1970, floored to µs."""
    value = typed(require(args[0], is_number, "seconds as a number", "TO_TIMESTAMP"), INT)
    if is_int(value.dtype):
        return checked(scope, value.expr.cast(pl.Int128) * SECOND, text, TIME)
    seconds = cast(scope, value, FLOAT, strict=False).expr
    micros = (seconds * float(SECOND)).floor().cast(pl.Int64, strict=False)
    scope.fault(micros.is_null() & seconds.is_not_null(), seconds, f"({value.text}) is beyond timestamp")
    return Value(micros.cast(polars_type(TIME)), TIME, text)


def _time(scope: Scope, value: Value, what: str) -> pl.Expr:
    require(value, is_time, "a timestamp or date", what)
    return cast(scope, value, TIME, strict=False).expr


def _origin(name: str) -> int:
    return _MONDAY if name == "week" else 0


def _floor(moment: pl.Expr, name: str) -> pl.Expr:
    return (moment.cast(pl.Int64) + _origin(name)) // _UNITS[name]
