"""Operators of row-local SQL: checked arithmetic, and comparisons in which NaN equals NaN above all numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import polars as pl
import pyarrow as pa

from schemas.types import TIME
from transforms.sql_casts import cast, coerce
from transforms.sql_dialect import SqlMistake
from transforms.sql_types import (
    BOOL,
    DATE,
    FLOAT,
    INT,
    NULL,
    TEXT,
    WIDEST,
    Scope,
    Value,
    common_type,
    decimals_together,
    fits,
    is_decimal,
    is_float,
    is_int,
    is_number,
    polars_type,
    require,
    shown,
    typed,
)

_SYMBOLS: dict[str, Callable[[pl.Expr, pl.Expr], pl.Expr]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
}
_COMPARISONS: dict[str, Callable[[pl.Expr, pl.Expr], pl.Expr]] = {
    "=": lambda a, b: a == b,
    "<>": lambda a, b: a != b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
    "IS DISTINCT FROM": lambda a, b: a.ne_missing(b),
    "IS NOT DISTINCT FROM": lambda a, b: a.eq_missing(b),
}


def checked(scope: Scope, wide: pl.Expr, text: str, dtype: pa.DataType = INT) -> Value:
    """Value of an Int128 expression as int64 (or a type of 64 bits); a fault where it does not fit."""
    narrow = wide.cast(pl.Int64, strict=False)
    scope.fault(narrow.is_null() & wide.is_not_null(), wide, f"({text}) is beyond {shown(dtype)}")
    return Value(narrow if dtype == INT else narrow.cast(polars_type(dtype)), dtype, text)


def spread(operand: pl.Expr, over: pl.Expr) -> pl.Expr:
    """A float operand as a column of as many values as another expression has, even where it is a constant.

    The engine computes x / 3 and x ** 3 with a constant by other, less exact means than with a column; and takes a
    CASE for a constant in a batch of which all rows take one branch.
    """
    return operand * over.is_not_null().cast(pl.Float64) if over.meta.root_names() else operand


def quotient(dividend: pl.Expr, divisor: pl.Expr) -> pl.Expr:
    """Division of floats, correctly rounded."""
    return dividend / spread(divisor, dividend)


def arithmetic(scope: Scope, symbol: str, left: Value, right: Value, text: str) -> Value:
    """`+`, `-`, `*`: int64 of integers (checked), decimal of decimals, else float64."""
    left, right = _numbers(symbol, left, right)
    if is_float(left.dtype) or is_float(right.dtype):
        return Value(_SYMBOLS[symbol](_float(scope, left), _float(scope, right)), FLOAT, text)
    if is_decimal(left.dtype) or is_decimal(right.dtype):
        return _decimal(scope, symbol, left, right, text)
    width = pl.Int64 if _small(left) and _small(right) else pl.Int128
    result = _SYMBOLS[symbol](left.expr.cast(width), right.expr.cast(width))
    return Value(result, INT, text) if width == pl.Int64 else checked(scope, result, text)


def divide(scope: Scope, left: Value, right: Value, text: str) -> Value:
    """`/`: float64 of any numbers, by IEEE: 1 / 0 is inf, 0 / 0 is NaN."""
    left, right = _numbers("/", left, right)
    return Value(quotient(_float(scope, left), _float(scope, right)), FLOAT, text)


def divide_whole(scope: Scope, left: Value, right: Value, text: str) -> Value:
    """`//` of integers: cut off towards zero; null where the divisor is 0."""
    left, right = _integers("//", left, right)
    a, b = left.expr.cast(pl.Int128), right.expr.cast(pl.Int128)
    floor = a // b
    inexact = (floor * b != a) & ((a < 0) != (b < 0))
    cut = floor + pl.when(inexact).then(1).otherwise(0).cast(pl.Int128)
    return checked(scope, pl.when(b != 0).then(cut).otherwise(None), text)


def remainder(scope: Scope, left: Value, right: Value, text: str) -> Value:
    """`%`: has the sign of the dividend. Integers: null where the divisor is 0. Floats: x - y * trunc(x / y)."""
    left, right = _numbers("%", left, right)
    if is_decimal(left.dtype) or is_decimal(right.dtype):
        raise SqlMistake(f"% takes integers or floats, {text} has a decimal; cast it to float64")
    if is_float(left.dtype) or is_float(right.dtype):
        x, y = _float(scope, left), _float(scope, right)
        ratio = quotient(x, y)
        cut = pl.when(ratio < 0).then(ratio.ceil()).otherwise(ratio.floor())
        return Value(pl.when(y.is_infinite() & x.is_finite()).then(x).otherwise(x - y * cut), FLOAT, text)
    a, b = left.expr.cast(pl.Int128), right.expr.cast(pl.Int128)
    rest = a % b
    moved = (rest != 0) & ((rest < 0) != (a < 0))
    signed = rest - pl.when(moved).then(b).otherwise(pl.lit(0, dtype=pl.Int128))
    return checked(scope, pl.when(b != 0).then(signed).otherwise(None), text)


def negate(scope: Scope, value: Value, text: str) -> Value:
    """Unary minus."""
    require(value, is_number, "numbers", "unary -")
    value = typed(value, INT)
    if is_int(value.dtype):
        return checked(scope, pl.lit(0, dtype=pl.Int128) - value.expr.cast(pl.Int128), text)
    return Value(-value.expr, value.dtype, text)


def compare(scope: Scope, symbol: str, left: Value, right: Value, text: str) -> Value:
    """Comparison; of floats NaN = NaN, above all numbers, and -0.0 = 0.0; of strings by code point."""
    left, right = together(scope, [left, right], f"{text!r}")
    if not comparable(left.dtype):
        raise SqlMistake(f"{text}: {shown(left.dtype)} cannot be compared; compare its parts")
    return Value(_COMPARISONS[symbol](left.expr, right.expr), BOOL, text)


def comparable(dtype: pa.DataType) -> bool:
    """Whether values of a type can be compared."""
    return not pa.types.is_nested(dtype)


def together(scope: Scope, values: Sequence[Value], what: str) -> list[Value]:
    """Values in their common type."""
    alike = decimals_together(values)
    kind = common_type(alike, what)
    return [coerce(scope, value, kind) for value in alike]


def contained(scope: Scope, value: Value, items: Sequence[Value], text: str) -> Value:
    """`IN`: null where nothing is equal and something is null."""
    first, *rest = together(scope, [value, *items], f"{text!r}")
    if not comparable(first.dtype):
        raise SqlMistake(f"{text}: {shown(first.dtype)} cannot be compared; compare its parts")
    plain = [item.literal for item, given in zip(rest, items, strict=True) if given.literal is not None]
    if len(plain) == len(rest) and first.dtype in (INT, TEXT):
        return Value(first.expr.is_in(plain), BOOL, text)
    found = first.expr == rest[0].expr
    for item in rest[1:]:
        found = found | (first.expr == item.expr)
    return Value(found, BOOL, text)


def joined(scope: Scope, left: Value, right: Value, text: str) -> Value:
    """`||` of strings; null if one is."""
    for value in (left, right):
        require(value, lambda kind: kind == TEXT, "strings (cast with CAST(x AS string))", "||")
    return Value(typed(left, TEXT).expr + typed(right, TEXT).expr, TEXT, text)


def truth(value: Value, what: str) -> pl.Expr:
    """Expression of a boolean value."""
    return typed(require(value, lambda kind: kind == BOOL, "bool", what), BOOL).expr


def days(scope: Scope, symbol: str, left: Value, right: Value, text: str) -> Value | None:
    """`date - date` (days, int64), `date + n` and `date - n`; None for other types."""
    if left.dtype == DATE and right.dtype == DATE and symbol == "-":
        return Value(_day(left) - _day(right), INT, text)
    if symbol == "+" and is_int(left.dtype) and right.dtype == DATE:
        left, right = right, left
    if left.dtype == DATE and is_int(right.dtype) and symbol in "+-":
        moved = _SYMBOLS[symbol](_day(left).cast(pl.Int128), right.expr.cast(pl.Int128))
        fit = moved.cast(pl.Int32, strict=False)
        scope.fault(fit.is_null() & moved.is_not_null(), moved, f"days ({text}) is beyond date")
        return Value(fit.cast(pl.Date), DATE, text)
    if {left.dtype, right.dtype} & {DATE, TIME} and NULL not in (left.dtype, right.dtype):
        other = f"{shown(left.dtype)} {symbol} {shown(right.dtype)}"
        raise SqlMistake(
            f"{text}: {other} is not possible; add INTERVAL '1 hour' to a time, or take DATE_DIFF('second', a, b) "
            "or EPOCH_US(a) - EPOCH_US(b) of two"
        )
    return None


def _day(value: Value) -> pl.Expr:
    return value.expr.cast(pl.Int32).cast(pl.Int64)


def _small(value: Value) -> bool:
    if isinstance(value.literal, int):
        return fits(value.literal, pa.int32())
    return bool(value.dtype.bit_width < 64)


def _numbers(symbol: str, left: Value, right: Value) -> tuple[Value, Value]:
    for value in (left, right):
        require(value, is_number, "numbers", symbol)
    left, right = decimals_together([left, right])
    return typed(left, INT), typed(right, INT)


def _integers(symbol: str, left: Value, right: Value) -> tuple[Value, Value]:
    for value in (left, right):
        require(value, is_int, "integers (for other numbers FLOOR(a / b))", symbol)
    return typed(left, INT), typed(right, INT)


def _float(scope: Scope, value: Value) -> pl.Expr:
    return cast(scope, value, FLOAT, strict=False).expr


def _decimal(scope: Scope, symbol: str, left: Value, right: Value, text: str) -> Value:
    """Exact decimal of 38 digits; a fault at 10 ** (38 - scale), told from the float64 estimate."""
    scales = [int(value.dtype.scale) if is_decimal(value.dtype) else 0 for value in (left, right)]
    scale = sum(scales) if symbol == "*" else max(scales)
    if scale > WIDEST:
        raise SqlMistake(f"{text} has {scale} digits behind the point, a decimal holds {WIDEST}; cast to float64")
    dtype = pa.decimal128(WIDEST, scale)
    goal = polars_type(dtype)
    a, b = _float(scope, left), _float(scope, right)
    estimate = _SYMBOLS[symbol](a, b)
    bound = float(10 ** (WIDEST - scale)) * (1 - 1e-9)
    far = pl.max_horizontal(a.abs(), b.abs(), estimate.abs()) >= bound
    scope.fault(far & a.is_not_null() & b.is_not_null(), estimate, f"({text}) is beyond decimal({WIDEST},{scale})")
    within = [pl.when(~far).then(value.expr).otherwise(None).cast(goal, strict=False) for value in (left, right)]
    return Value(_SYMBOLS[symbol](*within).cast(goal, strict=False), dtype, text)
