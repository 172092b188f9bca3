"""Columns as single arrays, whatever they were chunked into."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa


def whole(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    """The column as one array."""
    if not isinstance(column, pa.ChunkedArray):
        return column
    if column.num_chunks == 1:
        return column.chunk(0)
    return pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)


def integers(column: pa.Array | pa.ChunkedArray) -> npt.NDArray[np.int64]:
    """A column without nulls (integers, or times as their count of units) as int64[n]."""
    single = whole(column)
    if pa.types.is_temporal(single.type):
        single = single.cast(pa.int64() if single.type.bit_width == 64 else pa.int32())
    return np.asarray(single.to_numpy(zero_copy_only=False), np.int64)


def flags(column: pa.Array | pa.ChunkedArray) -> npt.NDArray[np.bool_]:
    """A boolean column without nulls as bool[n]."""
    return np.asarray(whole(column).to_numpy(zero_copy_only=False), np.bool_)
