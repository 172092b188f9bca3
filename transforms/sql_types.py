"""Types within an SQL expression: its values, how they combine, and the faults of rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import cache

import polars as pl
import pyarrow as pa

from schemas.types import TIME, type_text
from transforms.sql_dialect import SqlMistake

NULL = pa.null()
BOOL, INT, FLOAT, TEXT, DATE = pa.bool_(), pa.int64(), pa.float64(), pa.string(), pa.date32()
WIDEST = 38
_INT_BITS = {8: (-(2**7), 2**7 - 1), 16: (-(2**15), 2**15 - 1), 32: (-(2**31), 2**31 - 1), 64: (-(2**63), 2**63 - 1)}

Literal = str | int | float | Decimal | None


@dataclass(frozen=True)
class Value:
    """Part of an expression.

    Attributes:
        expr: polars expression, exactly of `dtype`.
        dtype: Arrow type; `pa.null()` for a bare NULL.
        text: as written, for messages.
        literal: value of a literal (of one with a point, a `Decimal`), else None.
    """

    expr: pl.Expr
    dtype: pa.DataType
    text: str
    literal: Literal = None


@dataclass(frozen=True)
class Fault:
    """One way in which an expression fails on a row.

    Attributes:
        mask: boolean expression without nulls, true for the rows that fail.
        operand: what the reason shows.
        reason: what is wrong, said after the operand's value.
    """

    mask: pl.Expr
    operand: pl.Expr
    reason: str


class Scope:
    """What is known while an expression is compiled: the columns, and the faults found so far.

    Branches are evaluated on every row; a fault counts only on rows that take the branch (`guarded`).
    """

    def __init__(self, schema: pa.Schema) -> None:
        self.schema = schema
        self.columns: set[str] = set()
        self.faults: list[Fault] = []
        self._guards: list[pl.Expr] = []

    @contextmanager
    def guarded(self, taken: pl.Expr) -> Iterator[None]:
        """While a branch is compiled that only rows with `taken` (boolean, no nulls) evaluate."""
        self._guards.append(taken)
        try:
            yield
        finally:
            self._guards.pop()

    def fault(self, mask: pl.Expr, operand: pl.Expr, reason: str) -> None:
        """Rows for which `mask` is true fail, if they take the branch being compiled."""
        for guard in self._guards:
            mask = mask & guard
        self.faults.append(Fault(mask.fill_null(False), operand, reason))


@cache
def polars_type(dtype: pa.DataType) -> pl.DataType:
    """Polars type that carries an Arrow type."""
    return pl.Series(pl.from_arrow(pa.array([], dtype))).dtype


def is_int(dtype: pa.DataType) -> bool:
    """Whether it is an integer type."""
    return bool(pa.types.is_integer(dtype))


def is_float(dtype: pa.DataType) -> bool:
    """Whether it is a float type."""
    return bool(pa.types.is_floating(dtype))


def is_decimal(dtype: pa.DataType) -> bool:
    """Whether it is a decimal type."""
    return bool(pa.types.is_decimal(dtype))


def is_number(dtype: pa.DataType) -> bool:
    """Whether it is an integer, float or decimal type."""
    return is_int(dtype) or is_float(dtype) or is_decimal(dtype)


def is_time(dtype: pa.DataType) -> bool:
    """Whether it is a timestamp or a date."""
    return dtype in (TIME, DATE)


def is_map(dtype: pa.DataType) -> bool:
    """Whether it is a map."""
    return bool(pa.types.is_map(dtype))


def is_list(dtype: pa.DataType) -> bool:
    """Whether it is a list."""
    return bool(pa.types.is_list(dtype))


def is_struct(dtype: pa.DataType) -> bool:
    """Whether it is a struct."""
    return bool(pa.types.is_struct(dtype))


def shown(dtype: pa.DataType) -> str:
    """Name of a type, for messages."""
    return "NULL" if dtype == NULL else type_text(dtype)


def require(value: Value, check: Callable[[pa.DataType], bool], legal: str, what: str) -> Value:
    """The value, if its type is legal; a bare NULL always is.

    Raises:
        SqlMistake: it is not.
    """
    if value.dtype == NULL or check(value.dtype):
        return value
    raise SqlMistake(f"{what} takes {legal}, {value.text} is {shown(value.dtype)}")


def typed(value: Value, dtype: pa.DataType) -> Value:
    """The value with a bare NULL made one of a type."""
    return replace(value, expr=value.expr.cast(polars_type(dtype)), dtype=dtype) if value.dtype == NULL else value


def literal(python: Literal, dtype: pa.DataType, text: str) -> Value:
    """Value of a literal."""
    given = float(python) if isinstance(python, Decimal) and is_float(dtype) else python
    return Value(pl.lit(given, dtype=polars_type(dtype)), dtype, text, python)


def as_decimal(value: Value) -> Value:
    """A literal with a point, as a decimal with as many digits behind it; any other value as it is."""
    if not isinstance(value.literal, Decimal) or not is_float(value.dtype):
        return value
    parts = value.literal.as_tuple()
    scale = max(0, -int(parts.exponent))
    precision = max(len(parts.digits), scale, 1)
    if precision > WIDEST:
        return value
    return replace(literal(value.literal, pa.decimal128(precision, scale), value.text), literal=value.literal)


def decimals_together(values: Sequence[Value]) -> list[Value]:
    """The values, literals with a point as decimals if some operand is a decimal and none a float."""
    fixed = any(is_decimal(value.dtype) for value in values)
    floats = any(is_float(value.dtype) and not isinstance(value.literal, Decimal) for value in values)
    return [as_decimal(value) for value in values] if fixed and not floats else list(values)


def fits(number: int, dtype: pa.DataType) -> bool:
    """Whether an integer fits an integer type."""
    low, high = _INT_BITS[dtype.bit_width]
    return low <= number <= high


def common_type(values: Sequence[Value], what: str) -> pa.DataType:
    """Type that holds all the values without loss (int64 next to float64: as float64).

    Raises:
        SqlMistake: there is none.
    """
    kinds = {value.dtype for value in values if value.dtype != NULL}
    if len(kinds) <= 1:
        return kinds.pop() if kinds else NULL
    if all(is_int(kind) for kind in kinds):
        wide = [value.dtype for value in values if is_int(value.dtype) and not isinstance(value.literal, int)]
        widest = max(wide, key=lambda kind: int(kind.bit_width), default=INT)
        small = all(fits(value.literal, widest) for value in values if isinstance(value.literal, int))
        return widest if small else INT
    if all(is_number(kind) for kind in kinds):
        return FLOAT if any(is_float(kind) for kind in kinds) else _common_decimal(kinds)
    if all(is_time(kind) for kind in kinds):
        return TIME
    times = [kind for kind in kinds if is_time(kind)]
    texts = [value for value in values if value.dtype == TEXT]
    if times and len(times) == len(kinds) - 1 and texts and all(isinstance(value.literal, str) for value in texts):
        return TIME if TIME in times else DATE
    first, second = sorted(shown(kind) for kind in kinds)[:2]
    raise SqlMistake(f"{what} mixes {first} and {second}; cast one of them, as in CAST(x AS {first})")


def _common_decimal(kinds: set[pa.DataType]) -> pa.DataType:
    fixed = [kind for kind in kinds if is_decimal(kind)]
    scale = max(int(kind.scale) for kind in fixed)
    whole = max(int(kind.precision) - int(kind.scale) for kind in fixed)
    if any(is_int(kind) for kind in kinds):
        whole = max(whole, 19)
    return pa.decimal128(whole + scale, scale) if whole + scale <= WIDEST else FLOAT
