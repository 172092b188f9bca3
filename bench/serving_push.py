"""Pushes by HTTP while a stream writes what was pushed into both stores, beside Feast's push into its online store.

Ours is measured twice: answered once rows are durable in the topic (202), and once they can be read (`wait=served`).
Feast's answers when the rows are in its online store, and has no stream beside it; it keeps nothing offline.
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
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

import twinbeam
from bench.feast import VERSION
from bench.measuring import ROOT
from bench.servers import LATEST, Load, Served, answering, feast, forgiven, loaded, made, rival, rows_file
from bench.table import Measured
from pipelines.dev.cassandra import Cassandra

ROWS = (1, 100, 10_000)
CONNECTIONS = 4
ENTITIES = 20_000
PUSH = "/v1/push/profiles"
SERVED = f"{PUSH}?wait=served"
SETTLED_SECONDS = 600.0


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
                theirs = {rows: loaded(server, _feast(rows), CONNECTIONS, seconds, path="/push") for rows in ROWS}
    return list(_table(found, theirs))


def _ours(store: str, folder: Path, seconds: float, node: Cassandra | None) -> dict[tuple[str, int], Load]:
    place = made(folder / "ours", "topic='profiles'", node)
    with twinbeam.Platform.open(place) as platform:
        platform.apply()
    found = {}
    with answering(place) as server, streaming(place):
        for rows in ROWS:
            for title, path in (("served", SERVED), ("durable", PUSH)):
                settle(server)
                found[f"{store}, {title}", rows] = loaded(server, _events(rows), CONNECTIONS, seconds, path=path)
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
            content = json.dumps(_events(1)[0]).encode()
            request = urllib.request.Request(f"http://127.0.0.1:{server.port}{SERVED}", content)
            request.add_header("content-type", "application/json")
            with urllib.request.urlopen(request, timeout=120):
                return
        if time.monotonic() > until:
            raise RuntimeError(f"the stream did not catch up in {SETTLED_SECONDS:.0f} s")


def _columns(rows: int, names: Sequence[str], number: int) -> dict[str, list[Any]]:
    draw = np.random.default_rng([17, rows, number])
    now = datetime.now(UTC)
    times = [(now - timedelta(microseconds=int(age))).isoformat() for age in draw.integers(0, 10**7, rows)]
    columns: dict[str, list[Any]] = {"user_id": draw.integers(0, ENTITIES, rows).tolist(), "ts": times}
    return columns | {name: draw.normal(size=rows).round(6).tolist() for name in names}


def _events(rows: int) -> list[dict[str, Any]]:
    return [{"events": _turned(_columns(rows, LATEST, number))} for number in range(_bodies(rows))]


def _feast(rows: int) -> list[dict[str, Any]]:
    return [
        {"push_source_name": "pushed", "df": _columns(rows, LATEST, number), "to": "online"}
        for number in range(_bodies(rows))
    ]


def _bodies(rows: int) -> int:
    return 50 if rows < 10_000 else 4


def _turned(columns: Mapping[str, list[Any]]) -> list[dict[str, Any]]:
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


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
            yield Measured(
                case, size, value(load), unit, better, name, None if other is None else value(other), load.mb
            )
