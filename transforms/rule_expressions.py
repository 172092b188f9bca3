"""The SQL of row rules: select, computed keys and a predicate, evaluated in one pass over a batch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from transforms.frames import plain_column
from transforms.functions import reason_of
from transforms.proof import FAILS, row_texts
from transforms.sql import Expression, steady
from transforms.sql_types import polars_type

Bools = npt.NDArray[np.bool_]
Stage = Mapping[str, Expression]


@dataclass(frozen=True)
class Evaluated:
    """Results for n rows.

    Attributes:
        columns: the columns made, n values each, null where a row failed.
        matching: bool[n], rows that the predicate takes (null is false); all without one.
        failed: row -> reason, of the rows that failed in making columns.
        undecided: row -> reason, of the rows on which the predicate failed.
    """

    columns: Mapping[str, pa.Array]
    matching: Bools
    failed: Mapping[int, str]
    undecided: Mapping[int, str]


@dataclass(frozen=True)
class RuleExpressions:
    """Expressions in three stages, each of which sees what the former made.

    Attributes:
        select: column -> expression over the columns before; none sees another.
        widened: column -> wider type that it then takes.
        keys: computed entity key -> expression over the columns with those selected.
        predicate: over the columns with the keys, or None.
        label: of the predicate in reasons.
    """

    select: Stage = field(default_factory=dict)
    widened: Mapping[str, pa.DataType] = field(default_factory=dict)
    keys: Stage = field(default_factory=dict)
    predicate: Expression | None = None
    label: str = "where"

    @property
    def made(self) -> dict[str, pa.DataType]:
        """Columns made, with their types."""
        types = {name: expression.dtype for name, expression in self.select.items()}
        return {**types, **self.widened, **{name: expression.dtype for name, expression in self.keys.items()}}

    @property
    def reads(self) -> frozenset[str]:
        """Columns read, those made included."""
        expressions = [*self.select.values(), *self.keys.values(), *([self.predicate] if self.predicate else [])]
        return frozenset(self.widened).union(*(expression.columns for expression in expressions))

    @property
    def texts(self) -> tuple[tuple[str, str, str], ...]:
        """What there is to evaluate, as it was written: stage, column and SQL or type."""
        written = [(what, name, e.text) for what, stage in self._stages() for name, e in stage.items()]
        return (*written, *(("widened", name, str(kind)) for name, kind in self.widened.items()))

    @property
    def empty(self) -> bool:
        """Whether there is nothing to evaluate."""
        return not (self.select or self.widened or self.keys or self.predicate)

    def evaluate(self, frame: pl.DataFrame) -> Evaluated:
        """Results for n rows.

        Failing rows are found by masks; should the engine itself fail, the rows are halved until those stand alone.

        Args:
            frame: n rows with every column read, at least one column.
        """
        try:
            results = self.results(frame)
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
            if frame.height > 1:
                middle = frame.height // 2
                return _joined(self.evaluate(frame.head(middle)), self.evaluate(frame.slice(middle)), middle)
            nothing = {name: pa.nulls(frame.height, kind) for name, kind in self.made.items()}
            return Evaluated(nothing, np.zeros(frame.height, np.bool_), {0: self._culprit(frame, error)}, {})
        columns = {name: plain_column(results[name].to_arrow()).cast(kind) for name, kind in self.made.items()}
        matching = np.ones(frame.height, np.bool_)
        if self.predicate is not None:
            matching = np.asarray(results[self.label].fill_null(False).to_numpy(), np.bool_)
        failed, undecided = (self._reasons(frame, results, labels) for labels in self._labels())
        return Evaluated(columns, matching, failed, undecided)

    def results(self, frame: pl.DataFrame) -> pl.DataFrame:
        """What every expression gives for n rows, and a column `<label> fails` for each that can.

        Raises:
            polars.exceptions.PolarsError: the engine fails on some row.
        """
        plan = steady(frame).lazy()
        for what, stage in self._stages():
            values = [e.expr.alias(f"{what} {name} =") for name, e in stage.items()]
            masks = [e.failing.alias(f"{_label(what, name)} {FAILS}") for name, e in stage.items() if e.faults]
            plan = plan.with_columns(*values, *masks)
            plan = plan.with_columns(pl.col(f"{what} {name} =").alias(name) for name in stage)
            if what == "select":
                plan = plan.with_columns(pl.col(name).cast(polars_type(kind)) for name, kind in self.widened.items())
        masks = [pl.col(f"{label} {FAILS}") for labels in self._labels() for label in labels]
        predicate = [] if self.predicate is None else [pl.col(self.label)]
        return plan.select(*map(pl.col, self.made), *predicate, *masks).collect(engine="in-memory").head(frame.height)

    def outcomes(self, frame: pl.DataFrame) -> list[str]:
        """One text a row, equal for results that are equal to the bit."""
        return row_texts(self.results(frame))

    def _stages(self) -> tuple[tuple[str, Stage], ...]:
        predicate = {} if self.predicate is None else {self.label: self.predicate}
        return ("select", self.select), ("key", self.keys), ("", predicate)

    def _labels(self) -> tuple[list[str], list[str]]:
        """Labels of what can fail in making columns, and of the predicate if it can."""
        made = [_label(what, name) for what, stage in self._stages()[:2] for name, e in stage.items() if e.faults]
        return made, [self.label] if self.predicate is not None and self.predicate.faults else []

    def _reasons(self, frame: pl.DataFrame, results: pl.DataFrame, labels: list[str]) -> dict[int, str]:
        """Why rows fail, by the first of the labels at which they do."""
        if not labels:
            return {}
        masks = {label: np.asarray(results[f"{label} {FAILS}"].to_numpy(), np.bool_) for label in labels}
        at = np.flatnonzero(np.logical_or.reduce(list(masks.values())))
        if not len(at):
            return {}
        rows = frame[at.tolist()]
        found: dict[int, str] = {}
        for what, stage in self._stages():
            for name, expression in stage.items():
                label = _label(what, name)
                if label in masks:
                    for row, reason in zip(at.tolist(), expression.reasons(rows), strict=True):
                        if reason is not None:
                            found.setdefault(row, f"{label}: {reason}")
            rows = rows.with_columns(expression.evaluate(rows).alias(name) for name, expression in stage.items())
            if what == "select":
                rows = rows.with_columns(pl.col(name).cast(polars_type(kind)) for name, kind in self.widened.items())
        return found

    def _culprit(self, frame: pl.DataFrame, error: BaseException) -> str:
        """Label and reason of the first expression on which the engine fails for the one row of a frame."""
        for what, stage in self._stages():
            for name, expression in stage.items():
                try:
                    frame = frame.with_columns(expression.evaluate(frame).alias(name))
                except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as own:
                    return f"{_label(what, name)}: {reason_of(own)}"
        return f"select: {reason_of(error)}"


def _label(what: str, name: str) -> str:
    return f"{what} {name}".strip()


def _joined(first: Evaluated, second: Evaluated, offset: int) -> Evaluated:
    columns = {name: pa.concat_arrays([column, second.columns[name]]) for name, column in first.columns.items()}
    parts: list[Any] = [
        {**before, **{row + offset: reason for row, reason in after.items()}}
        for before, after in ((first.failed, second.failed), (first.undecided, second.undecided))
    ]
    return Evaluated(columns, np.concatenate([first.matching, second.matching]), *parts)
