"""Columns of Avro unions, records, arrays and maps, read from many datums at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from transforms.encodings.avro_columns import Reader, Strings
from transforms.encodings.avro_cursor import Cursor, Fault

Ints = npt.NDArray[np.int64]

_MOST = np.iinfo(np.int64).max


@dataclass(frozen=True)
class Unions:
    """A union of one type, with or without null.

    Attributes:
        value: the type.
        type: Arrow type of the column.
        present: number of its branch.
        branches: how many there are.
    """

    value: Reader
    type: pa.DataType
    present: int
    branches: int
    least: int = 1

    def read(self, cursor: Cursor) -> pa.Array:
        """Column[n], null where the branch is null."""
        branch = cursor.varints()
        cursor.fail((branch < 0) | (branch >= self.branches), Fault.BRANCH, branch)
        rows = np.flatnonzero(branch == self.present)
        if len(rows) == len(cursor):
            return self.value.read(cursor)
        part = cursor.subset(rows)
        values = self.value.read(part)
        cursor.absorb(part, rows)
        places = np.full(len(cursor), -1, np.int64)
        places[rows] = np.arange(len(rows))
        return values.take(pa.array(places, mask=places < 0))


@dataclass(frozen=True)
class Field:
    """A member of a record.

    Attributes:
        number: of its place among all fields of the schema, for faults.
        field: Arrow field.
        reader: of its values.
    """

    number: int
    field: Any
    reader: Reader


@dataclass(frozen=True)
class Records:
    """A record within a record.

    Attributes:
        members: in their order, at least one.
    """

    members: tuple[Field, ...]

    @property
    def least(self) -> int:
        """Fewest bytes of a value."""
        return sum(member.reader.least for member in self.members)

    def read(self, cursor: Cursor) -> pa.Array:
        """Structs[n]."""
        columns = read_members(cursor, self.members)
        return pa.StructArray.from_arrays(columns, fields=[member.field for member in self.members])


@dataclass(frozen=True)
class Lists:
    """`array`.

    Attributes:
        type: Arrow list type.
        items: reader of the items.
    """

    type: Any
    items: Field
    least: int = 1

    def read(self, cursor: Cursor) -> pa.Array:
        """Lists[n]."""
        least, types = self.items.reader.least, [self.type.value_type]
        owners, (items,) = _blocks(cursor, least, lambda part: read_members(part, (self.items,)), types)
        return pa.ListArray.from_arrays(_offsets(owners, len(cursor)), items, type=self.type)


@dataclass(frozen=True)
class Maps:
    """`map`; of equal keys the last one counts.

    Attributes:
        type: Arrow map type.
        items: reader of the values.
    """

    type: Any
    items: Field
    least: int = 1

    def read(self, cursor: Cursor) -> pa.Array:
        """Maps[n]."""
        owners, (keys, items) = _blocks(
            cursor,
            1 + self.items.reader.least,
            lambda part: [Strings().read(part), *read_members(part, (self.items,))],
            [pa.string(), self.type.item_type],
        )
        codes = keys.dictionary_encode().indices.to_numpy(zero_copy_only=False).astype(np.int64)
        places = owners * (len(keys) + 1) + codes
        _, last = np.unique(places[::-1], return_index=True)
        if len(last) < len(places):
            keep = np.sort(len(places) - 1 - last)
            owners, keys, items = owners[keep], keys.take(pa.array(keep)), items.take(pa.array(keep))
        offsets = _offsets(owners, len(cursor))
        return pa.MapArray.from_arrays(offsets, keys, items, self.type)


def read_members(cursor: Cursor, members: tuple[Field, ...]) -> list[pa.Array]:
    """Columns of a record's members."""
    columns = []
    for member in members:
        cursor.field = member.number
        columns.append(member.reader.read(cursor))
    return columns


def _blocks(
    cursor: Cursor, least: int, read: Callable[[Cursor], list[pa.Array]], types: list[pa.DataType]
) -> tuple[Ints, list[pa.Array]]:
    """Items of blocks until the empty block: step k reads the k-th item of all datums that have one.

    Args:
        cursor: n datums, each at the beginning of a block.
        least: fewest bytes of an item.
        read: reads the columns of one item from each datum.
        types: of those columns.

    Returns:
        The datum of each item, ascending, and the columns of the items.
    """
    field = cursor.field
    left = np.zeros(len(cursor), np.int64)
    active = np.arange(len(cursor))
    owners: list[Ints] = []
    steps: list[list[pa.Array]] = []
    while len(active):
        _open_blocks(cursor, active[left[active] == 0], left, least)
        active = active[left[active] > 0]
        if len(active):
            part = cursor.subset(active)
            steps.append(read(part))
            owners.append(active)
            cursor.absorb(part, active)
            cursor.field = field
            left[active] -= 1
            if cursor.failed:
                active = active[~cursor.lost[active]]
    if not owners:
        return np.zeros(0, np.int64), [pa.array([], kind) for kind in types]
    owner = np.concatenate(owners)
    order = np.argsort(owner, kind="stable")
    rows = pa.array(order)
    columns: list[Any] = [pa.concat_arrays([step[k] for step in steps]).take(rows) for k in range(len(types))]
    return owner[order], columns


def _open_blocks(cursor: Cursor, rows: Ints, left: Ints, least: int) -> None:
    """Reads the heads of blocks at `rows`, and how many items each has into `left`."""
    if not len(rows):
        return
    part = cursor.subset(rows)
    counts = part.varints()
    sized = np.flatnonzero(counts < 0)
    if len(sized):
        # A negative count is followed by the block's size in bytes, for readers that skip it.
        inner = part.subset(sized)
        inner.varints()
        part.absorb(inner, sized)
        counts[sized] = -np.maximum(counts[sized], -_MOST)
    room = (part.end - part.at) // max(least, 1)
    part.fail(counts > room, Fault.TRUNCATED)
    left[rows] = np.where(part.lost, 0, counts)
    cursor.absorb(part, rows)


def _offsets(owners: Ints, count: int) -> pa.Array:
    offsets = np.zeros(count + 1, np.int32)
    np.cumsum(np.bincount(owners, minlength=count), out=offsets[1:])
    return pa.array(offsets)
