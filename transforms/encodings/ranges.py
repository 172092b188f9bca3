"""Bounds of the integers and decimals that a field may declare."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from schemas.types import Field

Ints = npt.NDArray[np.int64]

INTEGERS = {
    "int8": (-(1 << 7), (1 << 7) - 1),
    "int16": (-(1 << 15), (1 << 15) - 1),
    "int32": (-(1 << 31), (1 << 31) - 1),
    "int64": (-(1 << 63), (1 << 63) - 1),
    "uint8": (0, (1 << 8) - 1),
    "uint16": (0, (1 << 16) - 1),
    "uint32": (0, (1 << 32) - 1),
}


def expected(field: Field) -> str:
    """What a field wants, for reasons: its type, and its bounds where they are not plain."""
    if field.text in INTEGERS and field.text != "int64":
        low, high = INTEGERS[field.text]
        return f"{field.text} ({low} to {high})"
    return field.text


def beyond(low: Ints, high: Ints, precision: int) -> npt.NDArray[np.bool_]:
    """Whether 128-bit integers have more digits than the precision.

    Args:
        low: int64[n], their lower words.
        high: int64[n], their upper words.
        precision: digits, at most 38.
    """
    bound = 10**precision
    top, rest = divmod(bound - 1, 1 << 64)
    bottom, below = divmod(1 - bound, 1 << 64)
    unsigned = low.view(np.uint64)
    over = (high > top) | ((high == top) & (unsigned > np.uint64(rest)))
    under = (high < bottom) | ((high == bottom) & (unsigned < np.uint64(below)))
    return np.asarray(over | under)


def decimal_words(array: pa.Decimal128Array) -> tuple[Ints, Ints]:
    """Lower and upper words of n decimals, int64[n] each; anything where they are null."""
    content = array.buffers()[1]
    words = np.frombuffer(content, np.int64)[2 * array.offset : 2 * (array.offset + len(array))].reshape(-1, 2)
    return np.ascontiguousarray(words[:, 0]), np.ascontiguousarray(words[:, 1])
