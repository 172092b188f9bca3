"""The online side of a run: rows folded into their lanes' tiles, written with the marks that say how far."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
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
from transforms.latest import LatestFold
from transforms.tiles import TileFold
from transforms.view import CompiledView

Ints = npt.NDArray[np.int64]


@dataclass
class _Held:
    """Rows of one view and one lane that wait for the end of the bundle."""

    lane: Lane
    batches: list[pa.RecordBatch] = field(default_factory=list)


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

    def keep(self, cells: Cells, lane: str) -> int:
        """Caches cells; start (µs) of the newest one that the lane ever had, `NO_CELL` for latest cells."""
        if self._tiles is None:
            return NO_CELL
        self._cache.put(cells)
        return self._cache.newest(self.block.id, lane)


@dataclass
class Waiting:
    """Cells of one block and one lane that are folded and not yet written; later ones replace earlier ones.

    Attributes:
        block: the block.
        bytes: of all contents that wait, replaced ones too.
    """

    block: Block
    bytes: int = 0
    _parts: list[Cells] = field(default_factory=list)

    def add(self, cells: Cells) -> None:
        """Takes cells that follow from later rows than all before."""
        if len(cells):
            self._parts.append(cells)
            self.bytes += sum(map(len, cells.blobs))

    def cells(self) -> list[Cells]:
        """The cells to write, none twice."""
        if len(self._parts) < 2 or self.block.kind == "latest":
            return self._parts
        first = self._parts[0]
        newest = {
            (key, tile): (version, blob)
            for part in self._parts
            for key, tile, version, blob in zip(
                part.keys, part.tiles.tolist(), part.versions.tolist(), part.blobs, strict=True
            )
        }
        places = sorted(newest)
        return [
            Cells(
                first.block,
                first.lane,
                [key for key, _ in places],
                np.asarray([tile for _, tile in places], np.int64),
                np.asarray([newest[place][0] for place in places], np.int64),
                [newest[place][1] for place in places],
            )
        ]


class OnlineFold:
    """Takes rows of all lanes, folds them on a flush, and writes what they change: one store call per entity.

    A batch that begins after its lane's position is a gap and refused; what lies below it is passed over.

    Args:
        views: the views fed.
        store: the online store.
        progress: as the stores have it.
        cache: the cache of cells.
        patience: bytes of cells that may wait, so that a cell that many bundles change is written once.
    """

    def __init__(
        self, views: Sequence[FedView], store: CellWriter, progress: Progress, cache: CellCache, patience: int = 0
    ) -> None:
        self._store, self._progress, self._cache, self._patience = store, progress, cache, patience
        self._folds = {
            fed.view.name: [BlockFold(block, fed.view, store, cache) for block in fed.blocks] for fed in views
        }
        self._taken: dict[tuple[str, str], int] = {}
        self._marks: dict[tuple[str, str], int] = {}
        self._newest: dict[tuple[str, str], int] = {}
        self._waiting: dict[tuple[str, str], Waiting] = {}
        self._held: dict[tuple[str, str], _Held] = {}
        self._lacking = progress.unsealed(views)
        store.prepare(sorted({fed.view.entity.name for fed in views}))
        self._seal(block for fed in views for block in fed.blocks)

    def add(self, batch: pa.RecordBatch, envelope: Envelope) -> None:
        """Takes rows of a view; they are folded on the next flush.

        Raises:
            LaneError: rows between the lane's position and the batch are missing.
        """
        place = (envelope.view, envelope.lane.text)
        if place not in self._taken:
            self._begin(envelope.view, envelope.lane)
        taken = self._taken[place]
        if envelope.start > taken:
            raise gap(envelope, taken)
        if envelope.end <= taken:
            return
        self._held.setdefault(place, _Held(envelope.lane)).batches.append(after(batch, taken))
        self._taken[place] = envelope.end

    def flush(self, report: Callable[[Lane, pa.RecordBatch], None], everything: bool = True) -> None:
        """Folds all that was taken since the last flush, and writes what has waited long enough.

        Args:
            report: told of the rows of each lane once they are folded and, if due, in the store.
            everything: whether nothing may wait any longer.
        """
        for (view, text), held in self._held.items():
            rows = _together(held.batches)
            for fold in self._folds[view]:
                place = (fold.block.id, text)
                cells = fold.cells(after(rows, self._marks[place]), text)
                self._waiting.setdefault(place, Waiting(fold.block)).add(cells)
                self._marks[place] = max(self._marks[place], self._taken[view, text])
                self._newest[place] = fold.keep(cells, text)
        if everything or self._cache.full or sum(wait.bytes for wait in self._waiting.values()) > self._patience:
            self._write()
        reported, self._held = self._held, {}
        for held in reported.values():
            report(held.lane, _together(held.batches))

    def _write(self) -> None:
        writes: dict[str, tuple[list[Cells], list[Mark]]] = {}
        for (block, lane), waiting in self._waiting.items():
            cells, marks = writes.setdefault(waiting.block.entity, ([], []))
            cells += waiting.cells()
            marks.append(Mark(block, lane, self._marks[block, lane], self._newest[block, lane]))
        for entity, (cells, marks) in writes.items():
            self._store.write(entity, cells, marks)
        self._cache.shrink()
        written, self._waiting = self._waiting, {}
        if written:
            self._seal(waiting.block for waiting in written.values())

    def _begin(self, view: str, lane: Lane) -> None:
        for fold in self._folds[view]:
            mark = self._progress.marks.get((fold.block.id, lane.text))
            offset, newest = (0, NO_CELL) if mark is None else (mark.offset, mark.newest)
            self._marks[fold.block.id, lane.text] = offset
            self._newest[fold.block.id, lane.text] = newest
            self._cache.begin(fold.block.id, lane.text, newest, whole=offset == 0)
        marks = [self._marks[fold.block.id, lane.text] for fold in self._folds[view]]
        self._taken[view, lane.text] = min(marks) if marks else 0

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
