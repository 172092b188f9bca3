"""Wide integers: columns of exact integers of any size, as 32-bit limbs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

LIMB_BITS = 32
MASK = np.int64(0xFFFFFFFF)
_HALF = 1 << 31


@dataclass(frozen=True)
class Wide:
    """m exact numbers, number i being sum over k of `limbs[k, i] * 2**(32 * (base + k))`.

    A negative base holds binary fractions: any float64 is a Wide, and so is any sum or product of them.

    Attributes:
        base: place of the lowest limb.
        limbs: int64[w, m], w >= 1; all in [0, 2**32) but the last row, which carries the sign, in [-2**31, 2**31).
    """

    base: int
    limbs: Ints

    def __len__(self) -> int:
        return int(self.limbs.shape[1])

    @staticmethod
    def zeros(m: int) -> Wide:
        """m zeros."""
        return Wide(0, np.zeros((1, m), np.int64))

    @staticmethod
    def carried(base: int, columns: Sequence[Ints] | Ints) -> Wide:
        """The numbers whose limbs, before carrying, are the columns (each int64[m], magnitudes below 2**62)."""
        rows: list[Ints] = []
        carry: Ints = np.zeros(len(columns[0]), np.int64)
        for column in columns:
            total = column + carry
            rows.append(total & MASK)
            carry = total >> LIMB_BITS
        while ((carry < -_HALF) | (carry >= _HALF)).any():
            rows.append(carry & MASK)
            carry = carry >> LIMB_BITS
        rows.append(carry)
        while len(rows) > 1 and (rows[-1] == -(rows[-2] >> (LIMB_BITS - 1))).all():
            rows.pop()
            rows[-1] = (rows[-1] ^ _HALF) - _HALF
        low = 0
        while low < len(rows) - 1 and not rows[low].any():
            low += 1
        return Wide(base + low, np.stack(rows[low:]))

    @staticmethod
    def of_integers(values: Ints) -> Wide:
        """The given integers (any int64)."""
        return Wide.carried(0, [values & MASK, values >> LIMB_BITS])

    @property
    def negative(self) -> Bools:
        """bool[m], which are below zero."""
        below: Bools = self.limbs[-1] < 0
        return below

    def magnitude(self) -> Ints:
        """Limbs int64[w, m] of the absolute values, all in [0, 2**32)."""
        negative = self.negative
        if not negative.any():
            return self.limbs
        sign = np.where(negative, -1, 1)
        out = np.empty_like(self.limbs)
        carry: Ints = np.zeros(len(self), np.int64)
        for place, limb in enumerate(self.limbs):
            total = limb * sign + carry
            out[place] = total & MASK
            carry = total >> LIMB_BITS
        return out

    def take(self, indices: Ints) -> Wide:
        """Numbers at `indices`."""
        return Wide(self.base, self.limbs[:, indices])

    def where(self, kept: Bools) -> Wide:
        """The same numbers, zero where not `kept`."""
        return self if kept.all() else Wide(self.base, self.limbs * kept)

    def merge(self, groups: Ints, n: int) -> Wide:
        """Sums Wide[n] of the numbers by group (0 <= groups[i] < n)."""
        out = np.zeros((len(self.limbs), n), np.int64)
        for total, limb in zip(out, self.limbs, strict=True):
            np.add.at(total, groups, limb)
        return Wide.carried(self.base, out)

    def multiply(self, other: Wide) -> Wide:
        """Products, element by element."""
        sign = np.where(self.negative ^ other.negative, -1, 1)
        columns = multiply_limbs(self.magnitude(), other.magnitude())
        return Wide.carried(self.base + other.base, columns * sign)

    def words(self, count: int) -> tuple[Ints, Bools]:
        """Two's complement of integers (base >= 0) in 64-bit words.

        Returns:
            int64[count, m], lowest word first, and bool[m] saying which numbers fit (the words of others are cut off).
        """
        sign = self.limbs[-1] >> 63

        def limb(place: int) -> Ints:
            at = place - self.base
            if at < 0:
                return np.zeros_like(sign)
            bits: Ints = (self.limbs[at] if at < len(self.limbs) else sign) & MASK
            return bits

        words = np.stack([limb(2 * k) | limb(2 * k + 1) << LIMB_BITS for k in range(count)])
        fits: Bools = sign == words[-1] >> 63
        for place in range(2 * count, self.base + len(self.limbs)):
            fits &= limb(place) == sign & MASK
        return words, fits


def multiply_limbs(left: Ints, right: Ints) -> Ints:
    """Products int64[v + w, m] of magnitudes int64[v, m] and int64[w, m], before carrying (limbs below 2**42)."""
    short, long = sorted((left.astype(np.uint64), right.astype(np.uint64)), key=len)
    width = len(long)
    out = np.zeros((len(short) + width, left.shape[1]), np.int64)
    for place, limb in enumerate(short):
        products = limb * long
        out[place : place + width] += (products & np.uint64(MASK)).astype(np.int64)
        out[place + 1 : place + 1 + width] += (products >> np.uint64(LIMB_BITS)).astype(np.int64)
    return out


def combine(terms: Sequence[tuple[int, Wide]]) -> Wide:
    """Sum over the terms of factor * number, element by element; factors below 2**20."""
    base = min(number.base for _, number in terms)
    width = max(number.base + len(number.limbs) for _, number in terms) - base
    columns = np.zeros((width, len(terms[0][1])), np.int64)
    for factor, number in terms:
        at = number.base - base
        columns[at : at + len(number.limbs)] += factor * number.limbs
    return Wide.carried(base, columns)


def concat(parts: Sequence[Wide]) -> Wide:
    """Numbers of all parts, one after the other."""
    if len(parts) == 1:
        return parts[0]
    base = min(part.base for part in parts)
    width = max(part.base + len(part.limbs) for part in parts) - base
    columns = np.zeros((width, sum(len(part) for part in parts)), np.int64)
    start = 0
    for part in parts:
        at = part.base - base
        columns[at : at + len(part.limbs), start : start + len(part)] = part.limbs
        start += len(part)
    return Wide.carried(base, columns)
