"""unique_count, bounded_unique_count and histogram against the naive oracle: limits, saturation, texts of values."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.state import StateSpec
from schemas.types import parse_type
from tests import folding, oracle
from transforms.accumulators.base import Accumulator
from transforms.accumulators.histograms import Histogram
from transforms.accumulators.sets import bounded_unique_count, unique_count
from transforms.accumulators.texts import texts
from transforms.accumulators.values import ranks

KINDS = st.sampled_from(sorted(folding.SCALARS))


@settings(deadline=None)
@given(KINDS, st.sampled_from([1, 2, 3, 10_000]), st.data())
def test_unique_count(kind: str, limit: int, data: st.DataObject) -> None:
    folding.check(
        unique_count(folding.spec("unique_count", {"x": kind}, {"limit": limit})),
        data.draw(folding.rows({"x": kind})),
        data,
    )


@settings(deadline=None)
@given(KINDS, st.integers(1, 4), st.data())
def test_bounded_unique_count(kind: str, k: int, data: st.DataObject) -> None:
    accumulator = bounded_unique_count(folding.spec("bounded_unique_count", {"x": kind}, {"k": k}))
    folding.check(accumulator, data.draw(folding.rows({"x": kind})), data)


@settings(deadline=None)
@given(KINDS, st.none() | st.integers(1, 3), st.sampled_from([1, 2, 3, 10_000]), st.data())
def test_histogram(kind: str, k: int | None, limit: int, data: st.DataObject) -> None:
    shown = {} if k is None else {"k": k}
    spec = folding.spec("histogram", {"x": kind}, {"limit": limit, **shown})
    folding.check(Histogram(spec), data.draw(folding.rows({"x": kind})), data)


@pytest.mark.parametrize(("operation", "make"), [("unique_count", unique_count), ("histogram", Histogram)])
def test_a_saturated_state_stays_saturated_and_holds_no_values(
    operation: str, make: Callable[[StateSpec], Accumulator]
) -> None:
    accumulator = make(folding.spec(operation, {"x": "int64"}, {"limit": 100}))
    full = folding.fold(accumulator, folding.rows_of(list(range(101))))
    fresh = folding.fold(accumulator, folding.rows_of([1, 2]))
    merged = accumulator.merge(accumulator.concat([fresh, full]), np.asarray([0, 1, 2, 3] * 2), 4)
    assert accumulator.encode(merged).to_pylist() == accumulator.encode(full).to_pylist()
    assert len(accumulator.encode(full)[0].as_py()) < 10
    assert accumulator.finish(merged).values[0].as_py() is None
    exact = accumulator.finish(folding.fold(accumulator, folding.rows_of(list(range(100))))).values[0].as_py()
    assert exact == 100 or len(exact) == 100


def test_a_bounded_count_that_has_reached_k_holds_no_values() -> None:
    accumulator = bounded_unique_count(folding.spec("bounded_unique_count", {"x": "int64"}, {"k": 100}))
    for distinct, most in [(99, 800), (100, 9), (101, 9)]:
        states = folding.fold(accumulator, folding.rows_of(list(range(distinct))))
        assert len(accumulator.encode(states)[0].as_py()) < most
        assert accumulator.finish(states).values[0].as_py() == min(distinct, 100)


def test_counts_of_nothing_are_zero_and_histograms_of_nothing_null() -> None:
    cases: list[tuple[Accumulator, int | None]] = [
        (unique_count(folding.spec("unique_count", {"x": "string"})), 0),
        (bounded_unique_count(folding.spec("bounded_unique_count", {"x": "string"}, {"k": 2})), 0),
        (Histogram(folding.spec("histogram", {"x": "string"})), None),
    ]
    for accumulator, value in cases:
        empty = folding.fold(accumulator, folding.rows_of([None]))
        assert accumulator.finish(empty).values.to_pylist() == [value] * 4
        assert accumulator.encode(empty).to_pylist() == [b""] * 4


@pytest.mark.parametrize(
    ("kind", "value", "text"),
    [
        ("bool", True, "true"),
        ("int64", -(2**63), "-9223372036854775808"),
        ("float64", -0.0, "0.0"),
        ("float64", 1e16, "1e+16"),
        ("float64", 0.1, "0.1"),
        ("float64", math.nan, "nan"),
        ("float64", -math.inf, "-inf"),
        ("float32", 0.10000000149011612, "0.10000000149011612"),
        ("string", "é\0", "é\0"),
        ("bytes", b"\x00\xff", "00ff"),
        ("date", dt.date(2026, 1, 2), "2026-01-02"),
        ("timestamp", dt.datetime(2026, 1, 2, tzinfo=dt.UTC), "2026-01-02T00:00:00Z"),
        ("timestamp", dt.datetime(2026, 1, 2, 3, 4, 5, 600, tzinfo=dt.UTC), "2026-01-02T03:04:05.000600Z"),
        ("decimal(9,2)", Decimal("-1.50"), "-1.50"),
    ],
)
def test_text_of_a_value(kind: str, value: Any, text: str) -> None:
    assert texts(pa.array([value], parse_type(kind))).to_pylist() == [text]


@settings(deadline=None)
@given(KINDS, st.data())
def test_ranks_are_the_order_of_values(kind: str, data: st.DataObject) -> None:
    values = data.draw(st.lists(folding.SCALARS[kind], max_size=12))
    found, count = ranks(pa.array(values, parse_type(kind)))
    distinct = sorted({oracle.rank(value) for value in values})
    assert found.tolist() == [distinct.index(oracle.rank(value)) for value in values]
    assert count == max(len(distinct), 1)


def test_values_without_an_order_are_refused() -> None:
    with pytest.raises(ValueError, match=r"list<.*have no order"):
        ranks(pa.array([[1]]))
