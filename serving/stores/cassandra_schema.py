"""Tables of the Cassandra store: made by `prepare`, marked with the layout that they have, refused if it is another.

Cells of an entity type are a table, the cells of one entity a partition of it. A cell has one column, since two columns
of equal timestamps can come from two writes. The version of a cell is the timestamp of that column: Cassandra's own
rule for concurrent writes (the greater timestamp, then the greater bytes) is the join that the port promises.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from cassandra import AlreadyExists

from schemas.errors import StoreError
from serving.stores.cassandra_access import LONGEST, REFILL
from serving.stores.cassandra_session import Session, refused

LAYOUT = 1
_HOLDER = "twinbeam_layout"
_DAY = 86_400
_MAKE_KEYSPACE = "CREATE KEYSPACE IF NOT EXISTS {keyspace} WITH replication = {replication}"
_MAKE_HOLDER = "CREATE TABLE IF NOT EXISTS {keyspace}.{holder} (name text PRIMARY KEY, layout bigint)"
# A deletion is never of a cell that anybody could still read, so that one forgotten by a node does no harm.
_MAKE_CELLS = (
    "CREATE TABLE IF NOT EXISTS {keyspace}.{table} (key blob, block text, tile bigint, lane text, cell blob, "
    f"PRIMARY KEY (key, block, tile, lane)) WITH gc_grace_seconds = {_DAY}"
)
_MAKE_MARKS = (
    'CREATE TABLE IF NOT EXISTS {keyspace}.marks (log text, lane text, "offset" bigint, newest bigint, '
    "PRIMARY KEY (log, lane))"
)


def table_of(entity: str) -> str:
    """Name of an entity's table of cells, as CQL."""
    name = f"cells_{entity}"
    if len(name) > LONGEST:
        name = f"{name[:31]}_{hashlib.sha256(entity.encode()).hexdigest()[:16]}"
    return f'"{name}"'


class Schema:
    """Tables of one keyspace.

    Args:
        session: with the cluster.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._names = {"keyspace": f'"{session.access.keyspace}"', "holder": _HOLDER}

    def check(self) -> bool:
        """Whether the keyspace is there and has this layout.

        Raises:
            StoreError: it has another layout, or belongs to something else.
        """
        access = self._session.access
        cluster = self._session.cluster
        found = cluster.metadata.keyspaces.get(access.keyspace)
        if found is None or not found.tables:
            return False
        if _HOLDER not in found.tables:
            # The driver learns of tables that another process makes one by one, in any order.
            with refused(access):
                cluster.refresh_keyspace_metadata(access.keyspace)
            found = cluster.metadata.keyspaces.get(access.keyspace)
        if found is None or _HOLDER not in found.tables:
            raise StoreError(
                f"{access.name}: keyspace {access.keyspace!r} holds tables, but no store of Twinbeam; name another"
            )
        query = "SELECT layout FROM {keyspace}.{holder} WHERE name = 'online'".format(**self._names)
        with refused(access):
            row = self._session.execute(query).one()
        if row is not None and row[0] != LAYOUT:
            raise StoreError(
                f"{access.name}: keyspace {access.keyspace!r} was written by another version (layout {row[0]}, this "
                f"one reads {LAYOUT}); {REFILL}"
            )
        return row is not None

    def prepare(self, entities: Sequence[str]) -> None:
        """Makes what is missing: the keyspace, the tables, and the note of their layout.

        Raises:
            StoreError: this user may not, or the keyspace belongs to something else.
        """
        access = self._session.access
        complete = self.check()
        found = self._session.cluster.metadata.keyspaces.get(access.keyspace)
        if not complete:
            if found is None:
                copies = access.replication or ((self._session.datacenter, 1),)
                options = ", ".join(f"'{name}': {count}" for name, count in copies)
                self._do(_MAKE_KEYSPACE, replication=f"{{'class': 'NetworkTopologyStrategy', {options}}}")
            self._do(_MAKE_HOLDER)
            self._do(_MAKE_MARKS)
        tables = found.tables if found is not None else {}
        for entity in entities:
            table = table_of(entity)
            if table.strip('"') not in tables:
                self._do(_MAKE_CELLS, table=table)
        if not complete:
            self._do(
                "INSERT INTO {keyspace}.{holder} (name, layout) VALUES ('online', {layout}) USING TIMESTAMP {layout}",
                layout=str(LAYOUT),
            )

    def _do(self, statement: str, **names: str) -> None:
        with refused(self._session.access):
            try:
                self._session.execute(statement.format(**self._names, **names))
            except AlreadyExists:  # another process was quicker, in the same moment
                return
