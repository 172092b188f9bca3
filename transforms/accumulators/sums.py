"""Sums and means, and the state behind them: how many values there are, and the exact sums of their powers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from schemas.errors import StoreError
from schemas.state import StateSpec
from transforms.accumulators.base import Bools, Finished, Inputs, Ints
from transforms.accumulators.blobs import cut, join, one_each, pack, placed, split, unpack
from transforms.accumulators.counts import from_section, present, tally, to_section
from transforms.accumulators.spans import Spans, sums
from transforms.exact import numbers, power_sums
from transforms.rounding import fits_digits, powers_of_ten, quotient
from transforms.wide import LIMB_BITS, MASK, Wide, concat
from transforms.wide_bytes import from_bytes, to_bytes

Marks = npt.NDArray[np.uint8]

NAN, PLUS_INF, MINUS_INF = 1, 2, 4
MAX_DIGITS = 38
FEW = 48
_PLACE = 2  # bytes of a number's place
_WORD = 8  # bytes
_SHORT = 12  # bytes
_NEAR = 4  # limbs
_HALF = 1 << 31


@dataclass(frozen=True)
class Totals:
    """What m states know of their values.

    Attributes:
        counts: int64[m], values that are not null.
        powers: Wide[m] of the 1st, 2nd, ... powers, exact (decimals unscaled); zero where `marks` are set.
        marks: uint8[m], 0 when all values are finite, else `NAN`, `PLUS_INF` or `MINUS_INF`: what IEEE addition of the
            others gives.
    """

    counts: Ints
    powers: tuple[Wide, ...]
    marks: Marks

    def __len__(self) -> int:
        return len(self.counts)

    def take(self, indices: Ints) -> Totals:
        """States at `indices`."""
        return Totals(self.counts[indices], tuple(power.take(indices) for power in self.powers), self.marks[indices])


class PowerSums:
    """A function of the exact sums of powers of the values; nulls are skipped.

    Bytes: the count as a varint; then each sum as `wide_bytes` has it, or one byte of marks in place of the first.

    Args:
        spec: the state; one column of numbers.
        dtype: of the values.
        degree: of the highest power.
        value: finishes states.
    """

    def __init__(self, spec: StateSpec, dtype: pa.DataType, degree: int, value: Callable[[Totals], Finished]) -> None:
        self.spec = spec
        self.dtype = dtype
        self._degree = degree
        self._value = value

    def fold(self, inputs: Inputs, groups: Ints, n: int) -> Totals:
        """See `Accumulator`."""
        column, groups = present(inputs.columns[0], groups)
        counts, marks, values = tally(groups, n), np.zeros(n, np.uint8), numbers(column)
        if not isinstance(values, Wide) and values.dtype == np.float64:
            finite = np.isfinite(values)
            if not finite.all():
                odd = values[~finite]
                kinds = np.where(np.isnan(odd), NAN, np.where(odd > 0, PLUS_INF, MINUS_INF)).astype(np.uint8)
                np.bitwise_or.at(marks, groups[~finite], kinds)
                values, groups = values[finite], groups[finite]
        return _settled(counts, power_sums(values, groups, n, self._degree), marks)

    def merge(self, states: Totals, groups: Ints, n: int) -> Totals:
        """See `Accumulator`."""
        counts, marks = np.zeros(n, np.int64), np.zeros(n, np.uint8)
        np.add.at(counts, groups, states.counts)
        np.bitwise_or.at(marks, groups, states.marks)
        return _settled(counts, tuple(power.merge(groups, n) for power in states.powers), marks)

    def finish(self, states: Totals) -> Finished:
        """See `Accumulator`."""
        return self._value(states)

    def encode(self, states: Totals) -> pa.BinaryArray:
        """See `Accumulator`."""
        plain, marked = (states.counts > 0) & (states.marks == 0), states.marks != 0
        kept = np.flatnonzero(plain)
        sections = [placed(to_bytes(power.take(kept)), plain) for power in states.powers]
        sections[0] = join([sections[0], one_each(states.marks, marked)])
        return pack([to_section(states.counts), *sections])

    def decode(self, blobs: pa.BinaryArray) -> Totals:
        """See `Accumulator`."""
        head, *sections = unpack(blobs, 1 + self._degree)
        counts, marks = from_section(head), np.zeros(len(blobs), np.uint8)
        offsets, data = split(sections[0])
        lengths = np.diff(offsets)
        marked = lengths == 1
        if marked.any():
            marks[marked] = data[offsets[:-1][marked]]
            if not np.isin(marks[marked], (NAN, PLUS_INF, MINUS_INF)).all():
                raise StoreError("a state is damaged: a sum is no number and no known mark")
            sections[0] = cut(data, offsets[:-1], np.where(marked, 0, lengths))
        return Totals(counts, tuple(from_bytes(section) for section in sections), marks)

    def gather(self, spans: Spans, firsts: Ints) -> Totals:
        """See `gathered.Gathering`."""
        if self._degree == 1:
            head, section = spans.sections(2)
            power = _gather(section, firsts)
            if power is not None:
                return Totals(sums(head.numbers(), firsts), (power,), np.zeros(len(firsts), np.uint8))
        groups = np.repeat(np.arange(len(firsts)), np.diff(np.append(firsts, len(spans))))
        return self.merge(self.decode(spans.blobs()), groups, len(firsts))

    def take(self, states: Totals, indices: Ints) -> Totals:
        """See `Accumulator`."""
        return states.take(indices)

    def concat(self, parts: list[Totals]) -> Totals:
        """See `Accumulator`."""
        return Totals(
            np.concatenate([part.counts for part in parts]),
            tuple(concat(powers) for powers in zip(*(part.powers for part in parts), strict=True)),
            np.concatenate([part.marks for part in parts]),
        )


def _gather(spans: Spans, firsts: Ints) -> Wide | None:
    """Sums of the numbers in each run of `wide_bytes`; None where they are not all short and near each other.

    A short number is at most three limbs times a power of 256; shifted to whole limbs, they add without a carry.
    """
    sizes = spans.ends - spans.starts - _PLACE
    if not len(sizes) or sizes.min() < 0:
        return None
    longest = int(sizes.max())
    place = spans.words(spans.starts, "<i2").astype(np.int64)
    base = int(place.min()) >> 2
    step = place - 4 * base
    limb, shift = step >> 2, (step & 3) << 3
    width = int(limb.max())
    if longest > _SHORT or width > _NEAR:
        return None
    word = spans.words(spans.starts + _PLACE)
    if longest > _WORD:
        unused = 8 * np.maximum(_WORD - sizes, 0)
        word = (word << unused) >> unused
        unused = 8 * (2 * _WORD - np.maximum(sizes, _WORD))
        top = (spans.words(spans.starts + (_PLACE + _WORD)) << unused) >> unused
        middle = ((word >> LIMB_BITS) & MASK) << shift
        top = np.where(sizes > _WORD, top, word >> 63) << shift
        low = (word & MASK) << shift
        pieces = [
            low & MASK,
            (low >> LIMB_BITS) + (middle & MASK),
            (middle >> LIMB_BITS) + (top & MASK),
            top >> LIMB_BITS,
        ]
    else:
        unused = 8 * (_WORD - sizes)
        word = (word << unused) >> unused
        low, top = (word & MASK) << shift, (word >> LIMB_BITS) << shift
        pieces = [low & MASK, (low >> LIMB_BITS) + (top & MASK), top >> LIMB_BITS]
    if not width:
        columns = np.add.reduceat(np.array(pieces), firsts, axis=1)
    else:
        columns = np.zeros((width + len(pieces), len(firsts)), np.int64)
        for at in range(width + 1):
            columns[at : at + len(pieces)] += np.add.reduceat(np.array(pieces) * (limb == at), firsts, axis=1)
    return _few(base, columns) if len(firsts) <= FEW else Wide.carried(base, columns)


def _few(base: int, columns: Ints) -> Wide:
    """`Wide.carried` by Python's integers, which carry a few numbers sooner."""
    numbers = _integers(columns)
    size = max(number.bit_length() for number in numbers) // LIMB_BITS + 1
    content = b"".join([number.to_bytes(4 * size, "little", signed=True) for number in numbers])
    limbs = np.frombuffer(content, "<u4").reshape(-1, size).T.astype(np.int64)
    limbs[-1] = (limbs[-1] ^ _HALF) - _HALF
    return Wide(base, limbs)


