"""Exact sums: a superaccumulator that sums numbers and their powers by group without any rounding.

Every float64 is an integer times a power of two, so its sums and the sums of its powers are wide integers (`Wide`),
and their order cannot matter; a result is rounded once, when it is read. Two ways lead to the same integers:

- *slicing*, for most values: adding and taking away 1.5 * 2**(52 + 32k) rounds a float to a multiple of 2**(32k)
  without error, which leaves the exact rest to the next limb (Demmel & Hida 2004; Neal, "Fast exact summation using
  small and large superaccumulators", 2015). Powers come as sums of floats by error-free products (Dekker 1971).
- *spreading*, for the rest: the 53-bit mantissa as limbs of an integer, raised to its power, shifted and added.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from transforms.columns import integers
from transforms.wide import LIMB_BITS, MASK, Wide

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Numbers = Ints | Floats | Wide

CHUNK = 1 << 15
MAX_SLICES = 7
_TOP_SLICE, _LAST_SLICE = 28, -31
_SPLITTER = 134217729.0
_SAFE_POWER = 2.0**200
_SAFE_INTEGER = 1 << 53
_MANTISSA = (1 << 52) - 1


def numbers(column: pa.Array) -> Numbers:
    """Values of a column without nulls: float64 for floats, int64 for all others.

    Decimals come unscaled, as `Wide` where one of them is beyond int64.
    """
    kind = column.type
    if pa.types.is_floating(kind):
        return np.asarray(column.to_numpy(zero_copy_only=False), np.float64)
    if not pa.types.is_decimal128(kind):
        return integers(column)
    low, high = words(column)
    if (high == low >> 63).all():
        return low
    return Wide.carried(0, [low & MASK, (low >> LIMB_BITS) & MASK, high & MASK, high >> LIMB_BITS])


def words(column: pa.Array) -> tuple[Ints, Ints]:
    """Low and high words, int64[n] each, of the unscaled two's complement integers of decimals without nulls."""
    if not len(column):
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    pairs = np.frombuffer(column.buffers()[1], np.int64, 2 * len(column), 16 * column.offset)
    return pairs[0::2].copy(), pairs[1::2].copy()


def power_sums(values: Numbers, groups: Ints, n: int, degree: int = 1) -> tuple[Wide, ...]:
    """Exact sums by group of the 1st to the `degree`-th (at most 4th) powers of values.

    Args:
        values: r finite numbers.
        groups: int64[r], 0 <= groups[i] < n.
        n: number of groups.
        degree: of the highest power.

    Returns:
        `degree` times Wide[n].
    """
    return tuple(total.total() for total in _collect(values, groups, n, degree))


def power_limbs(values: Numbers, degree: int = 1) -> tuple[dict[int, Ints], ...]:
    """The 1st to the `degree`-th powers of values, each as limbs whose sums are exact in any order.

    Args:
        values: r finite numbers.
        degree: of the highest power.

    Returns:
        Of each power, int64[r] by place: a power is the sum over its places p of limb * 2**(32 * p). Limbs are below
        2**36, so that those of 2**26 values sum within int64.
    """
    return tuple(total.columns for total in _collect(values, np.arange(len(values)), len(values), degree))


def _collect(values: Numbers, groups: Ints, n: int, degree: int) -> tuple[_Limbs, ...]:
    totals = tuple(_Limbs(n) for _ in range(degree))
    if isinstance(values, Wide):
        _add_integers(values, groups, totals)
    elif values.dtype == np.float64:
        floats = np.asarray(values, np.float64)
        for at in range(0, len(floats), CHUNK):
            _add_floats(floats[at : at + CHUNK], groups[at : at + CHUNK], totals)
    elif degree > 1 and (np.abs(values.astype(np.float64)) < _SAFE_INTEGER).all():
        return _collect(values.astype(np.float64), groups, n, degree)
    else:
        _add_whole(np.asarray(values, np.int64), groups, totals)
    return totals


class _Limbs:
    """Sums by group of signed limbs (below 2**36 each, so that 2**26 rows fit a cell), by place."""

    def __init__(self, n: int) -> None:
        self._n = n
        self.columns: dict[int, Ints] = {}

    def add(self, place: int, groups: Ints, limbs: Ints) -> None:
        """Adds limbs[i] * 2**(32 * place) to the sum of groups[i]."""
        column = self.columns.get(place)
        if column is None:
            column = self.columns[place] = np.zeros(self._n, np.int64)
        np.add.at(column, groups, limbs)

    def total(self) -> Wide:
        """The sums."""
        if not self.columns:
            return Wide.zeros(self._n)
        low, top = min(self.columns), max(self.columns)
        none = np.zeros(self._n, np.int64)
        return Wide.carried(low, [self.columns.get(place, none) for place in range(low, top + 1)])


