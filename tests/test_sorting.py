from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from transforms.accumulators.sorting import by_group

Ints = npt.NDArray[np.int64]

NUMBERS = st.one_of(
    st.integers(-3, 3),
    st.sampled_from([-(2**63), -(2**63) + 1, 2**63 - 2, 2**63 - 1]),
    st.integers(2**62, 2**62 + 4),
)
ROWS = st.lists(st.tuples(st.sampled_from([0, 1, 2, 500_000]), NUMBERS, st.integers(0, 2)), max_size=30)


@given(ROWS)
def test_rows_are_sorted_by_group_number_and_rest(rows: list[tuple[int, int, int]]) -> None:
    groups, numbers, last = (np.array([row[at] for row in rows], np.int64) for at in range(3))
    order = by_group(groups, numbers, lambda some: [last[some]])
    assert sorted(order.tolist()) == list(range(len(rows)))
    assert [rows[i] for i in order] == sorted(rows)


@given(ROWS)
def test_without_a_rest_equal_numbers_stand_together(rows: list[tuple[int, int, int]]) -> None:
    groups, numbers = (np.array([row[at] for row in rows], np.int64) for at in range(2))
    order = by_group(groups, numbers)
    assert sorted(order.tolist()) == list(range(len(rows)))
    assert [rows[i][:2] for i in order] == sorted(row[:2] for row in rows)


@pytest.mark.parametrize("spread", [1 << 8, 1 << 40, 1 << 62])
def test_many_rows(spread: int) -> None:
    rng = np.random.default_rng(spread)
    groups, numbers = rng.integers(0, 1000, 50_000), rng.integers(-spread, spread, 50_000) // 3 * 3
    order = by_group(groups, numbers)
    expected = np.lexsort((numbers, groups))
    assert (groups[order] == groups[expected]).all()
    assert (numbers[order] == numbers[expected]).all()
