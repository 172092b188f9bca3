"""Quotients of wide numbers in pairs of floats: nearly all of them at once, and which of them are surely right.

A limb is exact as a float64. Sums (Knuth) and products (Dekker) of floats leave their rounding errors as floats too,
so that the four highest limbs become a float and what is left of it, exactly or with a known bound. A result is sure
if both ends of the bound round to it (Ziv), or if nothing at all was lost; the few others take the long way.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

LIMB_BITS = 32
LONGEST = 1 << 53
_LIMBS = 4
_LEAST, _GREATEST = -29, 26
_SPLITTER = 134217729.0
_BOUND = 2.0**-49


def near_quotient(limbs: Ints, base: int, divisor: Ints | None) -> tuple[Floats, Bools] | None:
    """Nearest float64 to numbers (as in `Wide`) divided by integers.

    Args:
        limbs: int64[w, m].
        base: place of the lowest limb.
        divisor: int64[m], 1 to 2**53; None for 1.

    Returns:
        float64[m] and bool[m], which of them are correctly rounded; None if results could leave the normal range.
    """
    skipped = max(len(limbs) - _LIMBS, 0)
    place = base + skipped
    if not _LEAST <= place <= _GREATEST:
        return None
    top = [limb.astype(np.float64) for limb in limbs[skipped:]]
    for number, limb in enumerate(top):
        limb *= 2.0 ** (LIMB_BITS * number)
    high, low = (top[-1], np.zeros(len(top[-1]))) if len(top) == 1 else _add(top[-1], top[-2])
    rest = np.zeros(len(high))
    for limb in top[-3::-1] if len(top) > 2 else []:
        high, error = _add(high, limb)
        low, error = _add(low, error)
        rest += error
    high, low = _add(high, low)
    beyond = np.abs(rest) * _BOUND
    if skipped:
        beyond += limbs[:skipped].any(axis=0)
    if divisor is None:
        values, low, inexact = high, low + rest, (beyond != 0).astype(np.float64)
    else:
        by = divisor.astype(np.float64)
        values = high / by
        product, error = _multiply(values, by)
        whole = low
        left = ((high - product) - error) + low
        left += rest
        low, beyond, inexact = left / by, beyond / by, np.ones(len(by))
    result = values + low
    sure = _both_ends_give(result, values, low, beyond + np.abs(low) * _BOUND * inexact)
    if divisor is not None and not sure.all():
        at = np.flatnonzero(~sure & (rest == 0) & (beyond == 0))
        remainder, lost = _add((high[at] - product[at]) - error[at], whole[at])
        product, error = _multiply(low[at], by[at])
        sure[at] = (lost == 0) & (error == 0) & (product == remainder)
    return np.ldexp(result, LIMB_BITS * place), sure


def _both_ends_give(result: Floats, values: Floats, low: Floats, bound: Floats) -> Bools:
    """Whether values + low rounds to the result wherever in its bound `low` lies."""
    ends: Bools = (values + (low - bound) == result) & (values + (low + bound) == result)
    return ends


def _add(left: Floats, right: Floats) -> tuple[Floats, Floats]:
    """Rounded sum and its rounding error."""
    total = left + right
    part = total - left
    return total, (left - (total - part)) + (right - part)


def _multiply(left: Floats, right: Floats) -> tuple[Floats, Floats]:
    """Rounded product and its rounding error."""
    product = left * right
    a, b = _halves(left)
    c, d = _halves(right)
    return product, ((a * c - product) + a * d + b * c) + b * d


def _halves(values: Floats) -> tuple[Floats, Floats]:
    scaled = _SPLITTER * values
    high = scaled - (scaled - values)
    return high, values - high
