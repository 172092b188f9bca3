"""Cells opened where they lie: the places of their tiles in the bytes of all cells together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from transforms.accumulators.spans import PADDING, Spans
from transforms.cells import SPAN, VERSION, open_cells

Ints = npt.NDArray[np.int64]

_HEAD = 4
_WIDTH = 2
_PLAIN = VERSION | _WIDTH << 8
_SLOTS = np.arange(SPAN)


def open_spans(blobs: Sequence[bytes]) -> tuple[Ints, Ints, Spans]:
    """The tiles in the contents of n cells, as `cells.open_cells` gives them, without copying them apart.

    Returns:
        int64[m], the number of each tile's cell, ascending; int64[m], its place in it, ascending in a cell; and m
        contents of tiles.

    Raises:
        StoreError: a content is damaged or of a later release.
    """
    sizes = np.array([len(blob) for blob in blobs], np.int64)
    data = np.frombuffer(b"".join((*blobs, bytes(PADDING))), np.uint8)
    ends = sizes.cumsum()
    begins = ends - sizes
    everything = Spans(data, begins, ends)
    heads = everything.words(begins, "<u4").astype(np.int64)
    if len(blobs) and sizes.min() >= _HEAD and ((heads & 0xFFFF) == _PLAIN).all():
        owners, slots = (((heads >> 16)[:, None] >> _SLOTS) & 1).nonzero()
        counts = np.bincount(owners, minlength=len(blobs))
        lasts = counts.cumsum()
        firsts = lasts - counts
        places = begins[owners] + _HEAD + _WIDTH * (np.arange(len(owners)) - firsts[owners])
        if len(places) and (begins + _HEAD + _WIDTH * counts <= ends).all():
            lengths = everything.words(places, "<u2").astype(np.int64)
            until = lengths.cumsum()
            before = until - lengths
            contents = begins + _HEAD + _WIDTH * counts
            shift = contents - before[np.minimum(firsts, len(before) - 1)]
            stops = until + shift[owners]
            if counts.min() and (stops[lasts - 1] == ends).all():
                return owners, slots, Spans(data, before + shift[owners], stops)
    owners, slots, tiles = open_cells(blobs)
    return owners, slots, Spans.of(tiles)
