"""Blocks of Avro container files: records one after the other, decoded field by field across many of them."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import fastavro
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from schemas.types import Field
from transforms.encodings.avro_cursor import Cursor
from transforms.encodings.avro_nested import read_members
from transforms.encodings.avro_plan import Plan

Ints = npt.NDArray[np.int64]

# Records read side by side, below which it is quicker to look for their ends first, one by one.
_ABREAST = 64
FAULTS = (ArithmeticError, EOFError, LookupError, MemoryError, OSError, TypeError, ValueError, pa.ArrowException)


class DamagedBlock(Exception):
    """Records of a block cannot be told apart; its text says where and why."""


@dataclass(frozen=True)
class Block:
    """Records as they lie in a file.

    Attributes:
        count: of the records.
        content: their datums, decompressed.
    """

    count: int
    content: bytes


@dataclass(frozen=True)
class Fault:
    """What is wrong with one record.

    Attributes:
        field: name of the record's field that it is in.
        reason: text.
        detail: the number at fault, 0 if it is none.
    """

    field: str
    reason: str
    detail: int


@dataclass(frozen=True)
class Records:
    """Records of some blocks.

    Attributes:
        columns: name -> values of a field; anything where there is a fault in it.
        faults: record -> first fault.
    """

    columns: Mapping[str, Any]
    faults: Mapping[int, Fault]


class BlockDecoder:
    """Decodes blocks of records of one schema.

    Args:
        schema: of the records.
        fields: what its fields become, all of them.
        names: of the fields that are wanted.
    """

    def __init__(self, schema: Any, fields: tuple[Field, ...], names: Sequence[str]) -> None:
        self._plan = Plan(schema, fields)
        self._wanted = [member.field.name for member in self._plan.members if member.field.name in names]
        self._schema = fastavro.parse_schema(schema)
        self._nothing = fastavro.parse_schema({"type": "record", "name": schema["name"], "fields": []})
        self._least = max(1, sum(member.reader.least for member in self._plan.members))

    def decode(self, blocks: Sequence[Block], first: int) -> Records:
        """Records of blocks, in order.

        Args:
            blocks: at least one.
            first: number of the first record, for what is said of damage.

        Raises:
            DamagedBlock: a record cannot be read to its end, or a block holds more or less than its records.
        """
        counts = np.array([block.count for block in blocks], np.int64)
        starts = first + np.cumsum(counts) - counts
        for block, start in zip(blocks, starts.tolist(), strict=True):
            size = len(block.content)
            if block.count > size // self._least:
                raise DamagedBlock(
                    f"the block that begins at row {start} has {size} bytes, too few for its {block.count} rows"
                )
        if counts.sum() < _ABREAST * counts.max(initial=0):
            found = self._one_each(blocks)
            if found is not None:
                return found
        return self._abreast(blocks, counts, starts - first, first)

    def _one_each(self, blocks: Sequence[Block]) -> Records | None:
        """Records as datums of their own, which other software has found the ends of; None if it cannot be right."""
        bounds = [0]
        for block in blocks:
            content, before = io.BytesIO(block.content), bounds[-1]
            try:
                for _ in range(block.count):
                    fastavro.schemaless_reader(content, self._schema, self._nothing)
                    bounds.append(before + content.tell())
            except FAULTS:
                return None
            if bounds[-1] != before + len(block.content):
                return None
        whole = pa.py_buffer(b"".join(block.content for block in blocks))
        offsets = pa.py_buffer(np.array(bounds, np.int32))
        cursor = Cursor.over(pa.Array.from_buffers(pa.binary(), len(bounds) - 1, [None, offsets, whole]))
        columns = self._read(cursor)
        cursor.finish()
        if cursor.lost.any():
            return None
        return Records(dict(zip(self._wanted, columns, strict=True)), self._faults(cursor, np.arange(len(cursor))))

    def _abreast(self, blocks: Sequence[Block], counts: Ints, starts: Ints, first: int) -> Records:
        """Records of all blocks side by side: step k reads the k-th of each."""
        cursor = Cursor.over(pa.array([block.content for block in blocks], pa.binary()))
        faults: dict[int, Fault] = {}
        lost: dict[int, str] = {}
        places: list[Ints] = [np.zeros(0, np.int64)]
        steps: list[list[Any]] = []
        for step in range(int(counts.max(initial=0))):
            active = np.flatnonzero((counts > step) & ~cursor.lost)
            part = cursor.subset(active)
            steps.append(self._read(part))
            places.append(starts[active] + step)
            cursor.at[active] = part.at
            if part.failed:
                found = self._faults(part, places[-1])
                lost |= {int(place): found[place].reason for place in places[-1][part.lost].tolist()}
                cursor.lost[active] |= part.lost
                faults |= found
        if lost:
            raise DamagedBlock(f"row {first + min(lost)}: {lost[min(lost)]}")
        left = cursor.end - cursor.at
        if left.any():
            block = int(np.flatnonzero(left)[0])
            raise DamagedBlock(
                f"the block that begins at row {first + starts[block]} has {left[block]} bytes left over after its "
                f"{counts[block]} rows"
            )
        order = pa.array(np.argsort(np.concatenate(places), kind="stable"))
        columns = {name: _joined([step[at] for step in steps], order) for at, name in enumerate(self._wanted)}
        return Records(columns if steps else {}, faults)

    def _read(self, cursor: Cursor) -> list[Any]:
        """Columns of the wanted fields of one record from each datum; faults in other fields are forgotten."""
        columns = []
        for member in self._plan.members:
            columns += read_members(cursor, (member,))
            if member.field.name not in self._wanted:
                columns.pop()
                if cursor.failed:
                    cursor.fault[(cursor.place >= member.number) & ~cursor.lost] = 0
        return columns

    def _faults(self, cursor: Cursor, places: Ints) -> dict[int, Fault]:
        """Faults of a cursor whose datums are the records at some places."""
        found = {}
        for row in np.flatnonzero(cursor.fault).tolist():
            fault, place, detail = int(cursor.fault[row]), int(cursor.place[row]), int(cursor.detail[row])
            within = max(at for at, member in enumerate(self._plan.members) if member.number <= place)
            name = self._plan.members[within].field.name
            found[int(places[row])] = Fault(name, self._plan.reason(fault, place, detail), detail)
        return found


def _joined(parts: list[Any], order: Any) -> Any:
    return pa.concat_arrays(parts).take(order)
