"""Ports of the online store: what a writer and a reader may ask of it, and what it promises."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from transforms.cells import Cells

Ints = npt.NDArray[np.int64]
SEALED = "*sealed"


@dataclass(frozen=True)
class Slice:
    """Cells of one block from that which starts at `first` (µs) on."""

    block: str
    first: int


@dataclass(frozen=True)
class Mark:
    """How far a lane has been taken into a log (a block): a join, the greater wins in each field.

    Attributes:
        log: block id.
        lane: text of the lane, or `SEALED` for the mark that says that the block has caught up with history.
        offset: next offset to fold; of a seal: 1, or the instant (µs) before which cells may have expired.
        newest: start (µs) of the newest cell that the lane ever wrote in that block.
    """

    log: str
    lane: str
    offset: int
    newest: int


@dataclass(frozen=True)
class Found:
    """n cells read, sorted by nothing in particular.

    Attributes:
        key: int64[n], index into the keys asked for.
        slice: int64[n], index into the slices asked for.
        tile: int64[n], µs.
        lane: n lane texts (empty for latest cells).
        version: int64[n].
        blob: n contents.
    """

    key: Ints
    slice: Ints
    tile: Ints
    lane: list[str]
    version: Ints
    blob: list[bytes]


class CellReader(Protocol):
    """Reading side: every answer is one snapshot of cells and marks."""

    def read(self, entity: str, keys: Sequence[bytes], slices: Sequence[Slice]) -> Found:
        """Cells of the keys in the slices; the cells that a writer wrote together for an entity are seen together."""

    def marks(self, logs: Sequence[str]) -> list[Mark]:
        """Marks of the logs, of all lanes."""

    def snapshot(self) -> AbstractContextManager[CellReader]:
        """A reader for several reads that belong together, to be used by one thread.

        All of them see one state of the store where it has transactions over entities; elsewhere cells read in it
        hold at least what marks read before them say.
        """


class CellWriter(Protocol):
    """Writing side: every write is a join, so replays, zombies and twins change nothing.

    A write never replaces a greater version; at equal versions the greater bytes stay (equal but for latest cells).
    """

    def prepare(self, entities: Sequence[str]) -> None:
        """Makes room for the cells of these entities; does nothing where it exists."""

    def write(self, entity: str, cells: Sequence[Cells], marks: Sequence[Mark] = ()) -> None:
        """Joins cells and, no earlier than the cells, marks; returns once they are acknowledged.

        Marks may become visible later than that: once no node of the store can forget the cells before them. A call
        without cells and marks writes nothing, and tells whether anything was forgotten.

        Raises:
            StoreError: the store is locked, full, read-only or damaged; nothing or all of the call was written, or,
                where the store has no transactions, some of its cells, to be written again.
            StoreAway: it does not answer, or may have forgotten cells that it had acknowledged: what this writer
                keeps in memory of them is worth nothing, and the lanes begin again at the stored marks.
        """

    def current(
        self, entity: str, block: str, lane: str, keys: Sequence[bytes], tiles: Ints
    ) -> tuple[Ints, list[bytes | None]]:
        """Version and content of the lane's cells at (keys[i], tiles[i]); 0 and None where there is none."""

    def expire(self, entity: str, block: str, before: int) -> int:
        """Removes the cells of a block that start before `before` (µs) and says how many they were.

        A seal written before is visible to every reader by the time the first cell goes.
        """


class OnlineStore(CellReader, CellWriter, Protocol):
    """Both sides over one connection."""

    def close(self) -> None:
        """Waits until all marks are visible, and ends the connection.

        Raises:
            StoreAway: they cannot be: see `write`.
        """
