"""Entity keys as bytes: what cells are kept under."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from transforms.accumulators.blobs import fixed
from transforms.columns import whole

_SIGN = np.uint64(1 << 63)


def encode_keys(columns: Sequence[pa.Array | pa.ChunkedArray]) -> pa.BinaryArray:
    """Bytes of each composite key; null where any of its columns is null.

    Each column is self-delimiting, so that different keys have different bytes: integers, booleans, dates and
    timestamps as 8 bytes (big-endian, sign bit flipped), strings and bytes as a 4-byte length and the text.

    Args:
        columns: the key's columns in the order of the entity, `pa.Array[n]` each (at least one).

    Returns:
        `pa.BinaryArray[n]`.
    """
    parts = [_encode_column(whole(column)) for column in columns]
    return parts[0] if len(parts) == 1 else pc.binary_join_element_wise(*parts, pa.scalar(b"", pa.binary()))


def divide_keys(columns: Sequence[pa.Array], parts: int) -> npt.NDArray[np.int64]:
    """Which of so many parts each composite key falls into, int64[n]: the same key always into the same one."""
    numbers = pl.DataFrame([pl.Series(str(place), column) for place, column in enumerate(columns)]).hash_rows(0) % parts
    return np.asarray(numbers.to_numpy(), np.int64)


def _encode_column(column: pa.Array) -> pa.BinaryArray:
    kind = column.type
    if pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        column, kind = column.cast(pa.string()), pa.string()
    if pa.types.is_string(kind) or pa.types.is_binary(kind):
        texts = column.cast(pa.binary())
        lengths = pc.binary_length(texts).fill_null(0).to_numpy(zero_copy_only=False)
        heads = fixed(np.asarray(lengths, ">u4"))
        return pc.binary_join_element_wise(heads, texts, pa.scalar(b"", pa.binary()))
    if pa.types.is_date32(kind):
        column = column.cast(pa.int32())
    elif pa.types.is_boolean(kind):
        column = column.cast(pa.int8())
    numbers = column.cast(pa.int64())
    values = np.asarray(numbers.fill_null(0).to_numpy(zero_copy_only=False), np.int64)
    encoded = fixed((values.view(np.uint64) ^ _SIGN).astype(">u8"))
    return pc.if_else(numbers.is_valid(), encoded, pa.scalar(None, pa.binary())) if numbers.null_count else encoded
