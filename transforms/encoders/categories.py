"""Categories: the values of columns counted, ordered and looked up, one column or several crossed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from schemas.checks_entity import can_be_key
from transforms.columns import flags
from transforms.encoders.base import Arrays, Bools, Ints

Value = Any
FEW = 32


def is_category(kind: pa.DataType) -> bool:
    """Whether a type is one of categories: exact values that can be told apart."""
    return can_be_key(kind)


class Combinations:
    """The distinct combinations of categories among n rows; those with a null are none.

    A value is bool, int, text or bytes (dates and times: their count of units); a combination of one column is the
    value itself, of several a tuple.

    Attributes:
        values: distinct combinations, in no particular order.
        codes: int64[n], place of each row's combination in `values`; -1 for none.
    """

    def __init__(self, columns: Arrays) -> None:
        stored_as = [plain(column) for column in columns]
        if len(columns[0]) <= FEW:
            self.values, self.codes = _of_few(plain_rows(stored_as), len(columns) == 1)
        else:
            self.values, self.codes = _of_many(stored_as)

    def counts(self, among: Bools | None = None) -> Ints:
        """Rows of each of `values`, all of them or those `among`."""
        some = self.codes if among is None else self.codes[among]
        return np.bincount(some[some >= 0], minlength=len(self.values)).astype(np.int64)

    def kept(self, counts: Ints, size: int, min_count: int) -> list[int]:
        """Places of the values kept: the `size` most frequent ones, by count, then in the order of values."""
        order = sorted(np.flatnonzero(counts >= min_count).tolist(), key=lambda at: (-int(counts[at]), self.values[at]))
        return order[:size]

    def numbers(self, known: Mapping[Value, int]) -> Ints:
        """Number of each row's combination in `known`; -1 for one that is not in it, -2 for none."""
        found = np.asarray([*(known.get(value, -1) for value in self.values), -2], np.int64)
        return found[self.codes]


def stored(values: Sequence[Value]) -> list[Any]:
    """Values, or combinations of them, as JSON: bytes in hexadecimal."""
    return [list(map(_json, value)) if isinstance(value, tuple) else _json(value) for value in values]


def restored(values: Sequence[Any], kinds: Sequence[pa.DataType]) -> dict[Value, int]:
    """Place of each value that `stored` made JSON of, by the value; the types are those of the columns."""
    several = len(kinds) > 1
    return {
        tuple(_value(part, kind) for part, kind in zip(value, kinds, strict=True))
        if several
        else _value(value, kinds[0]): place
        for place, value in enumerate(values)
    }


def plain(column: pa.Array) -> pa.Array:
    """The column, dates and times as their count of units."""
    if not pa.types.is_temporal(column.type):
        return column
    return column.view(pa.int64() if column.type.bit_width == 64 else pa.int32())


def plain_rows(columns: Arrays) -> list[tuple[Value, ...]]:
    """Rows of columns as tuples of values."""
    return list(zip(*(column.to_pylist() for column in columns), strict=True))


def _of_few(rows: Sequence[tuple[Value, ...]], single: bool) -> tuple[list[Value], Ints]:
    """Distinct combinations and each row's place among them, by plain Python, which is quicker for few rows."""
    places: dict[Value, int] = {}
    codes = [-1 if None in row else places.setdefault(row[0] if single else row, len(places)) for row in rows]
    return list(places), np.asarray(codes, np.int64)


def _of_many(columns: Arrays) -> tuple[list[Value], Ints]:
    """The same, vectorised."""
    valid = np.logical_and.reduce([flags(column.is_valid()) for column in columns])
    distinct, codes = zip(*(_coded(column, valid) for column in columns), strict=True)
    if len(columns) == 1:
        return distinct[0], _spread(codes[0], valid)
    joined, members = codes[0], [(value,) for value in distinct[0]]
    for values, code in zip(distinct[1:], codes[1:], strict=True):
        radix = max(len(values), 1)
        pairs, joined = np.unique(joined * radix + code, return_inverse=True)
        members = [(*members[pair // radix], values[pair % radix]) for pair in pairs.tolist()]
    return members, _spread(joined.astype(np.int64), valid)


def _coded(column: pa.Array, valid: Bools) -> tuple[list[Value], Ints]:
    """Distinct values, and the place of each of the valid rows' among them."""
    coded = column.filter(pa.array(valid)).dictionary_encode()
    return coded.dictionary.to_pylist(), np.asarray(coded.indices.to_numpy(zero_copy_only=False), np.int64)


def _spread(codes: Ints, valid: Bools) -> Ints:
    """Codes of the valid rows at their places among all rows, -1 elsewhere."""
    out = np.full(len(valid), -1, np.int64)
    out[valid] = codes
    return out


def _json(value: Value) -> Any:
    return value.hex() if isinstance(value, bytes) else value


def _value(value: Any, kind: pa.DataType) -> Value:
    return bytes.fromhex(value) if pa.types.is_binary(kind) else value
