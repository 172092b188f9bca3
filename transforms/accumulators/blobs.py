"""Blobs: the sections of many states, fixed or variable in length, packed into one byte string per state.

Layout of a packed blob: one version byte, then each section as a LEB128 length and its bytes. Trailing empty sections
are left out, and a blob whose sections are all empty is empty, so equal sections have equal bytes, an empty state costs
nothing, and a reader that knows more sections than the writer did finds the new ones empty.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from schemas.errors import StoreError

Ints = npt.NDArray[np.int64]
Bytes = npt.NDArray[np.uint8]

VERSION = 1
MAX_BYTES = 2**31 - 1
_VARINT_BYTES = 9


def pack(sections: Sequence[pa.BinaryArray], version: int = VERSION) -> pa.BinaryArray:
    """One blob per state from its sections.

    Args:
        sections: at least one array, each with the same section of every state (length n, no nulls).
        version: first byte of every blob that is not empty, 1..255; readers refuse any other.

    Returns:
        `pa.BinaryArray[n]`.
    """
    lengths = [np.diff(split(section)[0]) for section in sections]
    used = np.zeros(len(sections[0]), np.int64)
    for place, length in enumerate(lengths):
        used[length > 0] = place + 1
    pieces: list[Any] = [one_each(np.full(len(used), version, np.uint8), used > 0)]
    for place, (section, length) in enumerate(zip(sections, lengths, strict=True)):
        present = used > place
        pieces += [from_varints(length[present], present.astype(np.int64)), section]
    return join(pieces)


def unpack(blobs: pa.BinaryArray, count: int, version: int = VERSION) -> list[pa.BinaryArray]:
    """The `count` sections of every state: the inverse of `pack`; sections that a blob lacks are empty.

    Raises:
        StoreError: a blob has another version, is cut off, or holds more than `count` sections.
    """
    offsets, data = split(blobs)
    at, end = offsets[:-1].copy(), offsets[1:]
    filled = at < end
    found = data[at[filled]]
    if (found != version).any():
        raise StoreError(f"a state has encoding version {found[found != version][0]}; this release reads {version}")
    at[filled] += 1
    sections = []
    for _ in range(count):
        length = _read_lengths(data, at, end)
        sections.append(cut(data, at, length))
        at += length
        if (at > end).any():
            raise StoreError("a state is cut off: a section is shorter than its stated length")
    if (at < end).any():
        raise StoreError(f"a state holds more than the {count} sections known to this release")
    return sections


def _read_lengths(data: Bytes, at: Ints, end: Ints) -> Ints:
    """Reads one LEB128 number per state at `at` (0 where nothing is left) and moves `at` behind it."""
    length = np.zeros(len(at), np.int64)
    open_ = np.flatnonzero(at < end)
    for step in range(_VARINT_BYTES):
        if not len(open_):
            return length
        if (at[open_] >= end[open_]).any():
            break
        byte = data[at[open_]].astype(np.int64)
        length[open_] |= (byte & 0x7F) << (7 * step)
        at[open_] += 1
        open_ = open_[byte >= 0x80]
    if len(open_):
        raise StoreError("a state is damaged: a section's length does not end")
    return length


def join(pieces: Sequence[pa.BinaryArray]) -> pa.BinaryArray:
    """Concatenation of the pieces, state by state."""
    return pc.binary_join_element_wise(*pieces, pa.scalar(b"", pa.binary()))


def split(blobs: pa.BinaryArray) -> tuple[Ints, Bytes]:
    """Offsets int64[n + 1] and the bytes uint8[] that they point into (a view, not a copy)."""
    if not len(blobs):
        return np.zeros(1, np.int64), np.zeros(0, np.uint8)
    _, offsets, data = blobs.buffers()
    places = np.frombuffer(offsets, np.int32, len(blobs) + 1, 4 * blobs.offset).astype(np.int64)
    return places, np.zeros(0, np.uint8) if data is None else np.frombuffer(data, np.uint8)


def runs(data: npt.NDArray[Any], lengths: Ints) -> pa.BinaryArray:
    """One byte string per state: the next `lengths[i]` items of `data` (any fixed-width dtype), without a copy.

    Raises:
        OverflowError: more than 2 GiB.
    """
    flat = np.ascontiguousarray(data).reshape(-1)
    width = flat.dtype.itemsize
    offsets = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=offsets[1:])
    offsets *= width
    if offsets[-1] > MAX_BYTES:
        raise OverflowError(f"{offsets[-1]} bytes of states at once; at most {MAX_BYTES} fit: take fewer states")
    buffers = [None, pa.py_buffer(offsets.astype(np.int32)), pa.py_buffer(flat.view(np.uint8))]
    return pa.Array.from_buffers(pa.binary(), len(lengths), buffers, null_count=0)


def to_runs(blobs: pa.BinaryArray, dtype: npt.DTypeLike) -> tuple[npt.NDArray[Any], Ints]:
    """Items of all states, one after the other, and how many each state has: the inverse of `runs`.

    Raises:
        StoreError: a byte string is no whole number of items.
    """
    offsets, data = split(blobs)
    width = np.dtype(dtype).itemsize
    lengths = np.diff(offsets)
    if (lengths % width).any():
        raise StoreError(f"a state is damaged: a section is no multiple of {width} bytes")
    return data[offsets[0] : offsets[-1]].copy().view(dtype), lengths // width


def fixed(rows: npt.NDArray[Any]) -> pa.BinaryArray:
    """One byte string per row of `rows` ([n] or [n, width], any fixed-width dtype)."""
    return runs(rows, np.full(len(rows), rows[0].size if len(rows) else 0, np.int64))


def unfixed(blobs: pa.BinaryArray, dtype: npt.DTypeLike = np.int64, width: int = 1) -> npt.NDArray[Any]:
    """Rows of byte strings made by `fixed`, [n] or (where width > 1) [n, width]; zeros for an empty byte string.

    Raises:
        StoreError: a byte string is neither empty nor `width` items long.
    """
    items, lengths = to_runs(blobs, dtype)
    full = lengths == width
    if not (full | (lengths == 0)).all():
        raise StoreError(f"a state is damaged: a section should hold {width} items of {np.dtype(dtype)}")
    rows = np.zeros((len(lengths), width), dtype)
    rows[full] = items.reshape(-1, width)
    return rows[:, 0] if width == 1 else rows


def one_each(items: npt.NDArray[Any], present: npt.NDArray[np.bool_]) -> pa.BinaryArray:
    """Bytes of `items[i]` where `present[i]`, else an empty byte string."""
    return runs(items[present], present.astype(np.int64))


def placed(items: pa.BinaryArray, present: npt.NDArray[np.bool_]) -> pa.BinaryArray:
    """The next of `items` where `present[i]`, else an empty byte string: `one_each` for items of any length."""
    offsets, data = split(items)
    lengths = np.zeros(len(present), np.int64)
    lengths[present] = np.diff(offsets)
    return runs(data[offsets[0] : offsets[-1]], lengths)


def cut(data: Bytes, starts: Ints, lengths: Ints) -> pa.BinaryArray:
    """The byte strings `data[starts[i] : starts[i] + lengths[i]]`."""
    if not len(starts):
        return runs(np.zeros(0, np.uint8), lengths)
    if (starts + lengths > len(data)).any():
        raise StoreError("a state is cut off")
    if (lengths == lengths[0]).all():
        return runs(data[starts[:, None] + np.arange(lengths[0])], lengths)
    ends = np.cumsum(lengths)
    return runs(data[np.arange(ends[-1]) + np.repeat(starts - ends + lengths, lengths)], lengths)


def from_varints(numbers: Ints, lengths: Ints) -> pa.BinaryArray:
    """One byte string per state: its next `lengths[i]` of the `numbers` (int64, none negative), as LEB128."""
    if not len(numbers) or numbers.max() < 0x80:
        return runs(numbers.astype(np.uint8), lengths)
    sizes = np.ones(len(numbers), np.int64)
    for step in range(1, _VARINT_BYTES):
        sizes += numbers >= 1 << (7 * step)
    ends = np.cumsum(sizes)
    data = np.zeros(ends[-1], np.uint8)
    for step in range(int(sizes.max())):
        some = sizes > step
        more = np.where(sizes[some] > step + 1, 0x80, 0)
        data[(ends - sizes)[some] + step] = (numbers[some] >> (7 * step)) & 0x7F | more
    bounds = np.concatenate(([0], ends))[np.concatenate(([0], np.cumsum(lengths)))]
    return runs(data, np.diff(bounds))


def to_varints(blobs: pa.BinaryArray) -> tuple[Ints, Ints]:
    """Numbers of all states, one after the other, and how many each state has: the inverse of `from_varints`.

    Raises:
        StoreError: the last number of a state does not end, or is beyond int64.
    """
    offsets, data = split(blobs)
    offsets, data = offsets - offsets[0], data[offsets[0] : offsets[-1]]
    last = data < 0x80
    closed = np.concatenate(([0], np.cumsum(last)))
    lengths = np.diff(closed[offsets])
    if last.all():
        return data.astype(np.int64), lengths
    filled = offsets[1:] > offsets[:-1]
    ends = np.flatnonzero(last) + 1
    starts = np.concatenate(([0], ends[:-1])) if len(ends) else ends
    if not last[offsets[1:][filled] - 1].all() or (ends - starts).max(initial=0) > _VARINT_BYTES:
        raise StoreError("a state is damaged: a number does not end")
    steps = np.arange(len(data)) - np.repeat(starts, ends - starts)
    return np.add.reduceat((data & 0x7F).astype(np.int64) << (7 * steps), starts), lengths


def nest(items: pa.BinaryArray, counts: Ints) -> pa.BinaryArray:
    """One byte string per state out of its next `counts[i]` byte strings of `items`."""
    offsets, data = split(items)
    lengths = np.diff(offsets)
    bounds = offsets[np.concatenate(([0], np.cumsum(counts)))]
    contents = cut(data, bounds[:-1], np.diff(bounds))
    return pack([from_varints(lengths, counts), contents])


def unnest(blobs: pa.BinaryArray) -> tuple[pa.BinaryArray, Ints]:
    """Byte strings of all states, one after the other, and how many each state has: the inverse of `nest`.

    Raises:
        StoreError: a blob is damaged.
    """
    heads, contents = unpack(blobs, 2)
    lengths, counts = to_varints(heads)
    offsets, data = split(contents)
    owner = np.repeat(np.arange(len(counts)), counts)
    sizes = np.bincount(owner, lengths, len(counts)).astype(np.int64)
    if (sizes != np.diff(offsets)).any():
        raise StoreError("a state is damaged: its items do not add up")
    return runs(data[offsets[0] : offsets[-1]], lengths), counts
