"""Folds of ranges of rows, and the newest row known at an instant."""

from __future__ import annotations

import decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.lane import Lane
from schemas.state import StateSpec
from transforms.accumulators.base import Inputs
from transforms.accumulators.build import accumulator
from transforms.order import Order
from transforms.range_values import (
    POWERS,
    RangeCounts,
    RangeEnds,
    RangeExtremes,
    RangePowers,
    RangeTotals,
    RangeValues,
    has_short_sums,
)
from transforms.ranges import BlockExtremes, Extremes, RangeFold, expand

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


KINDS: list[tuple[pa.DataType, st.SearchStrategy[Any]]] = [
    (pa.float64(), st.floats() | st.sampled_from([0.1, -0.0, 1e300, 5e-324])),
    (pa.float64(), st.sampled_from([0.01, 19.99, 100.25, -1e6, float("nan"), float("inf"), -float("inf")])),
    (pa.float64(), st.sampled_from([0.01, 19.99, 100.25, -1e6, float("inf"), -float("inf")])),
    (pa.float32(), st.floats(width=32)),
    (pa.int64(), st.integers(-(1 << 63), (1 << 63) - 1)),
    (pa.int32(), st.integers(-9, 9)),
    (pa.bool_(), st.booleans()),
    (pa.decimal128(30, 2), st.integers(-(10**29), 10**29).map(lambda value: decimal.Decimal(value).scaleb(-2))),
    (pa.string(), st.text(max_size=2)),
    (pa.date32(), st.dates()),
]


def way(spec: StateSpec, column: pa.Array) -> RangeValues | None:
    """The short way of an operation."""
    if spec.operation == "count":
        return RangeCounts(column)
    if spec.operation in ("min", "max"):
        return RangeExtremes(column, spec.operation == "max")
    if spec.operation in POWERS:
        degree = POWERS[spec.operation]
        return RangePowers(accumulator(spec), RangeTotals(column, degree)) if has_short_sums(column, degree) else None
    return RangeEnds(spec, [column])


@pytest.mark.parametrize("number", range(len(KINDS)))
@given(data=st.data())
def test_short_ways_give_what_states_do(number: int, data: st.DataObject) -> None:
    kind, values = KINDS[number]
    drawn = data.draw(st.lists(values | st.none(), max_size=70))
    spans, count = data.draw(SPANS), len(drawn)
    column = pa.array(drawn, kind, from_pandas=False)
    first = np.asarray([min(a, b, count) for a, b in spans], np.int64)
    end = np.asarray([min(max(a, b), count) for a, b in spans], np.int64)
    owners, rows = expand(first, end)
    inputs = Inputs((column,), None, numbered(count)).take(rows)
    numeric = not (pa.types.is_string(kind) or pa.types.is_date(kind))
    for operation in ("count", "min", "max", "first", "last", *(POWERS if numeric else ())):
        spec = StateSpec(operation, ("x",), (kind,))
        check(spec, column, accumulator(spec).finish(accumulator(spec).fold(inputs, owners, len(spans))), first, end)
    for operation in ("first", "last", "first_k", "last_k"):
        params = (("k", 2), ("keep_null", True)) if operation.endswith("k") else (("keep_null", True),)
        spec = StateSpec(operation, ("x",), (kind,), params)
        check(spec, column, accumulator(spec).finish(accumulator(spec).fold(inputs, owners, len(spans))), first, end)


def check(spec: StateSpec, column: pa.Array, expected: Any, first: Any, end: Any) -> None:
    short = way(spec, column)
    if short is None:
        return
    found = short.finish(first, end)
    assert found.values.type == expected.values.type, spec
    assert repr(found.values.to_pylist()) == repr(expected.values.to_pylist()), spec
    assert found.overflow.tolist() == expected.overflow.tolist(), spec


@given(st.lists(st.integers(-(1 << 63), (1 << 63) - 1), max_size=100), SPANS)
def test_least_values_by_blocks(values: list[int], spans: list[tuple[int, int]]) -> None:
    first = np.asarray([min(a, b, len(values)) for a, b in spans], np.int64)
    end = np.asarray([min(max(a, b), len(values)) for a, b in spans], np.int64)
    found = BlockExtremes(np.asarray(values, np.int64)).least(first, end)
    for begin, stop, least in zip(first.tolist(), end.tolist(), found.tolist(), strict=True):
        assert least == min(values[begin:stop], default=np.iinfo(np.int64).max)
