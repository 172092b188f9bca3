"""Every type of a column comes back from the offline store as it went in, compacted or not."""

from __future__ import annotations

import datetime
import math
import struct
from decimal import Context, Decimal
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.types import parse_type
from serving.stores.offline import OfflineStore

TYPES = [
    *("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "float32", "float64", "string", "bytes"),
    *("timestamp", "timestamp(ms)", "date", "decimal(10,2)", "decimal(38,9)", "list<float64>", "map<string,int64>"),
    *("list<list<string>>", "map<string,list<decimal(20,3)>>", "list<map<string,date>>"),
    *("struct<a:int8,b:map<string,struct<t:timestamp,x:bytes>>,c:list<struct<d:decimal(5,1)>>>",),
]
_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
_MOMENTS = st.integers(-5 * 10**15, 7 * 10**15).map(lambda time: _EPOCH + datetime.timedelta(microseconds=time))


def values(kind: pa.DataType) -> st.SearchStrategy[Any]:
    """Values of a type, nulls among them."""
    found: st.SearchStrategy[Any]
    if pa.types.is_boolean(kind):
        found = st.booleans()
    elif pa.types.is_integer(kind):
        found = st.integers(-(2 ** (kind.bit_width - 1)), 2 ** (kind.bit_width - 1) - 1)
    elif pa.types.is_floating(kind):
        found = st.floats(width=kind.bit_width)
    elif pa.types.is_string(kind):
        found = st.text(max_size=5)
    elif pa.types.is_binary(kind):
        found = st.binary(max_size=5)
    elif pa.types.is_timestamp(kind):
        found = _MOMENTS
    elif pa.types.is_date(kind):
        found = st.dates()
    elif pa.types.is_decimal(kind):
        exact = Context(prec=kind.precision)
        numbers = st.integers(1 - 10**kind.precision, 10**kind.precision - 1)
        found = numbers.map(lambda number: Decimal(number).scaleb(-kind.scale, exact))
    elif pa.types.is_map(kind):
        found = st.dictionaries(st.text(max_size=3), values(kind.item_type), max_size=3).map(lambda d: list(d.items()))
    elif pa.types.is_list(kind):
        found = st.lists(values(kind.value_type), max_size=3)
    else:
        found = st.fixed_dictionaries({field.name: values(field.type) for field in kind})
    return st.none() | found


def bits(value: Any) -> Any:
    """The value with floats as their bytes, so that NaN equals NaN and -0.0 differs from 0.0."""
    if isinstance(value, float):
        return b"nan" if math.isnan(value) else struct.pack(">d", value)
    if isinstance(value, dict):
        return {name: bits(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [bits(item) for item in value]
    return value


@pytest.mark.parametrize("text", TYPES)
@given(data=st.data())
@settings(max_examples=6, deadline=None)
def test_every_type_comes_back_as_it_went_in(
    tmp_path_factory: pytest.TempPathFactory, text: str, data: st.DataObject
) -> None:
    kind = parse_type(text)
    given_values = data.draw(st.lists(values(kind), min_size=1, max_size=6))
    store = OfflineStore(tmp_path_factory.mktemp("types"))
    schema = pa.schema([pa.field("n", pa.int64()), pa.field("value", kind)])
    for part in (given_values, given_values[:1]):
        batch = pa.record_batch([pa.array(range(len(part)), pa.int64()), pa.array(part, kind)], schema=schema)
        store.append("t", [batch], {})
    for _ in range(2):
        found = store.read("t", filter=pl.col("n") >= 0)
        assert found.schema == schema
        assert store.schema("t") == schema
        ordered = sorted(found.to_pylist(), key=lambda row: int(row["n"]))
        expected = pa.array([given_values[0], *given_values], kind).to_pylist()
        assert [bits(row["value"]) for row in ordered] == [bits(value) for value in expected]
        store.compact("t")
