"""What one feature value costs: CPU of the server to answer it, alone and in a batch, and its bytes in the store.

Over Cassandra the CPU of the node is told too. Bytes are those of the store's files once all is written and, in
Cassandra, compacted by nothing but its own background work.
"""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from bench.feast import VERSION
from bench.servers import (
    KEYSPACE,
    KINDS,
    RIVAL_KEYSPACE,
    TITLES,
    WIDTHS,
    Served,
    cpu,
    feast,
    forgiven,
    loaded,
    ours,
    questions,
    rival,
    rows_file,
)
from bench.table import Measured
from pipelines.dev.cassandra import Cassandra

KEYS = (1, 100)
CONNECTIONS = 4
Who = tuple[str, str]


@dataclass(frozen=True)
class Cost:
    """Of one value of a kind.

    Attributes:
        server: CPU µs of the server.
        node: CPU µs of the node of Cassandra; None over SQLite.
    """

    server: float
    node: float | None


def measure(scale: float = 1.0) -> list[Measured]:
    """CPU µs and bytes of a feature value, over both stores."""
    rows, entities = max(int(60_000 * scale), 2_000), max(int(4_000 * scale), 200)
    seconds, python = max(4.0 * scale, 1.0), rival()
    costs: dict[Who, Mapping[tuple[str, int], Cost]] = {}
    stored: dict[Who, float] = {}
    values = entities * sum(WIDTHS.values())
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        file = rows_file(folder / "rows.parquet", rows, entities)
        with ours(folder / "sqlite", file) as server:
            costs["ours", "SQLite"] = _costs(server, entities, seconds, None)
        stored["ours", "SQLite"] = sqlite_bytes(folder / "sqlite" / "ours" / "store" / "online.db") / values
        if python is not None:
            with forgiven():
                with feast(folder / "sqlite", file, python) as server:
                    costs["feast", "SQLite"] = _costs(server, entities, seconds, None)
                stored["feast", "SQLite"] = sqlite_bytes(folder / "sqlite" / "theirs" / "online.db") / values
        node = Cassandra(folder / "node", heap="1g")
        try:
            node.start()
            with ours(folder, file, node) as server:
                costs["ours", "Cassandra"] = _costs(server, entities, seconds, node)
            if python is not None:
                with forgiven(), feast(folder, file, python, node) as server:
                    costs["feast", "Cassandra"] = _costs(server, entities, seconds, node)
            node.stop()  # In order: what it holds in memory is written.
        finally:
            node.kill()
        for who, keyspace in (("ours", KEYSPACE), ("feast", RIVAL_KEYSPACE)):
            if (who, "Cassandra") in costs:
                stored[who, "Cassandra"] = table_bytes(folder / "node", keyspace) / values
    return [*_cpu_rows(costs), *_byte_rows(stored, entities, rows)]


def sqlite_bytes(path: Path) -> int:
    """Bytes of the pages in use of a SQLite file, its log merged."""
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        pages, free, size = (
            database.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size")
        )
    return int((pages - free) * size)


def table_bytes(node: Path, keyspace: str) -> int:
    """Bytes of the files of a keyspace's tables."""
    folder = node / "data" / "data" / keyspace
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _costs(server: Served, entities: int, seconds: float, node: Cassandra | None) -> dict[tuple[str, int], Cost]:
    found = {}
    for kind in KINDS:
        for keys in KEYS:
            bodies = questions(server, kind, keys, entities)
            loaded(server, bodies, CONNECTIONS, 0.5)
            before = _cpu(node)
            load = loaded(server, bodies, CONNECTIONS, seconds)
            spent = None if node is None else _cpu(node) - before
            values = keys * WIDTHS[kind]
            # The warming of the load is in the node's share: a quarter more requests.
            shared = None if spent is None else 1e6 * spent / (1.25 * load.requests * values)
            found[kind, keys] = Cost(1e6 * load.cpu / values, shared)
    return found


def _cpu(node: Cassandra | None) -> float:
    return 0.0 if node is None or node.pid is None else cpu(node.pid)


def _cpu_rows(costs: Mapping[Who, Mapping[tuple[str, int], Cost]]) -> Iterator[Measured]:
    of_whom: tuple[tuple[str, Callable[[Cost], float | None]], ...] = (
        ("server", lambda cost: cost.server),
        ("node of Cassandra", lambda cost: cost.node),
    )
    for title, figure in of_whom:
        for store in ("SQLite", "Cassandra"):
            mine, theirs = costs["ours", store], costs.get(("feast", store), {})
            for (kind, keys), cost in mine.items():
                value, other = figure(cost), theirs.get((kind, keys))
                if value is not None:
                    yield Measured(
                        f"one feature value: CPU of the {title}",
                        f"{store}, {TITLES[kind]}, {keys} {'key' if keys == 1 else 'keys'} a request",
                        value,
                        "CPU us",
                        "lower",
                        f"feast serve {VERSION}",
                        None if other is None else figure(other),
                    )


def _byte_rows(stored: Mapping[Who, float], entities: int, rows: int) -> Iterator[Measured]:
    for store in ("SQLite", "Cassandra"):
        yield Measured(
            "one feature value: bytes in the store",
            f"{store}, {entities:,} entities, {rows:,} events, 10 latest and 12 windows",
            stored["ours", store],
            "bytes",
            "lower",
            f"feast {VERSION}",
            stored.get(("feast", store)),
        )
