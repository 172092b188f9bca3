"""The online side of a run: rows folded into their lanes' tiles, written with the marks that say how far."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipelines.cell_cache import NO_CELL, CellCache
from pipelines.envelope import Envelope
from pipelines.progress import FedView, Progress
from schemas.errors import LaneError
from schemas.lane import Lane
from schemas.state import Block
from serving.stores.base import SEALED, CellWriter, Mark
from transforms.cells import Cells
from transforms.keys import divide_keys
from transforms.latest import LatestFold
from transforms.tiles import TileFold
from transforms.view import CompiledView

Ints = npt.NDArray[np.int64]
Slot = tuple[str, str]


@dataclass
class _Held:
    """Rows of one view and one lane that wait to be folded."""

    lane: Lane
    batches: list[pa.RecordBatch] = field(default_factory=list)
    rows: int = 0
    bytes: int = 0

    def add(self, batch: pa.RecordBatch) -> None:
        self.batches.append(batch)
        self.rows += batch.num_rows
        self.bytes += batch.nbytes

    def divided(self, keys: Sequence[str], parts: int) -> _Division:
        """The rows in parts by their keys."""
        if parts == 1:
            return _Division(self.batches, None)
        return _Division(
            self.batches, [divide_keys([batch.column(name) for name in keys], parts) for batch in self.batches]
        )


@dataclass(frozen=True)
class _Division:
    """Rows in offset order, and the part that each belongs to (None: all to one)."""

    batches: Sequence[pa.RecordBatch]
    numbers: Sequence[Ints] | None

    def part(self, number: int) -> pa.RecordBatch:
        if self.numbers is None:
            return _together(self.batches)
        return _together(
            [
                batch.filter(pa.array(numbers == number))
                for batch, numbers in zip(self.batches, self.numbers, strict=True)
            ]
        )


class BlockFold:
    """Folds rows of a view into one of its blocks, of whichever kind, through the cache."""

    def __init__(self, block: Block, view: CompiledView, store: CellWriter, cache: CellCache) -> None:
        self.block = block
        self._store, self._cache = store, cache
        self._latest = LatestFold(block, view) if block.kind == "latest" else None
        self._tiles = TileFold(block, view) if block.kind == "tiles" else None

    def cells(self, rows: pa.RecordBatch, lane: str) -> Cells:
        """Cells that follow from rows of one lane in offset order."""
        if self._tiles is None:
            assert self._latest is not None
            return self._latest.cells(rows)

        def read(keys: list[bytes], tiles: Ints) -> tuple[Ints, list[bytes | None]]:
            return self._store.current(self.block.entity, self.block.id, lane, keys, tiles)

        return self._tiles.advance(
            rows, lane, lambda keys, tiles: self._cache.lookup(self.block.id, lane, keys, tiles, read)
        )

    def keep(self, cells: Cells) -> None:
        """Caches cells that the store has taken."""
        if self._tiles is not None:
            self._cache.put(cells)


class OnlineFold:
    """Takes rows of all lanes, folds them on a flush, and writes what they change: one store call per entity.

    A batch that begins after its lane's position is a gap and refused; what lies below it is passed over.

    Args:
        views: the views fed.
        store: the online store.
        progress: as the stores have it.
        cache: the cache of cells.
        patience: bytes of rows that may wait, so that a cell that many bundles change is written once.
        at_once: rows that are folded together; more are folded in parts, by key, so that memory is bounded by the
            rows and not by what they change.
    """

    def __init__(
        self,
        views: Sequence[FedView],
        store: CellWriter,
        progress: Progress,
        cache: CellCache,
        patience: int = 0,
        at_once: int = 1_000_000,
    ) -> None:
        self._store, self._progress, self._cache = store, progress, cache
        self._patience, self._at_once = patience, at_once
        self._folds = {
            fed.view.name: [BlockFold(block, fed.view, store, cache) for block in fed.blocks] for fed in views
        }
        self._taken: dict[tuple[str, str], int] = {}
        self._keys = {fed.view.name: fed.view.key_names for fed in views}
        self._marks: dict[Slot, int] = {}
        self._newest: dict[Slot, int] = {}
        self._held: dict[tuple[str, str], _Held] = {}
        self._lacking = progress.unsealed(views)
        self._entities = sorted({fed.view.entity.name for fed in views if fed.blocks})
        store.prepare(self._entities)
        self._seal(block for fed in views for block in fed.blocks)

    def add(self, batch: pa.RecordBatch, envelope: Envelope) -> None:
        """Takes rows of a view; they are folded on the next flush, those of a view without blocks nowhere.

        Raises:
            LaneError: rows between the lane's position and the batch are missing.
        """
        place = (envelope.view, envelope.lane.text)
        if not self._folds[envelope.view]:
            return
        if place not in self._taken:
            self._begin(envelope.view, envelope.lane)
        taken = self._taken[place]
        if envelope.start > taken:
            raise gap(envelope, taken)
        if envelope.end <= taken:
            return
        self._held.setdefault(place, _Held(envelope.lane)).add(after(batch, taken))
        self._taken[place] = envelope.end

    def flush(self, report: Callable[[str, Lane, pa.RecordBatch], None], everything: bool = True) -> None:
        """Folds and writes all that was taken since the last flush, unless it may wait.

        Args:
            report: told of the rows of each view and lane once they are in the store.
            everything: whether nothing may wait any longer.

        Raises:
            StoreAway: the store does not answer, or has forgotten cells: everything is to begin again where it is.
        """
        if not self._held and self._entities:
            self._store.write(self._entities[0], [])
        if not everything and sum(held.bytes for held in self._held.values()) < self._patience:
            return
        parts = 1 + sum(held.rows for held in self._held.values()) // self._at_once
        divided = {place: held.divided(self._keys[place[0]], parts) for place, held in self._held.items()}
        newest = dict(self._newest)
        for number in range(parts):
            cells: dict[str, list[tuple[BlockFold, Cells]]] = {}
            for (view, text), division in divided.items():
                rows = division.part(number)
                for fold in self._folds[view]:
                    slot = fold.block.id, text
                    found = fold.cells(after(rows, self._marks[slot]), text)
                    if len(found) and fold.block.kind == "tiles":
                        newest[slot] = max(newest[slot], int(found.tiles.max()))
                    cells.setdefault(fold.block.entity, []).append((fold, found))
            marks = self._reached_marks(newest) if number == parts - 1 else {}
            for entity, changed in cells.items():
                self._store.write(entity, [part for _, part in changed], marks.pop(entity, []))
                for fold, part in changed:
                    fold.keep(part)
        self._settle(newest)
        reported, self._held = self._held, {}
        for (view, _), held in reported.items():
            report(view, held.lane, _together(held.batches))

    def _reached_marks(self, newest: Mapping[Slot, int]) -> dict[str, list[Mark]]:
        """By entity, how far the blocks are folded once all that is held is written."""
        marks: dict[str, list[Mark]] = {}
        for view, text in self._held:
            for fold in self._folds[view]:
                slot = fold.block.id, text
                marks.setdefault(fold.block.entity, []).append(Mark(*slot, self._taken[view, text], newest[slot]))
        return marks

    def _settle(self, newest: dict[Slot, int]) -> None:
        """Takes note that all that is held is in the store."""
        for view, text in self._held:
            for fold in self._folds[view]:
                slot = fold.block.id, text
                self._marks[slot] = max(self._taken[view, text], self._marks[slot])
                self._cache.advance(*slot, newest[slot])
        self._newest = newest
        self._cache.shrink()
        if self._held:
            self._seal(fold.block for view, _ in self._held for fold in self._folds[view])

    def _begin(self, view: str, lane: Lane) -> None:
        for fold in self._folds[view]:
            mark = self._progress.marks.get((fold.block.id, lane.text))
            offset, newest = (0, NO_CELL) if mark is None else (mark.offset, mark.newest)
            self._marks[fold.block.id, lane.text] = offset
            self._newest[fold.block.id, lane.text] = newest
            self._cache.begin(fold.block.id, lane.text, newest, whole=offset == 0)
        marks = [self._marks[fold.block.id, lane.text] for fold in self._folds[view]]
        self._taken[view, lane.text] = min(marks)

    def _seal(self, blocks: Iterable[Block]) -> None:
        """Marks blocks sealed that have caught up with the history they were to catch up with."""
        ready: dict[str, list[Mark]] = {}
        for block in {block.id: block for block in blocks}.values():
            lacking = self._lacking.get(block.id)
            if lacking is None:
                continue
            if all(self._reached(block, lane) >= offset for lane, offset in lacking.items()):
                ready.setdefault(block.entity, []).append(Mark(block.id, SEALED, 1, 0))
        for entity, marks in ready.items():
            self._store.write(entity, [], marks)
            for mark in marks:
                del self._lacking[mark.log]

    def _reached(self, block: Block, lane: str) -> int:
        here = self._marks.get((block.id, lane))
        return self._progress.block(Lane.parse(lane), block) if here is None else here


def gap(envelope: Envelope, position: int) -> LaneError:
    """Error for a batch that begins after its lane's position."""
    what = envelope.view or envelope.table
    return LaneError(
        f"lane {envelope.lane.text}: {what} has everything before offset {position}, but the next batch begins at "
        f"{envelope.start}: a gap; run again, it starts where the stores are"
    )


def after(batch: pa.RecordBatch, offset: int) -> pa.RecordBatch:
    """Rows from an offset on, of a batch in offset order."""
    if not batch.num_rows or batch.column("_offset")[0].as_py() >= offset:
        return batch
    return batch.slice(int(np.searchsorted(batch.column("_offset").to_numpy(), offset, "left")))


def _together(batches: Sequence[pa.RecordBatch]) -> pa.RecordBatch:
    return batches[0] if len(batches) == 1 else pa.concat_batches([b.replace_schema_metadata(None) for b in batches])
