"""The spine: the requests of an as-of join, sorted by entity and instant, so that all positions only ever go up."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from transforms.accumulators.blobs import unfixed
from transforms.accumulators.sorting import by_group
from transforms.columns import flags, integers, whole
from transforms.keys import encode_keys

Ints = npt.NDArray[np.int64]
_SIGN = np.uint64(1 << 63)


class Spine:
    """Requests sorted by (entity, instant); every entity has a number, and those of one part stand side by side.

    Args:
        keys: `pa.Array[n]`, the requests' entity keys, see `plain_keys`; null for a null key.
        instants: int64[n], µs.
        parts: number of parts that the entities are dealt to.

    Attributes:
        codes: int64[n], number of each request's entity, ascending; a null key has a number that no row has.
        instants: int64[n], in the same order.
        null: bool[n], requests of a null key.
        order: int64[n], which request stands at each place.
    """

    def __init__(self, keys: pa.Array, instants: Ints, parts: int = 1) -> None:
        self._numeric = pa.types.is_int64(keys.type)
        encoded = keys.dictionary_encode()
        self._entities = encoded.dictionary
        self._width = max(1, -(-len(self._entities) // parts))
        deal, place = np.arange(len(self._entities)) % parts, np.arange(len(self._entities)) // parts
        self._known = np.append(deal * self._width + place, parts * self._width)
        self._table = self._direct_table()
        codes = self._known[integers(encoded.indices.fill_null(len(self._entities)))]
        self.order = by_group(codes, instants)
        self.codes, self.instants = codes[self.order], instants[self.order]
        self.null = self.codes == parts * self._width
        self._bounds = np.searchsorted(self.codes, np.arange(parts + 1) * self._width)
        self._bounds[-1] = len(codes)

    def __len__(self) -> int:
        return len(self.codes)

    def part(self, number: int) -> slice:
        """Places of a part's requests."""
        return slice(int(self._bounds[number]), int(self._bounds[number + 1]))

    def part_of(self, codes: Ints) -> Ints:
        """Part of each entity."""
        return codes // self._width

    @property
    def nobody(self) -> int:
        """Number of an entity that nobody asks for: above all others."""
        return int(self._known[-1]) + 1

    def find(self, columns: Sequence[pa.Array | pa.ChunkedArray]) -> Ints:
        """Numbers int64[m] of the entities of rows, by the columns of their key; `nobody` for all not asked for."""
        if self._table is not None:
            low, table = self._table
            numbers = _integers(whole(columns[0]))
            if len(numbers) and low <= numbers.min() and numbers.max() < low + len(table):
                return table[numbers - low]
            there = (numbers >= low) & (numbers < low + len(table))
            return np.where(there, table[np.where(there, numbers - low, 0)], self.nobody)
        places = pc.index_in(plain_keys(columns), value_set=self._entities).fill_null(len(self._entities))
        return np.append(self._known[:-1], self.nobody)[integers(places)]

    def _direct_table(self) -> tuple[int, Ints] | None:
        """Least key and the numbers of all keys from it on, where they lie close together."""
        if not self._numeric or not len(self._entities):
            return None
        keys = integers(self._entities)
        low, high = int(keys.min()), int(keys.max())
        if high - low > 4 * len(keys) + 1024 or high == np.iinfo(np.int64).max:
            return None
        table = np.full(high - low + 1, self.nobody)
        table[keys - low] = self._known[:-1]
        return low, table


def plain_keys(columns: Sequence[pa.Array | pa.ChunkedArray]) -> pa.Array:
    """Entity keys by their columns, as quickly as they can be compared: int64 for one column of numbers, else bytes."""
    if len(columns) == 1 and _is_numeric(columns[0].type):
        return _integer_column(whole(columns[0]))
    return encode_keys(columns)


def decoded_keys(kinds: Sequence[pa.DataType], keys: pa.BinaryArray) -> pa.Array:
    """The same from keys that are encoded already."""
    return _numbers(keys) if len(kinds) == 1 and _is_numeric(kinds[0]) else keys


def _is_numeric(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_integer(kind)
        or pa.types.is_timestamp(kind)
        or pa.types.is_date32(kind)
        or pa.types.is_boolean(kind)
    )


def _numbers(keys: pa.BinaryArray) -> pa.Array:
    """The numbers that keys of one such column encode, null for null."""
    values = (unfixed(keys.fill_null(b"") if keys.null_count else keys, ">u8").astype(np.uint64) ^ _SIGN).view(np.int64)
    return pa.array(values, mask=~flags(keys.is_valid())) if keys.null_count else pa.array(values)


def _integer_column(column: pa.Array) -> pa.Array:
    if pa.types.is_date32(column.type):
        column = column.cast(pa.int32())
    elif pa.types.is_boolean(column.type):
        column = column.cast(pa.int8())
    return column.cast(pa.int64())


def _integers(column: pa.Array) -> Ints:
    return np.asarray(_integer_column(column).to_numpy(zero_copy_only=False), np.int64)
