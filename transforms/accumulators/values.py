"""Values inside states: their order, their canonical form, and their bytes, for columns of any type.

Bytes are columnar: the values of many states, side by side, become a fixed number of sections per state (their number
depends on the type alone), each cut at the bounds of the states:

* a nullable column starts with one byte per value (1: there is a value) and goes on with the values that are there;
* bool, integers, floats, dates, timestamps and decimals: little-endian, as wide as their Arrow type (bool: a byte);
* string and bytes: the lengths (LEB128), the contents;
* list: the lengths (LEB128), the sections of the elements (nullable);
* map: the lengths (LEB128), the sections of the keys, the sections of the values (nullable);
* struct: the sections of each field (nullable), one field after the other.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from schemas.errors import StoreError
from transforms.accumulators.blobs import from_varints, runs, split, to_runs, to_varints
from transforms.accumulators.ragged import segment_sums, starts

Ints = npt.NDArray[np.int64]

_SIGN_OUT = np.int64(2**63 - 1)
_FIXED: dict[pa.DataType, Any] = {
    pa.bool_(): np.uint8,
    pa.int8(): np.int8,
    pa.int16(): np.int16,
    pa.int32(): np.int32,
    pa.int64(): np.int64,
    pa.float32(): np.float32,
    pa.float64(): np.float64,
    pa.date32(): np.int32,
}
_DECIMAL = np.dtype("V16")


def canonical(values: pa.Array) -> pa.Array:
    """The same values with one NaN and one zero among floats, so that equal values have equal bytes.

    Args:
        values: `pa.Array[n]` of a scalar type, without nulls.
    """
    if not pa.types.is_floating(values.type):
        return values
    numbers = _native(values) + np.zeros(1, _FIXED[values.type])
    return pa.array(np.where(np.isnan(numbers), np.asarray(np.nan, numbers.dtype), numbers), values.type)


def ranks(values: pa.Array) -> tuple[Ints, int]:
    """Place of each value among the distinct ones: equal values have equal ranks, smaller values smaller ones.

    Floats: NaN equals NaN and is above every number, -0.0 equals 0.0. Strings and bytes compare by their (UTF-8) bytes,
    which is the order of code points. False is below true.

    Args:
        values: `pa.Array[n]` of a scalar type, without nulls.

    Returns:
        int64[n] in 0..m-1, and m (at least 1).

    Raises:
        ValueError: the type has no order (list, map, struct).
    """
    if _numeric(values.type):
        return _dense(sortable(values))
    codes = values.dictionary_encode()
    order = pc.sort_indices(codes.dictionary).to_numpy()
    places = np.empty(len(order), np.int64)
    places[order] = np.arange(len(order))
    return places[codes.indices.to_numpy()], max(len(order), 1)


def sortable(values: pa.Array) -> Ints:
    """An integer for each value, in the order of `ranks`: equal ones for equal values, smaller ones for smaller values.

    Args:
        values: `pa.Array[n]` of a scalar type, without nulls.

    Raises:
        ValueError: the type has no order (list, map, struct).
    """
    if not _numeric(values.type):
        return ranks(values)[0]
    numbers = _native(canonical(values))
    if numbers.dtype.kind != "f":
        return numbers.astype(np.int64)
    bits = numbers.astype(np.float64).view(np.int64)
    return np.asarray(bits ^ ((bits >> 63) & _SIGN_OUT), np.int64)


def _numeric(kind: pa.DataType) -> bool:
    if pa.types.is_nested(kind):
        raise ValueError(f"values of type {kind} have no order and cannot be told apart in a state")
    return kind in _FIXED or pa.types.is_timestamp(kind)


def _dense(numbers: Ints) -> tuple[Ints, int]:
    order = np.argsort(numbers)
    ordered = numbers[order]
    steps = np.zeros(len(numbers), np.int64)
    np.cumsum(ordered[1:] != ordered[:-1], out=steps[1:])
    places = np.empty(len(numbers), np.int64)
    places[order] = steps
    return places, int(steps[-1]) + 1 if len(steps) else 1


def to_sections(values: pa.Array, counts: Ints, nullable: bool = False) -> list[pa.BinaryArray]:
    """Sections of m states, of which state i has the next `counts[i]` values.

    Args:
        values: `pa.Array[n]` of any type; without nulls unless `nullable`.
        counts: int64[m], n in all.
        nullable: whether the column as a whole may have nulls.
    """
    sections: list[pa.BinaryArray] = []
    if nullable:
        there = np.asarray(values.is_valid().to_numpy(zero_copy_only=False), np.uint8)
        sections.append(runs(there, counts))
        values, counts = values.drop_null(), segment_sums(there.astype(np.int64), counts)
    kind = values.type
    if pa.types.is_struct(kind):
        for column in values.flatten():
            sections += to_sections(column, counts, nullable=True)
    elif pa.types.is_list(kind) or pa.types.is_map(kind):
        bounds = np.asarray(values.offsets.to_numpy(), np.int64)
        lengths = np.diff(bounds)
        sections.append(from_varints(lengths, counts))
        inner = segment_sums(lengths, counts)
        if pa.types.is_list(kind):
            return sections + to_sections(values.flatten(), inner, nullable=True)
        span = slice(int(bounds[0]), int(bounds[-1]))
        sections += to_sections(values.keys[span], inner)
        sections += to_sections(values.items[span], inner, nullable=True)
    elif pa.types.is_string(kind) or pa.types.is_binary(kind):
        bounds, data = split(values.cast(pa.binary()))
        lengths = np.diff(bounds)
        sections.append(from_varints(lengths, counts))
        sections.append(runs(data[bounds[0] : bounds[-1]], segment_sums(lengths, counts)))
    else:
        sections.append(runs(_native(values), counts))
    return sections


def section_count(dtype: pa.DataType, nullable: bool = False) -> int:
    """How many sections values of a type take."""
    own = int(nullable)
    if pa.types.is_struct(dtype):
        return own + sum(section_count(dtype.field(at).type, True) for at in range(dtype.num_fields))
    if pa.types.is_list(dtype):
        return own + 1 + section_count(dtype.value_type, True)
    if pa.types.is_map(dtype):
        return own + 1 + section_count(dtype.key_type) + section_count(dtype.item_type, True)
    return own + (2 if pa.types.is_string(dtype) or pa.types.is_binary(dtype) else 1)


def from_sections(dtype: pa.DataType, sections: Iterator[pa.BinaryArray], nullable: bool = False) -> tuple[Any, Ints]:
    """Values of all states, side by side, and how many each state has: the inverse of `to_sections`.

    Args:
        dtype: type of the values.
        sections: an iterator from which as many sections are taken as the type has.
        nullable: as it was given to `to_sections`.

    Raises:
        StoreError: a section is damaged, or two of them contradict each other.
    """
    if nullable:
        there, counts = to_runs(next(sections), np.uint8)
        filled, inner = from_sections(dtype, sections)
        _agree(inner, segment_sums(there.astype(np.int64), counts))
        present = there != 0
        return (filled if present.all() else filled.take(pa.array(np.cumsum(there) - 1, mask=~present))), counts
    if pa.types.is_struct(dtype):
        fields = [dtype.field(at) for at in range(dtype.num_fields)]
        columns = [from_sections(field.type, sections, nullable=True) for field in fields]
        for _, found in columns:
            _agree(found, columns[0][1])
        return pa.StructArray.from_arrays([column for column, _ in columns], fields=fields), columns[0][1]
    if pa.types.is_list(dtype) or pa.types.is_map(dtype):
        lengths, counts = to_varints(next(sections))
        inner = segment_sums(lengths, counts)
        bounds = pa.array(starts(lengths), pa.int32())
        if pa.types.is_list(dtype):
            elements, found = from_sections(dtype.value_type, sections, nullable=True)
            _agree(found, inner)
            return pa.ListArray.from_arrays(bounds, elements, type=dtype), counts
        keys, found = from_sections(dtype.key_type, sections)
        items, items_found = from_sections(dtype.item_type, sections, nullable=True)
        _agree(_agree(found, inner), items_found)
        return pa.MapArray.from_arrays(bounds, keys, items, type=dtype), counts
    if pa.types.is_string(dtype) or pa.types.is_binary(dtype):
        lengths, counts = to_varints(next(sections))
        contents, sizes = to_runs(next(sections), np.uint8)
        _agree(sizes, segment_sums(lengths, counts))
        return runs(contents, lengths).cast(dtype), counts
    numbers, counts = to_runs(next(sections), _DECIMAL if pa.types.is_decimal(dtype) else _FIXED.get(dtype, np.int64))
    return _column(numbers, dtype), counts


def _native(values: pa.Array) -> npt.NDArray[Any]:
    """Values of a fixed-width type, without nulls, as the numbers (or the bytes) that they are stored as."""
    kind = values.type
    if pa.types.is_decimal(kind):
        data = values.buffers()[1]
        return np.frombuffer(data or b"", _DECIMAL, len(values), 16 * values.offset if data else 0)
    if pa.types.is_boolean(kind):
        return np.asarray(values.to_numpy(zero_copy_only=False), np.uint8)
    stored = values.view(pa.from_numpy_dtype(_FIXED.get(kind, np.int64)))
    return np.asarray(stored.to_numpy())


def _column(numbers: npt.NDArray[Any], dtype: pa.DataType) -> pa.Array:
    if pa.types.is_boolean(dtype):
        return pa.array(numbers != 0)
    content = np.ascontiguousarray(numbers).view(np.uint8)
    return pa.Array.from_buffers(dtype, len(numbers), [None, pa.py_buffer(content)], null_count=0)


def _agree(counts: Ints, expected: Ints) -> Ints:
    if not np.array_equal(counts, expected):
        raise StoreError("a state is damaged: its values do not add up")
    return counts
