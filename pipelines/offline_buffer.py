"""The offline side of a run: batches held back by (table, lane, scope) until a commit is worth its cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import pyarrow as pa

from pipelines.envelope import Envelope
from pipelines.fold import after, gap
from pipelines.progress import FedView, PositionReader, Progress
from schemas.errors import StoreError
from serving.stores.delta import Conflict

ORDER = ("dead", "rows", "events")
_ATTEMPTS = 20


class TableWriter(PositionReader, Protocol):
    """What the buffer asks of the offline store."""

    def append(self, table: str, batches: Sequence[pa.RecordBatch], positions: Mapping[tuple[str, str], int]) -> None:
        """One commit of rows and positions; `Conflict` if another writer took the same lanes first."""


@dataclass(frozen=True)
class FlushRule:
    """When held batches are committed.

    Attributes:
        rows: as soon as so many rows are held.
        bytes: as soon as they take so many bytes.
        every: µs after the last commit, if rows are held.
        advance: µs after which a table's positions are committed even if no row came.
    """

    rows: int = 1_000_000
    bytes: int = 256 << 20
    every: int = 5_000_000
    advance: int = 30_000_000


@dataclass
class _Table:
    """What is held for one table."""

    kind: str
    schema: pa.Schema
    committed: int
    batches: list[tuple[tuple[str, str], pa.RecordBatch]] = field(default_factory=list)
    positions: dict[tuple[str, str], int] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        return sum(batch.num_rows for _, batch in self.batches)


class OfflineBuffer:
    """Takes batches of events, rows and dead letters of all lanes and commits them table by table.

    Events and rows that begin after their lane's position are a gap and refused; what lies below a position is
    dropped row by row. A flush commits dead letters first, then rows, then events, so that `events` never says more
    than the others hold.

    Args:
        views: the views fed.
        store: the offline store.
        progress: as the stores have it.
        rule: when to commit.
        start: µs on the run's clock.

    Attributes:
        committed: by lane text, offset below which this run has committed all events.
    """

    def __init__(
        self, views: Sequence[FedView], store: TableWriter, progress: Progress, rule: FlushRule, start: int
    ) -> None:
        self._views = {fed.view.name: fed for fed in views}
        self._store, self._progress, self._rule = store, progress, rule
        self._start = start
        self.committed: dict[str, int] = {}
        self._last = start
        self._taken: dict[tuple[str, str, str], int] = {}
        self._tables: dict[str, _Table] = {}
        self._rows = self._bytes = 0

    def add(self, batch: pa.RecordBatch, envelope: Envelope) -> None:
        """Takes a batch of kind "events", "rows" or "dead".

        Raises:
            LaneError: offsets between the lane's position and the batch are missing.
        """
        place = (envelope.table, envelope.lane.text, envelope.scope)
        taken = self._taken.get(place)
        if taken is None:
            taken = self._stored(envelope)
        if envelope.start > taken and envelope.kind != "dead":
            raise gap(envelope, taken)
        if envelope.end <= taken:
            return
        rows = after(batch.replace_schema_metadata(None), taken)
        table = self._tables.setdefault(envelope.table, _Table(envelope.kind, rows.schema, self._start))
        if rows.num_rows:
            table.batches.append((place[1:], rows))
            self._rows += rows.num_rows
            self._bytes += rows.nbytes
        table.positions[place[1:]] = envelope.end
        self._taken[place] = max(envelope.end, self._taken.get(place, 0))

    def due(self, elapsed: int) -> bool:
        """Whether something is to be committed at this time (µs on the run's clock)."""
        wait = self._rule.every if self._rows else self._rule.advance
        return self._rows >= self._rule.rows or self._bytes >= self._rule.bytes or elapsed - self._last >= wait

    def flush(self, elapsed: int, everything: bool) -> int:
        """Commits what is held.

        Args:
            elapsed: µs on the run's clock.
            everything: also positions of tables that got no row, however recent their last commit.

        Returns:
            Rows committed.

        Raises:
            StoreError: the store cannot be written, or other writers never leave it alone.
        """
        count = 0
        for kind in ORDER:
            for name, table in self._tables.items():
                idle = elapsed - table.committed >= self._rule.advance
                if table.kind == kind and table.positions and (table.batches or everything or idle):
                    count += self._commit(name, table)
                    table.committed = elapsed
        self._last, self._rows, self._bytes = elapsed, 0, 0
        return count

    def _commit(self, name: str, table: _Table) -> int:
        for _ in range(_ATTEMPTS):
            batches = [batch for _, batch in table.batches if batch.num_rows]
            nothing = pa.RecordBatch.from_arrays(
                [pa.array([], field.type) for field in table.schema], schema=table.schema
            )
            try:
                self._store.append(name, batches or [nothing], table.positions)
            except Conflict:
                self._give_way(name, table)
                continue
            if table.kind == "events":
                self.committed |= {lane: offset for (lane, _), offset in table.positions.items()}
            table.batches, table.positions = [], {}
            return sum(batch.num_rows for batch in batches)
        raise StoreError(f"{name}: other writers of the same lanes did not leave it alone in {_ATTEMPTS} attempts")

    def _give_way(self, name: str, table: _Table) -> None:
        """Drops what another writer of the same lanes has committed meanwhile."""
        stored = self._store.positions(name)
        table.batches = [(place, after(batch, stored.get(place, 0))) for place, batch in table.batches]
        for place, offset in table.positions.items():
            table.positions[place] = max(offset, stored.get(place, 0))
            self._taken[name, *place] = max(self._taken[name, *place], table.positions[place])

    def _stored(self, envelope: Envelope) -> int:
        if envelope.kind == "events":
            return self._progress.events(envelope.lane)
        fed = self._views.get(envelope.view)
        if envelope.kind == "dead":
            return self._progress.dead(envelope.lane, envelope.scope, fed)
        if fed is None:
            raise ValueError(f"rows of {envelope.view!r}, which this run does not feed")
        return self._progress.rows(envelope.lane, fed)
