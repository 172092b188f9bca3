"""`by=` around operations of every kind, against the naive oracle; limits of buckets; what a bucket shows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.errors import StoreError
from tests import folding
from transforms.accumulators.build import accumulator

KINDS = st.sampled_from(sorted(folding.SCALARS))
INNER: dict[str, dict[str, Any]] = {
    "count": {},
    "sum": {},
    "last": {},
    "first_k": {"k": 2},
    "top_k": {"k": 2},
    "unique_count": {},
    "histogram": {"k": 1},
}


@settings(deadline=None)
@given(st.sampled_from(sorted(INNER)), KINDS, st.sampled_from([1, 2, 10_000]), st.data())
def test_buckets_of_every_type(operation: str, by: str, limit: int, data: st.DataObject) -> None:
    types = {"x": "int64", "b": by}
    spec = folding.spec(operation, types, {**INNER[operation], "limit": limit}, by="b")
    folding.check(accumulator(spec), data.draw(folding.rows(types)), data)


@settings(deadline=None)
@given(st.sampled_from(["count", "last_k", "first"]), KINDS, st.data())
def test_buckets_of_structs_and_of_no_column(operation: str, by: str, data: st.DataObject) -> None:
    types = {"b": by} if operation == "count" else {"x": "list<int64>", "y": "string", "b": by}
    spec = folding.spec(operation, types, {"k": 2} if operation == "last_k" else {}, by="b")
    folding.check(accumulator(spec), data.draw(folding.rows(types)), data)


def finished(operation: str, values: list[Any], buckets: list[Any], **params: Any) -> tuple[Any, bool]:
    spec = folding.spec(operation, {"x": "int64", "b": "string"}, params, by="b")
    built = accumulator(spec)
    result = built.finish(folding.fold(built, folding.rows_of(values, b=buckets)))
    return folding.plain(result.values.to_pylist()[0], built.dtype), bool(result.overflow[0])


def test_a_bucket_whose_values_are_all_null_is_there_and_a_null_bucket_is_not() -> None:
    values, buckets = [1, None, 5, None], ["b", "a", None, "a"]
    assert finished("sum", values, buckets) == ({"a": None, "b": 1}, False)
    assert finished("count", values, buckets) == ({"a": 0, "b": 1}, False)
    assert finished("max", [1, 2], [None, None]) == (None, False)


def test_an_overflow_shows_in_its_bucket_alone_and_is_told() -> None:
    assert finished("sum", [2**63 - 1, 1, 7], ["a", "a", "b"]) == ({"a": None, "b": 7}, True)


def test_the_limit_holds_for_the_buckets_and_for_each_bucket() -> None:
    assert finished("unique_count", [1, 2, 3, 1], ["a", "a", "a", "b"], limit=2) == ({"a": None, "b": 1}, False)
    assert finished("unique_count", [1, 1, 1], ["a", "b", "c"], limit=2) == (None, False)


def test_a_saturated_state_takes_no_room_and_stays_saturated() -> None:
    built = accumulator(folding.spec("sum", {"x": "int64", "b": "int64"}, {"limit": 50}, by="b"))
    full = folding.fold(built, folding.rows_of(list(range(51)), b=list(range(51))))
    fresh = folding.fold(built, folding.rows_of([1], b=[1]))
    merged = built.merge(built.concat([full, fresh]), np.asarray([0, 1, 2, 3] * 2), 4)
    assert len(built.encode(merged)[0].as_py()) < 10
    assert built.encode(merged).to_pylist() == built.encode(full).to_pylist()
    assert built.finish(merged).values.to_pylist() == [None] * 4


def test_states_can_be_taken_repeated_and_put_side_by_side() -> None:
    built = accumulator(folding.spec("last_k", {"x": "int64", "b": "string"}, {"k": 2}, by="b"))
    states = folding.fold(built, folding.rows_of([1, 2, 3], b=["u", "v", "u"]))
    twice = built.concat([built.take(states, np.asarray([0, 1, 0])), states])
    expected = [("u", [3, 1]), ("v", [2])]
    assert built.finish(twice).values.to_pylist() == [expected, None, expected, expected, None, None, None]
    assert built.encode(twice).to_pylist() == built.encode(built.decode(built.encode(twice))).to_pylist()


def test_a_state_that_is_cut_off_is_refused() -> None:
    built = accumulator(folding.spec("sum", {"x": "int64", "b": "string"}, by="b"))
    blob = built.encode(folding.fold(built, folding.rows_of([1, 2], b=["u", "vw"])))[0].as_py()
    for end in range(2, len(blob)):
        with pytest.raises(StoreError):
            built.decode(pa.array([blob[:end]], pa.binary()))
