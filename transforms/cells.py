"""Cells: what one lane has folded of a run of neighbouring tiles, as the online store keeps it.

A cell holds up to `SPAN` tiles, aligned: fewer and larger rows cost a store less to write and to read. Layout of a
cell's content: a version byte, the width of a length in bytes (2, or 4 if a tile needs it), which tiles there are (a
little-endian bit set), the length of each, and the tiles themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from schemas.errors import StoreError
from transforms.accumulators.blobs import fixed, join, runs, split
from transforms.windows import floor

Ints = npt.NDArray[np.int64]
SPAN = 16
VERSION = 1
_HEAD = np.dtype([("version", "u1"), ("width", "u1"), ("slots", "<u2")])
_SHORT = 1 << 16


@dataclass(frozen=True)
class Cells:
    """n cells of one block and one lane; the greater version holds more, equal versions hold the same bytes.

    Attributes:
        block: id of the block.
        lane: text of the lane; empty for latest cells, which have none.
        keys: n entity keys as bytes.
        tiles: int64[n], µs at which the first tile that a cell may hold starts (0 for latest and whole-history cells).
        versions: int64[n], last offset folded + 1; for latest cells the event time in µs.
        blobs: n encoded contents.
    """

    block: str
    lane: str
    keys: list[bytes]
    tiles: Ints
    versions: Ints
    blobs: list[bytes]

    def __len__(self) -> int:
        return len(self.keys)


def cell_start(tile: Ints, hop: int | None) -> Ints:
    """Start (µs) of the cell that holds the tile, or the time, `tile` (µs) of a block with this hop (µs)."""
    return np.zeros_like(tile) if hop is None else floor(tile, cell_span(hop))


def cell_span(hop: int | None) -> int:
    """µs that a cell of a block with this hop (µs) covers; 0 without a hop, where one cell has it all."""
    return 0 if hop is None else hop * SPAN


def open_cells(blobs: Sequence[bytes]) -> tuple[Ints, Ints, pa.BinaryArray]:
    """The tiles in the contents of n cells.

    Returns:
        int64[m], the number of each tile's cell, ascending; int64[m], its place in it, ascending in a cell; and m
        contents of tiles.

    Raises:
        StoreError: a content is damaged or of a later release.
    """
    if min(map(len, blobs), default=4) < _HEAD.itemsize:
        raise StoreError("a cell is damaged: it is cut off")
    heads = np.frombuffer(b"".join([blob[:4] for blob in blobs]), _HEAD)
    if (heads["version"] != VERSION).any() or not np.isin(heads["width"], (2, 4)).all():
        raise StoreError(f"a cell is damaged, or was written by a later release than this one, which reads {VERSION}")
    bits = np.unpackbits(heads["slots"].copy().view(np.uint8).reshape(-1, 2), axis=1, bitorder="little")
    owners, slots = np.nonzero(bits)
    counts, wide = bits.sum(axis=1, dtype=np.int64), heads["width"] == 4
    begins = 4 + heads["width"] * counts
    sizes = np.fromiter(map(len, blobs), np.int64, len(blobs)) - begins
    if (sizes < 0).any():
        raise StoreError("a cell is damaged: it is cut off")
    if not wide.any():
        lengths = np.frombuffer(b"".join([blob[4:at] for blob, at in zip(blobs, begins.tolist(), strict=True)]), "<u2")
    else:
        parts = [
            np.frombuffer(blob[4:at], "<u4" if long else "<u2")
            for blob, at, long in zip(blobs, begins.tolist(), wide.tolist(), strict=True)
        ]
        lengths = np.concatenate(parts)
    if (np.bincount(owners, lengths, len(blobs)) != sizes).any():
        raise StoreError("a cell is damaged: its tiles do not add up")
    contents = b"".join([blob[at:] for blob, at in zip(blobs, begins.tolist(), strict=True)])
    return owners, slots, runs(np.frombuffer(contents, np.uint8), lengths.astype(np.int64))


def close_cells(owners: Ints, slots: Ints, tiles: pa.BinaryArray, n: int) -> list[bytes]:
    """Contents of n cells from their tiles: the inverse of `open_cells`.

    Args:
        owners: int64[m], ascending.
        slots: int64[m], ascending in a cell.
        tiles: m contents of tiles.
        n: how many cells there are; each has a tile.
    """
    offsets, data = split(tiles)
    lengths = np.diff(offsets)
    counts = np.bincount(owners, minlength=n)
    heads = np.zeros(n, _HEAD)
    heads["version"] = VERSION
    heads["slots"] = np.bincount(owners, np.left_shift(1, slots), n)
    longest = np.zeros(n, np.int64)
    np.maximum.at(longest, owners, lengths)
    wide = longest >= _SHORT
    heads["width"] = np.where(wide, 4, 2)
    halves = lengths.astype("<u4").view("<u2").reshape(-1, 2)
    kept = np.stack([np.ones(len(owners), np.bool_), wide[owners]], axis=1)
    sizes = np.bincount(owners, lengths, n).astype(np.int64)
    pieces = [
        fixed(heads),
        runs(halves[kept], np.where(wide, 2, 1) * counts),
        runs(data[offsets[0] : offsets[-1]], sizes),
    ]
    return list(join(pieces).to_pylist())
