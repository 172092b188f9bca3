"""Byte strings that lie at spans of one buffer."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Ints = npt.NDArray[np.int64]


def spans(data: npt.NDArray[np.uint8], starts: Ints, ends: Ints) -> pa.BinaryArray:
    """Byte strings at n spans of a buffer of less than 2 GiB, in order and without overlap, `pa.BinaryArray[n]`."""
    if not len(starts):
        return pa.array([], pa.binary())
    # The strings and the gaps between them are one binary array over the buffer as it is; every other one is taken.
    bounds = np.empty(2 * len(starts) + 1, np.int32)
    bounds[0:-1:2] = starts
    bounds[1::2] = ends
    bounds[-1] = ends[-1]
    buffers = [None, pa.py_buffer(bounds), pa.py_buffer(data)]
    pieces: Any = pa.Array.from_buffers(pa.binary(), 2 * len(starts), buffers)
    taken: pa.BinaryArray = pieces.take(pa.array(np.arange(0, 2 * len(starts), 2)))
    return taken
