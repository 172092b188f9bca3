"""Generated rows for accumulators: typed columns, an order with ties, and folds of splits merged in any order."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping, Sequence
from decimal import Decimal
from types import MappingProxyType
from typing import Any

import numpy as np
import pyarrow as pa
from hypothesis import strategies as st

from schemas.state import StateSpec
from schemas.types import parse_type
from tests import oracle
from transforms.accumulators.base import Accumulator, Inputs
from transforms.order import Order

UTC = pa.timestamp("us", "UTC")
GROUPS = 4
LANES = ("a/files-0/0", "a/files-0/2", "a/files-0/10", "a/topic-ff/2", "a/topic-fe/2", "ab/files-1/0")

_FLOATS = st.sampled_from([0.0, -0.0, 1.0, 1.5, -2.5, 1e16, 1e-5, 1e308, -1e308, 5e-324, math.nan, math.inf, -math.inf])
_TEXTS = st.sampled_from(["", "a", "b", "aa", "é", "\U0001f600", "\uffff", "a\0", "true"])
_TIMES = st.sampled_from(
    [
        dt.datetime(1, 1, 1, tzinfo=dt.UTC),
        dt.datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=dt.UTC),
        dt.datetime(2026, 11, 24, 15, tzinfo=dt.UTC),
        dt.datetime(2026, 11, 24, 15, 0, 0, 1000, tzinfo=dt.UTC),
        dt.datetime(9999, 12, 31, 23, 59, 59, 1, tzinfo=dt.UTC),
    ]
)


def _integers(bits: int) -> st.SearchStrategy[int]:
    low, high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    return st.sampled_from([0, 1, -1, 7, low, low + 1, high, high - 1]) | st.integers(low, high)


def _decimals(precision: int, scale: int) -> st.SearchStrategy[Decimal]:
    high = 10**precision - 1
    units = st.sampled_from([0, 1, -1, 250, high, -high]) | st.integers(-high, high)
    return units.map(lambda n: Decimal(f"{n}e-{scale}"))


NUMBERS: dict[str, st.SearchStrategy[Any]] = {
    "bool": st.booleans(),
    "int8": _integers(8),
    "int32": _integers(32),
    "int64": _integers(64),
    "float32": _FLOATS.map(lambda v: float(np.float32(v)) if abs(v) < 1e300 else v / 1e300) | st.floats(width=32),
    "float64": _FLOATS | st.floats() | st.floats(-100, 100),
    "decimal(9,2)": _decimals(9, 2),
    "decimal(38,10)": _decimals(38, 10),
}
SCALARS: dict[str, st.SearchStrategy[Any]] = {
    **NUMBERS,
    "string": _TEXTS | st.text(st.characters(exclude_categories=["Cs"]), max_size=3),
    "bytes": st.sampled_from([b"", b"\0", b"a", b"\xff\0", b"\xff"]),
    "date": st.sampled_from([dt.date(1, 1, 1), dt.date(1969, 12, 31), dt.date(2026, 11, 24), dt.date(9999, 12, 31)]),
    "timestamp": _TIMES,
}
NESTED: dict[str, st.SearchStrategy[Any]] = {
    "list<int64>": st.lists(st.none() | _integers(64), max_size=3),
    "list<list<string>>": st.lists(st.none() | st.lists(st.none() | _TEXTS, max_size=2), max_size=2),
    "map<string,float64>": st.dictionaries(_TEXTS, st.none() | _FLOATS, max_size=3),
    "struct<a:int8,b:list<string>>": st.builds(
        lambda a, b: {"a": a, "b": b},
        st.none() | _integers(8),
        st.none() | st.lists(st.none() | _TEXTS, max_size=2),
    ),
}
VALUES = {**SCALARS, **NESTED}


def spec(
    operation: str, types: dict[str, str], params: Mapping[str, Any] = MappingProxyType({}), by: str | None = None
) -> StateSpec:
    """State of an operation over the columns named in `types`, the bucket column (if any) last."""
    kinds = {name: parse_type(text) for name, text in types.items()}
    by_type = None if by is None else kinds.pop(by)
    return StateSpec(operation, tuple(kinds), tuple(kinds.values()), tuple(sorted(params.items())), by, by_type)


@st.composite
def rows(draw: st.DrawFn, types: dict[str, str], most: int = 14) -> list[oracle.Row]:
    """Rows with the given columns (some null) and places in the order that differ, in no order, `_group` 0..3."""
    column = {name: st.none() | VALUES[text] for name, text in types.items()}
    few = st.integers(-1, 1)
    lane, offset, part = st.sampled_from(LANES), st.integers(0, 2), st.integers(0, 1)
    places = draw(st.lists(st.tuples(lane, offset, part), unique=True, max_size=most))
    found = []
    for lane_text, offset_number, part_number in places:
        row = {name: draw(values) for name, values in column.items()}
        row["_event_time"], row["_sequence"], row["_arrival"] = draw(few), draw(st.none() | few), draw(few)
        row["_lane"], row["_offset"], row["_part"], row["_deleted"] = lane_text, offset_number, part_number, False
        row["_group"] = draw(st.integers(0, GROUPS - 1))
        found.append(row)
    return found


def rows_of(values: Sequence[Any], **more: Sequence[Any]) -> list[oracle.Row]:
    """Rows of the first group with column `x`, a microsecond apart, and with more columns."""
    return [
        {"x": x, "_event_time": at, "_sequence": None, "_arrival": 0, "_lane": LANES[0], "_offset": at, "_part": 0}
        | {"_deleted": False, "_group": 0}
        | {name: column[at] for name, column in more.items()}
        for at, x in enumerate(values)
    ]


def batch(found: Sequence[oracle.Row], types: dict[str, pa.DataType]) -> pa.RecordBatch:
    """Rows as the project carries them."""
    system = {"_event_time": UTC, "_sequence": pa.int64(), "_arrival": UTC, "_lane": pa.string()}
    system |= {"_offset": pa.int64(), "_part": pa.int32(), "_deleted": pa.bool_()}
    columns = {
        name: pa.array([arrow(row[name], kind) for row in found], kind) for name, kind in {**types, **system}.items()
    }
    return pa.RecordBatch.from_pydict(columns)


def fold(accumulator: Accumulator, found: Sequence[oracle.Row]) -> Any:
    """States of the four groups."""
    state = accumulator.spec
    types = dict(zip(state.columns, state.types, strict=True))
    if state.by is not None and state.by_type is not None:
        types[state.by] = state.by_type
    table = batch(found, types)
    columns = tuple(table.column(name) for name in state.columns)
    by = None if state.by is None else table.column(state.by)
    groups = np.asarray([row["_group"] for row in found], np.int64)
    return accumulator.fold(Inputs(columns, by, Order.of(table)), groups, GROUPS)


def fold_in_parts(accumulator: Accumulator, found: Sequence[oracle.Row], data: st.DataObject) -> Any:
    """States of the four groups from folds of a split of the rows, sent through bytes and merged in some order."""
    part_of = [data.draw(st.integers(0, 3), label="part") for _ in found]
    parts = [fold(accumulator, [row for row, p in zip(found, part_of, strict=True) if p == part]) for part in range(4)]
    parts = [accumulator.decode(accumulator.encode(part)) for part in parts]
    while len(parts) > 1:
        at = data.draw(st.permutations(range(len(parts))), label="next")
        two = accumulator.concat([parts[at[0]], parts[at[1]]])
        merged = accumulator.merge(two, np.tile(np.arange(GROUPS), 2), GROUPS)
        parts = [merged, *(parts[i] for i in at[2:])]
    return parts[0]


def check(accumulator: Accumulator, found: Sequence[oracle.Row], data: st.DataObject) -> None:
    """Whole folds and folds in parts have the same bytes, and their values are the oracle's."""
    state = accumulator.spec
    whole, parts = fold(accumulator, found), fold_in_parts(accumulator, found, data)
    assert accumulator.encode(whole).to_pylist() == accumulator.encode(parts).to_pylist()
    for states in (whole, parts, accumulator.decode(accumulator.encode(whole))):
        finished = accumulator.finish(states)
        finished.values.validate(full=True)
        assert finished.values.type == accumulator.dtype
        got = [plain(value, accumulator.dtype) for value in finished.values.to_pylist()]
        for group in range(GROUPS):
            mine = [row for row in found if row["_group"] == group]
            expected, overflow = oracle.value(state.operation, mine, dict(state.params), state.columns, state.by)
            assert same(expected, got[group]), (group, expected, got[group])
            assert finished.overflow[group] == overflow


