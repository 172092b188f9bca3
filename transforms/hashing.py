"""Hashes of values: 64 bits, the same on every machine and for ever, since sketches keep them.

With mix = the finaliser of SplitMix64 (Steele, Lea, Flood 2014):

* bool, integers, dates, timestamps: mix of the stored integer;
* floats: mix of the bits of the float64, with one NaN and one zero;
* decimals: mix(mix(low word) ^ high word) of the unscaled 128-bit integer;
* strings, bytes: h = mix(length), then h = mix(h ^ word) over the little-endian 8-byte words, the last one padded by 0.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from transforms.accumulators.blobs import split
from transforms.accumulators.values import canonical
from transforms.columns import integers
from transforms.exact import words

Hashes = npt.NDArray[np.uint64]

_GOLDEN, _FIRST, _SECOND = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_WORD, _ALL = 8, (1 << 64) - 1


def hashes(values: pa.Array) -> Hashes:
    """Hash of each value, uint64[n]; a scalar type, no nulls."""
    kind = values.type
    if pa.types.is_floating(kind):
        return mix(np.asarray(canonical(values).to_numpy(), np.float64).view(np.uint64))
    if pa.types.is_decimal(kind):
        low, high = words(values)
        return mix(mix(low.view(np.uint64)) ^ high.view(np.uint64))
    if pa.types.is_string(kind) or pa.types.is_binary(kind):
        codes = values.dictionary_encode()
        return _bytes(codes.dictionary.cast(pa.binary()))[np.asarray(codes.indices.to_numpy(), np.int64)]
    stored: Hashes = integers(values).view(np.uint64)
    return mix(stored)


def hash_value(value: int | str | bytes) -> int:
    """Hash of one plain value: the same that `hashes` gives; dates and times as their stored integers."""
    if isinstance(value, int):
        return mixed(value & _ALL)
    data = value.encode() if isinstance(value, str) else value
    hashed = mixed(len(data))
    for at in range(0, len(data), _WORD):
        hashed = mixed(hashed ^ int.from_bytes(data[at : at + _WORD], "little"))
    return hashed


def mixed(number: int) -> int:
    """SplitMix64 of one number below 2**64."""
    z = (number + int(_GOLDEN)) & _ALL
    z = ((z ^ (z >> 30)) * int(_FIRST)) & _ALL
    z = ((z ^ (z >> 27)) * int(_SECOND)) & _ALL
    return z ^ (z >> 31)


def mix(numbers: Hashes) -> Hashes:
    """SplitMix64 of each number."""
    z: Hashes = numbers + _GOLDEN
    z = (z ^ (z >> np.uint64(30))) * _FIRST
    z = (z ^ (z >> np.uint64(27))) * _SECOND
    z ^= z >> np.uint64(31)
    return z


def _bytes(values: pa.BinaryArray) -> Hashes:
    offsets, data = split(values)
    lengths = np.diff(offsets)
    padded = np.concatenate([data, np.zeros(_WORD, np.uint8)])
    out = mix(lengths.astype(np.uint64))
    open_, at = np.flatnonzero(lengths > 0), 0
    while len(open_):
        left = lengths[open_] - at
        window = padded[(offsets[:-1][open_] + at)[:, None] + np.arange(_WORD)]
        window[np.arange(_WORD) >= left[:, None]] = 0
        out[open_] = mix(out[open_] ^ window.view("<u8")[:, 0].astype(np.uint64))
        at += _WORD
        open_ = open_[left > _WORD]
    return out
