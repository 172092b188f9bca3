"""Laws of every operation, with and without buckets: what makes states safe to merge in any order and to store."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.errors import StoreError
from schemas.state import OPERATIONS
from tests import folding, oracle
from transforms.accumulators.base import Accumulator, Inputs
from transforms.accumulators.build import BY_OPERATION, accumulator
from transforms.order import Order

PARAMS: dict[str, list[dict[str, Any]]] = {
    "variance": [{}, {"ddof": 0}],
    "stddev": [{}, {"ddof": 0}],
    "first": [{}, {"keep_null": True}],
    "last": [{}, {"keep_null": True}],
    "first_k": [{"k": 2}, {"k": 3, "keep_null": True}],
    "last_k": [{"k": 2}, {"k": 3, "keep_null": True}],
    "top_k": [{"k": 2}],
    "bottom_k": [{"k": 2}],
    "unique_count": [{}, {"limit": 3}],
    "bounded_unique_count": [{"k": 2}],
    "histogram": [{}, {"k": 2, "limit": 3}],
    "approx_count_distinct": [{}, {"p": 4}, {"p": 16}],
    "approx_percentile": [{"q": 0.5}, {"q": (0.1, 0.9), "error": 0.05}],
}
ANY_TYPE = ("count", "first", "last", "first_k", "last_k")
NUMERIC = ("sum", "mean", "variance", "stddev", "skew", "kurtosis", "approx_percentile")
EACH = range(folding.GROUPS)
GROUPS = np.arange(folding.GROUPS)

laws = settings(deadline=None, max_examples=15)
operations = pytest.mark.parametrize("operation", OPERATIONS)
bucketed = pytest.mark.parametrize("by", [None, "b"], ids=["plain", "by"])


def types_of(operation: str) -> list[str]:
    if operation in ANY_TYPE:
        return sorted(folding.VALUES)
    return sorted(folding.NUMBERS if operation in NUMERIC else folding.SCALARS)


def draw_case(data: st.DataObject, operation: str, by: str | None) -> tuple[Accumulator, list[Any]]:
    """An accumulator and three frozen lots of states of the four groups."""
    types = {"x": data.draw(st.sampled_from(types_of(operation)), label="type")}
    if by is not None:
        types[by] = data.draw(st.sampled_from(sorted(folding.SCALARS)), label="bucket type")
    params = data.draw(st.sampled_from(PARAMS.get(operation, [{}])), label="params")
    built = accumulator(folding.spec(operation, types, params, by))
    rows = data.draw(folding.rows(types))
    part = [data.draw(st.integers(0, 2), label="part") for _ in rows]
    lots = [[row for row, number in zip(rows, part, strict=True) if number == lot] for lot in range(3)]
    return built, [freeze(folding.fold(built, lot)) for lot in lots]


def freeze(value: Any) -> Any:
    """The same value, none of whose arrays can be written to."""
    if isinstance(value, np.ndarray):
        value.setflags(write=False)
    elif isinstance(value, (tuple, list)):
        for item in value:
            freeze(item)
    elif dataclasses.is_dataclass(value):
        for field in dataclasses.fields(value):
            freeze(getattr(value, field.name))
    return value


def join(built: Accumulator, *lots: Any) -> Any:
    """Merge of lots of states of the four groups."""
    return freeze(built.merge(built.concat(list(lots)), np.tile(GROUPS, len(lots)), folding.GROUPS))


def empty(built: Accumulator) -> Any:
    return freeze(folding.fold(built, []))


def content(built: Accumulator, states: Any) -> list[bytes]:
    found: list[bytes] = built.encode(states).to_pylist()
    return found


def test_every_operation_has_an_accumulator() -> None:
    assert tuple(BY_OPERATION) == OPERATIONS


@operations
@bucketed
@laws
@given(data=st.data())
def test_merge_is_associative_and_commutative(operation: str, by: str | None, data: st.DataObject) -> None:
    built, (a, b, c) = draw_case(data, operation, by)
    whole = content(built, join(built, a, b, c))
    assert content(built, join(built, join(built, a, b), c)) == whole
    assert content(built, join(built, a, join(built, b, c))) == whole
    assert content(built, join(built, c, b, a)) == whole
    assert content(built, join(built, b, a)) == content(built, join(built, a, b))


@operations
@bucketed
@laws
@given(data=st.data())
def test_empty_is_the_identity(operation: str, by: str | None, data: st.DataObject) -> None:
    built, (a, _, _) = draw_case(data, operation, by)
    nothing = empty(built)
    for joined in (join(built, a, nothing), join(built, nothing, a), join(built, a)):
        assert content(built, joined) == content(built, a)
    assert content(built, nothing) == [b""] * folding.GROUPS
    some = freeze(built.take(a, np.array([2], np.int64)))
    spread = built.merge(some, np.array([3], np.int64), folding.GROUPS)
    assert content(built, spread) == [b"", b"", b"", content(built, a)[2]]
    assert len(content(built, built.merge(built.take(a, np.zeros(0, np.int64)), np.zeros(0, np.int64), 0))) == 0


@operations
@bucketed
@laws
@given(data=st.data())
def test_decode_inverts_encode(operation: str, by: str | None, data: st.DataObject) -> None:
    built, (a, b, _) = draw_case(data, operation, by)
    blobs = built.encode(a)
    again = freeze(built.decode(blobs))
    assert built.encode(again) == blobs
    assert content(built, join(built, again, b)) == content(built, join(built, a, b))
    assert all(not blob or blob[0] == 1 for blob in blobs.to_pylist())
    assert repr(built.finish(again).values.to_pylist()) == repr(built.finish(a).values.to_pylist())
    one_by_one = [built.decode(blobs.slice(at, 1)) for at in EACH]
    assert built.encode(built.concat(one_by_one)) == blobs


@operations
@bucketed
@laws
@given(data=st.data())
def test_take_and_concat_keep_states_apart(operation: str, by: str | None, data: st.DataObject) -> None:
    built, (a, b, _) = draw_case(data, operation, by)
    both = freeze(built.concat([a, b]))
    blobs = content(built, both)
    assert blobs == content(built, a) + content(built, b)
    at = data.draw(st.lists(st.integers(0, 2 * folding.GROUPS - 1), max_size=6), label="at")
    taken = built.take(both, np.array(at, np.int64))
    assert content(built, taken) == [blobs[i] for i in at]
    whole, some = built.finish(both), built.finish(taken)
    assert repr(some.values.to_pylist()) == repr([whole.values[i].as_py() for i in at])
    assert some.overflow.tolist() == [whole.overflow[i] for i in at]


@operations
@bucketed
@laws
@given(data=st.data())
def test_fold_sees_neither_batches_nor_arrival(operation: str, by: str | None, data: st.DataObject) -> None:
    types = {"x": data.draw(st.sampled_from(types_of(operation)), label="type"), "b": "string"}
    params = data.draw(st.sampled_from(PARAMS.get(operation, [{}])), label="params")
    built = accumulator(folding.spec(operation, types if by else {"x": types["x"]}, params, by))
    rows: list[oracle.Row] = data.draw(folding.rows(types))
    whole = content(built, folding.fold(built, rows))
    assert content(built, folding.fold(built, data.draw(st.permutations(rows)))) == whole
    one_by_one = [folding.fold(built, [row]) for row in rows]
    assert content(built, join(built, empty(built), *one_by_one)) == whole


@operations
def test_other_versions_are_refused(operation: str) -> None:
    built = accumulator(folding.spec(operation, {"x": "int64"}, PARAMS.get(operation, [{}])[0]))
    blob = content(built, folding.fold(built, folding.rows_of([1])))[0]
    with pytest.raises(StoreError, match="version 9"):
        built.decode(pa.array([b"\x09" + blob[1:]], pa.binary()))
    with pytest.raises(StoreError):
        built.decode(pa.array([blob[:-1]], pa.binary()))


@operations
@bucketed
def test_sliced_columns_are_read_where_they_begin(operation: str, by: str | None) -> None:
    rows = folding.rows_of([5, 1, None, 3, 3, -2], b=["u", "v", "u", None, "u", "v"])
    types = {"x": "int64", "b": "string"} if by else {"x": "int64"}
    built = accumulator(folding.spec(operation, types, PARAMS.get(operation, [{}])[0], by))
    table = folding.batch(rows, {"x": pa.int64(), "b": pa.string()})
    columns = (table.column("x").slice(2, 3),)
    bucket = table.column("b").slice(2, 3) if by else None
    order = Order.of(table.slice(2, 3))
    found = built.fold(Inputs(columns, bucket, order), np.zeros(3, np.int64), folding.GROUPS)
    assert content(built, found) == content(built, folding.fold(built, rows[2:5]))
