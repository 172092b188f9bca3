"""Writes of the Cassandra store: the cells of an entity in one batch, the cells of few in one request."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from cassandra.query import BatchStatement, BatchType

from schemas.errors import StoreError
from serving.stores.base import Mark
from serving.stores.cassandra_reads import NO_CELL, partition_key
from serving.stores.cassandra_requests import Request, Requests
from serving.stores.cassandra_session import Link, refused
from transforms.cells import Cells

TOGETHER_BYTES = 1 << 20
_ENTITY_BYTES = 512
_ROW_BYTES = 48
_INSERT = "INSERT INTO {table} (key, block, tile, lane, cell) VALUES (?, ?, ?, ?, ?) USING TIMESTAMP ?"
_OFFSET = 'UPDATE {table} USING TIMESTAMP ? SET "offset" = ? WHERE log = ? AND lane = ?'
_NEWEST = "UPDATE {table} USING TIMESTAMP ? SET newest = ? WHERE log = ? AND lane = ?"
Row = tuple[bytes, str, int, str, bytes, int]


class Writes:
    """Writes into one keyspace; threads may share it.

    The cells of one entity are one mutation, which readers see as a whole. Few and small ones of several entities go in
    one request, if the same nodes hold them: a request costs several times what a cell costs. Such a request has at
    most `Access.batch` bytes, and an entity for each 512 of them: 4096 stay below the size and the number of entities
    from which Cassandra warns.

    Args:
        link: to the cluster.
        requests: of the store.
    """

    def __init__(self, link: Link, requests: Requests) -> None:
        self._link, self._requests = link, requests

    def cells(self, table: str, cells: Sequence[Cells]) -> None:
        """Writes cells; returns once all are acknowledged.

        Raises:
            StoreError: some were not; or one has a version that Cassandra cannot hold.
        """
        with refused(self._link.access):
            statement = self._requests.prepare(_INSERT.format(table=table))
        self._requests.many(self._batches(statement, _by_entity(cells)))

    def marks(self, marks: Sequence[Mark]) -> None:
        """Writes marks; returns once all are acknowledged.

        Each column has a timestamp of its own, its value, so that each is a join by itself.
        """
        table = f'"{self._link.access.keyspace}".marks'
        with refused(self._link.access):
            offset, newest = (
                self._requests.prepare(_OFFSET.format(table=table)),
                self._requests.prepare(_NEWEST.format(table=table)),
            )
        requests: list[Request] = []
        for mark in marks:
            batch = BatchStatement(BatchType.UNLOGGED)
            batch.is_idempotent = True
            batch.add(offset, (mark.offset, mark.offset, mark.log, mark.lane))
            if mark.newest != NO_CELL:
                batch.add(newest, (mark.newest, mark.newest, mark.log, mark.lane))
            requests.append((batch, None, 0, None))
        self._requests.many(requests)

    def _batches(self, statement: Any, entities: dict[bytes, list[Row]]) -> Iterator[Request]:
        """Requests for the cells of entities."""
        packs: dict[Any, tuple[list[Row], int, int]] = {}
        replicas, most = self._replicas(), self._link.access.batch
        for key, rows in entities.items():
            size = sum(len(row[4]) + _ROW_BYTES + len(key) for row in rows)
            if size > most // 2:
                yield from _apart(statement, rows)
                continue
            nodes = replicas(key)
            pack, entities_in, bytes_in = packs.get(nodes, ([], 0, 0))
            if bytes_in + size > most or entities_in == most // _ENTITY_BYTES:
                yield _request(statement, pack, bytes_in)
                pack, entities_in, bytes_in = [], 0, 0
            pack += rows
            packs[nodes] = (pack, entities_in + 1, bytes_in + size)
        for pack, _, size in packs.values():
            yield _request(statement, pack, size)

    def _replicas(self) -> Any:
        """Tells the nodes that hold an entity; all are alike where there is only one."""
        session = self._link.session
        metadata, keyspace = session.cluster.metadata, session.access.keyspace
        if len(metadata.all_hosts()) == 1:
            return lambda key: None

        def nodes(key: bytes) -> Any:
            return frozenset(host.host_id for host in metadata.get_replicas(keyspace, key))

        return nodes


def _by_entity(cells: Sequence[Cells]) -> dict[bytes, list[Row]]:
    entities: dict[bytes, list[Row]] = {}
    for part in cells:
        block, lane = part.block, part.lane
        rows = zip(part.keys, part.tiles.tolist(), part.versions.tolist(), part.blobs, strict=True)
        for key, tile, version, blob in rows:
            if version == NO_CELL:
                raise StoreError(f"block {block}: a version of {version} cannot be held by Cassandra")
            place = partition_key(key)
            row = (place, block, tile, lane, blob, version)
            known = entities.get(place)
            if known is None:
                entities[place] = [row]
            else:
                known.append(row)
    return entities


def _apart(statement: Any, rows: Sequence[Row]) -> Iterator[Request]:
    """Requests for the cells of one entity: one, unless they are too many for that."""
    part: list[Row] = []
    size = 0
    for row in rows:
        if part and size + len(row[4]) > TOGETHER_BYTES:
            yield _request(statement, part, size)
            part, size = [], 0
        part.append(row)
        size += len(row[4])
    yield _request(statement, part, size)


def _request(statement: Any, rows: Sequence[Row], size: int) -> Request:
    if len(rows) == 1:
        return statement, rows[0], size, None
    batch = BatchStatement(BatchType.UNLOGGED)
    batch.is_idempotent = True
    for row in rows:
        batch.add(statement, row)
    return batch, None, size, None
