"""Cells: what one lane has folded of one tile, as the online store keeps it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Cells:
    """n cells of one block and one lane; the greater version holds more, equal versions hold the same bytes.

    Attributes:
        block: id of the block.
        lane: text of the lane; empty for latest cells, which have none.
        keys: n entity keys as bytes.
        tiles: int64[n], µs at which each tile starts (0 for latest and whole-history cells).
        versions: int64[n], last offset folded + 1; for latest cells the event time in µs.
        blobs: n encoded contents.
    """

    block: str
    lane: str
    keys: list[bytes]
    tiles: npt.NDArray[np.int64]
    versions: npt.NDArray[np.int64]
    blobs: list[bytes]

    def __len__(self) -> int:
        return len(self.keys)
