"""Variance, standard deviation, skew and kurtosis from exact sums of powers.

With n values and S_k the exact sum of their k-th powers, the central moments are quotients of integers, each rounded
once to float64:

    m2 = (n S2 - S1^2) / n^2
    m3 = (n^2 S3 - 3 n S1 S2 + 2 S1^3) / n^3
    m4 = (n^3 S4 - 4 n^2 S1 S3 + 6 n S1^2 S2 - 3 S1^4) / n^4

skew = m3 / (m2 * sqrt(m2)) and kurtosis = m4 / (m2 * m2) - 3 (Fisher) follow in float64. Too few values come first:
null, whatever they are; then NaN if an infinity or a NaN is among them; then null for skew and kurtosis if m2 is 0.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from schemas.state import StateSpec
from transforms.accumulators.base import Bools, Finished
from transforms.accumulators.sums import PowerSums, Totals
from transforms.rounding import powers_of_ten, quotient
from transforms.wide import Wide, combine

Floats = npt.NDArray[np.float64]
Values = tuple[Floats, Bools | None]

AT_ONCE = 1 << 14
LEAST_FOR_SKEW = 3
LEAST_FOR_KURTOSIS = 4


def variance_of(spec: StateSpec) -> PowerSums:
    """Variance with divisor n - ddof (`ddof` 1 or 0), rounded once; null for `ddof` values or fewer."""
    ddof, scale = int(spec.param("ddof", 1)), _scale(spec)
    return _moment(spec, 2, 1 + ddof, lambda states: (_variance(states, ddof, scale), None))


def stddev_of(spec: StateSpec) -> PowerSums:
    """Square root of the rounded variance."""
    ddof, scale = int(spec.param("ddof", 1)), _scale(spec)
    return _moment(spec, 2, 1 + ddof, lambda states: (np.sqrt(_variance(states, ddof, scale)), None))


def skew_of(spec: StateSpec) -> PowerSums:
    """Population skewness; null below three values or without variance."""
    scale = _scale(spec)
    return _moment(spec, 3, LEAST_FOR_SKEW, lambda states: _skew(states, scale))


def kurtosis_of(spec: StateSpec) -> PowerSums:
    """Population excess kurtosis (Fisher); null below four values or without variance."""
    scale = _scale(spec)
    return _moment(spec, 4, LEAST_FOR_KURTOSIS, lambda states: _kurtosis(states, scale))


def _scale(spec: StateSpec) -> int:
    return spec.types[0].scale if pa.types.is_decimal(spec.types[0]) else 0


def _moment(spec: StateSpec, degree: int, least: int, value: Callable[[Totals], Values]) -> PowerSums:
    """A moment that is null below `least` values, and NaN where a value is not finite."""

    def finish(states: Totals) -> Finished:
        values, exists = np.full(len(states), np.nan), states.counts >= least
        plain = np.flatnonzero(exists & (states.marks == 0))
        for at in range(0, len(plain), AT_ONCE):
            rows = plain[at : at + AT_ONCE]
            values[rows], varied = value(states.take(rows))
            if varied is not None:
                exists[rows] = varied
        return Finished(pa.array(values, mask=~exists, from_pandas=False), np.zeros(len(states), np.bool_))

    return PowerSums(spec, pa.float64(), degree, finish)


def _variance(states: Totals, ddof: int, scale: int) -> Floats:
    """Second central moment, but divided by n * (n - ddof)."""
    first, second = states.powers[:2]
    numerator = combine([(1, Wide.of_integers(states.counts).multiply(second)), (-1, first.multiply(first))])
    return quotient(numerator, [states.counts, states.counts - ddof, *powers_of_ten(2 * scale)])


def _skew(states: Totals, scale: int) -> Values:
    first, second, third = states.powers
    n, square = Wide.of_integers(states.counts), first.multiply(first)
    terms = [
        (1, n.multiply(n).multiply(third)),
        (-3, n.multiply(first).multiply(second)),
        (2, square.multiply(first)),
    ]
    m2 = _variance(states, 0, scale)
    m3 = quotient(combine(terms), [*[states.counts] * 3, *powers_of_ten(3 * scale)])
    with np.errstate(all="ignore"):
        return m3 / (m2 * np.sqrt(m2)), m2 > 0


def _kurtosis(states: Totals, scale: int) -> Values:
    first, second, third, fourth = states.powers
    n, square = Wide.of_integers(states.counts), first.multiply(first)
    terms = [
        (1, n.multiply(n).multiply(n).multiply(fourth)),
        (-4, n.multiply(n).multiply(first).multiply(third)),
        (6, n.multiply(square).multiply(second)),
        (-3, square.multiply(square)),
    ]
    m2 = _variance(states, 0, scale)
    m4 = quotient(combine(terms), [*[states.counts] * 4, *powers_of_ten(4 * scale)])
    with np.errstate(all="ignore"):
        return m4 / (m2 * m2) - 3, m2 > 0
