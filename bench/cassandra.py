"""Cells written into a real Cassandra and read again, beside the raw driver doing nothing but the I/O.

Cells have 150 bytes; an entity has 25 tiles for each lane of its topic. Figures are of the client's process, its
threads included; the node's own work is not in them. The driver's write has one request in flight for each cell, as its
manual has it; its read is one prepared query for each entity.
"""

from __future__ import annotations

import random
import socket
import tempfile
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile
from cassandra.policies import DCAwareRoundRobinPolicy
from cassandra.query import tuple_factory

from bench.measuring import Stopwatch, call, run
from bench.table import Measured
from pipelines.dev.cassandra import DATACENTER, Cassandra
from serving.stores.cassandra import CassandraStore
from serving.stores.cassandra_access import Access
from serving.stores.row_reads import Asked, Wanted
from transforms.cells import Cells

TILES = 25
STEP = 16 * 300_000_000
BLOB = 150
IN_FLIGHT = 128
LANES = (1, 4, 8, 16)
KEYS = (1, 10, 100)
_MAKE = "CREATE TABLE IF NOT EXISTS raw.cells (key blob, block text, tile bigint, lane text, cell blob, "
_WRITE = "INSERT INTO raw.cells (key, block, tile, lane, cell) VALUES (?, ?, ?, ?, ?) USING TIMESTAMP ?"
_READ = "SELECT tile, lane, WRITETIME(cell), cell FROM raw.cells WHERE key = ? AND block = ? AND tile >= ?"


def keys(count: int) -> list[bytes]:
    """Keys of entities."""
    return [number.to_bytes(8, "big") for number in range(count)]


def lane(number: int) -> str:
    """Text of a lane."""
    return f"purchases/topic-{'3f2a9c1e' * 4}/{number}"


def open_store(hosts: str, keyspace: str) -> CassandraStore:
    """A store with room for the cells."""
    store = CassandraStore(Access((hosts,), keyspace, window=0.0))
    store.prepare(["user"])
    return store


def open_driver(hosts: str) -> tuple[Cluster, Any]:
    """The driver's session, as its manual has it, but for Nagle's algorithm."""
    host, _, port = hosts.partition(":")
    profile = ExecutionProfile(DCAwareRoundRobinPolicy(DATACENTER), row_factory=tuple_factory, request_timeout=30)
    cluster = Cluster(
        [host],
        port=int(port),
        protocol_version=5,
        execution_profiles={EXEC_PROFILE_DEFAULT: profile},
        sockopts=[(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)],
    )
    session = cluster.connect()
    session.execute(
        "CREATE KEYSPACE IF NOT EXISTS raw WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}"
    )
    session.execute(f"{_MAKE} PRIMARY KEY (key, block, tile, lane))")
    return cluster, session


def write(hosts: str, count: int, rounds: int) -> dict[str, Any]:
    """The newest cells of entities in three blocks, written round after round, as a stream does."""
    draw, names = random.Random(3), keys(count)
    blobs = [draw.randbytes(BLOB) for _ in names]
    tiles = np.zeros(count, np.int64)
    with closing(open_store(hosts, "bench_write")) as store:
        store.write("user", [Cells("warm", lane(0), names[:100], tiles[:100], tiles[:100] + 1, blobs[:100])])
        with Stopwatch() as watch:
            for number in range(rounds):
                versions = np.full(count, number + 1)
                parts = [Cells(block, lane(0), names, tiles, versions, blobs) for block in ("b1", "b2", "b3")]
                store.write("user", parts)
    return watch.to_json()


def write_raw(hosts: str, count: int, rounds: int) -> dict[str, Any]:
    """The same by the driver, a request a cell."""
    draw, names = random.Random(3), keys(count)
    blobs = [draw.randbytes(BLOB) for _ in names]
    cluster, session = open_driver(hosts)
    statement, free = session.prepare(_WRITE), threading.Semaphore(IN_FLIGHT)

    def done(_: Any) -> None:
        free.release()

    with Stopwatch() as watch:
        for number in range(rounds):
            for name, blob in zip(names, blobs, strict=True):
                for block in ("b1", "b2", "b3"):
                    free.acquire()
                    future = session.execute_async(statement, (name, block, 0, lane(0), blob, number + 1))
                    future.add_callbacks(done, done)
        for _ in range(IN_FLIGHT):
            free.acquire()
    cluster.shutdown()
    return watch.to_json()


