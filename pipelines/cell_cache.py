"""The writer's cache of cells: what its lanes have folded, so that a warm tile is never read back."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from transforms.cells import Cells

Ints = npt.NDArray[np.int64]
Read = Callable[[list[bytes], Ints], tuple[Ints, list[bytes | None]]]
Slot = tuple[str, str]
NO_CELL = int(np.iinfo(np.int64).min)
_OVERHEAD = 320


class CellCache:
    """Contents of cells by (block, lane), key and start, the least recently used dropped first when it shrinks.

    Args:
        budget: bytes that the cached cells may take, their keys and the cache's own tables included.
    """

    def __init__(self, budget: int) -> None:
        self._budget = budget
        self._cells: dict[Slot, OrderedDict[tuple[bytes, int], tuple[int, bytes]]] = {}
        self._newest: dict[Slot, int] = {}
        self._whole: set[Slot] = set()
        self.bytes = 0
        self.asked = self.reads = 0

    def begin(self, block: str, lane: str, newest: int, whole: bool) -> None:
        """Says what the store holds of a lane's cells before this cache sees any.

        Args:
            block: id of the block.
            lane: text of the lane.
            newest: start of the newest cell (µs) that the lane ever wrote; newer ones cannot be in the store.
            whole: the lane is folded from its first offset here, so that a cell not in the cache does not exist.
        """
        slot = (block, lane)
        self._newest[slot] = newest
        self._cells.setdefault(slot, OrderedDict())
        if whole:
            self._whole.add(slot)

    def advance(self, block: str, lane: str, newest: int) -> None:
        """Says that the store now holds cells up to the one that starts at `newest` (µs)."""
        self._newest[block, lane] = max(newest, self._newest[block, lane])

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
        self.asked += len(keys)
        versions, blobs = np.zeros(len(keys), np.int64), list[bytes | None]([None] * len(keys))
        known: OrderedDict[tuple[bytes, int], tuple[int, bytes]] = self._cells[slot]
        missing: Sequence[int] = range(len(keys))
        if known:
            unknown: list[int] = []
            for number, place in enumerate(zip(keys, tiles.tolist(), strict=True)):
                cell = known.get(place)
                if cell is None:
                    unknown.append(number)
                    continue
                known.move_to_end(place)
                versions[number], blobs[number] = cell
            missing = unknown
        if not len(missing) or slot in self._whole:
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
        """Keeps cells that the store has just taken; they stay until the cache is told to shrink."""
        slot = (cells.block, cells.lane)
        known = self._cells[slot]
        if len(cells) * _OVERHEAD > self._budget:
            self.bytes -= sum(len(key) + len(blob) + _OVERHEAD for (key, _), (_, blob) in known.items())
            known.clear()
            self._whole.discard(slot)
            return
        for place, cell in zip(
            zip(cells.keys, cells.tiles.tolist(), strict=True),
            zip(cells.versions.tolist(), cells.blobs, strict=True),
            strict=True,
        ):
            before = known.pop(place, None)
            known[place] = cell
            self.bytes += len(cell[1]) - len(before[1]) if before else len(cell[1]) + len(place[0]) + _OVERHEAD

    def shrink(self) -> None:
        """Drops cells until the rest fits the budget, from all lanes and blocks in turn."""
        while self.bytes > self._budget:
            for slot, known in self._cells.items():
                for _ in range(1 + len(known) // 8 if known else 0):
                    (key, _), (_, blob) = known.popitem(last=False)
                    self.bytes -= len(blob) + len(key) + _OVERHEAD
                    self._whole.discard(slot)
                if self.bytes <= self._budget:
                    break

    def __len__(self) -> int:
        return sum(map(len, self._cells.values()))
