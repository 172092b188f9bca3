"""first, last, first_k, last_k, top_k and bottom_k against the naive oracle, and the bytes of values of every type."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.errors import StoreError
from schemas.types import parse_type
from tests import folding
from transforms.accumulators.ordered import Ordered
from transforms.accumulators.ranked import Ranked
from transforms.accumulators.values import from_sections, section_count, to_sections

ORDERED = ("first", "last", "first_k", "last_k")


def params(operation: str, k: int) -> dict[str, int]:
    return {"k": k} if operation.endswith("_k") else {}


@settings(deadline=None)
@given(st.sampled_from(ORDERED), st.sampled_from(sorted(folding.VALUES)), st.integers(1, 3), st.booleans(), st.data())
def test_one_column(operation: str, kind: str, k: int, keep_null: bool, data: st.DataObject) -> None:
    spec = folding.spec(operation, {"x": kind}, {**params(operation, k), "keep_null": keep_null})
    folding.check(Ordered(spec), data.draw(folding.rows({"x": kind})), data)


@settings(deadline=None)
@given(st.sampled_from(ORDERED), st.lists(st.sampled_from(sorted(folding.VALUES)), min_size=2, max_size=3), st.data())
def test_structs_of_several_columns_are_never_skipped(operation: str, kinds: list[str], data: st.DataObject) -> None:
    types = {f"c{at}": kind for at, kind in enumerate(kinds)}
    spec = folding.spec(operation, types, params(operation, 2))
    folding.check(Ordered(spec), data.draw(folding.rows(types)), data)


@settings(deadline=None)
@given(st.sampled_from(["top_k", "bottom_k"]), st.sampled_from(sorted(folding.SCALARS)), st.integers(1, 4), st.data())
def test_ranked(operation: str, kind: str, k: int, data: st.DataObject) -> None:
    folding.check(Ranked(folding.spec(operation, {"x": kind}, {"k": k})), data.draw(folding.rows({"x": kind})), data)


@pytest.mark.parametrize("kind", sorted(folding.VALUES))
@settings(deadline=None, max_examples=40)
@given(counts=st.lists(st.integers(0, 3), max_size=4), nullable=st.booleans(), data=st.data())
def test_values_of_every_type_come_back_from_their_sections(
    kind: str, counts: list[int], nullable: bool, data: st.DataObject
) -> None:
    dtype = parse_type(kind)
    each = st.none() | folding.VALUES[kind] if nullable else folding.VALUES[kind]
    found = [folding.arrow(data.draw(each), dtype) for _ in range(sum(counts) + 2)]
    values = pa.array(found, dtype)[1:-1]
    sections = to_sections(values, np.asarray(counts, np.int64), nullable)
    assert len(sections) == section_count(dtype, nullable)
    back, sizes = from_sections(dtype, iter(sections), nullable)
    back.validate(full=True)
    assert sizes.tolist() == counts
    assert back.type == dtype
    assert [repr(v) for v in back.to_pylist()] == [repr(v) for v in values.to_pylist()]


def test_last_k_is_newest_first_and_first_k_oldest_first() -> None:
    rows = folding.rows_of(["a", "b", "c", "d"])
    for operation, expected in [("first_k", ["a", "b", "c"]), ("last_k", ["d", "c", "b"])]:
        accumulator = Ordered(folding.spec(operation, {"x": "string"}, {"k": 3}))
        finished = accumulator.finish(folding.fold(accumulator, rows[::-1]))
        assert finished.values.to_pylist() == [expected, None, None, None]


def test_floats_stay_as_they_are_in_first_and_become_canonical_in_top_k() -> None:
    rows = folding.rows_of([-0.0])
    first = Ordered(folding.spec("first", {"x": "float64"}))
    top = Ranked(folding.spec("top_k", {"x": "float64"}, {"k": 1}))
    assert repr(first.finish(folding.fold(first, rows)).values[0].as_py()) == "-0.0"
    assert repr(top.finish(folding.fold(top, rows)).values[0].as_py()) == "[0.0]"


def test_a_state_that_is_cut_off_is_refused() -> None:
    accumulator = Ordered(folding.spec("last_k", {"x": "string"}, {"k": 3}))
    blob = accumulator.encode(folding.fold(accumulator, folding.rows_of(["abc", "d"])))[0].as_py()
    for end in range(2, len(blob)):
        with pytest.raises(StoreError):
            accumulator.decode(pa.array([blob[:end]], pa.binary()))
