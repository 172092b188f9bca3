"""Expiry in the Cassandra store: the cells of a block that start before an instant, removed entity by entity."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

from serving.stores.cassandra_requests import Request, Requests
from serving.stores.cassandra_session import Link, refused

FOR_EVER = 2**63 - 1
_PAGE = 5_000
_FIND = "SELECT key FROM {table} WHERE block = ? AND tile < ? ALLOW FILTERING"
_REMOVE = "DELETE FROM {table} USING TIMESTAMP ? WHERE key = ? AND block = ? AND tile < ?"


def remove(link: Link, requests: Requests, table: str, block: str, before: int) -> int:
    """Removes cells, and says how many they were.

    The table is read through in the order of its partitions, of which the cluster hands out those that have something
    to remove. The deletion is of all times: what is written there later, by a replay, is gone at once as well.

    Args:
        link: to the cluster.
        requests: of the store.
        table: as CQL.
        block: id of the block.
        before: µs.
    """
    removed = 0
    with refused(link.access):
        find, delete = requests.prepare(_FIND.format(table=table), _PAGE), requests.prepare(_REMOVE.format(table=table))
        rows = iter(link.session.driver.execute(find, (block, before), timeout=None))

    def deletions() -> Iterator[Request]:
        nonlocal removed
        for key, cells in groupby(rows, lambda row: row[0]):
            removed += sum(1 for _ in cells)
            yield delete, (FOR_EVER, key, block, before), 0, None

    with refused(link.access):
        requests.many(deletions())
    return removed
