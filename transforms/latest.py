"""Latest cells: the newest row of an entity, written without being read, since the greater cell always wins.

A cell's version is the row's event time. Its content begins with the rest of the row's place in the order of rows
(sequence, arrival, lane, offset, part; complemented where the first of equal event times is to win), so that of two
cells with one version the greater bytes are the newer row; then come the row's values, packed, and last the length of
the beginning as two bytes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from schemas.state import Block
from transforms.accumulators.blobs import cut, fixed, join, pack, runs, split, unfixed, unpack
from transforms.accumulators.values import from_sections, section_count, to_sections
from transforms.cells import Cells
from transforms.columns import flags, integers, whole
from transforms.keys import encode_keys
from transforms.order import Order
from transforms.view import CompiledView

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


class LatestFold:
    """Folds rows of a view into its latest cells."""

    def __init__(self, block: Block, view: CompiledView) -> None:
        self.block = block
        self._keys = view.key_names

    def cells(self, rows: pa.RecordBatch) -> Cells:
        """The newest row of every entity among the rows, tombstones included, as cells."""
        keys = encode_keys([rows.column(name) for name in self._keys]).dictionary_encode()
        codes, order = integers(keys.indices), Order.of(rows)
        places = np.empty(len(order), np.int64)
        places[order.argsort()] = np.arange(len(order))
        if self.block.ties == "first":
            places = -places
        last = np.lexsort((places, order.time, codes))
        at = last[np.flatnonzero(np.append(np.diff(codes[last]) != 0, True))] if len(last) else last
        table = pa.Table.from_batches([rows]).take(pa.array(at))
        sections = [fixed(flags(table.column("_deleted")).astype(np.uint8))]
        for name, _ in self.block.columns:
            sections += to_sections(whole(table.column(name)), np.ones(len(at), np.int64), nullable=True)
        beginning = _rest(order, at, self.block.ties)
        blobs = join([beginning, pack(sections), fixed(integers(pc.binary_length(beginning)).astype(">u2"))])
        names = keys.dictionary.to_pylist()
        return Cells(
            self.block.id,
            "",
            [names[i] for i in codes[at]],
            np.zeros(len(at), np.int64),
            order.time[at],
            blobs.to_pylist(),
        )


class LatestCells:
    """Contents of m latest cells.

    Attributes:
        deleted: bool[m], whether the newest row is a tombstone.
    """

    deleted: Bools

    def __init__(self, block: Block, blobs: Sequence[bytes]) -> None:
        self._block = block
        contents = pa.array(blobs, pa.binary())
        offsets, data = split(contents)
        lengths = unfixed(cut(data, offsets[1:] - 2, np.full(len(blobs), 2)), ">u2").astype(np.int64)
        self._beginnings = cut(data, offsets[:-1], lengths)
        count = 1 + sum(section_count(kind, nullable=True) for _, kind in block.columns)
        sections = iter(unpack(cut(data, offsets[:-1] + lengths, np.diff(offsets) - lengths - 2), count))
        self.deleted = unfixed(next(sections), np.uint8) != 0
        self._columns = {name: from_sections(kind, sections, nullable=True)[0] for name, kind in block.columns}

    def column(self, name: str, at: Ints) -> pa.Array:
        """Values of a column in the cells at `at`; null where that is -1."""
        values = whole(self._columns[name])
        return values.take(pa.array(np.maximum(at, 0), mask=at < 0))

    def sources(self) -> tuple[list[str], Ints]:
        """Lane of each newest row, and its offset + 1."""
        lanes, offsets = [], []
        for beginning in self._beginnings.to_pylist():
            plain = bytes(255 - byte for byte in beginning) if self._block.ties == "first" else beginning
            lane, offset = Order.origin(plain)
            lanes.append(lane.text)
            offsets.append(offset + 1)
        return lanes, np.asarray(offsets, np.int64)


def _rest(order: Order, at: Ints, ties: str) -> pa.BinaryArray:
    """Bytes of the order of rows behind the event time."""
    offsets, data = split(order.encode(at))
    lengths = np.diff(offsets) - 8
    rest = cut(data, offsets[:-1] + 8, lengths)
    return rest if ties != "first" else runs(~split(rest)[1], lengths)
