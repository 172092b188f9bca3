"""The online store as a run's fold writes to it, with every call timed."""

from __future__ import annotations

from collections.abc import Sequence

from pipelines.ages import Ages
from serving.stores.base import CellWriter, Ints, Mark
from transforms.cells import Cells


class TimedCells:
    """`CellWriter` over another one.

    Args:
        cells: the store.
        writes: counts how long writes take.
        reads: counts how long reads of cells take.
    """

    def __init__(self, cells: CellWriter, writes: Ages, reads: Ages) -> None:
        self._cells, self._writes, self._reads = cells, writes, reads

    def prepare(self, entities: Sequence[str]) -> None:
        self._cells.prepare(entities)

    def write(self, entity: str, cells: Sequence[Cells], marks: Sequence[Mark] = ()) -> None:
        if not cells and not marks:
            self._cells.write(entity, cells, marks)
            return
        with self._writes.timed():
            self._cells.write(entity, cells, marks)

    def current(
        self, entity: str, block: str, lane: str, keys: Sequence[bytes], tiles: Ints
    ) -> tuple[Ints, list[bytes | None]]:
        with self._reads.timed():
            return self._cells.current(entity, block, lane, keys, tiles)

    def expire(self, entity: str, block: str, before: int) -> int:
        return self._cells.expire(entity, block, before)