def fill(hosts: str, lanes: int, entities: int) -> dict[str, Any]:
    """What the reads find."""
    draw, tiles = random.Random(5), np.arange(TILES, dtype=np.int64) * STEP
    with closing(open_store(hosts, f"bench_{lanes}")) as store:
        for name in keys(entities):
            blobs = [draw.randbytes(BLOB) for _ in range(TILES)]
            versions = np.full(TILES, 9)
            store.write(
                "user", [Cells("b1", lane(number), [name] * TILES, tiles, versions, blobs) for number in range(lanes)]
            )
    return {}


def read(hosts: str, lanes: int, entities: int, asked: int, times: int) -> dict[str, Any]:
    """Reads of some entities each, one after the other, by the row reader."""
    draw, names = random.Random(6), keys(entities)
    with closing(open_store(hosts, f"bench_{lanes}")) as store:
        reader = store.row_reader()

        def once() -> int:
            wanted = [Asked("user", draw.sample(names, asked), ("b1",), [0], [0])]
            return len(reader.read(wanted, Wanted.SEALS).cells[0])

        return _timed(once, times, asked * lanes * TILES)


def read_raw(hosts: str, lanes: int, entities: int, asked: int, times: int) -> dict[str, Any]:
    """The same by the driver: a query for each entity, all at once."""
    draw, names = random.Random(6), keys(entities)
    cluster, session = open_driver(hosts)
    statement = session.prepare(_READ.replace("raw.cells", f'bench_{lanes}."cells_user"'))

    def once() -> int:
        futures = [session.execute_async(statement, (name, "b1", 0)) for name in draw.sample(names, asked)]
        return sum(len(future.result().all()) for future in futures)

    try:
        return _timed(once, times, asked * lanes * TILES)
    finally:
        cluster.shutdown()


def _timed(once: Any, times: int, rows: int) -> dict[str, Any]:
    for _ in range(20):
        assert once() == rows
    took = []
    with Stopwatch() as watch:
        for _ in range(times):
            begun = time.perf_counter()
            once()
            took.append(time.perf_counter() - begun)
    return watch.to_json() | {"p50": float(np.quantile(took, 0.5)), "p99": float(np.quantile(took, 0.99))}


def measure(scale: float) -> list[Measured]:
    """Boots a Cassandra, and measures writes and reads."""
    count, rounds, entities = max(int(10_000 * scale), 200), 3, max(int(400 * scale), 120)
    rows: list[Measured] = []
    with tempfile.TemporaryDirectory(prefix="twinbeam-bench-") as folder:
        node = Cassandra(Path(folder), heap="1g")
        node.start()
        try:
            rows += _writes(node.hosts, count, rounds)
            for lanes in LANES:
                _ask("fill", hosts=node.hosts, lanes=lanes, entities=entities)
                for asked in KEYS if lanes == 1 else KEYS[:2]:
                    rows += _reads(node.hosts, lanes, entities, asked, max(int(600 * scale / asked**0.5), 20))
        finally:
            node.kill()
    return rows


def _writes(hosts: str, count: int, rounds: int) -> list[Measured]:
    cells = count * rounds * 3
    ours, theirs = (_ask(name, hosts=hosts, count=count, rounds=rounds) for name in ("write", "write_raw"))
    size = f"{cells:,} cells, 3 an entity"
    return [
        Measured(
            "Cassandra: write", size, cells / ours["cpu"], "cells/CPU s", "higher", "driver", cells / theirs["cpu"]
        ),
        Measured(
            "Cassandra: write", size, cells / ours["seconds"], "cells/s", "higher", "driver", cells / theirs["seconds"]
        ),
    ]


def _reads(hosts: str, lanes: int, entities: int, asked: int, times: int) -> list[Measured]:
    given = {"hosts": hosts, "lanes": lanes, "entities": entities, "asked": asked, "times": times}
    ours, theirs = _ask("read", **given), _ask("read_raw", **given)
    case, size = f"Cassandra: read, {lanes} lanes x {TILES} tiles", f"{asked} keys"
    return [
        Measured(case, size, 1e6 * ours["cpu"] / times, "CPU us", "lower", "driver", 1e6 * theirs["cpu"] / times),
        Measured(case, size, 1e3 * ours["p50"], "p50 ms", "lower", "driver", 1e3 * theirs["p50"]),
        Measured(case, size, 1e3 * ours["p99"], "p99 ms", "lower", "driver", 1e3 * theirs["p99"]),
    ]


def _ask(name: str, **given: Any) -> dict[str, Any]:
    answer: dict[str, Any] = run(call(f"bench.cassandra:{name}", given)).answer
    return answer
