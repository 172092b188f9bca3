"""Spans: byte strings by their places in shared bytes, so that states are read where they lie, without being copied."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from schemas.errors import StoreError
from transforms.accumulators.blobs import VERSION, cut, runs, split, unpack

Ints = npt.NDArray[np.int64]
Bytes = npt.NDArray[np.uint8]

PADDING = 16
_LONG = 8
_MORE = 0x80
_VARINT_BYTES = 8


@dataclass(frozen=True)
class Spans:
    """m byte strings `data[starts[i] : ends[i]]`.

    Attributes:
        data: uint8[], with `PADDING` bytes more than any string needs, so that whole words may be read.
        starts: int64[m].
        ends: int64[m].
    """

    data: Bytes
    starts: Ints
    ends: Ints

    def __len__(self) -> int:
        return len(self.starts)

    @staticmethod
    def of(blobs: pa.BinaryArray) -> Spans:
        """Spans of the byte strings of an array."""
        offsets, data = split(blobs)
        return Spans(np.concatenate([data, np.zeros(PADDING, np.uint8)]), offsets[:-1], offsets[1:])

    @staticmethod
    def concat(parts: Sequence[Spans]) -> Spans:
        """The strings of all parts (at least one), one after the other."""
        first = parts[0]
        if len(parts) == 1:
            return first
        if any(part.data is not first.data for part in parts):
            return Spans.of(pa.concat_arrays([part.blobs() for part in parts]))
        return Spans(
            first.data,
            np.concatenate([part.starts for part in parts]),
            np.concatenate([part.ends for part in parts]),
        )

    def take(self, indices: Ints) -> Spans:
        """Strings at `indices`."""
        return Spans(self.data, self.starts[indices], self.ends[indices])

    def blobs(self) -> pa.BinaryArray:
        """The strings, copied."""
        lengths = self.ends - self.starts
        if lengths.sum() < _LONG * len(lengths):
            return cut(self.data, self.starts, lengths)
        content = self.data.tobytes()  # its slices are no objects that Python's collector would have to visit
        bounds = zip(self.starts.tolist(), self.ends.tolist(), strict=True)
        return runs(np.frombuffer(b"".join([content[start:end] for start, end in bounds]), np.uint8), lengths)

    def words(self, at: Ints, dtype: npt.DTypeLike = "<i8") -> npt.NDArray[np.int64]:
        """The little-endian words (at most 8 bytes each) that begin at the places `at` of the data."""
        kind = np.dtype(dtype)
        return np.ndarray((len(self.data) - kind.itemsize + 1,), kind, self.data, strides=(1,))[at]

    def sections(self, count: int) -> list[Spans]:
        """The `count` sections of packed strings: `blobs.unpack` where they lie.

        Raises:
            StoreError: a string has another version, is cut off, or holds more than `count` sections.
        """
        data, at = self.data, self.starts + 1
        plain = bool((data[self.starts] == VERSION).all() and (at <= self.ends).all())
        sections: list[Spans] = []
        while plain and len(sections) < count:
            left = at < self.ends
            full = bool(left.all())
            size = data[at].astype(np.int64) if full else np.where(left, data[np.minimum(at, len(data) - 1)], 0)
            plain = bool((size < 0x80).all())
            begin = at + 1 if full else at + left
            at = begin + size
            sections.append(Spans(data, begin, at))
        if plain and (at == self.ends).all():
            return sections
        return [Spans.of(section) for section in unpack(self.blobs(), count)]

    def numbers(self) -> Ints:
        """One number of each string, LEB128; 0 for an empty one: a count as `counts.from_section` reads it.

        Raises:
            StoreError: a string is no number.
        """
        sizes = self.ends - self.starts
        numbers = np.zeros(len(sizes), np.int64)
        for place in range(int(sizes.max(initial=0))):
            there = sizes > place
            byte = self.data[np.where(there, self.starts + place, 0)].astype(np.int64)
            if place > _VARINT_BYTES or ((byte >= _MORE) != (sizes > place + 1))[there].any():
                raise StoreError("a state is damaged: it has more than one count, or one that does not end")
            numbers |= np.where(there, (byte & (_MORE - 1)) << (7 * place), 0)
        return numbers


def sums(values: npt.NDArray[np.int64], firsts: Ints) -> Ints:
    """Sums int64[n] of runs: run i begins at `firsts[i]` and ends where the next begins; none is empty."""
    return np.add.reduceat(values, firsts) if len(firsts) else np.zeros(0, np.int64)
