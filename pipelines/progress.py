"""Progress: how far each lane has been taken into everything that it feeds, and where a run therefore starts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from schemas.lane import Lane
from schemas.state import Block
from serving.stores.base import SEALED, CellReader, Mark
from serving.tables import dead_table, events_table, rows_table
from transforms.view import CompiledView

Positions = Mapping[tuple[str, str], int]

# Scopes of dead letters beside that of the decoding (empty) and those of views: one batch of events can bring all.
CHECKS = "checks"
NULL_KEYS = "null keys"


@dataclass(frozen=True)
class FedView:
    """A view as a run feeds it.

    Attributes:
        view: the compiled view.
        blocks: the applied blocks of its features; none if it is offline only.
        seals: whether a block that has caught up is marked sealed; not if a later run is to take it further first.
    """

    view: CompiledView
    blocks: tuple[Block, ...]
    seals: bool = True

    @property
    def table(self) -> str:
        """Offline table of its rows."""
        return rows_table(self.view.name, self.view.rows_fingerprint)

    @property
    def scope(self) -> str:
        """Scope of its dead letters."""
        return f"{self.view.name}/{self.view.rows_fingerprint}"

    def takes(self, source: str) -> bool:
        """Whether a source feeds the view."""
        return source in self.view.rules


class PositionReader(Protocol):
    """What progress asks of the offline store."""

    def positions(self, table: str) -> dict[tuple[str, str], int]:
        """Next offset by (lane text, scope) of a table; empty if it does not exist."""


@dataclass(frozen=True)
class Progress:
    """Positions of everything that a run feeds, as the stores had them when they were read.

    Attributes:
        tables: next offset by (lane text, scope), by offline table.
        marks: by (block id, lane text).
    """

    tables: Mapping[str, Positions]
    marks: Mapping[tuple[str, str], Mark]

    @staticmethod
    def read(offline: PositionReader, online: CellReader, sources: Iterable[str], views: Sequence[FedView]) -> Progress:
        """Progress of the sources' tables and of the views' tables and blocks."""
        names = [table for source in sources for table in (events_table(source), dead_table(source))]
        names += [fed.table for fed in views]
        tables = {name: offline.positions(name) for name in names}
        marks = online.marks([block.id for fed in views for block in fed.blocks])
        return Progress(tables, {(mark.log, mark.lane): mark for mark in marks})

    def events(self, lane: Lane) -> int:
        """Offset below which the lane is complete in `events`, `dead_letters` included."""
        return self.tables.get(events_table(lane.source), {}).get((lane.text, ""), 0)

    def dead(self, lane: Lane, scope: str, fed: FedView | None) -> int:
        """Offset below which the dead letters of a view, or of the decoding, are stored.

        Dead letters are stored before the rows and events of the same offsets, so these vouch for them.
        """
        voucher = self.events(lane) if fed is None else self.rows(lane, fed)
        return max(self.tables.get(dead_table(lane.source), {}).get((lane.text, scope), 0), voucher)

    def rows(self, lane: Lane, fed: FedView) -> int:
        """Offset below which a view's rows of the lane are stored offline."""
        return self.tables.get(fed.table, {}).get((lane.text, ""), 0)

    def block(self, lane: Lane, block: Block) -> int:
        """Offset below which a block has folded the lane."""
        mark = self.marks.get((block.id, lane.text))
        return 0 if mark is None else mark.offset

    def view(self, lane: Lane, fed: FedView) -> int:
        """Offset below which nothing of a view lacks the lane."""
        return min([self.rows(lane, fed), *(self.block(lane, block) for block in fed.blocks)])

    def start(self, lane: Lane, views: Iterable[FedView]) -> int:
        """Offset at which a run starts the lane: the smallest progress of everything that the lane feeds."""
        return min([self.events(lane), *(self.view(lane, fed) for fed in views if fed.takes(lane.source))])

    def lanes(self, sources: Iterable[str]) -> list[Lane]:
        """Lanes of the sources that have events offline."""
        wanted = [self.tables.get(events_table(source), {}) for source in sources]
        return sorted({Lane.parse(text) for table in wanted for text, _ in table}, key=lambda lane: lane.sort_key)

    def behind(self, fed: FedView) -> tuple[bool, tuple[Block, ...]]:
        """Whether a view's rows, and which of its blocks, lack something that `events` holds."""
        lanes = self.lanes(fed.view.rules)
        rows = any(self.rows(lane, fed) < self.events(lane) for lane in lanes)
        return rows, tuple(b for b in fed.blocks if any(self.block(lane, b) < self.events(lane) for lane in lanes))

    def unsealed(self, views: Sequence[FedView]) -> dict[str, dict[str, int]]:
        """Blocks that have not caught up yet, and what each lacks: lane text -> offset that it must reach.

        A block has caught up when it has folded all that was in `events` when this progress was read.
        """
        lacking: dict[str, dict[str, int]] = {}
        for fed in views:
            targets = {lane.text: self.events(lane) for lane in self.lanes(fed.view.rules)}
            for block in fed.blocks if fed.seals else ():
                if (block.id, SEALED) not in self.marks:
                    lacking[block.id] = targets
        return lacking
