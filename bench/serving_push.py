"""Pushes by HTTP while a stream writes what was pushed into both stores, beside Feast's push into its online store.

Ours is measured twice: answered once rows are durable in the topic (202), and once they can be read (`wait=served`).
Feast's answers when the rows are in its online store, and has no stream beside it; it keeps nothing offline. It is
pushed to by one connection, since pushes at the same time fail in it over SQLite (500, "cannot start a transaction
within a transaction"). A push of 10,000 rows takes it many seconds, so that it is given two of them, both of which are
waited for; the other loads last for some seconds.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

import twinbeam
from bench.feast import VERSION
from bench.measuring import ROOT
from bench.publisher import FEAST, OURS, body, columns
from bench.servers import Load, Served, answering, feast, forgiven, loaded, made, rival, rows_file
from bench.table import Measured
from pipelines.dev.cassandra import Cassandra

ROWS = (1, 100, 10_000)
CONNECTIONS = 4
ENTITIES = 20_000
SERVED = f"{OURS}?wait=served"
LARGE, FEW = 10_000, 2
PUSHED_SECONDS = 300.0
SETTLED_SECONDS = 600.0
SPREAD = 10_000_000


def measure(scale: float = 1.0) -> list[Measured]:
    """Rows a second and CPU a row of pushes of 1, 100 and 10,000 rows."""
    seconds, python = max(4.0 * scale, 1.0), rival()
    found: dict[tuple[str, int], Load] = {}
    theirs: dict[int, Load] = {}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        found |= _ours("SQLite", folder / "sqlite", seconds, None)
        node = Cassandra(folder / "node", heap="1g")
        try:
            node.start()
            found |= _ours("Cassandra", folder / "cassandra", seconds, node)
        finally:
            node.kill()
        if python is not None:
            file = rows_file(folder / "rows.parquet", 2_000, 200)
            with forgiven(), feast(folder, file, python) as server:
                for rows in ROWS:
                    with forgiven(f"Feast's push of {rows:,} rows"):
                        theirs[rows] = _feast(server, rows, seconds)
    return list(_table(found, theirs))


def _ours(store: str, folder: Path, seconds: float, node: Cassandra | None) -> dict[tuple[str, int], Load]:
    place = made(folder / "ours", "topic='profiles'", node)
    with twinbeam.Platform.open(place) as platform:
        platform.apply()
    found = {}
    with answering(place) as server, streaming(place):
        for rows in ROWS:
            for title, path in (("served", SERVED), ("durable", OURS)):
                settle(server)
                found[f"{store}, {title}", rows] = loaded(server, _bodies(OURS, rows), CONNECTIONS, seconds, path=path)
    return found


@contextmanager
def streaming(place: Path) -> Iterator[int]:
    """A stream of a project while the block lasts: its pid."""
    command = [sys.executable, "-m", "pipelines.commands.main", "run", "stream", "--project", str(place)]
    with place.with_name("stream.log").open("w") as log:
        stream = subprocess.Popen(command, stdout=log, stderr=log, cwd=ROOT)
    try:
        yield stream.pid
    finally:
        stream.terminate()
        try:
            stream.wait(120)
        except subprocess.TimeoutExpired:
            stream.kill()
            stream.wait()


def settle(server: Served) -> None:
    """Waits until the stream has caught up with all that was pushed."""
    until = time.monotonic() + SETTLED_SECONDS
    while True:
        with suppress(urllib.error.HTTPError):  # 504: not yet.
            content = json.dumps(_bodies(OURS, 1)[0]).encode()
            request = urllib.request.Request(f"http://127.0.0.1:{server.port}{SERVED}", content)
            request.add_header("content-type", "application/json")
            with urllib.request.urlopen(request, timeout=120):
                return
        if time.monotonic() > until:
            raise RuntimeError(f"the stream did not catch up in {SETTLED_SECONDS:.0f} s")


def _feast(server: Served, rows: int, seconds: float) -> Load:
    bodies = _bodies(FEAST, rows)
    if rows < LARGE:
        return loaded(server, bodies, 1, seconds, path=FEAST)
    return waited_for(server, bodies[:FEW], FEAST, PUSHED_SECONDS)


def waited_for(server: Served, bodies: Sequence[Any], path: str, limit: float) -> Load:
    """A load of each body once, one after the other.

    Args:
        server: that is posted to.
        bodies: what is posted.
        path: where to.
        limit: seconds that an answer may take.

    Raises:
        RuntimeError: not every body is answered well and in time.
    """

    def posted(content: bytes) -> float:
        begun = time.perf_counter()
        request = urllib.request.Request(f"http://127.0.0.1:{server.port}{path}", content)
        request.add_header("content-type", "application/json")
        try:
            with urllib.request.urlopen(request, timeout=limit) as answer:
                answer.read()
        except OSError as error:
            raise RuntimeError(f"a push was not answered within {limit:g} s: {error}") from None
        return time.perf_counter() - begun

    contents = [json.dumps(each).encode() for each in bodies]
    before, begun = server.cpu(), time.perf_counter()
    taken = sorted(map(posted, contents))
    count, seconds = len(taken), time.perf_counter() - begun
    return Load(count, 0, count / seconds, taken[count // 2], taken[-1], (server.cpu() - before) / count, server.mb())


def _bodies(path: str, rows: int) -> list[dict[str, Any]]:
    return [
        body(path, columns(np.random.default_rng([17, rows, number]), rows, ENTITIES, SPREAD))
        for number in range(50 if rows < LARGE else CONNECTIONS)
    ]


def _table(found: Mapping[tuple[str, int], Load], theirs: Mapping[int, Load]) -> Iterator[Measured]:
    name = f"feast push {VERSION}, SQLite"
    for case, factor, unit, better in (
        ("push while a stream writes", 1.0, "rows/s", "higher"),
        ("push: CPU of the server", 1e6, "CPU us a row", "lower"),
    ):
        for (title, rows), load in found.items():
            other = theirs.get(rows)

            def value(of: Load, rows: int = rows, better: str = better, factor: float = factor) -> float:
                return of.rate * rows if better == "higher" else of.cpu / rows * factor

            size = f"{title}, {rows:,} {'row' if rows == 1 else 'rows'} a call"
            whose = name if other is None else f"{name}, {other.requests:,} calls"
            rivals = None if other is None else value(other)
            rivals_mb = None if other is None else other.mb
            yield Measured(case, size, value(load), unit, better, whose, rivals, load.mb, rivals_mb)
