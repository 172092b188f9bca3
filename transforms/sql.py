"""Row-local SQL: an expression's text, compiled once into a polars expression of a known type."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl
import pyarrow as pa


@dataclass(frozen=True)
class Fault:
    """One way in which an expression fails on a row.

    Attributes:
        mask: boolean expression, true for the rows that fail.
        operand: what the reason shows.
        reason: text with `{}` for the operand's value.
    """

    mask: pl.Expr
    operand: pl.Expr
    reason: str


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
