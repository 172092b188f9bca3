"""Every operation, with and without buckets, against the naive oracle: generated rows of every type, and many rows."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.state import OPERATIONS
from tests import folding, oracle
from transforms.accumulators.build import accumulator

K = st.builds(lambda k: {"k": k}, st.integers(1, 3))
LIMIT = st.builds(lambda n: {"limit": n}, st.sampled_from([1, 3, 10_000]))
DDOF = st.builds(lambda n: {"ddof": n}, st.sampled_from([0, 1]))
KEEP = st.builds(lambda keep: {"keep_null": keep}, st.booleans())
SHARE = st.sampled_from([0.0, 0.1, 0.5, 0.7, 0.99, 1.0])
NOTHING: st.SearchStrategy[dict[str, Any]] = st.just({})


def both(first: st.SearchStrategy[dict[str, Any]], second: st.SearchStrategy[dict[str, Any]]) -> Any:
    return st.builds(lambda a, b: {**a, **b}, first, second)


PARAMS: dict[str, st.SearchStrategy[dict[str, Any]]] = {
    **dict.fromkeys(OPERATIONS, NOTHING),
    "variance": DDOF,
    "stddev": DDOF,
    "first": KEEP,
    "last": KEEP,
    "first_k": both(K, KEEP),
    "last_k": both(K, KEEP),
    "top_k": K,
    "bottom_k": K,
    "unique_count": LIMIT,
    "bounded_unique_count": K,
    "histogram": both(NOTHING | K, LIMIT),
    "approx_count_distinct": st.builds(lambda p: {"p": p}, st.sampled_from([4, 12, 14])),
    "approx_percentile": st.builds(
        lambda q, error: {"q": q, "error": error},
        SHARE | st.lists(SHARE, min_size=1, max_size=3).map(tuple),
        st.sampled_from([0.01, 0.05]),
    ),
}
ANY_TYPE = ("count", "first", "last", "first_k", "last_k")
NUMERIC = ("sum", "mean", "variance", "stddev", "skew", "kurtosis", "approx_percentile")


def types_of(operation: str) -> list[str]:
    if operation in ANY_TYPE:
        return sorted(folding.VALUES)
    return sorted(folding.NUMBERS if operation in NUMERIC else folding.SCALARS)


@pytest.mark.parametrize("operation", OPERATIONS)
@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_operation(operation: str, data: st.DataObject) -> None:
    types = {"x": data.draw(st.sampled_from(types_of(operation)), label="type")}
    params = data.draw(PARAMS[operation], label="params")
    folding.check(accumulator(folding.spec(operation, types, params)), data.draw(folding.rows(types)), data)


@pytest.mark.parametrize("operation", OPERATIONS)
@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_operation_by_bucket(operation: str, data: st.DataObject) -> None:
    types = {"x": data.draw(st.sampled_from(types_of(operation)), label="type"), "b": "string"}
    params = data.draw(PARAMS[operation], label="params")
    folding.check(accumulator(folding.spec(operation, types, params, by="b")), data.draw(folding.rows(types)), data)


@settings(deadline=None)
@given(st.data())
def test_count_of_rows(data: st.DataObject) -> None:
    folding.check(accumulator(folding.spec("count", {})), data.draw(folding.rows({})), data)


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("kind", ["int64", "float64"])
def test_many_rows(operation: str, kind: str) -> None:
    """3,000 rows in four groups, values of many magnitudes and often equal, in shuffled order."""
    draw = random.Random(f"{operation} {kind}")
    values: list[Any] = [
        None if draw.random() < 0.05 else round(draw.gauss(0, 1) * 10 ** draw.randint(0, 4)) for _ in range(3_000)
    ]
    if kind == "float64":
        values = [None if v is None else v / 64 * 10.0 ** draw.randint(-30, 3) for v in values]
    rows = folding.rows_of(values)
    for row in rows:
        row["_group"], row["_event_time"] = draw.randrange(4), draw.randrange(1_000)
    draw.shuffle(rows)
    few = {"k": 100} if operation.endswith("_k") or operation == "bounded_unique_count" else {}
    params = {"q": (0.0, 0.25, 0.5, 0.9, 1.0)} if operation == "approx_percentile" else few
    built = accumulator(folding.spec(operation, {"x": kind}, params))
    finished = built.finish(folding.fold(built, rows))
    for group in range(folding.GROUPS):
        mine = [row for row in rows if row["_group"] == group]
        expected = oracle.value(operation, mine, params, ("x",))
        got = folding.plain(finished.values[group].as_py(), built.dtype)
        assert folding.same(expected[0], got), (expected, got)
        assert bool(finished.overflow[group]) == expected[1]


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("by", [None, "b"])
def test_no_rows_and_no_groups(operation: str, by: str | None) -> None:
    """States of nothing are empty bytes, whose value is the oracle's; no groups at all are no error."""
    params: dict[str, Any] = {"k": 2} if operation.endswith("_k") or operation == "bounded_unique_count" else {}
    params |= {"q": 0.5} if operation == "approx_percentile" else {}
    types = {"x": "float64"} if by is None else {"x": "float64", "b": "string"}
    built = accumulator(folding.spec(operation, types, params, by=by))
    empty = folding.fold(built, [])
    assert built.encode(empty).to_pylist() == [b""] * folding.GROUPS
    expected, _ = oracle.value(operation, [], params, ("x",), by)
    assert built.finish(built.decode(built.encode(empty))).values.to_pylist() == [expected] * folding.GROUPS
    none = built.take(empty, np.zeros(0, np.int64))
    for states in (none, built.decode(built.encode(none)), built.merge(none, np.zeros(0, np.int64), 0)):
        finished = built.finish(states)
        assert (len(finished.values), finished.values.type, len(finished.overflow)) == (0, built.dtype, 0)
    assert built.encode(built.concat([none, empty])).to_pylist() == [b""] * folding.GROUPS
