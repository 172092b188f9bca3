"""Branches of row-local SQL: a row cannot fail in a branch that it does not take."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import polars as pl

from transforms.sql_dialect import SqlMistake
from transforms.sql_operators import together, truth
from transforms.sql_types import BOOL, Scope, Value

Later = Callable[[], Value]


def conjunction(scope: Scope, left: Later, right: Later, text: str) -> Value:
    """`AND`, of three values; the right side counts where the left is not false."""
    first = truth(left(), "AND")
    with scope.guarded(first.ne_missing(pl.lit(False))):
        return Value(first & truth(right(), "AND"), BOOL, text)


def disjunction(scope: Scope, left: Later, right: Later, text: str) -> Value:
    """`OR`, of three values; the right side counts where the left is not true."""
    first = truth(left(), "OR")
    with scope.guarded(first.ne_missing(pl.lit(True))):
        return Value(first | truth(right(), "OR"), BOOL, text)


def choice(scope: Scope, pairs: Sequence[tuple[pl.Expr, Later]], default: Later, text: str) -> Value:
    """`CASE` and `IF`: the result of the first condition that is true, else the default.

    Args:
        scope: takes the faults of the branches.
        pairs: boolean condition, and result.
        default: what remains.
        text: as written.
    """
    untaken = pl.lit(True)
    values = []
    for condition, result in pairs:
        taken = condition.fill_null(False)
        with scope.guarded(untaken & taken):
            values.append(result())
        untaken = untaken & ~taken
    with scope.guarded(untaken):
        values.append(default())
    *results, other = together(scope, values, f"{text!r}")
    expr = other.expr
    for (condition, _), value in reversed(list(zip(pairs, results, strict=True))):
        expr = pl.when(condition).then(value.expr).otherwise(expr)
    return Value(expr, other.dtype, text)


def coalesce(scope: Scope, parts: Sequence[Later], text: str) -> Value:
    """`COALESCE`: the first value that is not null.

    Raises:
        SqlMistake: there are no values.
    """
    if not parts:
        raise SqlMistake("COALESCE is called COALESCE(a, b, ...)")
    values = [parts[0]()]
    missing = values[0].expr.is_null()
    for part in parts[1:]:
        with scope.guarded(missing):
            values.append(part())
        missing = missing & values[-1].expr.is_null()
    alike = together(scope, values, "COALESCE")
    return Value(pl.coalesce([value.expr for value in alike]), alike[0].dtype, text)
