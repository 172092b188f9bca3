"""Row-local SQL: an expression's text, compiled once into a polars expression of a known type.

Integers: `+ - *` and unary minus are int64 and checked, `//` and `%` cut towards zero and are null where the divisor
is 0, `/` is always float64 division by IEEE. Decimals stay exact (scales add up in products). A literal with a point
is float64 unless an operand is a decimal. Comparisons of floats: NaN = NaN, above every number, -0.0 = 0.0. AND, OR
and NOT have three values; branches of CASE, IF, COALESCE, AND and OR that a row does not take cannot fail on it.
Names of columns are exact, case included; positions in lists and strings begin at 1; times are UTC.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl
import pyarrow as pa

from schemas.errors import DefinitionError, Mistake
from transforms.sql_dialect import SqlMistake, parse
from transforms.sql_translation import translate
from transforms.sql_types import Fault

RESULT = "result"


@dataclass(frozen=True)
class Expression:
    """Compiled row-local SQL; pickles.

    Attributes:
        text: the SQL as it was written.
        expr: polars expression of the value; null on rows that fail.
        dtype: type of the value.
        columns: names of the columns that it reads.
        faults: ways in which a row can fail (a cast of an unfit text, an integer beyond its type).
    """

    text: str
    expr: pl.Expr
    dtype: pa.DataType
    columns: frozenset[str]
    faults: tuple[Fault, ...] = ()

    def evaluate(self, frame: pl.DataFrame) -> pl.Series:
        """Values for the n rows of a frame that has the columns; null on rows that fail.

        Args:
            frame: n rows.

        Returns:
            Series of n values of the polars type of `dtype`.
        """
        return evaluate_all(frame, {RESULT: self.expr})[RESULT]

    @property
    def failing(self) -> pl.Expr:
        """Boolean expression, without nulls: which rows fail."""
        return pl.any_horizontal(fault.mask for fault in self.faults) if self.faults else pl.lit(False)

    def reasons(self, frame: pl.DataFrame) -> list[str | None]:
        """Why each row of a frame fails, None for rows that do not; meant for few rows."""
        found: list[str | None] = [None] * frame.height
        for fault in self.faults:
            both = evaluate_all(frame, {"mask": fault.mask, "operand": fault.operand})
            for row, (mask, operand) in enumerate(zip(both["mask"], both["operand"].to_list(), strict=True)):
                if mask and found[row] is None:
                    found[row] = f"{_shown(operand)} {fault.reason}"
        return found


def steady(frame: pl.DataFrame) -> pl.DataFrame:
    """The frame in one chunk, a single row beside a copy of itself.

    The engine takes a column, or a chunk, of one row for a constant, and divides by constants less exactly than by
    columns: on a steady frame (and never in the streaming engine, which cuts frames into pieces) what a row gives
    does not depend on how many rows there are.
    """
    if frame.height != 1:
        return frame.rechunk()
    # Column by column: a frame appended to itself stays a frame of constants.
    return pl.DataFrame([pl.concat([column, column], rechunk=True) for column in frame.get_columns()])


def evaluate_all(frame: pl.DataFrame, expressions: Mapping[str, pl.Expr]) -> pl.DataFrame:
    """Values of several expressions for the rows of a frame, in one pass.

    Args:
        frame: n rows, at least one column.
        expressions: by the names of the results.

    Returns:
        Frame of n rows with one column an expression.
    """
    columns = [expr.alias(name) for name, expr in expressions.items()]
    # Beside all columns, so that constants have the length of the frame; those not read cost nothing.
    results = steady(frame).lazy().with_columns(columns).select(list(expressions)).collect(engine="in-memory")
    return results if results.height == frame.height else results.head(frame.height)


def compile_sql(text: str, schema: pa.Schema, what: str, place: str) -> Expression:
    """Expression over the columns of a schema.

    Args:
        text: one row-local SQL expression.
        schema: the columns it may read.
        what: the definition, as the user calls it, for the mistake.
        place: `file:line` of the definition.

    Raises:
        DefinitionError: the text is no expression, not row-local, or its types do not fit; it names the part at
            fault and what is legal.
    """
    try:
        value, scope = translate(parse(text), schema)
    except (SqlMistake, RecursionError) as error:
        reason = str(error) if isinstance(error, SqlMistake) else "the expression is nested too deeply"
        raise DefinitionError([Mistake(place, what, reason)]) from None
    return Expression(text, value.expr, value.dtype, frozenset(scope.columns), tuple(scope.faults))


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
