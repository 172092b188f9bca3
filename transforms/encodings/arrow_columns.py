"""Arrow columns checked against declared types: of files, of frames, and of what Arrow's JSON parser gives."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from schemas.types import Field
from transforms.columns import whole
from transforms.encodings import times
from transforms.encodings.decoded import Column
from transforms.encodings.json_values import JSON
from transforms.encodings.objects import OBJECTS
from transforms.encodings.ranges import INTEGERS, beyond, decimal_words, expected
from transforms.encodings.values import kind

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

LEGAL = {
    "bool": "booleans",
    "int": "integers",
    "float": "floats or integers",
    "string": "strings",
    "bytes": "binary",
    "timestamp": "timestamps or ISO 8601 strings, and with a declared unit integers",
    "date": "dates or ISO 8601 strings",
    "decimal": "decimals, integers or strings",
    "list": "lists",
    "map": "maps with string keys, or lists of structs of key and value",
    "struct": "structs",
}
NO_TEXT = "the text is not UTF-8"
_NANOSECONDS = {"s": 1_000_000_000, "ms": 1_000_000, "us": 1_000, "ns": 1}


class WrongType(Exception):
    """A column is of a type that no value of the declared type comes from; its text says which."""


def arrow_column(field: Field, array: pa.Array | pa.ChunkedArray, path: str | None = None) -> Column:
    """Column of n values of any Arrow type from which the declared one can be had without loss.

    Args:
        field: name and declared type.
        array: n values.
        path: of the field, where it lies in another.

    Raises:
        WrongType: the column's type never holds the declared one; the text names both, and what is legal.
    """
    at = field.name if path is None else path
    plain = _plain(whole(array))
    if pa.types.is_null(plain.type):
        return Column(pa.nulls(len(plain), field.type), {})
    name = kind(field.type)
    found = _COLUMNS[name](field, plain, at)
    if found is None:
        unit = " without a unit" if name == "timestamp" and pa.types.is_integer(plain.type) else ""
        raise WrongType(f"column {at} is of type {array.type}; legal for {field.text}{unit} are {LEGAL[name]}")
    return found


def _plain(array: Any) -> Any:
    """The array in the one Arrow type of its family: no dictionaries, views or 64-bit offsets."""
    kind_of = array.type
    if isinstance(array, pa.ExtensionArray):
        return _plain(array.storage)
    if pa.types.is_dictionary(kind_of):
        return _plain(array.dictionary_decode())
    if pa.types.is_large_string(kind_of) or pa.types.is_string_view(kind_of):
        return array.cast(pa.string())
    if pa.types.is_large_binary(kind_of) or pa.types.is_binary_view(kind_of) or pa.types.is_fixed_size_binary(kind_of):
        return array.cast(pa.binary())
    if pa.types.is_large_list(kind_of) or pa.types.is_fixed_size_list(kind_of):
        return array.cast(pa.list_(kind_of.value_type))
    if array.offset and (pa.types.is_nested(kind_of)):
        return pa.concat_arrays([array])
    return array


def _numbers(array: Any) -> npt.NDArray[Any]:
    """Values with 0 where they are null."""
    filled = array.fill_null(0) if array.null_count else array
    return np.asarray(filled.to_numpy(zero_copy_only=False))


def _marked(values: pa.Array, source: Any, wrong: Bools, field: Field, path: str, hint: str = "") -> Column:
    """Column whose values are bad where `wrong` holds and the source is not null."""
    rows = np.flatnonzero(wrong & source.is_valid().to_numpy(zero_copy_only=False)) if wrong.any() else ()
    show = JSON.show if pa.types.is_string(source.type) else OBJECTS.show
    shown = (show(source[int(row)].as_py()) for row in rows)
    bad = {int(row): f"{path}: {text} is no {expected(field)}{hint}" for row, text in zip(rows, shown, strict=True)}
    return Column(values, bad)


def _with_nulls(values: npt.NDArray[Any], source: Any) -> Any:
    mask = source.is_null().to_numpy(zero_copy_only=False) if source.null_count else None
    return pa.array(values, mask=mask)


def _booleans(field: Field, array: Any, path: str) -> Column | None:
    return Column(array, {}) if pa.types.is_boolean(array.type) else None


def _integers(field: Field, array: Any, path: str) -> Column | None:
    if not pa.types.is_integer(array.type):
        return None
    values = _numbers(array)
    low, high = INTEGERS[field.text]
    bounds = np.iinfo(values.dtype)
    wrong = np.zeros(len(values), np.bool_)
    if low > bounds.min:
        wrong |= values < low
    if high < bounds.max:
        wrong |= values > high
    return _marked(array.cast(field.type, safe=False), array, wrong, field, path)


def _floats(field: Field, array: Any, path: str) -> Column | None:
    if not (pa.types.is_floating(array.type) or pa.types.is_integer(array.type)):
        return None
    values = array.cast(field.type, safe=False)
    wrong = np.zeros(len(array), np.bool_)
    if pa.types.is_float32(field.type) and pa.types.is_float64(array.type):
        wrong = np.isinf(_numbers(values)) & np.isfinite(_numbers(array))
    return _marked(values, array, wrong, field, path)


def _strings(field: Field, array: Any, path: str) -> Column | None:
    if not pa.types.is_string(array.type):
        return None
    # Files may hold other bytes in a column of strings.
    sound = strings(_bytes_of(array))
    return Column(sound, dict.fromkeys(_lost(array, sound), f"{path}: {NO_TEXT}"))


def _bytes_of(array: Any) -> Any:
    """A column of strings as bytes."""
    return array.view(pa.binary())


def _lost(array: Any, sound: Any) -> list[int]:
    """Values that are no UTF-8: null in `sound`, but not in the array."""
    if sound.null_count == array.null_count:
        return []
    found: list[int] = np.flatnonzero(true(sound.is_null()) & true(array.is_valid())).tolist()
    return found


def _binaries(field: Field, array: Any, path: str) -> Column | None:
    return Column(array, {}) if pa.types.is_binary(array.type) else None


def _timestamps(field: Field, array: Any, path: str) -> Column | None:
    if pa.types.is_string(array.type):
        values, wrong = times.instants(array)
        hint = ": legal is ISO 8601 text as in 2026-12-01T00:00:00Z"
        return _marked(_with_nulls(values, array).cast(field.type), array, wrong, field, path, hint)
    if pa.types.is_timestamp(array.type):
        unit = array.type.unit
        counts = _numbers(array.cast(pa.int64()))
    elif pa.types.is_integer(array.type) and field.unit is not None:
        unit = field.unit
        wide = _numbers(array)
        counts = np.where(wide > times.LAST, times.LAST + 1, wide).astype(np.int64)
    else:
        return None
    first, last = _micros(unit)
    wrong = (counts < first) | (counts > last)
    counts = np.where(wrong, 0, counts)
    step = _NANOSECONDS[unit]
    values = counts * (step // 1_000) if step >= 1_000 else counts // (1_000 // step)
    shown = array if pa.types.is_integer(array.type) else array.cast(pa.int64())
    stamped = _with_nulls(values, array).cast(field.type)
    return _marked(stamped, shown, wrong, field, path, " of the years 1 to 9999")


def _micros(unit: str) -> tuple[int, int]:
    """Least and greatest count of the unit within the legal years (ns: all that there are)."""
    step = _NANOSECONDS[unit]
    if step < 1_000:
        return np.iinfo(np.int64).min, np.iinfo(np.int64).max
    return -(-times.FIRST // (step // 1_000)), times.LAST // (step // 1_000)


def _dates(field: Field, array: Any, path: str) -> Column | None:
    if pa.types.is_string(array.type):
        values, wrong = times.days(array)
        hint = ": legal is ISO 8601 text as in 2026-12-01"
        dates = _with_nulls(values.astype(np.int32), array).cast(field.type)
        return _marked(dates, array, wrong, field, path, hint)
    if not pa.types.is_date(array.type):
        return None
    dates = array.cast(pa.date32(), safe=False)
    counts = dates.cast(pa.int32())
    values = _numbers(counts)
    wrong = (values < times.FIRST_DAY) | (values > times.LAST_DAY)
    return _marked(dates, counts, wrong, field, path, " of the years 1 to 9999")


def _decimals(field: Field, array: Any, path: str) -> Column | None:
    exact = (pa.types.is_decimal, pa.types.is_integer, pa.types.is_string)
    if not any(test(array.type) for test in exact):
        return None
    if array.type == field.type:
        # Arrow's JSON parser scales 4294967296 to a decimal(10,2) of twelve digits.
        wrong = beyond(*decimal_words(array), array.type.precision) if len(array) else np.zeros(0, np.bool_)
        return _marked(array, array, wrong, field, path)
    try:
        return Column(array.cast(field.type), {})
    except pa.ArrowInvalid:
        return (JSON if pa.types.is_string(array.type) else OBJECTS).column(field, array.to_pylist())


def _lists(field: Field, array: Any, path: str) -> Column | None:
    if not pa.types.is_list(array.type):
        return None
    inner = arrow_column(field.children[0], array.values, f"{path}[]")
    lists = pa.ListArray.from_arrays(array.offsets, inner.values, field.type, mask=_mask(array))
    return Column(lists, _owned(inner.bad.items(), array))


def _maps(field: Field, array: Any, path: str) -> Column | None:
    dtype: Any = array.type
    if pa.types.is_map(dtype):
        keys, items = array.keys, array.items
    elif pa.types.is_list(dtype) and pa.types.is_struct(dtype.value_type) and _pair_names(dtype.value_type):
        keys, items = array.values.field("key"), array.values.field("value")
    else:
        return None
    keys = _plain(keys)
    if not pa.types.is_string(keys.type):
        return None
    inner = arrow_column(field.children[0], items, f"{path}{{}}")
    names = strings(_bytes_of(keys))
    bad = dict(inner.bad) | dict.fromkeys(_lost(keys, names), f"{path}{{}} key: {NO_TEXT}")
    offsets = array.offsets
    if array.null_count:
        absent = np.append(array.is_null().to_numpy(zero_copy_only=False), False)
        offsets = pa.array(offsets.to_numpy(), mask=absent)
    whole_names = names.fill_null("") if names.null_count else names
    return Column(pa.MapArray.from_arrays(offsets, whole_names, inner.values, field.type), _owned(bad.items(), array))


def _pair_names(dtype: Any) -> bool:
    return {dtype.field(index).name for index in range(dtype.num_fields)} == {"key", "value"}


def _structs(field: Field, array: Any, path: str) -> Column | None:
    if not pa.types.is_struct(array.type):
        return None
    there = {array.type.field(index).name for index in range(array.type.num_fields)}
    columns: list[Any] = []
    bad: dict[int, str] = {}
    valid = array.is_valid().to_numpy(zero_copy_only=False)
    for child in field.children:
        member = array.field(child.name) if child.name in there else pa.nulls(len(array))
        found = arrow_column(child, member, f"{path}.{child.name}")
        columns.append(found.values)
        for row, reason in found.bad.items():
            if valid[row]:
                bad.setdefault(row, reason)
    dtype: Any = field.type
    fields = [dtype.field(index) for index in range(dtype.num_fields)]
    return Column(pa.StructArray.from_arrays(columns, fields=fields, mask=_mask(array)), bad)


def _mask(array: Any) -> Any:
    return array.is_null() if array.null_count else None


def _owned(bad: Iterable[tuple[int, str]], lists: Any) -> dict[int, str]:
    """Reasons of items as reasons of the lists that they lie in."""
    offsets = lists.offsets.to_numpy()
    valid = lists.is_valid().to_numpy(zero_copy_only=False)
    owned: dict[int, str] = {}
    for item, reason in sorted(bad):
        row = int(np.searchsorted(offsets, item, "right")) - 1
        if 0 <= row < len(valid) and valid[row]:
            owned.setdefault(row, reason)
    return owned


_COLUMNS: dict[str, Callable[[Field, Any, str], Column | None]] = {
    "bool": _booleans,
    "int": _integers,
    "float": _floats,
    "string": _strings,
    "bytes": _binaries,
    "timestamp": _timestamps,
    "date": _dates,
    "decimal": _decimals,
    "list": _lists,
    "map": _maps,
    "struct": _structs,
}


def strings(array: pa.Array) -> pa.Array:
    """Binary as strings where it is UTF-8, else null."""
    try:
        return array.cast(pa.string())
    except pa.ArrowInvalid:
        return pa.array([_text(value) for value in array.to_pylist()], pa.string())


def _text(value: bytes | None) -> str | None:
    try:
        return None if value is None else value.decode()
    except UnicodeDecodeError:
        return None


def true(mask: Any) -> Bools:
    """A boolean column as bool[n], null as false."""
    return np.asarray(pc.fill_null(mask, False).to_numpy(zero_copy_only=False), np.bool_)
