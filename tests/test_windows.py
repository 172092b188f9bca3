"""The window rule."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from schemas.window import DAY, HOPS, HOUR, MINUTE, MS, SECOND, Window, hop_for
from transforms.windows import bounds, floor

TIMES = st.integers(-(10**15), 10**16)


@given(TIMES, st.sampled_from([MS, 5 * SECOND, HOUR, 7 * DAY, 90 * DAY]), st.sampled_from([0, HOUR, DAY]), TIMES)
def test_a_window_holds_what_the_rule_says(instant: int, length: int, offset: int, event: int) -> None:
    window = Window(length, hop_for(length), offset)
    first, last = bounds(window, np.asarray([instant]))
    held = first[0] <= event <= last[0]
    tail = (instant - offset - length) // window.hop * window.hop
    if offset:
        assert held == (tail <= event < (instant - offset) // window.hop * window.hop)
    else:
        assert held == (tail <= event <= instant)


def test_the_head_is_exact_to_the_microsecond() -> None:
    first, last = bounds(Window(HOUR, 5 * MINUTE), np.asarray([HOUR + 7 * MINUTE + 1]))
    assert (first[0], last[0]) == (5 * MINUTE, HOUR + 7 * MINUTE + 1)


def test_hops_come_from_the_ladder() -> None:
    expected = {5 * SECOND: 100 * MS, 12 * MS: MS, HOUR: 5 * MINUTE, DAY: HOUR, 7 * DAY: 6 * HOUR, 90 * DAY: 7 * DAY}
    assert {length: hop_for(length) for length in expected} == expected
    assert all(hop_for(12 * hop) == hop for hop in HOPS)
    assert hop_for(5 * MS) == MS


def test_tiles_are_aligned_to_the_epoch_on_both_sides() -> None:
    assert floor(np.asarray([-1, 0, 1, HOUR - 1, -HOUR]), HOUR).tolist() == [-HOUR, 0, 0, 0, -HOUR]
