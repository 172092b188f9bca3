"""Latest reads: newest rows as plain values straight from their cells, for few requests."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from itertools import repeat
from typing import Any

import numpy as np
import pyarrow as pa

from schemas.errors import StoreError
from schemas.state import Block
from transforms.accumulators.blobs import VERSION
from transforms.answer_columns import default_of, is_plain
from transforms.answers import NO_TIME, NOT_FOUND, NULL_VALUE, OUTSIDE_MAX_AGE, PRESENT
from transforms.latest import LatestCells
from transforms.selection import Output
from transforms.view import CompiledView

Row = tuple[bool, tuple[Any, ...]]
Parts = Iterator[bytes]

_FORMATS = {
    pa.int8(): "b",
    pa.int16(): "h",
    pa.int32(): "i",
    pa.int64(): "q",
    pa.float32(): "f",
    pa.float64(): "d",
    pa.bool_(): "?",
}
_LENGTH = 2
_MORE = 0x80
_ALIVE = bytes((VERSION, 1, 0))
_THERE, _NOT_THERE = bytes((1,)), bytes((0,))
_FIRST = np.zeros(1, np.int64)


class LatestReads:
    """Latest features of one block, from cells as they were read.

    A cell whose columns are all numbers and all there has one layout, read in one step; others are walked section by
    section, as `latest.LatestCells` does for many cells at once, which is asked where there is any doubt.

    Args:
        view: the view the block belongs to.
        block: a latest block.
        outputs: features of it, of plain types or lists of such.

    Attributes:
        types: of the features.
    """

    def __init__(self, view: CompiledView, block: Block, outputs: Sequence[Output]) -> None:
        self._block, self._ttl, expires = block, view.ttl, view.view.expires
        self.types = [output.feature.dtype for output in outputs]
        names = [name for name, _ in block.columns]
        self._expires = None if expires is None else names.index(expires)
        self._wanted = [(names.index(output.feature.column or ""), default_of(output.feature)) for output in outputs]
        kinds = [kind for _, kind in block.columns]
        self._nulls = (None,) * len(kinds)
        self._formats = [_FORMATS.get(kind) for kind in kinds]
        self._texts = [pa.types.is_string(kind) for kind in kinds]
        self._elements = [kind.value_type if pa.types.is_list(kind) else None for kind in kinds]
        self._plain = all(map(_is_plain, kinds))
        self._whole: struct.Struct | None = None
        if all(self._formats):
            self._whole = struct.Struct("<3s" + "".join(f"3s{letter}" for letter in self._formats))
            sizes = [struct.calcsize(f"<{letter}") for letter in self._formats]
            self._heads = tuple(bytes((1, 1, size)) for size in sizes)

    @staticmethod
    def serves(block: Block, outputs: Sequence[Output]) -> bool:
        """Whether the features are plain values or lists of such, as they are kept."""
        kinds = dict(block.columns)
        if any(kinds.get(output.feature.expires or "", pa.int64()) != pa.int64() for output in outputs):
            return False
        return all(
            _is_plain(output.feature.dtype) and kinds[output.feature.column or ""] == output.feature.dtype
            for output in outputs
        )

    def answer(
        self, cells: Sequence[tuple[int, bytes] | None], instants: Sequence[int]
    ) -> tuple[Sequence[Sequence[Any]], Iterable[list[int] | None], Iterable[list[int]]]:
        """Of each output the values with defaults, the status codes (None: all PRESENT), and the times.

        Args:
            cells: (version, content) of the newest row of n requests; None where there is none.
            instants: n instants in µs.
        """
        if len(cells) == 1 and (alone := self._alone(cells[0], instants[0])) is not None:
            return alone
        base, times, rows = [], [], []
        for cell, instant in zip(cells, instants, strict=True):
            deleted, row = (True, self._nulls) if cell is None else self.open(cell[1])
            if cell is None or deleted:
                base.append(NOT_FOUND)
                times.append(NO_TIME)
                rows.append(self._nulls)
            elif self._is_old(cell[0], row, instant):
                base.append(OUTSIDE_MAX_AGE)
                times.append(cell[0])
                rows.append(self._nulls)
            else:
                base.append(PRESENT)
                times.append(cell[0])
                rows.append(row)
        kept: list[Any] = list(zip(*rows, strict=True)) if rows else [()] * len(self._nulls)
        columns = [kept[place] for place, _ in self._wanted]
        if not any(base) and not any(None in column for column in columns):
            return columns, repeat(None), repeat(times)
        codes = [
            [
                NULL_VALUE if value is None and code == PRESENT else code
                for value, code in zip(column, base, strict=True)
            ]
            for column in columns
        ]
        shown = [
            column if default is None else [default if value is None else value for value in column]
            for column, (_, default) in zip(columns, self._wanted, strict=True)
        ]
        return shown, codes, repeat(times)

    def _is_old(self, time: int, row: tuple[Any, ...], instant: int) -> bool:
        """Whether a row of a time is too old at an instant, or has expired."""
        if self._ttl is not None and instant - time > self._ttl:
            return True
        expiry = None if self._expires is None else row[self._expires]
        return expiry is not None and bool(expiry <= instant)

    def _alone(
        self, cell: tuple[int, bytes] | None, instant: int
    ) -> tuple[Sequence[Sequence[Any]], Iterable[None], Iterable[list[int]]] | None:
        """What `answer` says of one request where every value is there and of age; None where it is not so."""
        if cell is None:
            return None
        deleted, row = self.open(cell[1])
        if deleted or None in row or self._is_old(cell[0], row, instant):
            return None
        return [(row[place],) for place, _ in self._wanted], repeat(None), repeat([cell[0]])

    def open(self, blob: bytes) -> Row:
        """Whether a cell's row is a tombstone, and its values.

        Raises:
            StoreError: the cell is damaged.
        """
        begin = int.from_bytes(blob[-_LENGTH:], "big")
        whole = self._whole
        if whole is not None and len(blob) - _LENGTH - begin == whole.size:
            found = whole.unpack_from(blob, begin)
            if found[0] == _ALIVE and found[1::2] == self._heads:
                return False, found[2::2]
        row = self._walk(blob, begin, len(blob) - _LENGTH) if self._plain else None
        if row is None:
            try:
                cells = LatestCells(self._block, [blob])
                columns = [cells.column(name, _FIRST).to_pylist()[0] for name, _ in self._block.columns]
            except (pa.ArrowException, IndexError) as error:
                raise StoreError(f"a latest cell is damaged: {error}") from error
            row = bool(cells.deleted[0]), tuple(columns)
        return row

    def _walk(self, blob: bytes, at: int, end: int) -> Row | None:
        """The row, section by section; None if the content is not as it should be."""
        try:
            sections, deleted = _sections(blob, at, end)
            parts = iter(sections)
            values: list[Any] = []
            for letter, text, element in zip(self._formats, self._texts, self._elements, strict=True):
                there = next(parts, b"")
                if element is not None:
                    values.append(_list(parts, there, element))
                    continue
                if letter is not None:
                    content = next(parts, b"")
                    values.append(struct.unpack(f"<{letter}", content)[0] if there == _THERE else None)
                else:
                    length = next(parts, b"")
                    content = next(parts, b"")
                    if length != (_varint(len(content)) if there == _THERE else b""):
                        return None
                    values.append(None if there != _THERE else content.decode() if text else content)
                if there not in (_THERE, _NOT_THERE) or (there == _NOT_THERE and content):
                    return None
        except (IndexError, struct.error, UnicodeDecodeError):
            return None
        return (deleted, tuple(values)) if next(parts, None) is None else None


def _is_plain(kind: pa.DataType) -> bool:
    return is_plain(kind.value_type if pa.types.is_list(kind) else kind)


def _list(parts: Parts, there: bytes, element: pa.DataType) -> list[Any] | None:
    """A list from its sections, as `accumulators.values` has them.

    Raises:
        IndexError: the content is not as it should be; as `struct.error` and `UnicodeDecodeError`.
    """
    length, marks, letter = next(parts, b""), next(parts, b""), _FORMATS.get(element)
    if there == _THERE:
        if length != _varint(len(marks)):
            raise IndexError
    elif there != _NOT_THERE or length or marks:
        raise IndexError
    count = marks.count(1)
    if count + marks.count(0) != len(marks):
        raise IndexError
    if letter is not None:
        values: Sequence[Any] = struct.unpack(f"<{count}{letter}", next(parts, b""))
    else:
        values = _texts(next(parts, b""), next(parts, b""), count, pa.types.is_string(element))
    if there != _THERE:
        return None
    found = iter(values)
    return list(values) if count == len(marks) else [next(found) if mark else None for mark in marks]


def _texts(lengths: bytes, content: bytes, count: int, text: bool) -> list[Any]:
    """Texts, or bytes, of their lengths and contents."""
    values: list[Any] = []
    place = begin = 0
    while place < len(lengths):
        size, place = _number(lengths, place)
        value = content[begin : begin + size]
        begin += size
        values.append(value.decode() if text else value)
    if begin != len(content) or len(values) != count:
        raise IndexError
    return values


def _number(blob: bytes, at: int) -> tuple[int, int]:
    """A number of LEB128 that begins at a place, and the place behind it.

    Raises:
        IndexError: it does not end, or is too large for a length.
    """
    size = blob[at]
    at += 1
    if size >= _MORE:
        size &= _MORE - 1
        for shift in range(7, 35, 7):
            byte = blob[at]
            at += 1
            size |= (byte & (_MORE - 1)) << shift
            if byte < _MORE:
                break
    return size, at


def _sections(blob: bytes, at: int, end: int) -> tuple[list[bytes], bool]:
    """Sections of a packed content behind the first, and whether that one says that the row is a tombstone.

    Raises:
        IndexError: the content is damaged, or is not of this release.
    """
    if blob[at] != VERSION:
        raise IndexError
    sections: list[bytes] = []
    at += 1
    while at < end:
        size, at = _number(blob, at)
        sections.append(blob[at : at + size])
        at += size
    if at != end or len(sections[0]) != 1:
        raise IndexError
    return sections[1:], sections[0] != _NOT_THERE


def _varint(number: int) -> bytes:
    """A number as LEB128."""
    if number < _MORE:
        return bytes((number,))
    return bytes((number & (_MORE - 1) | _MORE,)) + _varint(number >> 7)
