"""A cursor over many Avro datums at once: reads the same primitive from each, and notes which of them are at fault."""

from __future__ import annotations

from enum import IntEnum

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Bytes = npt.NDArray[np.uint8]
Words = npt.NDArray[np.uint64]

_PAD = 16
_HIGH_BITS = np.uint64(0x8080808080808080)
_ONE = np.uint64(1)
# Steps that close the gaps between the 7-bit groups of a varint: 8 groups of 7 bits, 4 of 14, 2 of 28, one of 56.
_CLOSE = (
    (np.uint64(0x007F007F007F007F), np.uint64(0x7F007F007F007F00), np.uint64(1)),
    (np.uint64(0x00003FFF00003FFF), np.uint64(0x3FFF00003FFF0000), np.uint64(2)),
    (np.uint64(0x000000000FFFFFFF), np.uint64(0x0FFFFFFF00000000), np.uint64(4)),
)


class Fault(IntEnum):
    """What can be wrong with a datum."""

    NONE = 0
    TRUNCATED = 1
    VARINT = 2
    LENGTH = 3
    BRANCH = 4
    BOOLEAN = 5
    SYMBOL = 6
    TEXT = 7
    RANGE = 8
    DECIMAL = 9
    TIME = 10
    LEFT = 11


class Cursor:
    """Positions in n datums of one buffer.

    A datum whose fault leaves open where its next field begins is lost: it is parked on zeros behind the buffer, so
    that reading goes on for the others without asking, and what is read for it afterwards means nothing. After any
    other fault its remaining fields are read. Only the first fault of a datum is kept.

    Attributes:
        at: int64[n], the next byte of each datum.
        end: int64[n], the byte after its last one.
        fault: uint8[n], its `Fault`.
        place: int32[n], number of the field in which it was found.
        detail: int64[n], the value at fault, where there is one.
        lost: bool[n], whether it is parked.
        failed: whether any datum is at fault.
        field: number of the field that is being read.
    """

    def __init__(self, data: Bytes, at: Ints, end: Ints, field: int = 0) -> None:
        self.data = data
        self.words: Words = np.ndarray((len(data) - 7,), "<u8", buffer=data, strides=(1,))
        self.at = at
        self.end = end
        self.fault = np.zeros(len(at), np.uint8)
        self.place = np.zeros(len(at), np.int32)
        self.detail = np.zeros(len(at), np.int64)
        self.lost = np.zeros(len(at), np.bool_)
        self.failed = False
        self.field = field

    def __len__(self) -> int:
        return len(self.at)

    @staticmethod
    def over(values: pa.BinaryArray, skip: int = 0) -> Cursor:
        """Cursor at the beginning of n values, past `skip` bytes of each; a null or shorter value is truncated."""
        count = len(values)
        _, offsets_buffer, data_buffer = values.buffers()
        offsets = np.zeros(1, np.int64)
        if count:
            offsets = np.frombuffer(offsets_buffer, np.int32)[values.offset : values.offset + count + 1].astype(
                np.int64
            )
        first, last = int(offsets[0]), int(offsets[-1])
        data = np.zeros(last - first + 2 * _PAD, np.uint8)
        if data_buffer is not None and last > first:
            data[_PAD:-_PAD] = np.frombuffer(data_buffer, np.uint8)[first:last]
        starts = offsets - first + _PAD
        cursor = Cursor(data, starts[:-1] + skip, starts[1:].copy())
        short = cursor.at > cursor.end
        if values.null_count:
            short |= values.is_null().to_numpy(zero_copy_only=False)
        cursor.fail(short, Fault.TRUNCATED)
        return cursor

    def subset(self, rows: Ints) -> Cursor:
        """Cursor over some of the datums; `absorb` brings its progress back."""
        return Cursor(self.data, self.at[rows], self.end[rows], self.field)

    def absorb(self, part: Cursor, rows: Ints) -> None:
        """Takes over where a `subset` of the rows has come to."""
        self.at[rows] = part.at
        if part.failed:
            wrong = np.flatnonzero(part.fault)
            where = rows[wrong]
            fresh = self.fault[where] == 0
            for name in ("fault", "place", "detail"):
                getattr(self, name)[where[fresh]] = getattr(part, name)[wrong[fresh]]
            self.end[where] = part.end[wrong]
            self.lost[where] |= part.lost[wrong]
            self.failed = True

    def fail(self, wrong: Bools, fault: Fault, detail: Ints | None = None) -> None:
        """Notes a fault of the datums for which `wrong` holds, after which they cannot be read on.

        Args:
            wrong: bool[n].
            fault: what is wrong.
            detail: int64[n], the values at fault.
        """
        rows = np.flatnonzero(wrong)
        if len(rows):
            self.note(wrong, fault, detail)
            self.at[rows] = self.end[rows] = len(self.data) - _PAD
            self.lost[rows] = True

    def note(self, wrong: Bools, fault: Fault, detail: Ints | None = None) -> None:
        """Notes a fault of the datums for which `wrong` holds, and reads them on; as `fail`."""
        rows = np.flatnonzero(wrong)
        if not len(rows):
            return
        fresh = rows[self.fault[rows] == 0]
        self.fault[fresh] = fault
        self.place[fresh] = self.field
        if detail is not None:
            self.detail[fresh] = detail[fresh]
        self.failed = True

    def advance(self, widths: Ints | int) -> Ints:
        """Moves past `widths` bytes (at least 0) of each datum, and gives where they began."""
        start = self.at
        self.at = start + widths
        over = self.at > self.end
        if over.any():
            start = start.copy()
            self.fail(over, Fault.TRUNCATED)
            start[over] = self.at[over]
        return start

    def varints(self) -> Ints:
        """Zigzag varints of up to 64 bits, int64[n]."""
        first = self.data[self.at]
        if not (first & 0x80).any():
            self.advance(1)
            raw = first.astype(np.uint64)
        else:
            raw = self._long_varints()
        return (raw >> _ONE).view(np.int64) ^ -(raw & _ONE).view(np.int64)

    def _long_varints(self) -> Words:
        word = self.words[self.at]
        stops = ~word & _HIGH_BITS
        upto = stops ^ (stops - _ONE)
        groups = word & upto & ~_HIGH_BITS
        widths = (np.bitwise_count(upto) >> 3).astype(np.int64)
        for low, high, shift in _CLOSE:
            groups = (groups & low) | ((groups & high) >> shift)
        longer = np.flatnonzero(stops == 0)
        too_long = np.zeros(0, np.int64)
        if len(longer):
            tail = self.words[self.at[longer] + 8]
            ninth, tenth = tail & np.uint64(0xFF), (tail >> np.uint64(8)) & np.uint64(0xFF)
            more = ninth > 0x7F
            groups[longer] |= (ninth & np.uint64(0x7F)) << np.uint64(56)
            groups[longer] |= np.where(more, tenth & _ONE, np.uint64(0)) << np.uint64(63)
            widths[longer] = 9 + more
            too_long = longer[more & (tenth > 1)]
        self.advance(widths)
        if len(too_long):
            wrong = np.zeros(len(self), np.bool_)
            wrong[too_long] = True
            self.fail(wrong & ~self.lost, Fault.VARINT)
        return groups

    def lengths(self) -> Ints:
        """Lengths of byte strings, int64[n], none of them negative or beyond its datum."""
        length = self.varints()
        self.fail(length < 0, Fault.LENGTH, length)
        self.fail(length > self.end - self.at, Fault.TRUNCATED)
        return np.where(self.lost, 0, length) if self.failed else length

    def finish(self) -> None:
        """Notes the datums that have bytes left over."""
        left = self.end - self.at
        self.fail(left > 0, Fault.LEFT, left)
