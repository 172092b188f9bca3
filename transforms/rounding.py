"""Rounding of wide numbers: the nearest float64 of an exact quotient, ties to even, rounded once."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from transforms.doubles import LONGEST, near_quotient
from transforms.wide import LIMB_BITS, Wide

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Words = npt.NDArray[np.uint64]

LEAST_EXPONENT = -1074
PRECISION = 53
AT_ONCE = 1 << 15
_LONGEST_DIVISOR = 1 << 31
_U = np.uint64


def quotient(numerator: Wide, divisors: Sequence[Ints | int] = ()) -> Floats:
    """Nearest float64 to numerator / (product of the divisors), infinite beyond float64.

    Zero gives 0.0; a negative quotient that is nearest to zero gives -0.0.

    Args:
        numerator: m exact numbers.
        divisors: positive integers, one int64[m] or int each; the product is exact however large.

    Returns:
        float64[m], correctly rounded (ties to even), subnormal results too.
    """
    m = len(numerator)
    columns = [np.broadcast_to(np.asarray(divisor, np.int64), (m,)) for divisor in divisors]
    values = np.empty(m, np.float64)
    for at in range(0, m, AT_ONCE):
        rows = slice(at, at + AT_ONCE)
        values[rows] = _quotient(Wide(numerator.base, numerator.limbs[:, rows]), [column[rows] for column in columns])
    return values


def _quotient(numerator: Wide, divisors: Sequence[Ints]) -> Floats:
    """By floats where that is surely right, and by integers where it is not."""
    near = (
        near_quotient(numerator.limbs, numerator.base, divisors[0] if divisors else None) if _plain(divisors) else None
    )
    if near is None:
        return _exact_quotient(numerator, divisors)
    values, sure = near
    if not sure.all():
        at = np.flatnonzero(~sure)
        values[at] = _exact_quotient(numerator.take(at), [divisor[at] for divisor in divisors])
    return values


def _plain(divisors: Sequence[Ints]) -> bool:
    """Whether there is one divisor at most, and all of it is exact as a float."""
    return not divisors or (len(divisors) == 1 and bool((divisors[0] <= LONGEST).all()))


def _exact_quotient(numerator: Wide, divisors: Sequence[Ints]) -> Floats:
    limbs, base = numerator.magnitude(), numerator.base
    rest = np.zeros(len(numerator), np.bool_)
    large = np.zeros(len(numerator), np.bool_)
    for divisor in divisors:
        large |= divisor >= _LONGEST_DIVISOR
    if divisors:
        room = len(divisors) + 2
        limbs = np.concatenate([np.zeros((room, len(numerator)), np.int64), limbs])
        base -= room
        for divisor in divisors:
            limbs, remainder = _divide(limbs, np.where(large, 1, divisor))
            rest |= remainder > 0
    values = _nearest(limbs, base, rest)
    values = np.where(numerator.negative, -values, values)
    for i in np.flatnonzero(large):
        values[i] = _fraction(numerator, [int(divisor[i]) for divisor in divisors], int(i))
    return values


def _divide(limbs: Ints, divisor: Ints) -> tuple[Ints, Ints]:
    """Floor of the quotient of magnitudes int64[w, m] and divisors below 2**31, and the remainder."""
    out = np.empty_like(limbs)
    remainder: Ints = np.zeros(len(divisor), np.int64)
    for place in range(len(limbs) - 1, -1, -1):
        out[place], remainder = np.divmod((remainder << LIMB_BITS) | limbs[place], divisor)
    return out, remainder


def _nearest(limbs: Ints, base: int, rest: Bools) -> Floats:
    """Nearest float64 to magnitudes int64[w, m] at `base`, of which `rest` says that something smaller follows.

    The 64 leading bits decide with one bit for all that is below them (`sticky`); subnormal results keep fewer bits.
    """
    width, m = limbs.shape
    filled = limbs != 0
    top = width - 1 - np.argmax(filled[::-1], axis=0)
    below = np.argmax(filled, axis=0) < top - 2
    index = np.arange(m)
    first, second, third = (
        np.where(top >= down, limbs[np.maximum(top - down, 0), index], 0).astype(np.uint64) for down in range(3)
    )
    bits = np.frexp(first.astype(np.float64))[1].astype(np.int64)
    shift = bits.astype(np.uint64)
    lead = (first << (_U(64) - shift)) | (second << (_U(32) - shift)) | (third >> shift)
    sticky = ((third & ((_U(1) << shift) - _U(1))) != 0) | below | rest
    exponent = LIMB_BITS * (top + base) + bits - 1
    keep = np.clip(exponent - LEAST_EXPONENT + 1, -1, PRECISION)
    half = _U(1) << (63 - np.maximum(keep, 0)).astype(np.uint64)
    tail = lead & ((half << _U(1)) - _U(1))
    whole = np.where(keep > 0, lead >> np.minimum(64 - keep, 63).astype(np.uint64), _U(0))
    up = (tail > half) | ((tail == half) & (sticky | (whole & _U(1) == 1)))
    with np.errstate(over="ignore"):
        values = np.ldexp((whole + up).astype(np.float64), (exponent - keep + 1).astype(np.int32))
    return np.where(filled.any(axis=0) & (keep >= 0), values, 0.0)


def _fraction(numerator: Wide, divisors: Sequence[int], index: int) -> float:
    """The quotient of one number whose divisors are beyond 31 bits (a mean of over two thousand million values)."""
    total = sum(int(limb) << (LIMB_BITS * place) for place, limb in enumerate(numerator.limbs[:, index]))
    value = Fraction(total) * Fraction(2) ** (LIMB_BITS * numerator.base)
    for divisor in divisors:
        value /= divisor
    try:
        return float(value)
    except OverflowError:
        return float("inf") if value > 0 else float("-inf")


def powers_of_ten(exponent: int) -> list[int]:
    """Divisors below 2**31 whose product is ten to the exponent."""
    whole, rest = divmod(exponent, 9)
    return [10**9] * whole + ([10**rest] if rest else [])


def fits_digits(words: Ints, digits: int) -> Bools:
    """Which 128-bit integers, as int64[2, m] two's complement words, have at most `digits` (1..38) decimal digits."""
    negative = words[1] < 0
    low, high = words[0].view(np.uint64), words[1].view(np.uint64)
    low = np.where(negative, ~low + _U(1), low)
    high = np.where(negative, ~high + (low == 0), high)
    limit = 10**digits
    bound_high, bound_low = _U(limit >> 64), _U(limit & (2**64 - 1))
    fits: Bools = (high < bound_high) | ((high == bound_high) & (low < bound_low))
    return fits
