"""Transformations: a user's function as a row rule, every row of which is known by the event behind it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from transforms.frames import plain_column
from transforms.functions import BrokenFunction, Function, FunctionFault, call, fitted
from transforms.proof import FAILS, column_texts, row_texts
from transforms.sql import steady

Ints = npt.NDArray[np.int64]
ROW = "_row"


@dataclass(frozen=True)
class Transformed:
    """What a transformation made of n events.

    Attributes:
        kept: int64[m], the events that became rows, ascending.
        added: the columns of `returns`, m values each.
        failed: event -> reason.
        broken: how the function breaks its definition, or None.
    """

    kept: Ints
    added: Mapping[str, pa.Array]
    failed: Mapping[int, str]
    broken: str | None = None


@dataclass(frozen=True)
class Transformation:
    """`transform=` of a view.

    The function sees the source's columns and `_row`, a number for each row that it must hand on (unless it gives a
    row for every row, in their order); it may drop rows, never invent any. What it declares in `returns` is taken
    from its result, all other columns stay as they were.

    Attributes:
        function: of a polars frame, gives a polars frame.
        returns: column -> type of what it adds or replaces.
    """

    function: Function
    returns: Mapping[str, pa.DataType]

    def apply(self, events: pl.DataFrame) -> Transformed:
        """Rows of n events; where a call fails, it is halved until the bad events stand alone.

        Args:
            events: the source's columns.
        """
        numbered = events.with_columns(pl.Series(ROW, np.arange(events.height), pl.Int64))
        parts, failed, broken = [], {}, None
        waiting = [(0, events.height)] if events.height else []
        while waiting:
            start, stop = waiting.pop()
            try:
                parts.append(self.rows(numbered.slice(start, stop - start)))
            except FunctionFault as fault:
                broken = str(fault) if broken is None and isinstance(fault, BrokenFunction) else broken
                if stop - start == 1:
                    failed[start] = str(fault)
                else:
                    middle = (start + stop) // 2
                    waiting += [(start, middle), (middle, stop)]
        rows = pl.concat(parts).sort(ROW) if parts else pl.DataFrame(schema={ROW: pl.Int64})
        if not parts:
            return Transformed(
                np.zeros(0, np.int64), {n: pa.array([], k) for n, k in self.returns.items()}, failed, broken
            )
        added = {name: plain_column(rows[name].to_arrow()).cast(kind) for name, kind in self.returns.items()}
        return Transformed(rows[ROW].to_numpy().astype(np.int64), added, failed, broken)

    def rows(self, numbered: pl.DataFrame) -> pl.DataFrame:
        """The row numbers and the declared columns of what the function makes of one frame.

        Raises:
            FunctionFault: the call failed.
        BrokenFunction: its result is not what `returns` says.
        """
        result = self.result(numbered)
        columns = []
        for name, kind in self.returns.items():
            if name not in result.columns:
                raise BrokenFunction(f"gives no column {name!r}, which returns= declares")
            columns.append(fitted(result[name], kind))
        return pl.DataFrame([result[ROW], *columns])

    def result(self, numbered: pl.DataFrame) -> pl.DataFrame:
        """All that the function makes of one frame, with the numbers of its rows.

        Raises:
            FunctionFault: the call failed.
        BrokenFunction: rows cannot be told apart, or were invented.
        """
        first = numbered[ROW]
        given = steady(numbered)
        if numbered.height == 1:
            given = given.with_columns(pl.Series(ROW, [first[0], -1], pl.Int64))
        result = call(self.function, given)
        if ROW not in result.columns:
            if result.height != given.height:
                raise BrokenFunction(
                    f"gave {result.height} rows of {given.height} without the column {ROW!r}: hand it on, so that "
                    "it is known which rows were dropped"
                )
            result = result.with_columns(given[ROW])
        numbers = result[ROW]
        if numbers.dtype != pl.Int64 or numbers.null_count() or numbers.n_unique() < result.height:
            raise BrokenFunction(f"invented rows, or changed {ROW!r}: it may drop rows, never add any")
        if not numbers.is_in(given[ROW].implode()).all():
            raise BrokenFunction(f"invented rows, or changed {ROW!r}: it may drop rows, never add any")
        return result.filter(pl.col(ROW) >= 0)

    def outcomes(self, events: pl.DataFrame) -> list[str]:
        """One text an event, equal for what is equal to the bit: what it became, or that it was dropped or failed."""
        made = self.apply(events)
        texts = ["dropped"] * events.height
        for event, text in zip(made.kept.tolist(), column_texts(made.added, len(made.kept)), strict=True):
            texts[event] = text
        for event in made.failed:
            texts[event] = FAILS
        return texts

    def undeclared(self, events: pl.DataFrame) -> str | None:
        """What the function does to generated events beyond its `returns`, or None; what fails is passed over."""
        numbered = events.with_columns(pl.Series(ROW, np.arange(events.height), pl.Int64))
        try:
            result = self.result(numbered).sort(ROW)
        except FunctionFault:
            return None
        legal = f"returns= declares {', '.join(self.returns) or 'nothing'}"
        for name in result.columns:
            if name == ROW or name in self.returns:
                continue
            if name not in events.columns:
                return f"adds column {name!r}; {legal}: declare it, or leave it out"
            before = numbered.filter(pl.col(ROW).is_in(result[ROW].implode())).select(name)
            same = before.schema[name] == result.schema[name] and row_texts(before) == row_texts(result.select(name))
            if not same:
                return f"changes column {name!r}; {legal}: declare it, or give it another name"
        return None
