from __future__ import annotations

import json
import os
import sqlite3
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

import twinbeam
from bench import packing, servers
from bench.__main__ import MODULES
from bench.publisher import FEAST, OURS, publishing
from bench.servers import Served, made, measured, rows_file, warmed
from bench.serving_push import waited_for
from bench.serving_streaming import streamed, written
from bench.serving_values import Cost, price_rows

ROOT = Path(__file__).resolve().parent.parent


class Receiver(ThreadingHTTPServer):
    """Keeps what is posted to it and answers with one status; to `/slow` it answers once it is closed."""

    daemon_threads = True

    def __init__(self, status: int) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.status = status
        self.bodies = list[Any]()
        self.over = threading.Event()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Receiver

    def do_POST(self) -> None:
        content = self.rfile.read(int(self.headers["content-length"]))
        if self.path == "/slow":
            self.server.over.wait()
            return
        self.server.bodies.append(json.loads(content))
        self.send_response(self.server.status)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextmanager
def receiving(status: int) -> Iterator[Receiver]:
    with Receiver(status) as receiver:
        thread = threading.Thread(target=receiver.serve_forever)
        thread.start()
        try:
            yield receiver
        finally:
            receiver.over.set()
            receiver.shutdown()
            thread.join()


def at(receiver: Receiver, folder: Path) -> Served:
    return Served(os.getpid(), receiver.server_port, folder / "project", "/", False)


def pushed(path: str, status: int, folder: Path) -> tuple[list[Any], int]:
    """Bodies that a publisher sent, at least three, and the rows that it says were taken."""
    with receiving(status) as receiver:
        with publishing(receiver.server_port, path, 2_000.0, 7, folder / "printed") as publisher:
            until = time.monotonic() + 60
            while len(receiver.bodies) < 3 and time.monotonic() < until:
                time.sleep(0.02)
        return receiver.bodies, publisher.rows()


def test_a_publisher_sends_rows_of_now_and_counts_what_was_taken(tmp_path: Path) -> None:
    begun = datetime.now(UTC)
    bodies, rows = pushed(OURS, 202, tmp_path)
    # The answer to the last push may be cut off by the end.
    assert 50 * (len(bodies) - 1) <= rows <= 50 * len(bodies)
    events = [event for body in bodies for event in body["events"]]
    assert len(events) == 50 * len(bodies)
    assert {event["user_id"] for event in events} <= set(range(7))
    assert {len(event) for event in events} == {12}
    ages = [(datetime.fromisoformat(event["ts"]) - begun).total_seconds() for event in events]
    assert min(ages) > -1
    assert datetime.fromisoformat(events[-1]["ts"]) <= datetime.now(UTC)


def test_a_publisher_sends_feast_the_same_rows_by_the_column_and_counts_no_refused_ones(tmp_path: Path) -> None:
    bodies, rows = pushed(FEAST, 500, tmp_path)
    assert rows == 0
    assert {body["push_source_name"] for body in bodies} == {"pushed"}
    assert {body["to"] for body in bodies} == {"online"}
    assert {len(column) for body in bodies for column in body["df"].values()} == {50}


def test_pushes_that_are_waited_for_are_all_counted(tmp_path: Path) -> None:
    with receiving(200) as receiver:
        load = waited_for(at(receiver, tmp_path), [{"rows": number} for number in range(3)], "/push", 60.0)
        assert load.requests == 3
        assert sorted(body["rows"] for body in receiver.bodies) == [0, 1, 2]


def test_a_push_that_is_not_answered_or_refused_is_told_instead_of_a_figure(tmp_path: Path) -> None:
    with receiving(503) as receiver:
        with pytest.raises(RuntimeError, match=r"not answered within 0.2 s: .*timed out"):
            waited_for(at(receiver, tmp_path), [{}], "/slow", 0.2)
        with pytest.raises(RuntimeError, match="503"):
            waited_for(at(receiver, tmp_path), [{}], "/push", 60.0)


def test_one_row_a_value_has_the_values_of_the_cells(tmp_path: Path) -> None:
    file = rows_file(tmp_path / "rows.parquet", 400, 40)
    place = made(tmp_path / "ours", f"files={str(file)!r}")
    with twinbeam.Platform.open(place) as platform:
        platform.apply()
        platform.run_batch()
    table = tmp_path / "plain.db"
    filled = packing.fill(str(file), str(table))
    packing.compare(str(place), str(table), range(40))
    with closing(sqlite3.connect(table)) as database:
        latest, tiles = (database.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in ("latest", "tiles"))
        assert latest == 40 * 10
        assert filled["rows"] == latest + tiles
        with database:
            database.execute("UPDATE tiles SET value = value + 1 WHERE name = 'sum'")
    with pytest.raises(RuntimeError, match="f0_sum"):
        packing.compare(str(place), str(table), range(40))


def test_reads_are_measured_while_a_stream_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(servers, "installed", lambda: Path(sys.executable))
    file, case = rows_file(tmp_path / "rows.parquet", 200, 20), ("latest", 1, 1)
    with streamed(tmp_path, file, datetime.now(UTC).isoformat()) as (server, taken):
        found = written(server, OURS, [case], 20, 0.5, taken)
        assert taken() > 0
    assert list(found.loads) == list(found.taken) == [case]
    assert found.loads[case].requests > 0
    assert found.push > 0


def test_a_million_requests_a_second_keep_as_many_cores_busy_as_one_takes_microseconds() -> None:
    costs = {("ours", "Cassandra"): {("latest", 100): Cost(0.5, 0.25)}, ("feast", "Cassandra"): {}}
    server, node = price_rows(costs)
    assert (server.ours, node.ours, server.unit, server.theirs) == (500.0, 250.0, "cores", None)


def test_the_readme_names_every_bench() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert [name for name in MODULES if f"\n| `{name}` |" not in readme] == []


def test_a_client_waits_for_the_answers_that_are_late_and_counts_them_apart(tmp_path: Path) -> None:
    with receiving(200) as receiver:
        asked = warmed(at(receiver, tmp_path), [{}], 3, 0.3)
        before = len(receiver.bodies)
        load = measured(at(receiver, tmp_path), asked, 0.3)
        assert load.late == 3
        assert load.requests + 3 == len(receiver.bodies) - before
