"""Entity keys as bytes."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from transforms.keys import encode_keys

TEXTS = st.lists(st.none() | st.text(max_size=4), min_size=1, max_size=8)


@given(st.lists(st.tuples(st.none() | st.text(max_size=3), st.none() | st.binary(max_size=3)), min_size=1))
def test_composite_keys_are_told_apart(pairs: list[tuple[str | None, bytes | None]]) -> None:
    names, codes = zip(*pairs, strict=True)
    encoded = encode_keys([pa.array(names, pa.string()), pa.array(codes, pa.binary())]).to_pylist()
    for (one, left), (two, right) in zip(
        zip(pairs, encoded, strict=True), zip(pairs[::-1], encoded[::-1], strict=True), strict=True
    ):
        if None in one or None in two:
            assert (left is None) == (None in one)
        else:
            assert (left == right) == (one == two)


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        (pa.int64(), [-(2**63), -1, 0, 1, 2**63 - 1]),
        (pa.int16(), [-(2**15), -1, 0, 2**15 - 1]),
        (pa.bool_(), [False, True]),
        (pa.date32(), [-1, 0, 20000]),
        (pa.timestamp("us", "UTC"), [-1, 0, 1]),
    ],
)
def test_bytes_of_numbers_sort_as_the_numbers(kind: pa.DataType, values: list[Any]) -> None:
    encoded = encode_keys([pa.array(values, kind)]).to_pylist()
    assert encoded == sorted(encoded)
    assert len(set(encoded)) == len(values)


def test_an_integer_key_has_the_same_bytes_in_any_width() -> None:
    assert encode_keys([pa.array([7], pa.int8())]).equals(encode_keys([pa.array([7], pa.int64())]))


@given(TEXTS)
def test_every_kind_of_text_column_gives_the_same_bytes(texts: list[str | None]) -> None:
    plain = encode_keys([pa.array(texts, pa.string())])
    chunks = pa.chunked_array([pa.array(texts[:1], pa.string()), pa.array(texts[1:], pa.string())])
    for other in (pa.array(texts, pa.large_string()), pa.array(texts, pa.string_view()), chunks):
        assert encode_keys([other]).equals(plain)
    assert [value is None for value in plain.to_pylist()] == [text is None for text in texts]