def _integers(columns: Ints) -> list[int]:
    """The numbers whose limbs, carried or not, are the columns, lowest first."""
    numbers: list[int] = columns[-1].tolist()
    for column in columns[-2::-1]:
        numbers = [(number << LIMB_BITS) + limb for number, limb in zip(numbers, column.tolist(), strict=True)]
    return numbers


def _settled(counts: Ints, powers: tuple[Wide, ...], marks: Marks) -> Totals:
    """Totals whose marks are one of the known ones, and whose sums are zero where there is a mark."""
    if not marks.any():
        return Totals(counts, powers, marks)
    mixed = ((marks & NAN) > 0) | (marks == PLUS_INF | MINUS_INF)
    return Totals(
        counts, tuple(power.where(marks == 0) for power in powers), np.where(mixed, NAN, marks).astype(np.uint8)
    )


def marked_values(values: npt.NDArray[np.float64], marks: Marks) -> npt.NDArray[np.float64]:
    """Values, with what the marks say in their places."""
    if not marks.any():
        return values
    return np.where(marks == 0, values, np.array([0, np.nan, np.inf, np.nan, -np.inf])[marks])


def sum_of(spec: StateSpec) -> PowerSums:
    """Sum: int64 of integers and bools, float64 of floats, decimal(38, s) of decimal(p, s); null when empty.

    A sum outside its type is null with overflow; a float sum is rounded once and infinite beyond float64.
    """
    kind = spec.types[0]
    if pa.types.is_floating(kind):
        return PowerSums(spec, pa.float64(), 1, _float_sum)
    if pa.types.is_decimal(kind):
        dtype = pa.decimal128(MAX_DIGITS, kind.scale)
        return PowerSums(spec, dtype, 1, lambda states: _decimal_sum(states, dtype))
    return PowerSums(spec, pa.int64(), 1, _integer_sum)


