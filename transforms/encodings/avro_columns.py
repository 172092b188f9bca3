"""Columns of Avro primitives and logical types, read from many datums at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from transforms.encodings.avro_cursor import Cursor, Fault
from transforms.encodings.ranges import beyond
from transforms.encodings.spans import spans
from transforms.encodings.times import FIRST, FIRST_DAY, LAST, LAST_DAY

Ints = npt.NDArray[np.int64]


class Reader(Protocol):
    """Reads one Avro type from each datum of a cursor."""

    @property
    def least(self) -> int:
        """Fewest bytes that a value of the type takes."""

    def read(self, cursor: Cursor) -> pa.Array:
        """Column of n values; its rows at fault hold anything of the type."""


@dataclass(frozen=True)
class Booleans:
    """`boolean`."""

    least: int = 1

    def read(self, cursor: Cursor) -> pa.Array:
        """Booleans[n]."""
        byte = cursor.data[cursor.advance(1)]
        cursor.note(byte > 1, Fault.BOOLEAN, byte.astype(np.int64))
        return pa.array(byte != 0)


@dataclass(frozen=True)
class Integers:
    """`int` and `long` within the bounds of the type that was declared.

    Attributes:
        type: integer type of the column.
        low: least legal value.
        high: greatest legal value.
    """

    type: pa.DataType
    low: int
    high: int
    least: int = 1

    def read(self, cursor: Cursor) -> pa.Array:
        """Integers[n]."""
        values = cursor.varints()
        cursor.note((values < self.low) | (values > self.high), Fault.RANGE, values)
        return pa.array(values.astype(self.type.to_pandas_dtype(), copy=False))


@dataclass(frozen=True)
class Dates:
    """`int` of the logical type `date`: days since the epoch."""

    least: int = 1

    def read(self, cursor: Cursor) -> pa.Array:
        """date32[n]."""
        values = cursor.varints()
        wrong = (values < FIRST_DAY) | (values > LAST_DAY)
        cursor.note(wrong, Fault.TIME, values)
        return pa.array(np.where(wrong, 0, values).astype(np.int32)).view(pa.date32())


@dataclass(frozen=True)
class Times:
    """`long` of a timestamp's logical type.

    Attributes:
        unit: µs of the unit that is counted.
    """

    unit: int
    least: int = 1

    def read(self, cursor: Cursor) -> pa.Array:
        """Timestamps[n] in µs, UTC."""
        values = cursor.varints()
        wrong = (values < -(-FIRST // self.unit)) | (values > LAST // self.unit)
        cursor.note(wrong, Fault.TIME, values)
        if cursor.failed:
            values = np.where(wrong, 0, values)
        return pa.array(values * self.unit).view(pa.timestamp("us", "UTC"))


@dataclass(frozen=True)
class Doubles:
    """`double`."""

    least: int = 8

    def read(self, cursor: Cursor) -> pa.Array:
        """float64[n]."""
        return pa.array(cursor.words[cursor.advance(8)].view(np.float64))


@dataclass(frozen=True)
class Floats:
    """`float`."""

    least: int = 4

    def read(self, cursor: Cursor) -> pa.Array:
        """float32[n]."""
        return pa.array(cursor.words[cursor.advance(4)].astype(np.uint32).view(np.float32))


@dataclass(frozen=True)
class ByteStrings:
    """`bytes`, and `fixed` if it has a size.

    Attributes:
        size: bytes of a `fixed`, None for `bytes`.
    """

    size: int | None = None

    @property
    def least(self) -> int:
        """Fewest bytes of a value."""
        return 1 if self.size is None else self.size

    def read(self, cursor: Cursor) -> pa.Array:
        """Binary[n]."""
        starts, ends = self.spans(cursor)
        return slices(cursor, starts, ends)

    def spans(self, cursor: Cursor) -> tuple[Ints, Ints]:
        """Where each string begins and ends, int64[n] each."""
        start = cursor.advance(cursor.lengths() if self.size is None else self.size)
        return start, cursor.at


@dataclass(frozen=True)
class Strings:
    """`string`."""

    least: int = 1

    def read(self, cursor: Cursor) -> pa.Array:
        """Strings[n]."""
        texts = ByteStrings().read(cursor)
        try:
            return texts.cast(pa.string())
        except pa.ArrowInvalid:
            return self._mended(cursor, texts)

    @staticmethod
    def _mended(cursor: Cursor, texts: pa.Array) -> pa.Array:
        read: list[str] = []
        wrong = np.zeros(len(cursor), np.bool_)
        for row, text in enumerate(texts.to_pylist()):
            try:
                read.append(text.decode())
            except UnicodeDecodeError:
                read.append("")
                wrong[row] = True
        cursor.note(wrong, Fault.TEXT)
        return pa.array(read, pa.string())


@dataclass(frozen=True)
class Enums:
    """`enum`, read as strings.

    Attributes:
        symbols: of the enum, in their order.
    """

    symbols: tuple[str, ...]
    least: int = 1

    def read(self, cursor: Cursor) -> pa.Array:
        """Strings[n]."""
        values = cursor.varints()
        wrong = (values < 0) | (values >= len(self.symbols))
        cursor.note(wrong, Fault.SYMBOL, values)
        return pa.array(self.symbols, pa.string()).take(pa.array(np.where(wrong, 0, values)))


@dataclass(frozen=True)
class Decimals:
    """`bytes` or `fixed` of the logical type `decimal`: two's complement, big-endian.

    Attributes:
        type: decimal128 of the column.
        size: bytes of a `fixed`, None for `bytes`.
    """

    type: Any
    size: int | None = None

    @property
    def least(self) -> int:
        """Fewest bytes of a value."""
        return 1 if self.size is None else self.size

    def read(self, cursor: Cursor) -> pa.Array:
        """decimal128[n]."""
        starts, ends = ByteStrings(self.size).spans(cursor)
        widths = np.where(cursor.lost, 0, ends - starts) if cursor.failed else ends - starts
        low = _tail(cursor, ends, np.minimum(widths, 8))
        high = np.where(widths > 8, _tail(cursor, ends - 8, np.clip(widths - 8, 1, 8)), low >> 63)
        wrong = beyond(low, high, self.type.precision)
        for row in np.flatnonzero(widths > 16).tolist():
            value = int.from_bytes(cursor.data[starts[row] : ends[row]].tobytes(), "big", signed=True)
            wrong[row] = abs(value) >= 10**self.type.precision
        cursor.note(wrong, Fault.DECIMAL)
        if cursor.failed:
            low, high = np.where(wrong, 0, low), np.where(wrong, 0, high)
        words = np.stack([low, high], axis=1)
        return pa.Array.from_buffers(self.type, len(cursor), [None, pa.py_buffer(words)])


def slices(cursor: Cursor, starts: Ints, ends: Ints) -> pa.Array:
    """Byte strings that lie at ascending spans of the cursor's buffer, `pa.BinaryArray[n]`; empty where at fault."""
    if cursor.failed:
        # Parked datums lie behind all others: give them an empty span where the one before ends.
        ends = np.maximum.accumulate(np.where(cursor.lost, 0, ends))
        starts = np.where(cursor.lost, ends, starts)
    return spans(cursor.data, starts, ends)


def _tail(cursor: Cursor, ends: Ints, widths: Ints) -> Ints:
    """Signed big-endian integers of the `widths` (0 to 8) bytes before `ends`."""
    word = cursor.words[np.maximum(ends - 8, 0)].byteswap().view(np.int64)
    shift = 64 - 8 * np.maximum(widths, 1)
    return np.where(widths > 0, (word << shift) >> shift, 0)
