"""Bytes of wide numbers: the shortest two's complement of each, and the place of its lowest byte."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from schemas.errors import StoreError
from transforms.accumulators.blobs import cut, join, runs, split
from transforms.wide import MASK, Wide

Ints = npt.NDArray[np.int64]
Bytes = npt.NDArray[np.uint8]

LIMB_BYTES = 4
_HEAD = 2


def to_bytes(numbers: Wide) -> pa.BinaryArray:
    """Canonical bytes of each number: equal numbers have equal bytes, at least two.

    Layout: int16 little-endian, the place p of the lowest byte; then the shortest little-endian two's complement t of
    the number without its trailing zero bytes, so that number = t * 256**p. Zero has p = 0 and no more bytes.
    """
    limbs, m = numbers.limbs, len(numbers)
    rows = np.concatenate([limbs, limbs[-1:] >> 63]) & MASK
    width = LIMB_BYTES * len(rows)
    matrix = np.ascontiguousarray(rows.T.astype("<u4")).view(np.uint8).reshape(m, width)
    filled = matrix != 0
    low = np.argmax(filled, axis=1)
    sign = matrix[:, -1]
    top = width - 1 - np.argmax((matrix != sign[:, None])[:, ::-1], axis=1)
    top[(matrix == sign[:, None]).all(axis=1)] = 0
    kept = np.where(low > top, low, top)
    lead = matrix[np.arange(m), kept]
    size = kept - low + 1 + ((lead >= 0x80) != (sign >= 0x80))
    some = filled.any(axis=1)
    size = np.where(some, size, 0)
    place = np.where(some, low + LIMB_BYTES * numbers.base, 0)
    body = cut(matrix.reshape(-1), np.arange(m) * width + np.where(some, low, 0), size)
    return join([runs(place.astype("<i2"), np.ones(m, np.int64)), body])


def from_bytes(blobs: pa.BinaryArray) -> Wide:
    """Numbers of their bytes; an empty byte string is zero.

    Raises:
        StoreError: a byte string is one byte long.
    """
    offsets, data = split(blobs)
    starts, sizes = offsets[:-1], np.diff(offsets)
    some = sizes > 0
    if (sizes[some] < _HEAD).any():
        raise StoreError("a state is damaged: a number has no place")
    if not some.any():
        return Wide.zeros(len(sizes))
    place: Ints = np.zeros(len(sizes), np.int64)
    place[some] = data[starts[some]] + 256 * data[starts[some] + 1].astype(np.int8).astype(np.int64)
    bodies = np.where(some, sizes - _HEAD, 0)
    base = int(np.floor_divide(place[some].min(), LIMB_BYTES))
    width = -(-int((place + bodies)[some].max() - LIMB_BYTES * base) // LIMB_BYTES) * LIMB_BYTES + LIMB_BYTES
    at = np.where(some, place - LIMB_BYTES * base, 0)
    last = np.where(bodies > 0, data[np.minimum(starts + np.maximum(sizes, 1) - 1, len(data) - 1)], 0)
    matrix = np.zeros((len(sizes), width), np.uint8)
    matrix[last >= 0x80] = 0xFF
    if (bodies == bodies[0]).all() and (at == at[0]).all():
        body = data[starts[:, None] + np.arange(_HEAD, _HEAD + bodies[0])]
        matrix[:, at[0] : at[0] + bodies[0]] = body
        matrix[:, : at[0]] = 0
    else:
        ends = np.cumsum(bodies)
        step = np.arange(ends[-1]) - np.repeat(ends - bodies, bodies)
        flat = matrix.reshape(-1)
        flat[np.repeat(np.arange(len(sizes)) * width + at, bodies) + step] = data[
            np.repeat(starts + _HEAD, bodies) + step
        ]
        matrix[np.arange(width) < at[:, None]] = 0
    limbs = np.ascontiguousarray(matrix.view("<u4").T).astype(np.int64)
    limbs[-1] = np.where(last >= 0x80, -1, 0)
    return Wide.carried(base, limbs)