def mean_of(spec: StateSpec) -> PowerSums:
    """Mean: float64, the exact sum divided by the number of values, rounded once; null when empty."""
    kind = spec.types[0]
    scale = kind.scale if pa.types.is_decimal(kind) else 0
    return PowerSums(spec, pa.float64(), 1, lambda states: _mean(states, scale))


def _float_sum(states: Totals) -> Finished:
    values = marked_values(_rounded(states.powers[0]), states.marks)
    return Finished(pa.array(values, mask=states.counts == 0), np.zeros(len(states), np.bool_))


def _rounded(total: Wide, counts: Ints | None = None, scale: int = 0) -> npt.NDArray[np.float64]:
    """Nearest float64 to total / counts / 10**scale; Python divides a few integers sooner, and rounds once as well."""
    if len(total) > FEW:
        return quotient(total, [*([] if counts is None else [counts]), *powers_of_ten(scale)])
    up, down = LIMB_BITS * max(total.base, 0), LIMB_BITS * max(-total.base, 0)
    divisors = [1] * len(total) if counts is None else counts.tolist()
    values = []
    for number, divisor in zip(_integers(total.limbs), divisors, strict=True):
        try:
            values.append((number << up) / ((divisor * 10**scale) << down))
        except OverflowError:
            values.append(float("inf") if number > 0 else float("-inf"))
    return np.array(values, np.float64)


def _integer_sum(states: Totals) -> Finished:
    words, fits = states.powers[0].words(1)
    return Finished(pa.array(words[0], mask=~fits | (states.counts == 0)), ~fits)


def _decimal_sum(states: Totals, dtype: pa.DataType) -> Finished:
    words, fits = states.powers[0].words(2)
    fits &= fits_digits(words, MAX_DIGITS)
    return Finished(decimals(words, fits & (states.counts > 0), dtype), ~fits)


def _mean(states: Totals, scale: int) -> Finished:
    values = _rounded(states.powers[0], np.maximum(states.counts, 1), scale)
    values = marked_values(values, states.marks)
    return Finished(pa.array(values, mask=states.counts == 0), np.zeros(len(states), np.bool_))


def decimals(words: Ints, valid: Bools, dtype: pa.DataType) -> pa.Array:
    """Decimals of their unscaled integers int64[2, m] (two's complement words), null where not `valid`."""
    content = np.ascontiguousarray(np.where(valid, words, 0).T)
    mask = pa.array(valid).buffers()[1]
    return pa.Array.from_buffers(dtype, len(valid), [mask, pa.py_buffer(content.reshape(-1))])
