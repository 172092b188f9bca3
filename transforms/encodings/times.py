"""Instants and dates written as ISO 8601 text, one by one and column by column."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from typing import Any

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
    matrix, lengths = _matrix(texts)
    digits = (matrix - np.uint8(48)).astype(np.int64)
    is_digit = digits <= 9
    days, fits = _days(matrix, digits, is_digit)
    at = lengths - _zone_length(matrix, lengths)
    clock, clock_fits = _clock(matrix, digits, is_digit, at)
    shift, zone_fits = _zone(matrix, digits, is_digit, at, lengths)
    values = days * DAY + clock - shift
    fits &= clock_fits & zone_fits & (lengths >= 10) & (values >= FIRST) & (values <= LAST)
    fits &= (at == lengths) | (at > 10)
    wide = lengths > _WIDTH
    for row in np.flatnonzero(wide).tolist():
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
    matrix, lengths = _matrix(texts)
    digits = (matrix - np.uint8(48)).astype(np.int64)
    values, fits = _days(matrix, digits, digits <= 9)
    fits &= lengths == 10
    absent = texts.is_null().to_numpy(zero_copy_only=False)
    values[~fits | absent] = 0
    return values, ~(fits | absent)


def _matrix(texts: pa.StringArray) -> tuple[Bytes, Ints]:
    """First `_WIDTH` bytes of each text, zeros after its end, and the texts' lengths in bytes (null: 0)."""
    count = len(texts)
    buffers = texts.buffers()
    if count == 0 or buffers[2] is None:
        return np.zeros((count, _WIDTH), np.uint8), np.zeros(count, np.int64)
    offsets = np.frombuffer(buffers[1], np.int32)[texts.offset : texts.offset + count + 1].astype(np.int64)
    lengths = np.diff(offsets)
    if texts.null_count:
        lengths[texts.is_null().to_numpy(zero_copy_only=False)] = 0
    data = np.zeros(int(offsets[-1] - offsets[0]) + _WIDTH, np.uint8)
    data[:-_WIDTH] = np.frombuffer(buffers[2], np.uint8)[offsets[0] : offsets[-1]]
    windows = np.lib.stride_tricks.sliding_window_view(data, _WIDTH)
    matrix = windows[offsets[:-1] - offsets[0]]
    matrix[np.arange(_WIDTH) >= lengths[:, None]] = 0
    return matrix, lengths


def _number(digits: Ints, start: int, stop: int) -> Ints:
    value = digits[:, start].copy()
    for column in range(start + 1, stop):
        value = value * 10 + digits[:, column]
    return value


def _days(matrix: Bytes, digits: Ints, is_digit: Bools) -> tuple[Ints, Bools]:
    fits = is_digit[:, [0, 1, 2, 3, 5, 6, 8, 9]].all(axis=1) & (matrix[:, 4] == 45) & (matrix[:, 7] == 45)
    year, month, day_number = _number(digits, 0, 4), _number(digits, 5, 7), _number(digits, 8, 10)
    fits &= (year >= 1) & (month >= 1) & (month <= 12)
    month = np.where(fits, month, 1)
    leap = (year % 4 == 0) & ((year % 100 != 0) | (year % 400 == 0))
    last = _DAYS_IN_MONTH[month] + (leap & (month == 2))
    fits &= (day_number >= 1) & (day_number <= last)
    # Days from a civil date, Howard Hinnant, "chrono-compatible low-level date algorithms".
    shifted = year - (month <= 2)
    era = shifted // 400
    year_of_era = shifted - era * 400
    day_of_year = (153 * ((month + 9) % 12) + 2) // 5 + day_number - 1
    total = era * 146_097 + year_of_era * 365 + year_of_era // 4 - year_of_era // 100 + day_of_year - 719_468
    return np.where(fits, total, 0), fits


def _at(matrix: npt.NDArray[Any], columns: Ints) -> npt.NDArray[Any]:
    return matrix[np.arange(len(matrix)), np.clip(columns, 0, _WIDTH - 1)]


def _zone_length(matrix: Bytes, lengths: Ints) -> Ints:
    """Bytes of the zone at the end of each text: 0, 1 (Z), 3, 5 or 6; only after the date and the hour."""
    length = np.zeros(len(lengths), np.int64)
    last = _at(matrix, lengths - 1)
    length[(last == 90) | (last == 122)] = 1
    for width in (3, 5, 6):
        sign = _at(matrix, lengths - width)
        length[((sign == 43) | (sign == 45)) & (lengths - width > 10) & (length == 0)] = width
    return length


def _zone(matrix: Bytes, digits: Ints, is_digit: Bools, at: Ints, lengths: Ints) -> tuple[Ints, Bools]:
    """µs east of UTC of the zone that begins at column `at`, and whether it is one."""
    width = lengths - at
    fits = (width == 0) | (width == 1)
    shift = np.zeros(len(at), np.int64)
    rows = np.flatnonzero(width > 1)
    if not len(rows):
        return shift, fits
    grid, flags, start, size = digits[rows], is_digit[rows], at[rows], width[rows]
    colon = size == 6
    short = size == 3
    tens, ones = np.where(short, start + 1, start + 3 + colon), np.where(short, start + 1, start + 4 + colon)
    places = [start + 1, start + 2, tens, ones]
    ten_hours, hours, ten_minutes, minutes = (_at(grid, place) for place in places)
    legal = np.logical_and.reduce([_at(flags, place) for place in places])
    legal &= ~colon | (_at(matrix[rows], start + 3) == 58)
    hour = ten_hours * 10 + hours
    minute = np.where(size > 3, ten_minutes * 10 + minutes, 0)
    legal &= (hour <= 23) & (minute <= 59)
    east = (hour * 60 + minute) * 60_000_000
    shift[rows] = np.where(_at(matrix[rows], start) == 45, -east, east)
    fits[rows] = legal
    return shift, fits


def _clock(matrix: Bytes, digits: Ints, is_digit: Bools, end: Ints) -> tuple[Ints, Bools]:
    """µs of the day of the clock time between column 10 and `end`, and whether it is one (none is midnight)."""
    between = matrix[:, 10]
    separated = (between == 84) | (between == 116) | (between == 32)
    has_minutes = separated & is_digit[:, [11, 12, 14, 15]].all(axis=1) & (matrix[:, 13] == 58) & (end >= 16)
    has_seconds = has_minutes & is_digit[:, [17, 18]].all(axis=1) & (matrix[:, 16] == 58) & (end >= 19)
    point = (matrix[:, 19] == 46) | (matrix[:, 19] == 44)
    span = (np.arange(_WIDTH) >= 20) & (np.arange(_WIDTH) < end[:, None])
    has_fraction = has_seconds & point & (end > 20) & (is_digit | ~span).all(axis=1)
    fits = (end == 10) | (has_minutes & (end == 16)) | (has_seconds & (end == 19)) | has_fraction
    hour, minute = _number(digits, 11, 13), _number(digits, 14, 16)
    second = np.where(end >= 19, _number(digits, 17, 19), 0)
    fits &= (end == 10) | ((hour <= 23) & (minute <= 59) & (second <= 59))
    fraction = _number(np.where(span, digits, 0), 20, 26)
    clock = ((hour * 60 + minute) * 60 + second) * 1_000_000 + np.where(has_fraction, fraction, 0)
    return np.where(fits & (end > 10), clock, 0), fits