def plain(value: Any, kind: pa.DataType) -> Any:
    """Python value of an Arrow value, maps as dicts."""
    if value is None:
        return None
    if pa.types.is_map(kind):
        assert len({key for key, _ in value}) == len(value)
        return {key: plain(item, kind.item_type) for key, item in value}
    if pa.types.is_list(kind):
        return [plain(item, kind.value_type) for item in value]
    if pa.types.is_struct(kind):
        return {field.name: plain(value[field.name], field.type) for field in kind}
    return value


def same(expected: Any, got: Any) -> bool:
    """Equality that tells -0.0 from 0.0, takes NaN for NaN, minds types and the order of entries of a map."""
    if isinstance(expected, oracle.Near):
        return bool(expected == got)
    if isinstance(expected, float):
        return isinstance(got, float) and repr(got) == repr(expected)
    if isinstance(expected, dict):
        return (
            isinstance(got, dict) and list(expected) == list(got) and all(same(v, got[k]) for k, v in expected.items())
        )
    if isinstance(expected, list):
        return isinstance(got, list) and len(expected) == len(got) and all(map(same, expected, got))
    return type(expected) is type(got) and bool(expected == got)


def arrow(value: Any, kind: pa.DataType) -> Any:
    """A Python value as pyarrow takes it: maps as pairs."""
    if value is None:
        return None
    if pa.types.is_map(kind):
        return [(key, arrow(item, kind.item_type)) for key, item in value.items()]
    return value
