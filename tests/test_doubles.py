"""Quotients in pairs of floats: what is called sure is what exact integers give, to the bit."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from transforms.doubles import near_quotient
from transforms.wide import Wide

LIMBS = st.sampled_from([0, 1, 2, 3, 1 << 31, (1 << 32) - 1, (1 << 32) - 2]) | st.integers(0, (1 << 32) - 1)
DIVISORS = st.sampled_from([1, 2, 3, 6, 7, 1 << 20, 3 << 20]) | st.integers(1, 1 << 53)


@example([([1, 1 << 31, 0, 1 << 20, 0, 0], 1)], 4, 0, False, False)  # just above a tie that the pair cannot tell
@given(st.lists(st.tuples(st.lists(LIMBS, min_size=6, max_size=6), DIVISORS), min_size=1, max_size=30),
       st.integers(1, 6), st.integers(-10, 8), st.booleans(), st.booleans())  # fmt: skip
def test_what_is_sure_is_right(
    drawn: list[tuple[list[int], int]], width: int, base: int, negative: bool, divided: bool
) -> None:
    columns = np.asarray([limbs[:width] for limbs, _ in drawn], np.int64).T
    numbers = Wide.carried(base, columns * (-1 if negative else 1))
    divisors = np.asarray([divisor for _, divisor in drawn])
    found = near_quotient(numbers.limbs, numbers.base, divisors if divided else None)
    assert found is not None
    for number, (value, sure) in enumerate(zip(found[0].tolist(), found[1].tolist(), strict=True)):
        if sure:
            assert value == nearest(numbers.limbs[:, number].tolist(), numbers.base, drawn[number][1] if divided else 1)


def test_nearly_all_are_sure() -> None:
    rng = np.random.default_rng(0)
    for width, bits in ((1, 32), (2, 32), (3, 32), (4, 30), (6, 30)):
        columns = rng.integers(0, 1 << bits, (width, 4000))
        for divisors in (None, rng.integers(1, 50, 4000)):
            found = near_quotient(columns, -2, divisors)
            assert found is not None
            assert found[1].mean() > 0.99


def test_places_beyond_the_normal_range_are_left_to_integers() -> None:
    assert near_quotient(np.ones((1, 1), np.int64), -33, None) is None
    assert near_quotient(np.ones((1, 1), np.int64), 31, None) is None


def nearest(limbs: list[Any], base: int, divisor: int) -> float:
    """The exact quotient, rounded once."""
    total = sum(limb << (32 * place) for place, limb in enumerate(limbs))
    return float(Fraction(total) * Fraction(2) ** (32 * base) / divisor)
