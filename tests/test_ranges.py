"""Folds of ranges of rows, and the newest row known at an instant."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from schemas.lane import Lane
from schemas.state import StateSpec
from transforms.accumulators.base import Inputs
from transforms.accumulators.build import accumulator
from transforms.order import Order
from transforms.ranges import Extremes, RangeFold, expand

SPANS = st.lists(st.tuples(st.integers(0, 400), st.integers(0, 400)), max_size=20)


def numbered(count: int) -> Order:
    """Rows 0..count-1, a microsecond apart."""
    steps, zeros = np.arange(count), np.zeros(count, np.int64)
    return Order(steps, zeros, steps, zeros, (Lane("s", "files", "0", 0).sort_key,), steps, zeros)


@given(st.lists(st.floats() | st.none(), max_size=400), SPANS)
def test_a_range_folds_to_what_its_rows_do(values: list[float | None], spans: list[tuple[int, int]]) -> None:
    count = len(values)
    first = np.asarray([min(a, b, count) for a, b in spans], np.int64)
    end = np.asarray([min(max(a, b), count) for a, b in spans], np.int64)
    inputs = Inputs((pa.array(values, pa.float64()),), None, numbered(count))
    for operation, params in (("sum", ()), ("count", ()), ("last_k", (("k", 3),)), ("max", ())):
        spec = StateSpec(operation, ("x",), (pa.float64(),), params)
        fold = accumulator(spec)
        states = RangeFold(fold, inputs).fold(first, end)
        owners, rows = expand(first, end)
        direct = fold.fold(inputs.take(rows), owners, len(spans))
        assert fold.encode(states).equals(fold.encode(direct))


@given(st.lists(st.integers(-5, 5), max_size=60), SPANS, st.integers(-6, 6))
def test_positions_of_small_values(values: list[int], spans: list[tuple[int, int]], limit: int) -> None:
    first = np.asarray([min(a, b, len(values)) for a, b in spans], np.int64)
    end = np.asarray([min(max(a, b), len(values)) for a, b in spans], np.int64)
    limits = np.full(len(spans), limit)
    table = Extremes(np.asarray(values, np.int64))
    for number, (begin, stop) in enumerate(zip(first.tolist(), end.tolist(), strict=True)):
        small = [at for at in range(begin, stop) if values[at] <= limit]
        assert table.last_at_most(first, end, limits)[number] == (small[-1] if small else -1)
        assert table.first_at_most(first, end, limits)[number] == (small[0] if small else -1)
        least = min(values[begin:stop], default=np.iinfo(np.int64).max)
        assert table.least(first, end)[number] == least
