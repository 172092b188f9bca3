"""Rows of the Cassandra store: marks first, then the cells, in one round of requests if the marks are known already."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from serving.stores.base import SEALED
from serving.stores.cassandra_reads import Reads, Wish, partition_key
from serving.stores.row_reads import Asked, Rows, Wanted

GRACE_SECONDS = 1.0
"""Seconds between the raise of a seal and the removal of the first cell: no read is allowed to straddle both."""

_KEPT_SECONDS = 0.3
_SLOW_SECONDS = 0.6


class CassandraRowReader:
    """`RowReader` over one keyspace; threads may share it.

    Marks that were read a moment ago are taken again: they only grow, and cells read later hold at least what they say.
    A seal says besides which cells may be gone. So it may be a little old, but a read that ends so long after it was
    read that the cells could be gone by then reads it again.

    Args:
        reads: the store's.
    """

    def __init__(self, reads: Reads) -> None:
        self._reads = reads
        self._known: dict[Wanted, dict[str, tuple[float, dict[str, int]]]] = {kind: {} for kind in Wanted}

    def read(self, asked: Sequence[Asked], marks: Wanted) -> Rows:
        """See `RowReader`."""
        blocks = list(dict.fromkeys(block for each in asked for block in each.blocks))
        oldest, known = self._marks(blocks, marks)
        wishes = [
            Wish(
                each.entity,
                list(dict.fromkeys(each.keys)),
                dict(zip(each.blocks, each.firsts, strict=True)),
                dict(zip(each.blocks, each.spans, strict=True)),
            )
            for each in asked
        ]
        found = self._reads.cells(wishes)
        if time.monotonic() - oldest > _SLOW_SECONDS:
            for mark in self._reads.marks(blocks, SEALED):
                if SEALED in known[mark.log]:
                    known[mark.log] = {**known[mark.log], SEALED: mark.offset}
        cells = [_numbered(each, rows) for each, rows in zip(asked, found, strict=True)]
        lanes = {row[3]: row[3] for rows in found for row in rows} if marks is Wanted.ALL else {}
        return Rows(cells, known, lanes, together=False)

    def _marks(self, blocks: Sequence[str], wanted: Wanted) -> tuple[float, dict[str, Mapping[str, int]]]:
        """Marks of blocks, and when the oldest of them were read."""
        now, kept = time.monotonic(), self._known[wanted]
        oldest = min([kept[block][0] for block in blocks if block in kept], default=now)
        if now - oldest > _KEPT_SECONDS or any(block not in kept for block in blocks):
            oldest = now
            fresh: dict[str, dict[str, int]] = {block: {} for block in blocks}
            for mark in self._reads.marks(blocks, SEALED if wanted is Wanted.SEALS else None):
                fresh[mark.log][mark.lane] = mark.offset
            for block, of_block in fresh.items():
                if SEALED in of_block:
                    kept[block] = (now, of_block)
                else:
                    kept.pop(block, None)
            return oldest, dict(fresh)
        return oldest, {block: kept[block][1] for block in blocks}


def _numbered(asked: Asked, found: Sequence[Any]) -> list[tuple[int, int, int, Any, int, bytes]]:
    """Cells with the numbers of their keys and slices, in the order of both."""
    slices = {block: number for number, block in enumerate(asked.blocks)}
    if len(asked.keys) == 1:
        rows = [(0, slices[block], tile, lane, version, blob) for _, block, tile, lane, version, blob in found]
    else:
        numbers: dict[bytes, list[int]] = {}
        for number, key in enumerate(asked.keys):
            numbers.setdefault(partition_key(key), []).append(number)
        rows = [
            (number, slices[block], tile, lane, version, blob)
            for key, block, tile, lane, version, blob in found
            for number in numbers[key]
        ]
    rows.sort()
    return rows
