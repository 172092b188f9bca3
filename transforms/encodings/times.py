"""Instants and dates written as ISO 8601 text, one by one and column by column."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Bytes = npt.NDArray[np.uint8]

UNIT_MICROSECONDS = {"s": 1_000_000, "ms": 1_000, "us": 1}
DAY = 86_400_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
FIRST_DAY = date.min.toordinal() - date(1970, 1, 1).toordinal()
LAST_DAY = date.max.toordinal() - date(1970, 1, 1).toordinal()
FIRST = FIRST_DAY * DAY
LAST = (LAST_DAY + 1) * DAY - 1

_INSTANT = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})"
    r"(?:[Tt ]([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:[.,]([0-9]+))?)?([Zz]|[+-][0-9]{2}(?::?[0-9]{2})?)?)?"
)
_WIDTH = 40
_DAYS_IN_MONTH = np.array([0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31], np.int64)


def instant(text: str) -> int:
    """µs since the epoch of an ISO 8601 text.

    Legal is `YYYY-MM-DD`, or with `T` or a blank `hh:mm[:ss[.fraction]]`, and then `Z` or a zone `+hh[[:]mm]`. Without
    a zone it is UTC; digits beyond µs are dropped, which is to floor; only the years 1 to 9999 of UTC are legal.

    Raises:
        ValueError: the text is no such instant.
    """
    match = _INSTANT.fullmatch(text)
    value = None if match is None else _instant(match)
    if value is None or not FIRST <= value <= LAST:
        raise ValueError(f"{text!r} is no instant: legal is ISO 8601 as in 2026-12-01T00:00:00Z")
    return value


def _instant(match: re.Match[str]) -> int | None:
    *numbers, fraction, zone = match.groups()
    try:
        moment = datetime(*(int(number or 0) for number in numbers), tzinfo=UTC)  # type: ignore[misc, arg-type]
    except ValueError:
        return None
    value = (moment - _EPOCH) // timedelta(microseconds=1) + int(((fraction or "") + "000000")[:6])
    if zone and zone not in "Zz":
        digits = zone[1:].replace(":", "")
        hours, minutes = int(digits[:2]), int(digits[2:] or 0)
        if hours > 23 or minutes > 59:
            return None
        shift = (hours * 60 + minutes) * 60_000_000
        value += shift if zone[0] == "-" else -shift
    return value


def day(text: str) -> int:
    """Days since the epoch of a date `YYYY-MM-DD`.

    Raises:
        ValueError: the text is no such date.
    """
    if len(text) != 10:
        raise ValueError(f"{text!r} is no date: legal is ISO 8601 as in 2026-12-01")
    return instant(text) // DAY


def of_datetime(moment: datetime) -> int:
    """µs since the epoch of a datetime; a naive one is UTC."""
    aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    return (aware - _EPOCH) // timedelta(microseconds=1)


def instants(texts: pa.StringArray) -> tuple[Ints, Bools]:
    """`instant` of n texts.

    Args:
        texts: `pa.StringArray[n]`.

    Returns:
        int64[n] of µs since the epoch, and bool[n] that says which texts are no instants; nulls give 0 and False.
    """
    grid = _Grid.of(texts)
    days, fits = grid.days()
    end = grid.lengths - grid.zone_length()
    clock, clock_fits = grid.clock(end)
    shift, zone_fits = grid.zone(end)
    values = days * DAY + clock - shift
    fits &= clock_fits & zone_fits & (grid.lengths >= 10) & (values >= FIRST) & (values <= LAST)
    fits &= (end == grid.lengths) | (end > 10)
    for row in np.flatnonzero(grid.lengths > _WIDTH).tolist():
        try:
            values[row], fits[row] = instant(texts[row].as_py()), True
        except ValueError:
            fits[row] = False
    absent = texts.is_null().to_numpy(zero_copy_only=False)
    values[~fits | absent] = 0
    return values, ~(fits | absent)


def days(texts: pa.StringArray) -> tuple[Ints, Bools]:
    """`day` of n texts.

    Args:
        texts: `pa.StringArray[n]`.

    Returns:
        int64[n] of days since the epoch, and bool[n] that says which texts are no dates; nulls give 0 and False.
    """
    grid = _Grid.of(texts)
    values, fits = grid.days()
    fits &= grid.lengths == 10
    absent = texts.is_null().to_numpy(zero_copy_only=False)
    values[~fits | absent] = 0
    return values, ~(fits | absent)


@dataclass(frozen=True)
class _Grid:
    """The first bytes of n texts, a row for each place in them.

    Attributes:
        bytes: uint8[_WIDTH, n], zeros after the end of a text.
        digits: uint8[_WIDTH, n], the bytes as digits, above 9 where they are none.
        lengths: int64[n] in bytes, 0 for null.
    """

    bytes: Bytes
    digits: Bytes
    lengths: Ints

    @staticmethod
    def of(texts: pa.StringArray) -> _Grid:
        """Grid of n texts."""
        count = len(texts)
        _, bounds, content = texts.buffers()
        if count == 0 or content is None:
            nothing = np.zeros((_WIDTH, count), np.uint8)
            return _Grid(nothing, nothing - np.uint8(48), np.zeros(count, np.int64))
        offsets = np.frombuffer(bounds, np.int32)[texts.offset : texts.offset + count + 1].astype(np.int64)
        lengths = np.diff(offsets)
        if texts.null_count:
            lengths[texts.is_null().to_numpy(zero_copy_only=False)] = 0
        data = np.zeros(int(offsets[-1] - offsets[0]) + _WIDTH, np.uint8)
        data[:-_WIDTH] = np.frombuffer(content, np.uint8)[offsets[0] : offsets[-1]]
        windows = np.lib.stride_tricks.sliding_window_view(data, _WIDTH)
        places = np.ascontiguousarray(windows[offsets[:-1] - offsets[0]].T)
        places[np.arange(_WIDTH)[:, None] >= lengths] = 0
        return _Grid(places, places - np.uint8(48), lengths)

    def days(self) -> tuple[Ints, Bools]:
        """Days since the epoch of the date at the beginning of each text, and whether there is one."""
        fits = (self.digits[[0, 1, 2, 3, 5, 6, 8, 9]] <= 9).all(axis=0) & self._is(4, "-") & self._is(7, "-")
        year, month, number = self._number(0, 4), self._number(5, 7), self._number(8, 10)
        fits &= (year >= 1) & (month >= 1) & (month <= 12)
        month = np.where(fits, month, 1)
        leap = (year % 4 == 0) & ((year % 100 != 0) | (year % 400 == 0))
        fits &= (number >= 1) & (number <= _DAYS_IN_MONTH[month] + (leap & (month == 2)))
        # Days from a civil date, Howard Hinnant, "chrono-compatible low-level date algorithms".
        shifted = year - (month <= 2)
        era = shifted // 400
        year_of_era = shifted - era * 400
        day_of_year = (153 * ((month + 9) % 12) + 2) // 5 + number - 1
        total = era * 146_097 + year_of_era * 365 + year_of_era // 4 - year_of_era // 100 + day_of_year - 719_468
        return np.where(fits, total, 0).astype(np.int64), fits

    def zone_length(self) -> Ints:
        """Bytes of the zone at the end of each text: 0, 1 (Z), 3, 5 or 6; only behind the date."""
        length = np.zeros(len(self.lengths), np.int64)
        last = self._at(self.bytes, self.lengths - 1)
        length[(last == ord("Z")) | (last == ord("z"))] = 1
        rest = np.flatnonzero((length == 0) & (self.lengths != 10))
        for width in (3, 5, 6):
            sign = self.bytes[np.clip(self.lengths[rest] - width, 0, _WIDTH - 1), rest]
            signed = ((sign == ord("+")) | (sign == ord("-"))) & (self.lengths[rest] - width > 10)
            length[rest[signed & (length[rest] == 0)]] = width
        return length

    def zone(self, start: Ints) -> tuple[Ints, Bools]:
        """µs east of UTC of the zone that begins at each `start`, and whether it is one."""
        width = self.lengths - start
        fits = width <= 1
        shift = np.zeros(len(start), np.int64)
        rows = np.flatnonzero(width > 1)
        if not len(rows):
            return shift, fits
        part = _Grid(self.bytes[:, rows], self.digits[:, rows], self.lengths[rows])
        start, width = start[rows], width[rows]
        colon, short = width == 6, width == 3
        tens, ones = np.where(short, start + 1, start + 3 + colon), np.where(short, start + 1, start + 4 + colon)
        found = [part._at(part.digits, place).astype(np.int64) for place in (start + 1, start + 2, tens, ones)]
        legal = np.logical_and.reduce([digit <= 9 for digit in found])
        legal &= ~colon | (part._at(part.bytes, start + 3) == ord(":"))
        hour = found[0] * 10 + found[1]
        minute = np.where(short, 0, found[2] * 10 + found[3])
        legal &= (hour <= 23) & (minute <= 59)
        east = (hour * 60 + minute) * 60_000_000
        shift[rows] = np.where(part._at(part.bytes, start) == ord("-"), -east, east)
        fits[rows] = legal
        return shift, fits

    def clock(self, end: Ints) -> tuple[Ints, Bools]:
        """µs of the day of the clock time from byte 10 to each `end`, and whether it is one (none is midnight)."""
        numeric = self.digits <= 9
        between = self.bytes[10]
        separated = (between == ord("T")) | (between == ord("t")) | (between == ord(" "))
        has_minutes = separated & numeric[[11, 12, 14, 15]].all(axis=0) & self._is(13, ":") & (end >= 16)
        has_seconds = has_minutes & numeric[[17, 18]].all(axis=0) & self._is(16, ":") & (end >= 19)
        has_fraction = has_seconds & (self._is(19, ".") | self._is(19, ",")) & (end > 20)
        # The first byte from 20 on that is no digit has to be the end.
        run = np.argmin(numeric[20:], axis=0) + 20
        has_fraction &= (run == end) | (numeric[20:].all(axis=0) & (end >= _WIDTH))
        fits = (end == 10) | (has_minutes & (end == 16)) | (has_seconds & (end == 19)) | has_fraction
        hour, minute = self._number(11, 13), self._number(14, 16)
        second = np.where(end >= 19, self._number(17, 19), 0)
        fits &= (end == 10) | ((hour <= 23) & (minute <= 59) & (second <= 59))
        clock = ((hour * 60 + minute) * 60 + second).astype(np.int64) * 1_000_000
        if has_fraction.any():
            clock += np.where(has_fraction, self._fraction(end), 0)
        return np.where(fits & (end > 10), clock, 0), fits

    def _fraction(self, end: Ints) -> npt.NDArray[np.int32]:
        value = np.zeros(len(end), np.int32)
        for place in range(20, 26):
            value = value * 10 + np.where(place < end, self.digits[place], 0)
        return value

    def _number(self, start: int, stop: int) -> npt.NDArray[np.int32]:
        value: npt.NDArray[np.int32] = self.digits[start].astype(np.int32)
        for place in range(start + 1, stop):
            value = value * 10 + self.digits[place]
        return value

    def _is(self, place: int, char: str) -> Bools:
        return np.asarray(self.bytes[place] == ord(char))

    @staticmethod
    def _at(grid: Bytes, places: Ints) -> Bytes:
        return np.asarray(grid[np.clip(places, 0, _WIDTH - 1), np.arange(len(places))])
