"""The online store in a Cassandra cluster: a table per entity type, a partition per entity, every write a join.

The version of a cell is its write time, by which Cassandra itself keeps the greater one; see docs/adr/0015.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext

import numpy as np

from schemas.errors import StoreError
from serving.stores.base import CellReader, Found, Ints, Mark, Slice
from serving.stores.cassandra_access import Access, check_keyspace
from serving.stores.cassandra_expiry import remove
from serving.stores.cassandra_marks import Publication
from serving.stores.cassandra_reads import Reads, Wish, partition_key
from serving.stores.cassandra_requests import Requests
from serving.stores.cassandra_row_reads import GRACE_SECONDS, CassandraRowReader
from serving.stores.cassandra_schema import Schema
from serving.stores.cassandra_session import Link
from serving.stores.cassandra_writes import Writes
from transforms.cells import Cells


class CassandraStore:
    """`OnlineStore` in one keyspace; threads and processes may share it.

    Args:
        access: how the cluster is reached.

    Raises:
        StoreAway: no node answers.
        StoreError: the cluster refuses the user, or the keyspace has another layout or belongs to something else.
        SettingsError: there is no such data centre, or the keyspace's name is not legal.
    """

    def __init__(self, access: Access) -> None:
        check_keyspace(access.keyspace)
        self.access = access
        self._link = Link(access)
        try:
            Schema(self._link.session).check()
        except BaseException:
            self._link.close()
            raise
        requests = Requests(self._link)
        self._reads, self._writes = Reads(self._link, requests), Writes(self._link, requests)
        self._requests = requests
        self._marks = Publication(access.window, lambda: self._link.session.boots(), self._writes.marks)

    def made(self) -> bool:
        """Whether its keyspace has been made."""
        return Schema(self._link.session).check()

    def prepare(self, entities: Sequence[str]) -> None:
        Schema(self._link.session).prepare(entities)

    def write(self, entity: str, cells: Sequence[Cells], marks: Sequence[Mark] = ()) -> None:
        if not any(len(part) for part in cells):
            self._marks.tell()
            self._marks.offer(marks)
            return
        self._marks.begin()
        try:
            self._writes.cells(self._reads.table(entity), cells)
        except StoreError:
            self._marks.failed()
            raise
        self._marks.acknowledged()
        self._marks.offer(marks)

    def current(
        self, entity: str, block: str, lane: str, keys: Sequence[bytes], tiles: Ints
    ) -> tuple[Ints, list[bytes | None]]:
        versions = np.zeros(len(keys), np.int64)
        blobs: list[bytes | None] = [None] * len(keys)
        if len(keys):
            starts = tiles.tolist()
            found = self._reads.points(entity, block, lane, keys, starts)
            for number, place in enumerate(zip(keys, starts, strict=True)):
                if place in found:
                    versions[number], blobs[number] = found[place]
        return versions, blobs

    def expire(self, entity: str, block: str, before: int) -> int:
        self._marks.drain()
        # Readers that have not seen the seal yet are to be done, and no node is to forget it, before a cell goes.
        self._marks.outlast(GRACE_SECONDS)
        return remove(self._link, self._requests, self._reads.table(entity), block, before)

    def read(self, entity: str, keys: Sequence[bytes], slices: Sequence[Slice]) -> Found:
        firsts: dict[str, int] = {}
        of_block: dict[str, list[int]] = {}
        for number, each in enumerate(slices):
            firsts[each.block] = min(each.first, firsts.get(each.block, each.first))
            of_block.setdefault(each.block, []).append(number)
        numbers: dict[bytes, list[int]] = {}
        for number, key in enumerate(keys):
            numbers.setdefault(partition_key(key), []).append(number)
        (rows,) = self._reads.cells([Wish(entity, list(dict.fromkeys(keys)), firsts, {})])
        found = [
            (number, part, tile, lane, version, blob)
            for key, block, tile, lane, version, blob in rows
            for part in of_block[block]
            if tile >= slices[part].first
            for number in numbers[key]
        ]
        columns = list(zip(*found, strict=True)) or [()] * 6
        key_numbers, parts, tiles, lanes, versions, blobs = columns
        return Found(_ints(key_numbers), _ints(parts), _ints(tiles), list(lanes), _ints(versions), list(blobs))

    def marks(self, logs: Sequence[str]) -> list[Mark]:
        return self._reads.marks(logs)

    def snapshot(self) -> AbstractContextManager[CellReader]:
        """The store itself: what is read later holds at least what was there before."""
        return nullcontext(self)

    def row_reader(self) -> CassandraRowReader:
        """See `row_reads.RowSource`."""
        return CassandraRowReader(self._reads)

    def close(self) -> None:
        """Waits until all marks are published, and ends the connection.

        Raises:
            StoreAway: marks could not be published: a node may have forgotten what they cover.
        """
        try:
            self._marks.close()
        finally:
            self._link.close()


def _ints(values: Sequence[int]) -> Ints:
    return np.array(values, np.int64)
