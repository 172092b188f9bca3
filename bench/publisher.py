"""A publisher: a process that pushes rows to a server at a steady rate, each with the time at which it is sent.

One push follows the other over one connection (Feast's fail in it over SQLite if they come at the same time). A line
is printed for each: how many rows the server took, 0 for a push that failed. What is late by more than a second is not
sent at all. It ends when its standard input does, so it never outlives its maker.
"""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from bench.measuring import ROOT

ROWS = 50
BEHIND = 1.0
COLUMNS = [f"f{number}" for number in range(10)]
OURS, FEAST = "/v1/push/profiles", "/push"
LONGEST = 60.0
Columns = dict[str, list[Any]]


@dataclass(frozen=True)
class Publisher:
    """A publisher that runs.

    Attributes:
        printed: file of what it printed so far.
    """

    printed: Path

    def rows(self) -> int:
        """Rows that the server took so far."""
        return sum(map(int, self.printed.read_text(encoding="utf-8").split()))


@contextmanager
def publishing(port: int, path: str, rate: float, entities: int, printed: Path) -> Iterator[Publisher]:
    """A publisher while the block lasts.

    Args:
        port: of the server, on this machine.
        path: that is posted to, `OURS` or `FEAST`.
        rate: rows a second.
        entities: that rows are of.
        printed: file for what it prints.
    """
    given = {"port": port, "path": path, "rate": rate, "entities": entities}
    command = [sys.executable, "-m", "bench.publisher", json.dumps(given)]
    with (
        printed.open("w", encoding="utf-8") as out,
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=out, cwd=ROOT) as process,
    ):
        try:
            yield Publisher(printed)
        finally:
            process.communicate()


def columns(draw: np.random.Generator, rows: int, entities: int, spread: int) -> Columns:
    """Rows by the column: any entities, times of the last `spread` µs, ten floats."""
    now = datetime.now(UTC)
    times = [(now - timedelta(microseconds=int(age))).isoformat() for age in draw.integers(0, spread, rows)]
    found: Columns = {"user_id": draw.integers(0, entities, rows).tolist(), "ts": times}
    return found | {name: draw.normal(size=rows).round(6).tolist() for name in COLUMNS}


def body(path: str, of: Mapping[str, list[Any]]) -> dict[str, Any]:
    """A push of rows, as the server behind a path takes it."""
    if path == FEAST:
        return {"push_source_name": "pushed", "df": dict(of), "to": "online"}
    return {"events": [dict(zip(of, row, strict=True)) for row in zip(*of.values(), strict=True)]}


def publish(port: int, path: str, rate: float, entities: int) -> None:
    """Pushes until standard input ends."""
    threading.Thread(target=_push, args=(port, path, rate, entities), daemon=True).start()
    sys.stdin.read()


def _push(port: int, path: str, rate: float, entities: int) -> None:
    draw, pause = np.random.default_rng(19), ROWS / rate
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=LONGEST)
    due = time.monotonic()
    while True:
        time.sleep(max(due - time.monotonic(), 0.0))
        line = f"{_taken(connection, path, columns(draw, ROWS, entities, 1_000))}\n"
        os.write(sys.stdout.fileno(), line.encode())  # Whole or not at all, and no lock is held when the process ends.
        due = max(due + pause, time.monotonic() - BEHIND)


def _taken(connection: http.client.HTTPConnection, path: str, of: Columns) -> int:
    """Rows of a push that the server took: all or none."""
    try:
        content = json.dumps(body(path, of)).encode()
        connection.request("POST", path, content, {"content-type": "application/json"})
        answer = connection.getresponse()
        answer.read()
    except (OSError, http.client.HTTPException) as error:
        print(f"a push failed: {error!r}", file=sys.stderr)
        connection.close()
        return 0
    return ROWS if answer.status in (200, 202) else 0


if __name__ == "__main__":
    publish(**json.loads(sys.argv[1]))
