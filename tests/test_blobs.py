"""Packing of sections, numbers and items into blobs, and what is refused when reading them."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import StoreError
from transforms.accumulators import blobs

texts = st.one_of(st.just(b""), st.binary(max_size=5), st.binary(min_size=120, max_size=140))
rows_of_sections = st.integers(1, 4).flatmap(
    lambda count: st.tuples(
        st.just(count), st.lists(st.lists(texts, min_size=count, max_size=count), min_size=0, max_size=6)
    )
)


def binary(values: list[bytes]) -> pa.BinaryArray:
    return pa.array(values, pa.binary())


@given(rows_of_sections)
def test_unpack_inverts_pack(case: tuple[int, list[list[bytes]]]) -> None:
    count, rows = case
    sections = [binary([row[place] for row in rows]) for place in range(count)]
    packed = blobs.pack(sections)
    assert blobs.unpack(packed, count) == sections
    for row, blob in zip(rows, packed.to_pylist(), strict=True):
        assert (blob == b"") == (not any(row))


@given(rows_of_sections, st.integers(0, 3))
def test_sections_unknown_to_the_writer_are_empty(case: tuple[int, list[list[bytes]]], more: int) -> None:
    count, rows = case
    sections = [binary([row[place] for row in rows]) for place in range(count)]
    assert blobs.unpack(blobs.pack(sections), count + more)[count:] == [binary([b""] * len(rows))] * more


def test_sliced_arrays_pack_like_whole_ones() -> None:
    values = binary([b"x", b"yy", b"", b"zzz"])
    assert blobs.pack([values.slice(1, 3)]) == blobs.pack([binary([b"yy", b"", b"zzz"])])
    packed = blobs.pack([values]).slice(2)
    assert blobs.unpack(packed, 1) == [binary([b"", b"zzz"])]
    assert blobs.to_varints(blobs.from_varints(np.array([5, 300, 7]), np.array([1, 2])).slice(1))[0].tolist() == [
        300,
        7,
    ]


@pytest.mark.parametrize(
    ("blob", "count", "text"),
    [
        (b"\x02\x01a", 1, "version 2"),
        (b"\x01\x05ab", 1, "cut off"),
        (b"\x01\x01a\x01b", 1, "more than the 1 sections"),
        (b"\x01\x81", 1, "does not end"),
        (b"\x01" + b"\xff" * 12, 1, "damaged"),
    ],
)
def test_damaged_blobs_are_refused(blob: bytes, count: int, text: str) -> None:
    with pytest.raises(StoreError, match=text):
        blobs.unpack(binary([blob, b"\x01\x01abc"[:3]]), count)


@given(st.lists(st.lists(st.one_of(st.integers(0, 300), st.integers(0, 2**63 - 1)), max_size=4), max_size=6))
def test_varints(states: list[list[int]]) -> None:
    numbers = np.array([number for state in states for number in state], np.int64)
    lengths = np.array([len(state) for state in states], np.int64)
    encoded = blobs.from_varints(numbers, lengths)
    again, counts = blobs.to_varints(encoded)
    assert again.tolist() == numbers.tolist()
    assert counts.tolist() == lengths.tolist()


def test_varints_that_do_not_end_are_refused() -> None:
    for damaged in (b"\x01\x80", b"\xff" * 9 + b"\x01"):
        with pytest.raises(StoreError, match="does not end"):
            blobs.to_varints(binary([b"\x05", damaged, b"\x05"]))


@given(st.lists(st.lists(texts, max_size=4), max_size=6))
def test_unnest_inverts_nest(states: list[list[bytes]]) -> None:
    items = binary([item for state in states for item in state])
    counts = np.array([len(state) for state in states], np.int64)
    nested = blobs.nest(items, counts)
    again, lengths = blobs.unnest(nested)
    assert again == items
    assert lengths.tolist() == counts.tolist()


def test_fixed_rows() -> None:
    rows = np.arange(6, dtype=np.int64).reshape(3, 2)
    assert blobs.unfixed(blobs.fixed(rows), np.int64, 2).tolist() == rows.tolist()
    assert blobs.unfixed(binary([b"", (7).to_bytes(8, "little")]), np.int64).tolist() == [0, 7]
    assert len(blobs.fixed(rows[:0])) == 0
    with pytest.raises(StoreError, match="should hold 2 items"):
        blobs.unfixed(blobs.fixed(rows), np.int32, 2)
    with pytest.raises(StoreError, match="multiple of 8"):
        blobs.to_runs(binary([b"abc"]), np.int64)


def test_one_each_and_cut() -> None:
    assert blobs.one_each(np.array([1, 2, 3], np.uint8), np.array([True, False, True])).to_pylist() == [
        b"\1",
        b"",
        b"\3",
    ]
    data = np.frombuffer(b"abcdef", np.uint8)
    assert blobs.cut(data, np.array([4, 0, 2]), np.array([2, 1, 0])).to_pylist() == [b"ef", b"a", b""]
    assert blobs.cut(data, np.array([4, 0]), np.array([2, 2])).to_pylist() == [b"ef", b"ab"]
