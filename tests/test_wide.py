"""Wide integers, their bytes and their rounding, against Python's own integers and fractions."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import StoreError
from transforms.rounding import fits_digits, powers_of_ten, quotient
from transforms.wide import Wide, combine, concat
from transforms.wide_bytes import from_bytes, to_bytes

integers = st.one_of(
    st.integers(-3, 3),
    st.integers(-(2**63), 2**63 - 1),
    st.integers(-(2**200), 2**200),
    st.builds(
        lambda sign, power, add: sign * (1 << power) + add,
        st.sampled_from([-1, 1]),
        st.integers(0, 150),
        st.integers(-1, 1),
    ),
)
columns = st.lists(integers, min_size=1, max_size=6)


def wide(values: list[int], base: int = 0) -> Wide:
    width = max(value.bit_length() for value in values) // 32 + 2
    limbs = [[(value >> (32 * k)) & 0xFFFFFFFF for value in values] for k in range(width - 1)]
    limbs.append([value >> (32 * (width - 1)) for value in values])
    return Wide.carried(base, np.array(limbs, np.int64))


def exact(numbers: Wide) -> list[Fraction]:
    unit = Fraction(2) ** (32 * numbers.base)
    return [unit * sum(int(limb) << (32 * k) for k, limb in enumerate(column)) for column in numbers.limbs.T]


def rounded(value: Fraction) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


@given(columns, st.integers(-140, 140))
def test_carried_holds_the_value_in_canonical_limbs(values: list[int], base: int) -> None:
    numbers = wide(values, base)
    assert exact(numbers) == [value * Fraction(2) ** (32 * base) for value in values]
    assert (numbers.limbs[:-1] >= 0).all()
    assert (numbers.limbs[:-1] < 2**32).all()
    assert (numbers.limbs[-1] >= -(2**31)).all()
    assert (numbers.limbs[-1] < 2**31).all()


@given(columns, columns, st.integers(-5, 5))
def test_arithmetic(left: list[int], right: list[int], base: int) -> None:
    m = min(len(left), len(right))
    a, b = wide(left[:m], base), wide(right[:m])
    assert exact(a.multiply(b)) == [x * y for x, y in zip(exact(a), exact(b), strict=True)]
    assert exact(combine([(3, a), (-7, b)])) == [3 * x - 7 * y for x, y in zip(exact(a), exact(b), strict=True)]
    assert exact(concat([a, b])) == exact(a) + exact(b)
    groups = np.array([i % 2 for i in range(m)], np.int64)
    assert exact(a.merge(groups, 3)) == [sum(exact(a)[0::2], Fraction(0)), sum(exact(a)[1::2], Fraction(0)), 0]


@given(columns, st.integers(-40, 40))
def test_bytes(values: list[int], base: int) -> None:
    numbers = wide(values, base)
    blobs = to_bytes(numbers)
    assert exact(from_bytes(blobs)) == exact(numbers)
    for value, blob, number in zip(values, blobs.to_pylist(), exact(numbers), strict=True):
        place, body = int.from_bytes(blob[:2], "little", signed=True), blob[2:]
        assert int.from_bytes(body, "little", signed=True) * Fraction(256) ** place == number
        least = value
        while least and least % 256 == 0:
            least //= 256
        assert len(body) == (0 if value == 0 else (least if least >= 0 else ~least).bit_length() // 8 + 1)


def test_bytes_of_nothing_are_zero() -> None:
    assert exact(from_bytes(pa.array([b"", b"\1\0\5", b""], pa.binary()))) == [0, 5 * 256, 0]
    assert exact(from_bytes(pa.array([b"", b""], pa.binary()))) == [0, 0]
    assert len(from_bytes(to_bytes(Wide.zeros(0)))) == 0
    with pytest.raises(StoreError, match="no place"):
        from_bytes(pa.array([b"\1"], pa.binary()))


@given(
    columns, st.lists(st.integers(1, 2**31 - 1), max_size=5), st.one_of(st.integers(-40, 34), st.just(-34), st.just(31))
)
def test_quotient_is_rounded_once(values: list[int], divisors: list[int], base: int) -> None:
    numbers = wide(values, base)
    expected = [rounded(value / math.prod(divisors)) for value in exact(numbers)]
    assert quotient(numbers, divisors).tolist() == expected


@given(st.integers(2**52, 2**54), st.integers(-1, 1), st.integers(-1140, 980), st.sampled_from([1, -1]))
def test_quotient_near_ties(mantissa: int, nudge: int, exponent: int, sign: int) -> None:
    scaled = sign * ((mantissa << 90) + nudge)
    place, shift = divmod(exponent - 90, 32)
    numbers = wide([scaled << shift], place)
    assert quotient(numbers).tolist() == [rounded(Fraction(scaled) * Fraction(2) ** (exponent - 90))]


def test_ties_that_only_the_remainder_breaks() -> None:
    """Quotients n / d = (q + 1/d) / 2**66 with an odd q of 54 bits: a tie to all the digits of the long division."""
    found = []
    for d in range(2**31 - 1, 2**30, -2):
        q = -pow(d, -1, 2**66) % 2**66
        if 2**53 <= q < 2**54:
            found.append(((q * d + 1) >> 66, d))
            if len(found) == 4:
                break
    numerators, divisors = zip(*found, strict=True)
    expected = [float(Fraction(n, d)) for n, d in found]
    assert quotient(wide(list(numerators)), [np.array(divisors, np.int64)]).tolist() == expected
    assert quotient(wide([-n for n in numerators]), [np.array(divisors)]).tolist() == [-value for value in expected]


def test_quotient_of_long_divisors_and_of_small_negatives() -> None:
    numbers = wide([10**30, -7, 1 << 1200])
    divisors = np.array([3_000_000_007, 2**40, 2**33], np.int64)
    assert quotient(numbers, [divisors, 3]).tolist() == [
        rounded(Fraction(10**30, 3 * 3_000_000_007)),
        -7 / (3 << 40),
        math.inf,
    ]
    assert [math.copysign(1, value) for value in quotient(wide([-1, 0, 1], -35), [2])] == [-1, 1, 1]


@given(columns)
def test_words(values: list[int]) -> None:
    numbers = wide(values)
    for count in (1, 2):
        words, fits = numbers.words(count)
        bound = 1 << (64 * count - 1)
        assert fits.tolist() == [-bound <= value < bound for value in values]
        whole = [
            sum(int(np.uint64(word % 2**64)) << (64 * k) for k, word in enumerate(column))
            for column in words.T.tolist()
        ]
        for value, found, good in zip(values, whole, fits, strict=True):
            assert not good or found == value % (1 << 64 * count)


@given(st.integers(1, 38), st.integers(-2, 2), st.sampled_from([1, -1]))
def test_digits(digits: int, nudge: int, sign: int) -> None:
    value = sign * (10**digits + nudge)
    words, fits = wide([value, 0]).words(2)
    assert fits.tolist() == [True, True]
    assert fits_digits(words, digits).tolist() == [abs(value) < 10**digits, True]


def test_powers_of_ten() -> None:
    for exponent in (0, 1, 9, 38, 152):
        factors = powers_of_ten(exponent)
        assert math.prod(factors) == 10**exponent
        assert all(factor < 2**31 for factor in factors)
