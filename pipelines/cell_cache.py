"""The writer's cache of cells: what its lanes have folded, so that a warm tile is never read back."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from transforms.cells import Cells

Ints = npt.NDArray[np.int64]
Read = Callable[[list[bytes], Ints], tuple[Ints, list[bytes | None]]]
Slot = tuple[str, str]
NO_CELL = int(np.iinfo(np.int64).min)
_OVERHEAD = 320


class CellCache:
    """Contents of cells by (block, lane, key, tile), the least recently used dropped first when it shrinks.

    Args:
        budget: bytes that the cached cells may take, their keys and the cache's own tables included.
    """

    def __init__(self, budget: int) -> None:
        self._budget = budget
        self._cells: OrderedDict[tuple[Slot, bytes, int], tuple[int, bytes]] = OrderedDict()
        self._newest: dict[Slot, int] = {}
        self._whole: set[Slot] = set()
        self.bytes = 0
        self.reads = 0

    def begin(self, block: str, lane: str, newest: int, whole: bool) -> None:
        """Says what the store holds of a lane's cells before this cache sees any.

        Args:
            block: id of the block.
            lane: text of the lane.
            newest: start of the newest cell (µs) that the lane ever wrote; newer ones cannot be in the store.
            whole: the lane is folded from its first offset here, so that a cell not in the cache does not exist.
        """
        self._newest[block, lane] = newest
        if whole:
            self._whole.add((block, lane))

    def newest(self, block: str, lane: str) -> int:
        """Start of the newest cell (µs) that the lane ever wrote, `NO_CELL` if none."""
        return self._newest[block, lane]

    def lookup(
        self, block: str, lane: str, keys: list[bytes], tiles: Ints, read: Read
    ) -> tuple[Ints, list[bytes | None]]:
        """Versions and contents of cells at (keys[i], tiles[i]): 0 and None where there is none.

        Args:
            block: id of the block.
            lane: text of the lane.
            keys: n entity keys.
            tiles: int64[n], µs.
            read: reads cells from the store; called for those that the cache does not know.
        """
        slot = (block, lane)
        versions, blobs = np.zeros(len(keys), np.int64), list[bytes | None]([None] * len(keys))
        missing: list[int] = []
        for number, (key, tile) in enumerate(zip(keys, tiles.tolist(), strict=True)):
            place = (slot, key, tile)
            cell = self._cells.get(place)
            if cell is None:
                missing.append(number)
                continue
            self._cells.move_to_end(place)
            versions[number], blobs[number] = cell
        if not missing or slot in self._whole:
            return versions, blobs
        at = np.asarray(missing, np.int64)
        at = at[tiles[at] <= self._newest[slot]]
        if len(at):
            self.reads += len(at)
            found, contents = read([keys[i] for i in at], tiles[at])
            versions[at] = found
            for number, blob in zip(at.tolist(), contents, strict=True):
                blobs[number] = blob
        return versions, blobs

    def put(self, cells: Cells) -> None:
        """Keeps cells; they stay until the cache is told to shrink."""
        if not len(cells):
            return
        slot = (cells.block, cells.lane)
        for key, tile, version, blob in zip(
            cells.keys, cells.tiles.tolist(), cells.versions.tolist(), cells.blobs, strict=True
        ):
            place = (slot, key, tile)
            before = self._cells.pop(place, None)
            self._cells[place] = (version, blob)
            self.bytes += len(blob) - len(before[1]) if before else len(blob) + len(key) + _OVERHEAD
        self._newest[slot] = max(self._newest[slot], int(cells.tiles.max()))

    @property
    def full(self) -> bool:
        """Whether the cells take more than the budget."""
        return self.bytes > self._budget

    def shrink(self) -> None:
        """Drops cells until the rest fits the budget; all of them must be in the store."""
        while self.bytes > self._budget and self._cells:
            (owner, key, _), (_, blob) = self._cells.popitem(last=False)
            self.bytes -= len(blob) + len(key) + _OVERHEAD
            self._whole.discard(owner)

    def __len__(self) -> int:
        return len(self._cells)
