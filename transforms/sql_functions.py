"""Functions of row-local SQL: the list of all that are legal, and why others are not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import polars as pl
import pyarrow as pa

from transforms import sql_texts, sql_times
from transforms.sql_casts import cast
from transforms.sql_dialect import SqlMistake
from transforms.sql_operators import checked, comparable, remainder, spread, together
from transforms.sql_refusals import refusal
from transforms.sql_types import (
    BOOL,
    FLOAT,
    INT,
    WIDEST,
    Scope,
    Value,
    is_decimal,
    is_int,
    is_list,
    is_number,
    polars_type,
    require,
    shown,
    typed,
)

Build = Callable[[Scope, list[Value], str], Value]


@dataclass(frozen=True)
class SqlFunction:
    """Function that may be called: how, with how many values, and what it gives."""

    usage: str
    least: int
    most: int
    build: Build


def absolute(scope: Scope, args: list[Value], text: str) -> Value:
    """Absolute value, of the same kind; int64 of integers, checked."""
    value = _number(args[0], "ABS")
    if is_int(value.dtype):
        return checked(scope, value.expr.cast(pl.Int128).abs(), text)
    return Value(value.expr.abs(), value.dtype, text)


def sign(scope: Scope, args: list[Value], text: str) -> Value:
    """-1, 0 or 1: int64 of integers, float64 of other numbers (NaN of NaN)."""
    value = _number(args[0], "SIGN")
    if is_int(value.dtype):
        return Value(value.expr.cast(pl.Int64).sign(), INT, text)
    return Value(_float(scope, value).sign(), FLOAT, text)


def rounded(scope: Scope, args: list[Value], text: str) -> Value:
    """Rounded to n digits behind the point (0), half away from zero; of the same kind, float64 of floats."""
    digits = args[1].literal if len(args) > 1 else 0
    if not isinstance(digits, int) or not 0 <= digits <= 30:
        raise SqlMistake(f"{text}: ROUND takes a number of digits from 0 to 30, not {args[1].text}")
    return _digits(scope, args[0], "ROUND", text, lambda expr: expr.round(digits, mode="half_away_from_zero"))


def floor(scope: Scope, args: list[Value], text: str) -> Value:
    """Greatest whole number not above; of the same kind, float64 of floats."""
    return _digits(scope, args[0], "FLOOR", text, lambda expr: expr.floor())


def ceil(scope: Scope, args: list[Value], text: str) -> Value:
    """Least whole number not below; of the same kind, float64 of floats."""
    return _digits(scope, args[0], "CEIL", text, lambda expr: expr.ceil())


def power(scope: Scope, args: list[Value], text: str) -> Value:
    """Power, float64."""
    base, exponent = (_float(scope, _number(arg, "POW")) for arg in args)
    return Value(base.pow(spread(exponent, base)), FLOAT, text)


def modulo(scope: Scope, args: list[Value], text: str) -> Value:
    """`a % b`."""
    return remainder(scope, args[0], args[1], text)


def greatest(scope: Scope, args: list[Value], text: str) -> Value:
    """Greatest of the values that are not null; NaN is above every number."""
    return _extreme(scope, args, text, "GREATEST", lambda a, b: a >= b)


def least(scope: Scope, args: list[Value], text: str) -> Value:
    """Least of the values that are not null; NaN is above every number."""
    return _extreme(scope, args, text, "LEAST", lambda a, b: a <= b)


def nullif(scope: Scope, args: list[Value], text: str) -> Value:
    """The first value, null where it equals the second."""
    first, second = together(scope, args, "NULLIF")
    return Value(pl.when(first.expr == second.expr).then(None).otherwise(first.expr), first.dtype, text)


def list_contains(scope: Scope, args: list[Value], text: str) -> Value:
    """Whether a list holds a value."""
    whole, given = args
    require(whole, is_list, "a list", "LIST_CONTAINS")
    item = whole.dtype.value_type if is_list(whole.dtype) else given.dtype
    element, wanted = together(
        scope, [Value(pl.lit(None), item, f"an element of {whole.text}"), given], "LIST_CONTAINS"
    )
    if element.dtype != item or not comparable(item):
        raise SqlMistake(f"{text}: an element is {shown(item)}, {given.text} is {shown(given.dtype)}")
    return Value(whole.expr.list.contains(wanted.expr), BOOL, text)


def _float_function(name: str, apply: Callable[[pl.Expr], pl.Expr]) -> Build:
    def build(scope: Scope, args: list[Value], text: str) -> Value:
        return Value(apply(_float(scope, _number(args[0], name))), FLOAT, text)

    return build


def _float_check(name: str, apply: Callable[[pl.Expr], pl.Expr]) -> Build:
    def build(scope: Scope, args: list[Value], text: str) -> Value:
        return Value(apply(_float(scope, _number(args[0], name))), BOOL, text)

    return build


def _part(name: str) -> Build:
    return lambda scope, args, text: sql_times.part(scope, name, args[0], text)


def _number(value: Value, what: str) -> Value:
    return typed(require(value, is_number, "a number", what), FLOAT)


def _float(scope: Scope, value: Value) -> pl.Expr:
    return cast(scope, value, FLOAT, strict=False).expr


def _digits(scope: Scope, value: Value, what: str, text: str, apply: Callable[[pl.Expr], pl.Expr]) -> Value:
    value = _number(value, what)
    if is_int(value.dtype):
        return Value(value.expr, value.dtype, text)
    if is_decimal(value.dtype):
        dtype = pa.decimal128(min(value.dtype.precision + 1, WIDEST), value.dtype.scale)
        result = apply(value.expr).cast(polars_type(dtype), strict=False)
        scope.fault(result.is_null() & value.expr.is_not_null(), value.expr, f"({text}) is beyond {shown(dtype)}")
        return Value(result, dtype, text)
    return Value(apply(_float(scope, value)), FLOAT, text)


def _extreme(
    scope: Scope, args: list[Value], text: str, what: str, better: Callable[[pl.Expr, pl.Expr], pl.Expr]
) -> Value:
    first, *rest = together(scope, args, what)
    if not comparable(first.dtype):
        raise SqlMistake(f"{text}: {shown(first.dtype)} cannot be compared")
    best = first.expr
    for value in rest:
        other = value.expr
        best = pl.when(other.is_null() | better(best, other)).then(best).otherwise(other)
    return Value(best, first.dtype, text)


def _log(base: float, logarithm: Callable[[pl.Expr], pl.Expr]) -> Callable[[pl.Expr], pl.Expr]:
    """Logarithm that is exact for whole powers of its base."""

    def apply(expr: pl.Expr) -> pl.Expr:
        near = logarithm(expr)
        whole = near.round(0, mode="half_to_even")
        return pl.when(pl.lit(base).pow(whole) == expr).then(whole).otherwise(near)

    return apply


_LOG10 = _log(10.0, lambda expr: expr.log10())
_FLOATS: dict[str, Callable[[pl.Expr], pl.Expr]] = {
    "SQRT": lambda expr: expr.sqrt(),
    "EXP": lambda expr: expr.exp(),
    "LN": lambda expr: expr.log(),
    "LOG": _LOG10,
    "LOG10": _LOG10,
    "LOG2": _log(2.0, lambda expr: expr.log(2.0)),
    "SIN": lambda expr: expr.sin(),
    "COS": lambda expr: expr.cos(),
    "TAN": lambda expr: expr.tan(),
    "ASIN": lambda expr: expr.arcsin(),
    "ACOS": lambda expr: expr.arccos(),
    "ATAN": lambda expr: expr.arctan(),
    "RADIANS": lambda expr: expr.radians(),
    "DEGREES": lambda expr: expr.degrees(),
}
_CHECKS: dict[str, Callable[[pl.Expr], pl.Expr]] = {
    "ISNAN": lambda expr: expr.is_nan(),
    "ISINF": lambda expr: expr.is_infinite(),
    "ISFINITE": lambda expr: expr.is_finite(),
}
_TIME_PARTS = (
    "YEAR",
    "QUARTER",
    "MONTH",
    "WEEK",
    "DAY",
    "HOUR",
    "MINUTE",
    "SECOND",
    "DAYOFWEEK",
    "ISODOW",
    "DAYOFYEAR",
)

FUNCTIONS: dict[str, SqlFunction] = {
    "ABS": SqlFunction("ABS(x)", 1, 1, absolute),
    "SIGN": SqlFunction("SIGN(x)", 1, 1, sign),
    "ROUND": SqlFunction("ROUND(x) or ROUND(x, digits)", 1, 2, rounded),
    "FLOOR": SqlFunction("FLOOR(x)", 1, 1, floor),
    "CEIL": SqlFunction("CEIL(x)", 1, 1, ceil),
    "CEILING": SqlFunction("CEILING(x)", 1, 1, ceil),
    "POW": SqlFunction("POW(x, y)", 2, 2, power),
    "POWER": SqlFunction("POWER(x, y)", 2, 2, power),
    "MOD": SqlFunction("MOD(x, y)", 2, 2, modulo),
    "GREATEST": SqlFunction("GREATEST(a, b, ...)", 1, 100, greatest),
    "LEAST": SqlFunction("LEAST(a, b, ...)", 1, 100, least),
    "NULLIF": SqlFunction("NULLIF(a, b)", 2, 2, nullif),
    **{name: SqlFunction(f"{name}(x)", 1, 1, _float_function(name, apply)) for name, apply in _FLOATS.items()},
    **{name: SqlFunction(f"{name}(x)", 1, 1, _float_check(name, apply)) for name, apply in _CHECKS.items()},
    "LOWER": SqlFunction("LOWER(text)", 1, 1, sql_texts.lower),
    "UPPER": SqlFunction("UPPER(text)", 1, 1, sql_texts.upper),
    "TRIM": SqlFunction("TRIM(text) or TRIM(text, 'characters')", 1, 2, sql_texts.trim),
    "LTRIM": SqlFunction("LTRIM(text) or LTRIM(text, 'characters')", 1, 2, sql_texts.ltrim),
    "RTRIM": SqlFunction("RTRIM(text) or RTRIM(text, 'characters')", 1, 2, sql_texts.rtrim),
    "LENGTH": SqlFunction("LENGTH(text or list or map)", 1, 1, sql_texts.length),
    "LEN": SqlFunction("LEN(text or list or map)", 1, 1, sql_texts.length),
    "CARDINALITY": SqlFunction("CARDINALITY(list or map)", 1, 1, sql_texts.length),
    "SUBSTR": SqlFunction("SUBSTR(text, start) or SUBSTR(text, start, length)", 2, 3, sql_texts.substr),
    "SUBSTRING": SqlFunction("SUBSTRING(text, start, length)", 2, 3, sql_texts.substr),
    "LEFT": SqlFunction("LEFT(text, n)", 2, 2, sql_texts.left),
    "RIGHT": SqlFunction("RIGHT(text, n)", 2, 2, sql_texts.right),
    "REPLACE": SqlFunction("REPLACE(text, 'old', 'new')", 3, 3, sql_texts.replace),
    "CONCAT": SqlFunction("CONCAT(text, ...)", 1, 100, sql_texts.concat),
    "STARTS_WITH": SqlFunction("STARTS_WITH(text, start)", 2, 2, sql_texts.starts_with),
    "ENDS_WITH": SqlFunction("ENDS_WITH(text, end)", 2, 2, sql_texts.ends_with),
    "CONTAINS": SqlFunction("CONTAINS(text, part)", 2, 2, sql_texts.contains),
    "STRPOS": SqlFunction("STRPOS(text, 'part')", 2, 2, sql_texts.strpos),
    "SPLIT_PART": SqlFunction("SPLIT_PART(text, 'separator', n)", 3, 3, sql_texts.split_part),
    "REGEXP_LIKE": SqlFunction("REGEXP_LIKE(text, 'pattern')", 2, 2, sql_texts.regexp_like),
    "REGEXP_MATCHES": SqlFunction("REGEXP_MATCHES(text, 'pattern')", 2, 2, sql_texts.regexp_like),
    "REGEXP_EXTRACT": SqlFunction("REGEXP_EXTRACT(text, 'pattern', group)", 2, 3, sql_texts.regexp_extract),
    "LIST_CONTAINS": SqlFunction("LIST_CONTAINS(list, value)", 2, 2, list_contains),
    "DATE_PART": SqlFunction("DATE_PART('part', time)", 2, 2, sql_times.date_part),
    "DATE_TRUNC": SqlFunction("DATE_TRUNC('unit', time)", 2, 2, sql_times.date_trunc),
    "DATE_DIFF": SqlFunction("DATE_DIFF('unit', from, to)", 3, 3, sql_times.date_diff),
    **{name: SqlFunction(f"{name}(time)", 1, 1, _part(name)) for name in _TIME_PARTS},
    "EPOCH": SqlFunction("EPOCH(time)", 1, 1, sql_times.epoch),
    "EPOCH_MS": SqlFunction("EPOCH_MS(time)", 1, 1, sql_times.epoch_ms),
    "EPOCH_US": SqlFunction("EPOCH_US(time)", 1, 1, sql_times.epoch_us),
    "TO_TIMESTAMP": SqlFunction("TO_TIMESTAMP(seconds)", 1, 1, sql_times.to_timestamp),
    "MAKE_TIMESTAMP": SqlFunction("MAKE_TIMESTAMP(microseconds)", 1, 1, sql_times.make_timestamp),
}
BRANCHING = ("COALESCE", "IFNULL", "IF", "CASE", "CAST", "TRY_CAST", "EXTRACT", "POSITION")
LEGAL = tuple(sorted((*FUNCTIONS, *BRANCHING)))


def call(scope: Scope, name: str, args: list[Value], text: str) -> Value:
    """Value of a function.

    Raises:
        SqlMistake: there is no such function, or its arguments do not fit.
    """
    function = FUNCTIONS.get(name.upper())
    if function is None:
        raise SqlMistake(refusal(name, LEGAL))
    if not function.least <= len(args) <= function.most:
        raise SqlMistake(f"{name.upper()} is called {function.usage}, not with {len(args)} values")
    return function.build(scope, args, text)
