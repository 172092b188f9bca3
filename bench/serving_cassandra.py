"""Both servers over one node of Cassandra, and single entities asked for at a steady rate, over SQLite as well.

At a steady rate a request counts from the instant at which it was due, so that a server that stalls is not asked less.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

from bench.feast import VERSION
from bench.servers import KINDS, TITLES, Load, Served, feast, forgiven, loaded, ours, questions, rival, rows_file
from bench.serving import Case, asked, table
from bench.table import Measured
from pipelines.dev.cassandra import Cassandra

RATE = 500.0
CONNECTIONS = 16
Steady = tuple[str, str]


def measure(scale: float = 1.0) -> list[Measured]:
    """Requests a second, latencies, CPU and memory; the 99th percentile of single entities at a steady rate."""
    rows, entities = max(int(60_000 * scale), 2_000), max(int(4_000 * scale), 200)
    seconds, python = max(3.0 * scale, 1.0), rival()
    mine: dict[Case, Load] = {}
    theirs: dict[Case, Load] = {}
    paced: dict[Steady, Load] = {}
    rivals: dict[Steady, Load] = {}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        file = rows_file(folder / "rows.parquet", rows, entities)
        with ours(folder / "sqlite", file) as server:
            paced |= _paced("SQLite", server, entities, 2 * seconds)
        node = Cassandra(folder / "node", heap="1g")
        try:
            node.start()
            with ours(folder, file, node) as server:
                mine = asked(server, entities, seconds)
                paced |= _paced("Cassandra", server, entities, 2 * seconds)
            if python is not None:
                with forgiven(), feast(folder, file, python, node) as server:
                    theirs = asked(server, entities, seconds)
                    rivals |= _paced("Cassandra", server, entities, 2 * seconds)
        finally:
            node.kill()
    return [*table("server over Cassandra", mine, theirs, f"feast serve {VERSION}"), *_steady(paced, rivals)]


def _paced(store: str, server: Served, entities: int, seconds: float) -> dict[Steady, Load]:
    return {
        (store, kind): loaded(server, questions(server, kind, 1, entities), CONNECTIONS, seconds, RATE)
        for kind in KINDS
    }


def _steady(mine: Mapping[Steady, Load], theirs: Mapping[Steady, Load]) -> list[Measured]:
    rows = []
    for (store, kind), found in mine.items():
        other = theirs.get((store, kind))
        case = f"server, one entity at {RATE:.0f} requests/s, {TITLES[kind]}"
        for title, value, their, unit, better in (
            ("p50", found.p50 * 1e3, None if other is None else other.p50 * 1e3, "ms", "lower"),
            ("p99", found.p99 * 1e3, None if other is None else other.p99 * 1e3, "ms", "lower"),
            ("answered", found.rate, None if other is None else other.rate, "requests/s", "higher"),
        ):
            rows.append(Measured(case, f"{store}, {title}", value, unit, better, f"feast serve {VERSION}", their))
    return rows
