"""Reads of cells as plain rows: the shortest way from a store to an answer, behind one port."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any, NamedTuple, Protocol, runtime_checkable

from serving.stores.base import SEALED, CellReader, OnlineStore, Slice


class CellRow(NamedTuple):
    """One cell read; stores hand in plain tuples in this order.

    Attributes:
        key: index into the keys asked for.
        slice: index into the slices asked for.
        tile: µs.
        lane: names the lane; `Rows.lanes` has its text.
        version: see `transforms.cells.Cells`.
        blob: content.
    """

    key: int
    slice: int
    tile: int
    lane: Any
    version: int
    blob: bytes


class Asked(NamedTuple):
    """Cells of one entity to be read: every slice of every key.

    Attributes:
        entity: its name.
        keys: entity keys.
        blocks: block of each slice, each once.
        firsts: start (µs) of the first cell wanted of each slice.
        spans: µs that a cell of each slice covers; 0 where the slice is one cell.
    """

    entity: str
    keys: Sequence[bytes]
    blocks: tuple[str, ...]
    firsts: Sequence[int]
    spans: Sequence[int]


class Rows(NamedTuple):
    """What one snapshot of a store holds of what was asked for.

    Attributes:
        cells: for each `Asked`, rows in the order of `CellRow`, sorted by key and, within a key, by slice.
        marks: block -> lane text -> offset, the seals under `SEALED`.
        lanes: text of each lane that a row names; those of cells only where all marks are wanted.
        together: whether all is of one state of the store; else the cells of one key in one block are.
    """

    cells: Sequence[Sequence[tuple[int, int, int, Any, int, bytes]]]
    marks: Mapping[str, Mapping[str, int]]
    lanes: Mapping[Any, str]
    together: bool = True


class Wanted(Enum):
    """Which marks are read with the cells."""

    SEALS = 1
    ALL = 2


class RowReader(Protocol):
    """Reads cells and marks of one snapshot."""

    def read(self, asked: Sequence[Asked], marks: Wanted) -> Rows:
        """Cells, and marks of all blocks among the slices.

        The cells read hold at least what the marks say; both are of one snapshot where the store has transactions.
        """


@runtime_checkable
class RowSource(Protocol):
    """A store that has a row reader of its own."""

    def row_reader(self) -> RowReader:
        """The reader, which lives as long as the store; threads may share it."""


def row_reader(store: OnlineStore) -> RowReader:
    """The store's own row reader, or one over its port."""
    return store.row_reader() if isinstance(store, RowSource) else SnapshotRows(store)


class SnapshotRows:
    """Row reader over the port of any store."""

    def __init__(self, store: CellReader) -> None:
        self._store = store

    def read(self, asked: Sequence[Asked], marks: Wanted) -> Rows:
        """See `RowReader`."""
        blocks = list(dict.fromkeys(block for each in asked for block in each.blocks))
        known: dict[str, dict[str, int]] = {block: {} for block in blocks}
        cells: list[list[tuple[int, int, int, Any, int, bytes]]] = []
        with self._store.snapshot() as snapshot:
            for mark in snapshot.marks(blocks):
                if marks is Wanted.ALL or mark.lane == SEALED:
                    known[mark.log][mark.lane] = mark.offset
            for each in asked:
                slices = [Slice(block, first) for block, first in zip(each.blocks, each.firsts, strict=True)]
                found = snapshot.read(each.entity, each.keys, slices)
                columns = (found.key.tolist(), found.slice.tolist(), found.tile.tolist())
                rows = zip(*columns, found.lane, found.version.tolist(), found.blob, strict=True)
                cells.append(sorted(rows, key=lambda row: row[:4]))
        return Rows(cells, known, {row[3]: row[3] for rows in cells for row in rows})