def _add_whole(values: Ints, groups: Ints, totals: Sequence[_Limbs]) -> None:
    """Adds powers of int64 values: as one limb each where that is enough."""
    short = not len(values) or (values.min() >= -(1 << 31) and values.max() < 1 << 31)
    if len(totals) == 1 and short:
        totals[0].add(0, groups, values)
    else:
        _add_integers(Wide.of_integers(values), groups, totals)


def _add_integers(values: Wide, groups: Ints, totals: Sequence[_Limbs]) -> None:
    """Adds powers of wide integers, limb by limb."""
    for place, limb in enumerate(values.limbs, values.base):
        totals[0].add(place, groups, limb)
    power = values
    for total in totals[1:]:
        power = power.multiply(values)
        for place, limb in enumerate(power.limbs, power.base):
            total.add(place, groups, limb)


def _add_floats(values: Floats, groups: Ints, totals: Sequence[_Limbs]) -> None:
    """Adds powers of a chunk of finite floats."""
    if len(totals) > 1:
        size = np.abs(values)
        safe = ((size <= _SAFE_POWER) & (size >= 1 / _SAFE_POWER)) | (size == 0)
        if not safe.all():
            for degree, total in enumerate(totals, 1):
                _spread(values[~safe], groups[~safe], total, degree)
            values, groups = values[safe], groups[safe]
    for terms, total in zip(_powers(values, len(totals)), totals, strict=True):
        _slice(terms, groups, total)


def _powers(values: Floats, degree: int) -> list[list[Floats]]:
    """Floats whose exact sum is each power of the values, up to the degree; values within 2**-200 and 2**200, or 0."""
    powers = [[values]]
    if degree > 1:
        powers.append(_filled(_product(values, values)))
    if degree > 2:
        powers.append(_filled([term for part in powers[1] for term in _product(part, values)]))
    if degree > 3:
        square = powers[1]
        terms = [term for part in square for term in _product(part, part)]
        if len(square) == 2:
            terms += _product(2 * square[0], square[1])
        powers.append(_filled(terms))
    return powers


def _filled(terms: list[Floats]) -> list[Floats]:
    return terms[:1] + [term for term in terms[1:] if term.any()]


def _product(left: Floats, right: Floats) -> list[Floats]:
    """Rounded product and its rounding error: their sum is the exact product (Dekker)."""
    product = left * right
    a, b = _halves(left)
    c, d = (a, b) if right is left else _halves(right)
    return [product, ((a * c - product) + a * d + b * c) + b * d]


def _halves(values: Floats) -> tuple[Floats, Floats]:
    """High and low half of each mantissa (Veltkamp): two floats of at most 26 bits whose sum is the value."""
    scaled = _SPLITTER * values
    high = scaled - (scaled - values)
    return high, values - high


def _slice(terms: list[Floats], groups: Ints, total: _Limbs) -> None:
    """Adds the sum of at most six floats per row, limb by limb from the greatest, and spreads what is left then."""
    greatest = max((max(float(term.max()), -float(term.min())) for term in terms if len(term)), default=0.0)
    if greatest == 0:
        return
    place = (math.frexp(greatest)[1] - 1) >> 5
    last = max(place - MAX_SLICES, _LAST_SLICE - 1) if place <= _TOP_SLICE else place
    while terms and place > last:
        shift = math.ldexp(1.5, 52 + LIMB_BITS * place)
        sliced, rests = np.zeros(len(groups)), []
        for term in terms:
            part = term + shift
            part -= shift
            sliced += part
            rest = term - part
            if rest.any():
                rests.append(rest)
        sliced *= math.ldexp(1.0, -LIMB_BITS * place)
        total.add(place, groups, sliced.astype(np.int64))
        terms, place = rests, place - 1
    for term in terms:
        some = term != 0
        _spread(term[some], groups[some], total, 1)


def _spread(values: Floats, groups: Ints, total: _Limbs, degree: int) -> None:
    """Adds powers of any finite floats: mantissas as integers, raised, and shifted to their places."""
    bits = values.view(np.int64)
    exponent = (bits >> 52) & 0x7FF
    mantissa = (bits & _MANTISSA) | ((exponent > 0).astype(np.int64) << 52)
    whole = power = Wide.of_integers(mantissa)
    for _ in range(degree - 1):
        power = power.multiply(whole)
    place, shift = np.divmod((np.maximum(exponent, 1) - 1075) * degree, LIMB_BITS)
    sign = np.where(values < 0, -1, 1) ** degree
    shifted = [limb << shift for limb in power.limbs]
    pieces = [piece & MASK for piece in shifted] + [np.zeros_like(shift)]
    for number, piece in enumerate(shifted):
        pieces[number + 1] = pieces[number + 1] + ((piece >> LIMB_BITS) & MASK)
    for low in np.unique(place):
        rows = place == low
        for number, piece in enumerate(pieces, int(low) + power.base):
            total.add(number, groups[rows], (piece * sign)[rows])
