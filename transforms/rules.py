"""Row rules: how the events of one source become the rows of one view."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from schemas.types import TIME
from transforms.columns import flags
from transforms.explosion import Explosion
from transforms.rule_expressions import RuleExpressions
from transforms.transformation import Transformation

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

SYSTEM_FIELDS = (
    pa.field("_event_time", TIME, nullable=False),
    pa.field("_sequence", pa.int64()),
    pa.field("_lane", pa.string()),
    pa.field("_offset", pa.int64()),
    pa.field("_part", pa.int32()),
    pa.field("_arrival", TIME),
    pa.field("_deleted", pa.bool_()),
)


@dataclass(frozen=True)
class RuleResult:
    """What n events became.

    Attributes:
        rows: row batch: the view's columns, then the system columns, in the order of the events.
        dead: (event, reason) of those that failed, ascending; none of their rows is there.
        skipped: rows left out for a null entity key.
        taken: bool[n], false for events of which every row was skipped.
    """

    rows: pa.RecordBatch
    dead: list[tuple[int, str]]
    skipped: int
    taken: Bools


@dataclass
class _Rows:
    """Rows on their way.

    Attributes:
        events: int64[m], the event behind each row.
        parts: int32 `pa.Array[m]`.
        columns: m values each.
        failed: event -> first reason why it is dead.
    """

    events: Ints
    parts: pa.Array
    columns: dict[str, pa.Array]
    failed: dict[int, str] = field(default_factory=dict)

    def frame(self, names: frozenset[str]) -> pl.DataFrame:
        """Polars frame of some of the columns; of any one if there is none of them, so that it has the rows."""
        wanted = [name for name in self.columns if name in names] or list(self.columns)[:1]
        batch = pa.RecordBatch.from_arrays([self.columns[name] for name in wanted], names=wanted)
        return pl.DataFrame(pl.from_arrow(batch))

    def fail(self, reasons: Mapping[int, str]) -> None:
        """The events behind some rows have failed."""
        for row, reason in reasons.items():
            self.failed.setdefault(int(self.events[row]), reason)

    def take(self, at: Ints) -> None:
        """Go on with the rows at some positions."""
        places = pa.array(at)
        self.events, self.parts = self.events[at], self.parts.take(places)
        self.columns = {name: column.take(places) for name, column in self.columns.items()}


@dataclass(frozen=True)
class RowRules:
    """Rules of one view for one source, applied in the order of the attributes.

    Attributes:
        view: name of the view.
        source: name of the source.
        fields: names of the source's fields.
        deleted: predicate over the source's fields: whether an event is a tombstone (null is false).
        transformation: `transform=`, or None.
        explosion: `explode=`, or None.
        expressions: `select`, computed keys and `where`.
        key_names: of the entity's keys; a null one is no row.
        event_time: column that holds it; a null one is a bad row.
        sequence: field of the source that orders rows of equal event time, or None.
        arrival_time: field that replaces `_arrival` where it is set, or None.
        columns: the view's columns.
        probe: 16 hex characters over what generated rows give.
    """

    view: str
    source: str
    fields: tuple[str, ...]
    deleted: RuleExpressions
    transformation: Transformation | None
    explosion: Explosion | None
    expressions: RuleExpressions
    key_names: tuple[str, ...]
    event_time: str
    sequence: str | None
    arrival_time: str | None
    columns: pa.Schema
    probe: str = ""

    def onto(self, columns: pa.Schema) -> RowRules:
        """The same rules, their rows with only the given columns."""
        return replace(self, columns=columns)

    def apply(self, events: pa.RecordBatch) -> RuleResult:
        """Rows of n events.

        An event of which one part fails is dead as a whole, so that it can be replayed as a whole.

        Args:
            events: the source's fields, then `_lane`, `_offset`, `_part`, `_arrival`.
        """
        n = events.num_rows
        rows = _Rows(np.arange(n), events.column("_part"), {name: events.column(name) for name in self.fields})
        deleted = self._deleted(rows)
        if self.transformation is not None:
            self._transform(rows)
        if self.explosion is not None:
            self._explode(rows)
        alive, skipped, taken = self._select(rows, n)
        if rows.failed:
            dead = np.zeros(n, np.bool_)
            dead[list(rows.failed)] = True
            alive &= ~dead[rows.events]
            taken |= dead
        if not alive.all():
            rows.take(np.flatnonzero(alive))
        return RuleResult(self._batch(rows, events, deleted), sorted(rows.failed.items()), skipped, taken)

    def _deleted(self, rows: _Rows) -> Bools:
        """Which events are tombstones."""
        if self.deleted.empty:
            return np.zeros(len(rows.events), np.bool_)
        found = self.deleted.evaluate(rows.frame(self.deleted.reads))
        rows.fail(found.failed)
        rows.fail(found.undecided)
        return found.matching

    def _transform(self, rows: _Rows) -> None:
        assert self.transformation is not None
        made = self.transformation.apply(rows.frame(frozenset(self.fields)))
        rows.fail({event: f"transform: {reason}" for event, reason in made.failed.items()})
        if len(made.kept) < len(rows.events):
            rows.take(made.kept)
        rows.columns |= made.added

    def _explode(self, rows: _Rows) -> None:
        assert self.explosion is not None
        parents, parts, made = self.explosion.apply(rows.columns.pop(self.explosion.column))
        rows.take(parents)
        rows.parts, rows.columns = parts, rows.columns | made

    def _select(self, rows: _Rows, n: int) -> tuple[Bools, int, Bools]:
        """Selects columns; which rows live on, how many were skipped, and which of n events were taken."""
        matching = np.ones(len(rows.events), np.bool_)
        undecided: Mapping[int, str] = {}
        if not self.expressions.empty:
            found = self.expressions.evaluate(rows.frame(self.expressions.reads))
            rows.columns |= found.columns
            rows.fail(found.failed)
            matching, undecided = found.matching, found.undecided
        known = np.logical_and.reduce([flags(rows.columns[name].is_valid()) for name in self.key_names])
        taken = np.ones(n, np.bool_)
        if not known.all():
            taken[rows.events] = False
            taken[rows.events[known]] = True
        timed = flags(rows.columns[self.event_time].is_valid())
        rows.fail({int(row): "event_time: null" for row in np.flatnonzero(known & ~timed)})
        rows.fail({row: reason for row, reason in undecided.items() if known[row] and timed[row]})
        dead = np.isin(rows.events, list(rows.failed)) if rows.failed else np.zeros(len(rows.events), np.bool_)
        return known & timed & matching, int((~known & ~dead).sum()), taken

    def _batch(self, rows: _Rows, events: pa.RecordBatch, deleted: Bools) -> pa.RecordBatch:
        arrays = [rows.columns[field.name] for field in self.columns]
        places = pa.array(rows.events)
        whole = len(rows.events) == events.num_rows and (
            self.explosion is None or bool((np.diff(rows.events) == 1).all())
        )

        def of_event(column: pa.Array) -> pa.Array:
            return column if whole else column.take(places)

        system = [
            rows.columns[self.event_time],
            of_event(self._sequence(events)),
            of_event(events.column("_lane")),
            of_event(events.column("_offset")),
            rows.parts,
            of_event(self._arrival(events)),
            of_event(pa.array(deleted)),
        ]
        return pa.RecordBatch.from_arrays([*arrays, *system], schema=pa.schema([*self.columns, *SYSTEM_FIELDS]))

    def _sequence(self, events: pa.RecordBatch) -> pa.Array:
        if self.sequence is None:
            return pa.nulls(events.num_rows, pa.int64())
        column = events.column(self.sequence)
        return (column.cast(pa.int32()) if pa.types.is_date32(column.type) else column).cast(pa.int64())

    def _arrival(self, events: pa.RecordBatch) -> pa.Array:
        given = events.column("_arrival")
        return given if self.arrival_time is None else pc.coalesce(events.column(self.arrival_time), given)
