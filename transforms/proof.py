"""Proof of row-locality: what each of 64 generated rows gives among all, in reverse, and alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import polars as pl
import pyarrow as pa

from transforms.generated import generated_rows
from transforms.sql import Expression, evaluate_all

Outcomes = Callable[[pl.DataFrame], Sequence[str]]
FAILS = "fails"


class NotRowLocal(Exception):
    """What a row gives depends on the rows beside it; the text shows the row."""


def prove(outcomes: Outcomes, schema: pa.Schema) -> tuple[str, ...]:
    """What each generated row of a schema gives, the same whichever rows are beside it.

    Args:
        outcomes: gives for a frame of the schema's columns one text a row, equal for equal results to the bit.
        schema: columns that it reads (at least one).

    Returns:
        The text of each row.

    Raises:
        NotRowLocal: some row gives one thing among the others, another in reverse or alone.
    """
    frame = pl.DataFrame(pl.from_arrow(generated_rows(schema)))
    whole = list(outcomes(frame))
    ways = {
        "in reverse": list(outcomes(frame.reverse()))[::-1],
        "alone": [text for row in range(frame.height) for text in outcomes(frame.slice(row, 1))],
    }
    for way, texts in ways.items():
        for row, (among, other) in enumerate(zip(whole, texts, strict=True)):
            if among != other:
                values = ", ".join(
                    f"{name}={_short(repr(value))}" for name, value in frame.row(row, named=True).items()
                )
                raise NotRowLocal(
                    f"is not row-local: the row {values} gives {_short(among)} among others, {_short(other)} {way}"
                )
    return tuple(whole)


def expression_outcomes(expressions: Mapping[str, Expression]) -> Outcomes:
    """What each row gives to several expressions."""
    values = {name: expression.expr for name, expression in expressions.items()}
    masks = {f"{name} {FAILS}": expression.failing for name, expression in expressions.items() if expression.faults}

    def outcomes(frame: pl.DataFrame) -> list[str]:
        results = evaluate_all(frame, {**values, **masks})
        return row_texts(results)

    return outcomes


def row_texts(frame: pl.DataFrame) -> list[str]:
    """One text a row, equal for rows that are equal to the bit (NaN is NaN, whatever its bits)."""
    physical = frame.with_columns(
        pl.col(name).cast(pl.Int64) for name, kind in frame.schema.items() if kind in (pl.Date, pl.Datetime)
    )
    return [", ".join(_text(value) for value in row) for row in physical.rows()]


def column_texts(arrays: Mapping[str, pa.Array], rows: int) -> list[str]:
    """The same of Arrow columns of n rows."""
    if not arrays:
        return [""] * rows
    return row_texts(pl.DataFrame({name: pl.Series(pl.from_arrow(array)) for name, array in arrays.items()}))


def _text(value: Any) -> str:
    if isinstance(value, float):
        return "nan" if value != value else value.hex()
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_text(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_text(item) for item in value) + "]"
    if isinstance(value, pl.Series):
        return _text(value.to_list())
    if isinstance(value, Decimal | date | datetime):
        return str(value)
    return repr(value)


def _short(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:57]}..."
