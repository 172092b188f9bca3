"""Exact sums of values and powers against fractions and `math.fsum`, by whichever way the values take."""

from __future__ import annotations

import math
from decimal import Decimal
from fractions import Fraction

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transforms.exact import CHUNK, numbers, power_sums
from transforms.rounding import quotient
from transforms.wide import Wide
from transforms.wide_bytes import to_bytes

finite = st.floats(allow_nan=False, allow_infinity=False)
money = st.integers(-(10**7), 10**7).map(lambda cents: cents / 100)
mixed = st.builds(
    lambda mantissa, power: math.ldexp(mantissa, power), st.integers(-(2**53), 2**53), st.integers(-300, 300)
)
floats = st.one_of(
    finite, money, mixed, st.sampled_from([0.0, -0.0, 5e-324, -5e-324, 1.7e308, -1.7e308, 2.0**200, 2.0**-200])
)
integers = st.one_of(
    st.integers(-(2**63), 2**63 - 1), st.integers(-100, 100), st.sampled_from([2**53, 2**53 + 1, -(2**63)])
)


def exact(numbers_: Wide) -> list[Fraction]:
    unit = Fraction(2) ** (32 * numbers_.base)
    return [unit * sum(int(limb) << (32 * k) for k, limb in enumerate(column)) for column in numbers_.limbs.T]


def check(values: npt.NDArray[np.float64] | npt.NDArray[np.int64], groups: npt.NDArray[np.int64], n: int) -> None:
    for degree, total in enumerate(power_sums(values, groups, n, 4), 1):
        expected = [Fraction(0)] * n
        for value, group in zip(values.tolist(), groups.tolist(), strict=True):
            expected[group] += Fraction(value) ** degree
        assert exact(total) == expected
    assert exact(power_sums(values, groups, n)[0]) == exact(power_sums(values, groups, n, 2)[0])


@given(st.lists(st.tuples(floats, st.integers(0, 2)), max_size=12))
def test_powers_of_floats(rows: list[tuple[float, int]]) -> None:
    check(np.array([row[0] for row in rows], np.float64), np.array([row[1] for row in rows], np.int64), 3)


@given(st.lists(st.tuples(integers, st.integers(0, 2)), max_size=12))
def test_powers_of_integers(rows: list[tuple[int, int]]) -> None:
    check(np.array([row[0] for row in rows], np.int64), np.array([row[1] for row in rows], np.int64), 3)


@given(st.lists(st.integers(-(10**38) + 1, 10**38 - 1), max_size=6), st.integers(0, 3))
def test_powers_of_decimals(unscaled: list[int], skipped: int) -> None:
    column = pa.array(
        [Decimal(value).scaleb(-3) if abs(value) < 10**28 else Decimal(value % 10**5) for value in unscaled],
        pa.decimal128(38, 3),
    )
    values = [int(value.scaleb(3)) for value in column.to_pylist()][skipped:]
    column = column.slice(skipped)
    totals = power_sums(numbers(column), np.zeros(len(column), np.int64), 1, 4)
    for degree, total in enumerate(totals, 1):
        assert exact(total) == [sum(value**degree for value in values)]


def test_greatest_decimals() -> None:
    greatest = 10**38 - 1
    column = pa.array([greatest, -greatest, -greatest], pa.decimal128(38, 0))
    totals = power_sums(numbers(column), np.array([0, 0, 1]), 2, 4)
    assert exact(totals[0]) == [0, -greatest]
    assert exact(totals[3]) == [2 * greatest**4, greatest**4]


@pytest.mark.parametrize(
    "name", ["normal", "money", "cancelling", "wide", "subnormal", "huge", "ties", "bits", "outlier"]
)
def test_sums_equal_fsum_in_any_order(name: str) -> None:
    rng = np.random.default_rng(7)
    count, n = 2 * CHUNK + 77, 300
    half = rng.normal(0, 1, count // 2) * 10.0 ** rng.integers(-30, 30, count // 2)
    bits = rng.integers(-(2**63), 2**63 - 1, count).view(np.float64)
    values = {
        "normal": rng.normal(0, 1, count),
        "money": np.round(rng.gamma(2, 50, count), 2),
        "cancelling": np.concatenate([half, -half, [5e-324]]),
        "wide": rng.normal(0, 1, count) * 10.0 ** rng.integers(-300, 300, count),
        "subnormal": rng.integers(-5, 6, count) * 5e-324,
        "huge": rng.uniform(-1e304, 1e304, count),
        "ties": np.tile([1.0, 2.0**-53, 2.0**-53, -(2.0**-54), 2.0**-200], count // 5),
        "bits": bits[np.isfinite(bits) & (np.abs(bits) < 1e300)],
        "outlier": np.concatenate([np.round(rng.gamma(2, 50, count), 2), [1e300, 1e-300, -1e300]]),
    }[name]
    groups = rng.integers(0, n, len(values))
    (total,) = power_sums(values, groups, n)
    expected = [math.fsum(values[groups == group].tolist()) for group in range(n)]
    assert quotient(total).tolist() == expected
    for way in (rng.permutation(len(values)), np.argsort(values)):
        assert to_bytes(power_sums(values[way], groups[way], n)[0]) == to_bytes(total)
    half_sums = [power_sums(values[part], groups[part], n)[0] for part in (slice(0, 999), slice(999, None))]
    assert exact(total) == [a + b for a, b in zip(exact(half_sums[0]), exact(half_sums[1]), strict=True)]


def test_float32_is_taken_exactly() -> None:
    column = pa.array([0.1, 0.2], pa.float32())
    (total,) = power_sums(numbers(column), np.zeros(2, np.int64), 1)
    assert exact(total) == [Fraction(float(np.float32(0.1))) + Fraction(float(np.float32(0.2)))]


@settings(max_examples=20)
@given(st.integers(0, 3))
def test_no_rows_are_zero(n: int) -> None:
    for values in (np.zeros(0, np.float64), np.zeros(0, np.int64), Wide.zeros(0)):
        assert [exact(total) for total in power_sums(values, np.zeros(0, np.int64), n, 2)] == [[Fraction(0)] * n] * 2
