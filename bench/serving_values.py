"""What one feature value costs: CPU of the server to answer it, alone and in a batch, and its bytes in the store.

Over Cassandra the CPU of the node is told too. Bytes are those of the store's files once all is written and, in
Cassandra, compacted by nothing but its own background work. Before and after packing is measured in process, by the
same drivers: cells as Twinbeam packs them, beside tables of one row a value (`bench.packing`). What a million requests
a second cost is CPU µs of a request, in cores: it is told of each process, and is the sum of what was measured, no
cluster that was run.
"""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from bench import packing
from bench.feast import VERSION
from bench.measuring import medians
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
    measured,
    ours,
    questions,
    rival,
    rows_file,
    warmed,
)
from bench.table import Measured
from pipelines.dev.cassandra import Cassandra

KEYS = (1, 100)
CONNECTIONS = 4
Who = tuple[str, str]
Costs = Mapping[tuple[str, int], "Cost"]
Packing = tuple[Mapping[str, float], Mapping[str, float]]
ONE_ROW = "one row a value, plain script"


@dataclass(frozen=True)
class Cost:
    """Of one value of a kind.

    Attributes:
        server: CPU µs of the server.
        node: CPU µs of the node of Cassandra; None over SQLite.
    """

    server: float
    node: float | None


OF_WHOM: tuple[tuple[str, Callable[[Cost], float | None]], ...] = (
    ("server", lambda cost: cost.server),
    ("node of Cassandra", lambda cost: cost.node),
)


def measure(scale: float = 1.0) -> list[Measured]:
    """CPU µs and bytes of a feature value, over both stores."""
    rows, entities = max(int(60_000 * scale), 2_000), max(int(4_000 * scale), 200)
    seconds, python = max(4.0 * scale, 1.0), rival()
    costs: dict[Who, Costs] = {}
    stored: dict[Who, float] = {}
    packed: dict[str, Packing] = {}
    values = entities * sum(WIDTHS.values())
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        file = rows_file(folder / "rows.parquet", rows, entities)
        with ours(folder / "sqlite", file) as server:
            costs["ours", "SQLite"] = _costs(server, entities, seconds, None)
        stored["ours", "SQLite"] = sqlite_bytes(folder / "sqlite" / "ours" / "store" / "online.db") / values
        table = str(folder / "plain.db")
        packed["SQLite"] = _packing(folder / "sqlite", file, table, entities, None)
        stored["plain", "SQLite"] = sqlite_bytes(Path(table)) / values
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
            packed["Cassandra"] = _packing(folder, file, f"cassandra:{node.hosts}", entities, node)
            node.stop()  # In order: what it holds in memory is written.
        finally:
            node.kill()
        for who, keyspace in (("ours", KEYSPACE), ("feast", RIVAL_KEYSPACE), ("plain", packing.KEYSPACE)):
            if who == "plain" or (who, "Cassandra") in costs:
                stored[who, "Cassandra"] = table_bytes(folder / "node", keyspace) / values
    sizes = f"{entities:,} entities, {rows:,} events, 10 latest and 12 windows"
    return [*_cpu_rows(costs), *price_rows(costs), *_packing_rows(packed), *_byte_rows(stored, sizes)]


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
            asked = warmed(server, bodies, CONNECTIONS, seconds)
            before = _cpu(node)
            load = measured(server, asked, seconds)
            spent = None if node is None else _cpu(node) - before
            values = keys * WIDTHS[kind]
            shared = None if spent is None else 1e6 * spent / ((load.requests + load.late) * values)
            found[kind, keys] = Cost(1e6 * load.cpu / values, shared)
    return found


def _cpu(node: Cassandra | None) -> float:
    return 0.0 if node is None or node.pid is None else cpu(node.pid)


def _cpu_rows(costs: Mapping[Who, Costs]) -> Iterator[Measured]:
    for title, figure in OF_WHOM:
        for store in ("SQLite", "Cassandra"):
            mine, theirs = costs["ours", store], costs.get(("feast", store), {})
            for (kind, keys), cost in mine.items():
                value, other = figure(cost), theirs.get((kind, keys))
                if value is not None:
                    yield Measured(
                        f"one feature value: CPU of the {title}",
                        _size(store, kind, keys, "request"),
                        value,
                        "CPU us",
                        "lower",
                        f"feast serve {VERSION}",
                        None if other is None else figure(other),
                    )


def price_rows(costs: Mapping[Who, Costs]) -> Iterator[Measured]:
    """Cores that a million requests a second keep busy: as many as one request takes CPU µs."""
    for title, figure in OF_WHOM:
        for store in ("SQLite", "Cassandra"):
            theirs = costs.get(("feast", store), {})
            for (kind, keys), cost in costs.get(("ours", store), {}).items():
                value, values = figure(cost), keys * WIDTHS[kind]
                other = figure(theirs[kind, keys]) if (kind, keys) in theirs else None
                if value is not None:
                    yield Measured(
                        f"a million requests/s: cores of the {title}",
                        _size(store, kind, keys, "request"),
                        value * values,
                        "cores",
                        "lower",
                        f"feast serve {VERSION}",
                        None if other is None else other * values,
                    )


def _packing(folder: Path, file: Path, table: str, entities: int, node: Cassandra | None) -> Packing:
    project = str(folder / "ours")
    medians("bench.packing:fill", {"file": str(file), "where": table}, 1)
    packing.compare(project, table, list(range(50)))
    given = {"entities": entities, "node": None if node is None else node.pid}
    return (
        medians("bench.packing:read_packed", {"folder": project, **given}),
        medians("bench.packing:read_plain", {"where": table, **given}),
    )


def _packing_rows(packed: Mapping[str, Packing]) -> Iterator[Measured]:
    for title, suffix in (("reader in process", ""), ("node of Cassandra", " node")):
        for store, (cells, plain) in packed.items():
            for kind in KINDS:
                for keys in packing.KEYS:
                    figure = f"{kind} {keys}{suffix}"
                    if figure in cells:
                        yield Measured(
                            f"one feature value, packed: CPU of the {title}",
                            _size(store, kind, keys, "read"),
                            cells[figure],
                            "CPU us",
                            "lower",
                            ONE_ROW,
                            plain[figure],
                        )


def _size(store: str, kind: str, keys: int, of: str) -> str:
    return f"{store}, {TITLES[kind]}, {keys} {'key' if keys == 1 else 'keys'} a {of}"


def _byte_rows(stored: Mapping[Who, float], sizes: str) -> Iterator[Measured]:
    for case, who, name in (
        ("one feature value: bytes in the store", "feast", f"feast {VERSION}"),
        ("one feature value, packed: bytes in the store", "plain", ONE_ROW),
    ):
        for store in ("SQLite", "Cassandra"):
            other = stored.get((who, store))
            yield Measured(case, f"{store}, {sizes}", stored["ours", store], "bytes", "lower", name, other)
