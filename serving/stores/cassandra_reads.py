"""Reads of the Cassandra store: slices of many keys in few requests, single cells, and marks."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

from cassandra import InvalidRequest

from serving.stores.base import Mark
from serving.stores.cassandra_requests import Requests
from serving.stores.cassandra_schema import table_of
from serving.stores.cassandra_session import Link, missing, refused

MOST_KEYS = 16
SPARE_CELLS = 64
"""Cells of a key that a request may read at most without their being wanted."""

NO_CELL = -(2**63)
T = TypeVar("T")
_LONGEST_KEY = 32 << 10
_PAGE = 1_000
_LONG = b"\xff*long*"
_ONE = "SELECT key, block, tile, lane, WRITETIME(cell), cell FROM {table} WHERE key = ? AND block IN ? AND tile >= ?"
_SOME = "SELECT key, block, tile, lane, WRITETIME(cell), cell FROM {table} WHERE key IN ? AND block IN ? AND tile >= ?"
_AT_TILE = "SELECT key, tile, WRITETIME(cell), cell FROM {table} WHERE key IN ? AND block = ? AND tile = ? AND lane = ?"
_OF_KEY = "SELECT key, tile, WRITETIME(cell), cell FROM {table} WHERE key = ? AND block = ? AND tile IN ? AND lane = ?"
_MARKS = 'SELECT log, lane, "offset", newest FROM {table} WHERE log IN ?'
_LANE_MARKS = 'SELECT log, lane, "offset", newest FROM {table} WHERE log IN ? AND lane = ?'


class RawCell(NamedTuple):
    """A cell as the driver has it; plain tuples in this order."""

    key: bytes
    block: str
    tile: int
    lane: str
    version: int
    blob: bytes


class Wish(NamedTuple):
    """Cells wanted of one entity type.

    Attributes:
        entity: its name.
        keys: entity keys, each once.
        firsts: block -> start (µs) of the first cell wanted.
        spans: block -> µs that one of its cells covers, 0 if it has one alone; of a block that is not named, unknown.
    """

    entity: str
    keys: Sequence[bytes]
    firsts: Mapping[str, int]
    spans: Mapping[str, int]


def partition_key(key: bytes) -> bytes:
    """The key of an entity's partition: the entity's own, or a digest where Cassandra would not take that."""
    if 0 < len(key) <= _LONGEST_KEY:
        return key
    return _LONG + hashlib.sha256(key).digest()


def _parts(items: Sequence[T]) -> Iterator[list[T]]:
    """The items in parts of at most `MOST_KEYS`."""
    for start in range(0, len(items), MOST_KEYS):
        yield list(items[start : start + MOST_KEYS])


def _together(wish: Wish) -> list[tuple[int, list[str]]]:
    """Blocks of a wish that are read together, and from which instant (µs) on.

    A request costs as much as some cells that are read and not wanted.
    """
    found: list[tuple[int, list[str]]] = []
    spare = 0
    for block, first in sorted(wish.firsts.items(), key=lambda item: item[1]):
        if found:
            begin, blocks = found[-1]
            span = wish.spans.get(block)
            extra = 0 if first == begin else (first - begin) // span if span else spare + 1
            if extra <= spare:
                blocks.append(block)
                spare -= extra
                continue
        found.append((first, [block]))
        spare = SPARE_CELLS
    return found


class Reads:
    """Queries over one keyspace; threads may share it.

    Args:
        link: to the cluster.
        requests: of the store.
    """

    def __init__(self, link: Link, requests: Requests) -> None:
        self._link, self._requests = link, requests

    def table(self, entity: str) -> str:
        """The table of an entity's cells, with its keyspace, as CQL."""
        return f'"{self._link.access.keyspace}".{table_of(entity)}'

    def cells(self, wishes: Sequence[Wish]) -> list[list[Any]]:
        """Cells of each wish, as `RawCell` has them, in no order; the key is that of the partition."""
        found: list[list[Any]] = [[] for _ in wishes]
        requests = []
        for wish, rows in zip(wishes, found, strict=True):
            requests += [(rows, *request) for request in self._slices(wish)]
        if len(requests) == 1:
            rows, statement, parameters = requests[0]
            with refused(self._link.access):
                rows += self._requests.one(statement, parameters)
        else:
            self._all(requests)
        for wish, rows in zip(wishes, found, strict=True):
            firsts = wish.firsts
            if any(row[5] is None or row[2] < firsts[row[1]] for row in rows):
                rows[:] = [row for row in rows if row[5] is not None and row[2] >= firsts[row[1]]]
        return found

    def points(
        self, entity: str, block: str, lane: str, keys: Sequence[bytes], tiles: Sequence[int]
    ) -> dict[tuple[bytes, int], tuple[int, bytes]]:
        """Version and content of the cells that exist at (keys[i], tiles[i]) of one lane, by key and tile."""
        places = {(partition_key(key), tile): (key, tile) for key, tile in zip(keys, tiles, strict=True)}
        rows: list[Any] = []
        of_tile: dict[int, list[bytes]] = defaultdict(list)
        of_key: dict[bytes, list[int]] = defaultdict(list)
        for key, tile in places:
            of_tile[tile].append(key)
            of_key[key].append(tile)
        requests: list[tuple[list[Any], Any, Sequence[Any]]] = []
        if len(of_tile) <= len(of_key):
            statement = self._prepared(_AT_TILE, entity)
            for tile, some in of_tile.items():
                requests += [(rows, statement, (part, block, tile, lane)) for part in _parts(some)]
        else:
            statement = self._prepared(_OF_KEY, entity)
            for key, several in of_key.items():
                requests += [(rows, statement, (key, block, part, lane)) for part in _parts(several)]
        if statement is not None:
            self._all(requests)
        return {places[row[0], row[1]]: (row[2], row[3]) for row in rows if row[3] is not None}

    def marks(self, logs: Sequence[str], lane: str | None = None) -> list[Mark]:
        """Marks of logs, of all lanes or of one."""
        distinct = list(dict.fromkeys(logs))
        statement = self._prepared(_MARKS if lane is None else _LANE_MARKS, None) if distinct else None
        if statement is None:
            return []
        rows: list[Any] = []
        rest = () if lane is None else (lane,)
        self._all([(rows, statement, (part, *rest)) for part in _parts(distinct)])
        return [
            Mark(log, name, offset, NO_CELL if newest is None else newest)
            for log, name, offset, newest in rows
            if offset is not None
        ]

    def _slices(self, wish: Wish) -> Iterator[tuple[Any, Sequence[Any]]]:
        """Requests for the cells of a wish: some blocks together, and some keys."""
        if not wish.keys or not wish.firsts:
            return
        statement = self._prepared(_ONE if len(wish.keys) == 1 else _SOME, wish.entity)
        if statement is None:
            return
        keys = [partition_key(key) for key in wish.keys]
        for first, blocks in _together(wish):
            if len(keys) == 1:
                yield statement, (keys[0], blocks, first)
            else:
                for part in _parts(keys):
                    yield statement, (part, blocks, first)

    def _prepared(self, query: str, entity: str | None) -> Any:
        """A statement over the table of an entity, or that of marks; None if there is no such table."""
        keyspace = self._link.access.keyspace
        with refused(self._link.access):
            try:
                return self._requests.prepare(
                    query.format(table=f'"{keyspace}".marks' if entity is None else self.table(entity)), _PAGE
                )
            except InvalidRequest as error:
                if missing(error):
                    return None
                raise

    def _all(self, requests: Iterable[tuple[list[Any], Any, Sequence[Any]]]) -> None:
        """Sends requests, and adds the rows of each to its list."""
        self._requests.many((statement, parameters, 0, rows.extend) for rows, statement, parameters in requests)
