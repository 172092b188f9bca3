"""Views: the row rules of every view that a source feeds, over batches of its events."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipelines.decode import KEY, VALUE, originals
from pipelines.envelope import DEAD_SCHEMA, Envelope
from pipelines.monitor import Monitor
from pipelines.progress import NULL_KEYS, FedView, Progress
from schemas.source import Source
from transforms.columns import integers
from transforms.rules import RowRules

Ints = npt.NDArray[np.int64]


class SourceViews:
    """Applies the row rules of the views that one source feeds.

    Args:
        source: the source.
        views: views of the run that it feeds.
        others: row rules of the project's other views on it, asked only whether they take an event that no view took.
        progress: as the stores had it; a view that lacks nothing of a batch is passed over.
        monitor: counts.
    """

    def __init__(
        self, source: Source, views: Sequence[FedView], others: Sequence[RowRules], progress: Progress, monitor: Monitor
    ) -> None:
        self._source, self._views, self._others = source, tuple(views), tuple(others)
        self._progress, self._monitor = progress, monitor

    def apply(self, batch: pa.RecordBatch, envelope: Envelope) -> Iterator[pa.RecordBatch]:
        """Batches that follow from events: per view its dead letters and rows; last the events themselves."""
        events = batch.drop_columns([name for name in (VALUE, KEY) if name in batch.schema.names])
        events = events.replace_schema_metadata(None)
        offsets = integers(batch.column("_offset"))
        taken, failed = np.zeros(batch.num_rows, np.bool_), np.zeros(batch.num_rows, np.bool_)
        passed = list(self._others)
        for fed in self._views:
            rules = fed.view.rules[self._source.name]
            floor = self._progress.view(envelope.lane, fed)
            if envelope.end <= floor:
                passed.append(rules)
                continue
            result = rules.apply(events)
            if result.dead:
                at = np.asarray([index for index, _ in result.dead], np.int64)
                failed[at] = True
                yield self._dead(batch, envelope, fed, at, [reason for _, reason in result.dead])
            taken |= result.taken
            yield envelope.rows(fed.view.name, fed.view.rows_fingerprint).attach(result.rows)
            new = int((integers(result.rows.column("_offset")) >= floor).sum())
            skipped = int((~result.taken & (offsets >= floor)).sum())
            dead = sum(int(offsets[index]) >= floor for index, _ in result.dead)
            self._monitor.take_view(fed.view.name, new, skipped, dead)
        known = self._progress.events(envelope.lane)
        if envelope.end <= known:
            return
        orphans = np.flatnonzero(~taken & ~failed)
        orphans = self._orphans(events, orphans[offsets[orphans] >= known], passed)
        if len(orphans):
            yield self._dead(batch, envelope, None, orphans, [self._no_key()] * len(orphans))
        new_times = integers(events.column(self._source.event_time or ""))[offsets >= known]
        self._monitor.take_events(envelope.lane, new_times)
        yield envelope.events().attach(events)

    def _orphans(self, events: pa.RecordBatch, at: Ints, passed: Sequence[RowRules]) -> Ints:
        """Those of the events at `at` that no other view takes either; none if no view reads the source."""
        if not self._views and not passed:
            return at[:0]
        for rules in passed:
            if not len(at):
                break
            result = rules.apply(events.take(pa.array(at)))
            alive = ~result.taken
            alive[[index for index, _ in result.dead]] = False
            at = at[alive]
        return at

    def _no_key(self) -> str:
        names = ", ".join(sorted({name for fed in self._views for name in fed.view.key_names}))
        return f"no view takes it: a key is null (of {names})" if names else "no view takes it: a key is null"

    def _dead(
        self, batch: pa.RecordBatch, envelope: Envelope, fed: FedView | None, at: Ints, reasons: list[str]
    ) -> pa.RecordBatch:
        rows = batch.take(pa.array(at))
        values, keys = originals(rows, self._source)
        columns = [
            pa.array(reasons, pa.string()),
            pa.array(values, pa.binary()),
            pa.array(keys, pa.binary()),
            pa.repeat(pa.scalar(None if fed is None else fed.view.name, pa.string()), len(at)),
            *(rows.column(name) for name in ("_lane", "_offset", "_arrival")),
        ]
        if fed is None:
            self._monitor.dead_letters += len(at)
            dead = replace(envelope.dead(), scope=NULL_KEYS)
        else:
            dead = envelope.dead(fed.view.name, fed.view.rows_fingerprint)
        return dead.attach(pa.RecordBatch.from_arrays(columns, schema=DEAD_SCHEMA))
