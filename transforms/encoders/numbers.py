"""Encoders of numbers: standard, min-max, and buckets of given or learnt edges.

A number is taken as the float64 nearest to it, but by buckets an integer as it is. What is not finite, and null, is
learnt from by none. Null gives null; NaN and the infinities go through standard and min-max by IEEE rules, fall into
the first and the last bucket, and NaN into none (null).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from transforms.columns import flags
from transforms.encoders.base import Arrays, Bools, Document, Floats, Ints, Transform, Unfit
from transforms.exact import Numbers, numbers, power_sums
from transforms.rounding import powers_of_ten, quotient
from transforms.wide import LIMB_BITS, Wide

_EXACT_INTEGER, _EXACT_POWER = 1 << 53, 22
_LOW, _HIGH = np.iinfo(np.int64).min, np.iinfo(np.int64).max


def is_number(kind: pa.DataType) -> bool:
    """Whether a type is one of numbers."""
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal128(kind))


def floats(values: pa.Array) -> tuple[Floats, Bools]:
    """Nearest float64 of each of n numbers or bools (0.0 for null), and which are not null."""
    kind, valid = values.type, flags(values.is_valid())
    found = numbers(_filled(values))
    if pa.types.is_decimal(kind):
        return _unscaled(found, kind.scale), valid
    return np.asarray(found, np.float64), valid


def _filled(values: pa.Array) -> pa.Array:
    """The numbers, 0 in place of null."""
    if not values.null_count:
        return values
    kind = values.type
    zero = Decimal(0) if pa.types.is_decimal(kind) else False if pa.types.is_boolean(kind) else 0
    return values.fill_null(pa.scalar(zero, kind))


def _unscaled(found: Numbers, scale: int) -> Floats:
    """Nearest float64 of integers over a power of ten."""
    if isinstance(found, Wide):
        return quotient(found, powers_of_ten(scale))
    whole = np.asarray(found, np.int64)
    if scale <= _EXACT_POWER and (np.abs(whole) <= _EXACT_INTEGER).all():
        # Both are exact floats, so that dividing them rounds once.
        return whole.astype(np.float64) / float(10**scale)
    return quotient(Wide.of_integers(whole), powers_of_ten(scale))


def exact(sums: Wide) -> list[Fraction]:
    """Wide numbers as fractions."""
    columns = sums.limbs.T.tolist()
    scale = Fraction(2) ** (LIMB_BITS * sums.base)
    return [scale * sum(limb << (LIMB_BITS * place) for place, limb in enumerate(limbs)) for limbs in columns]


def learnable(values: pa.Array) -> Floats:
    """The finite ones of the values, at least one.

    Raises:
        Unfit: there is none.
    """
    found, valid = floats(values)
    finite = found[valid & np.isfinite(found)]
    if not len(finite):
        raise Unfit("has no finite value in the rows given: there is nothing to fit it on")
    return finite


class Standard:
    """(value - mean) / deviation; the deviation of the population, or 1 if that is 0."""

    dtype = pa.float64()

    def fit(self, inputs: Arrays, target: pa.Array | None) -> Document:
        """Mean and deviation, from exact sums."""
        found = learnable(inputs[0])
        first, second = (exact(power)[0] for power in power_sums(found, np.zeros(len(found), np.int64), 1, 2))
        variance = (len(found) * second - first * first) / len(found) ** 2
        return {"mean": float(first / len(found)) + 0.0, "deviation": _root(variance)}

    def bound(self, document: Document) -> Transform:
        """The transform."""
        mean, deviation = float(document["mean"]), float(document["deviation"]) or 1.0

        def transform(inputs: Arrays) -> pa.Array:
            found, valid = floats(inputs[0])
            with np.errstate(all="ignore"):
                return _column((found - mean) / deviation, valid)

        return transform


class MinMax:
    """(value - least) / (greatest - least), or / 1 if they are equal; within 0 and 1 if it clips."""

    dtype = pa.float64()

    def __init__(self, clip: bool) -> None:
        self._clip = clip

    def fit(self, inputs: Arrays, target: pa.Array | None) -> Document:
        """Least and greatest value."""
        found = learnable(inputs[0])
        return {"least": float(found.min()) + 0.0, "greatest": float(found.max()) + 0.0}

    def bound(self, document: Document) -> Transform:
        """The transform."""
        least, greatest = float(document["least"]), float(document["greatest"])
        # A span beyond float64 is taken, like the values, by half.
        scale = 1.0 if math.isfinite(greatest - least) else 0.5
        span = (greatest * scale - least * scale) or 1.0

        def transform(inputs: Arrays) -> pa.Array:
            found, valid = floats(inputs[0])
            with np.errstate(all="ignore"):
                scaled = (found * scale - least * scale) / span
                return _column(np.clip(scaled, 0.0, 1.0) if self._clip else scaled, valid)

        return transform


class Buckets:
    """How many of the given edges are at most the value."""

    dtype = pa.int64()

    def __init__(self, kind: pa.DataType, edges: Sequence[float]) -> None:
        self._transform = bucketed(kind, edges)

    def fit(self, inputs: Arrays, target: pa.Array | None) -> Document:
        """Nothing."""
        return {}

    def bound(self, document: Document) -> Transform:
        """The transform."""
        return self._transform


class Quantiles:
    """How many of the learnt edges are at most the value.

    Edge k (1 to buckets - 1) of n finite values is the one with floor(k n / buckets) values before it in order; equal
    edges are one, and the least value is none.
    """

    dtype = pa.int64()

    def __init__(self, kind: pa.DataType, buckets: int) -> None:
        self._kind, self._buckets = kind, buckets

    def fit(self, inputs: Arrays, target: pa.Array | None) -> Document:
        """Edges."""
        values: npt.NDArray[Any]
        if pa.types.is_integer(self._kind):
            values = np.asarray(inputs[0].drop_null().to_numpy(zero_copy_only=False), np.int64)
            if not len(values):
                raise Unfit("has no value in the rows given: there is nothing to fit it on")
        else:
            values = learnable(inputs[0]) + 0.0
        values = np.sort(values)
        places = [k * len(values) // self._buckets for k in range(1, self._buckets)]
        return {"edges": np.unique(values[places][values[places] > values[0]]).tolist()}

    def bound(self, document: Document) -> Transform:
        """The transform."""
        return bucketed(self._kind, document["edges"])


def bucketed(kind: pa.DataType, edges: Sequence[float]) -> Transform:
    """The transform to the number of edges that are at most the value."""
    if pa.types.is_integer(kind):
        whole = [math.ceil(edge) for edge in edges]
        limits = np.asarray([max(edge, _LOW) for edge in whole if edge <= _HIGH], np.int64)

        def of_integers(inputs: Arrays) -> pa.Array:
            valid = flags(inputs[0].is_valid())
            found = np.asarray(_filled(inputs[0]).to_numpy(zero_copy_only=False), np.int64)
            return _numbered(np.searchsorted(limits, found, "right"), valid)

        return of_integers
    bounds = np.asarray([float(edge) for edge in edges], np.float64)

    def of_floats(inputs: Arrays) -> pa.Array:
        found, valid = floats(inputs[0])
        return _numbered(np.searchsorted(bounds, found, "right"), valid & ~np.isnan(found))

    return of_floats


def _root(variance: Fraction) -> float:
    """Square root of an exact variance, itself rounded first; no variance of floats is too large or too small."""
    if not variance:
        return 0.0
    exponent = (variance.numerator.bit_length() - variance.denominator.bit_length()) // 2
    return math.ldexp(math.sqrt(float(variance / Fraction(4) ** exponent)), exponent)


def _column(values: Floats, valid: Bools) -> pa.Array:
    return pa.array(values, mask=~valid, from_pandas=False)


def _numbered(buckets: Ints, valid: Bools) -> pa.Array:
    return pa.array(buckets.astype(np.int64), mask=~valid)
