"""A real server under load and abuse: restarts that lose nothing, overload that is told, clients that dawdle."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pyarrow as pa
import pytest

from pipelines.platform import Platform
from tests.http_load import Load, Wire, load, request_bytes
from tests.served import DEFINITIONS, Server, descendants, project, read, serving

pytestmark = pytest.mark.xdist_group("server")
CALM = json.dumps({"features": "calm", "keys": {"user_id": [1]}}).encode()
CALM_REQUEST = request_bytes("POST", "/v1/features", CALM, content_type="application/json")


def settings(folder: Path, server: str, share: float = 0.0) -> Path:
    """The project with other settings of the server."""
    return project(folder, server, share, filled=False)


def counted(page: str, name: str, **labels: str) -> float:
    """Sum of a metric over the labels given."""
    found = 0.0
    for line in page.splitlines():
        match = re.fullmatch(r"(\w+)(?:\{(.*)\})? (\S+)", line)
        if match and match[1] == name:
            known = dict(re.findall(r'(\w+)="([^"]*)"', match[2] or ""))
            if all(known.get(label) == value for label, value in labels.items()):
                found += float(match[3])
    return found


async def loaded(server: Server, during: Callable[[], object], connections: int = 8) -> Load:
    """Load while something else happens in a thread."""
    over = asyncio.Event()
    running = asyncio.create_task(load(server.port, CALM_REQUEST, connections, over))
    await asyncio.sleep(0.5)
    await asyncio.to_thread(during)
    over.set()
    return await running


def test_no_request_is_lost_when_workers_are_replaced(tmp_path: Path) -> None:
    folder = project(tmp_path / "shop", 'patience = "60s"')
    with serving(folder, workers=2) as server:

        def replaced() -> None:
            for times in (1, 2):
                server.hup()
                until = time.monotonic() + 120
                while server.err().count("other workers answer now") < times:
                    assert time.monotonic() < until, server.err()
                    time.sleep(0.05)

        before = descendants(server.pid)
        found = asyncio.run(loaded(server, replaced))
        after = descendants(server.pid)
        assert (found.failures, found.refused, set(found.statuses)) == ([], 0, {200})
        assert found.statuses[200] > 50
        assert not before & after
        assert len(after) == 3
        time.sleep(2.5)
        page = httpx.get(f"{server.url}/metrics").text
        asked = {"route": "/v1/features", "status": "200"}
        assert counted(page, "twinbeam_http_request_seconds_count", **asked) == found.statuses[200]


def test_an_end_under_load_loses_no_request(tmp_path: Path) -> None:
    folder = project(tmp_path / "shop", 'patience = "60s"\ndrain = "60s"')
    with serving(folder, workers=2) as server:
        found = asyncio.run(loaded(server, server.stop))
        assert server.process.returncode == 0
        assert found.failures == []
        assert set(found.statuses) == {200}
        assert "Traceback" not in server.err()
        lines = [json.loads(line) for line in server.out().splitlines()]
        assert sum(line["route"] == "/v1/features" for line in lines) == found.statuses[200]


def test_workers_that_cannot_begin_replace_none(tmp_path: Path) -> None:
    folder = project(tmp_path / "shop", filled=False)
    with serving(folder) as server:
        (folder / "features.py").write_text(DEFINITIONS + "\nbroken = Entity('broken', keys={})\n", encoding="utf-8")
        server.hup()
        server.wait_for("the workers before them go on")
        assert "broken" in server.err()
        assert httpx.get(f"{server.url}/healthz").text == "alive\n"
        (folder / "features.py").write_text(DEFINITIONS, encoding="utf-8")
        server.hup()
        server.wait_for("other workers answer now")
        assert httpx.get(f"{server.url}/readyz").status_code == 200


def test_a_killed_worker_is_followed_by_another(tmp_path: Path) -> None:
    folder = project(tmp_path / "shop", filled=False)
    with serving(folder) as server:
        time.sleep(5.5)
        before = descendants(server.pid)
        worker = max(before, key=lambda pid: (not descendants(pid), pid))
        os.kill(worker, signal.SIGKILL)
        server.wait_for("ended by itself (SIGKILL)")
        assert httpx.get(f"{server.url}/healthz", timeout=60).text == "alive\n"
        assert len(descendants(server.pid)) == 3
        assert worker not in descendants(server.pid)


def test_nothing_is_left_behind_a_killed_server(tmp_path: Path) -> None:
    folder = project(tmp_path / "shop", filled=False)
    with serving(folder, workers=2) as server:
        children = descendants(server.pid)
        assert len(children) == 3
        os.kill(server.pid, signal.SIGKILL)
        until = time.monotonic() + 60
        while any(Path(f"/proc/{child}").exists() for child in children):
            assert time.monotonic() < until
            time.sleep(0.1)


def test_definitions_that_are_applied_are_taken_up(tmp_path: Path) -> None:
    folder = project(tmp_path / "shop")
    added = 'extra = FeatureView("extra", entity=user, source=purchases, features=[agg.max("price", over="24h")])\n'
    with serving(folder) as server, httpx.Client(base_url=server.url, timeout=60) as client:
        assert read(client, "extra", {"user_id": [1]}, 404)["where"] == "features"
        (folder / "features.py").write_text(DEFINITIONS + added, encoding="utf-8")
        with Platform.open(folder) as platform:
            platform.apply()
            platform.run_stream(until="caught_up")
        server.wait_for("definitions of version 2 are served now")
        found = read(client, ["extra:price_max_24h", "both"], {"user_id": [1]}, now="2026-11-30T13:00:00Z")
        assert found["values"]["extra:price_max_24h"] == [37 / 8]
        assert client.get("/v1/registry").json()["version"] == 2


def test_overload_is_told_while_the_rest_is_answered(tmp_path: Path) -> None:
    folder = project(tmp_path / "shop", "queue = 2\nthreads = 1\nrows = 100_000")
    big = json.dumps({"features": "both", "keys": {"user_id": list(range(10_000))}}).encode()
    with serving(folder) as server, httpx.Client(base_url=server.url, timeout=120) as client:
        with ThreadPoolExecutor(16) as pool:

            def ask(number: int) -> httpx.Response:
                return httpx.post(f"{server.url}/v1/features", content=big, timeout=120)

            asked = [pool.submit(ask, number) for number in range(16)]
            probes = [client.get("/healthz").status_code for _ in range(20)]
            answers = [future.result() for future in asked]
        codes = [answer.status_code for answer in answers]
        assert set(codes) == {200, 503}
        refused = next(answer for answer in answers if answer.status_code == 503)
        assert int(refused.headers["retry-after"]) >= 1
        assert refused.json()["type"] == "urn:twinbeam:problem:unavailable"
        assert set(probes) == {200}
        assert counted(client.get("/metrics").text, "twinbeam_http_refused_total", queue="reads") == codes.count(503)


def test_the_wire(tmp_path: Path) -> None:
    folder = settings(tmp_path / "shop", "body = 2_000")
    with serving(folder) as server:
        wire = Wire(server.port)
        first, second = wire.ask("GET", "/healthz"), wire.ask("GET", "/healthz", x_request_id="mine-1")
        assert first is not None
        assert second is not None
        assert "connection" not in first.headers
        assert second.headers["x-request-id"] == "mine-1"
        wire.send(request_bytes("GET", "/healthz") * 40 + request_bytes("GET", "/nope", connection="close"))
        pipelined = [wire.answer() for _ in range(41)]
        assert [answer.status for answer in pipelined if answer] == [200] * 40 + [404]
        assert wire.answer() is None
        wire.close()

        def once(content: bytes) -> int:
            wire = Wire(server.port)
            wire.send(content)
            answer = wire.answer()
            wire.close()
            assert answer is not None
            return answer.status

        chunked = b"POST /v1/features HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n"
        assert once(chunked + b"2\r\n{}\r\n0\r\n\r\n") == 400
        assert once(chunked + b"fff\r\n" + b"x" * 4_095) == 413
        assert once(request_bytes("POST", "/v1/features", b"x" * 2_001)) == 413
        assert once(b"POST /v1/features HTTP/1.1\r\nhost: h\r\ncontent-length: 99999999999\r\n\r\n") == 413
        assert once(request_bytes("GET", "/healthz", big="x" * 70_000)) == 431
        many = "".join(f"h{number}: x\r\n" for number in range(200)).encode()
        assert once(b"GET /healthz HTTP/1.1\r\nhost: h\r\n" + many + b"\r\n") == 431
        assert once(b"GET /healthz HTTP/1.1\r\n\r\n") == 400
        assert once(b"GET /healthz HTTP/1.0\r\n\r\n") == 200
        assert once(b"GET http://elsewhere/healthz HTTP/1.1\r\nhost: h\r\n\r\n") == 200
        assert once(b"\x16\x03\x01\x02\x00garbage\r\n\r\n") == 400
        assert once(b"GET /%ff/x HTTP/1.1\r\nhost: h\r\n\r\n") == 404
        assert once(b"GET /v1/registry/features/%ff HTTP/1.1\r\nhost: h\r\n\r\n") == 400
        assert once(b"GET /v1/registry/search?q=%ff HTTP/1.1\r\nhost: h\r\n\r\n") == 400
        both = b"POST /v1/features HTTP/1.1\r\nhost: h\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n"
        assert once(both + b"{}") == 400
        wire = Wire(server.port)
        wire.send(b"POST /v1/features HTTP/1.1\r\nhost: h\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n")
        assert wire.socket.recv(100).startswith(b"HTTP/1.1 100 ")
        wire.send(b"{}")
        answer = wire.answer()
        assert answer is not None
        assert answer.status == 400
        wire.close()
        bad = Wire(server.port)
        unkept = bad.ask("GET", "/healthz", x_request_id='"><script>')
        assert unkept is not None
        assert re.fullmatch("[0-9a-f]+", unkept.headers["x-request-id"])
        bad.close()


def test_clients_that_dawdle(tmp_path: Path) -> None:
    folder = project(tmp_path / "shop", 'headers = "300ms"\nupload = "300ms"\nidle = "600ms"\ndownload = "300ms"')
    with serving(folder) as server:
        cases: dict[bytes, int | None] = {
            b"GET /healthz HTTP/1.1\r\nhost: h\r\nx": 408,
            b"POST /v1/features HTTP/1.1\r\nhost: h\r\ncontent-length: 9\r\n\r\n{": 408,
            b"": None,
        }
        for sent, status in cases.items():
            wire = Wire(server.port)
            wire.send(sent)
            answer = wire.answer()
            assert (answer.status if answer else None) == status
            assert wire.answer() is None
            wire.close()
        kept = Wire(server.port)
        assert kept.ask("GET", "/healthz") is not None
        assert kept.answer() is None
        kept.close()
        big = json.dumps({"features": "both", "keys": {"user_id": list(range(9_000))}}).encode()
        deaf = Wire(server.port)
        deaf.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        deaf.send(request_bytes("POST", "/v1/features", big) * 4)
        until = time.monotonic() + 60
        while counted(httpx.get(f"{server.url}/metrics").text, "twinbeam_connections") > 1:
            assert time.monotonic() < until
            time.sleep(0.2)
        deaf.close()


def test_connections_are_bounded(tmp_path: Path) -> None:
    folder = settings(tmp_path / "shop", "connections = 4")
    with serving(folder) as server:
        wires = [Wire(server.port) for _ in range(4)]
        assert all(wire.ask("GET", "/healthz") for wire in wires)
        beyond = Wire(server.port)
        answer = beyond.answer()
        assert answer is not None
        assert (answer.status, answer.headers["retry-after"], answer.headers["connection"]) == (503, "1", "close")
        assert beyond.answer() is None
        assert wires[0].ask("GET", "/healthz") is not None
        for wire in [*wires, beyond]:
            wire.close()


def test_a_server_that_ends_says_so_before(tmp_path: Path) -> None:
    folder = project(tmp_path / "shop", 'linger = "3s"')
    with serving(folder) as server, httpx.Client(base_url=server.url) as client:
        assert client.get("/readyz").status_code == 200
        os.kill(server.pid, signal.SIGTERM)
        until = time.monotonic() + 30
        while (answer := httpx.get(f"{server.url}/readyz")).status_code == 200:
            assert time.monotonic() < until
        assert answer.json() == {"status": "not ready", "reasons": {"server": "ends"}}
        assert httpx.get(f"{server.url}/healthz").status_code == 200
        assert server.process.wait(60) == 0


def test_an_empty_project_is_not_ready(tmp_path: Path) -> None:
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / "twinbeam.toml").write_text('project = "shop"\n', encoding="utf-8")
    (folder / "features.py").write_text(DEFINITIONS, encoding="utf-8")
    with serving(folder) as server, httpx.Client(base_url=server.url) as client:
        answer = client.get("/readyz")
        assert answer.status_code == 503
        assert "definitions" in answer.json()["reasons"]
        assert client.get("/healthz").status_code == 200
        assert client.post("/v1/features", json={"features": "calm", "keys": {"user_id": [1]}}).status_code in (
            400,
            503,
        )


def test_answers_may_be_kept(tmp_path: Path) -> None:
    folder = project(tmp_path / "shop", 'cache = "1h"')
    with serving(folder) as server, httpx.Client(base_url=server.url, timeout=60) as client:
        first = read(client, "calm", {"user_id": [1]})
        assert read(client, "calm", {"user_id": [1]})["as_of"] == first["as_of"]
        assert read(client, "calm", {"user_id": [2]})["as_of"] != first["as_of"]
        page = client.get("/metrics").text
        assert counted(page, "twinbeam_cache_total", result="hit") == 1
        assert counted(page, "twinbeam_cache_total", result="miss") == 2


def test_metrics_of_all_workers_together(tmp_path: Path) -> None:
    folder = project(tmp_path / "shop")
    with serving(folder, workers=2) as server:
        for number in range(30):
            with httpx.Client(base_url=server.url, timeout=60) as client:
                read(client, "both", {"user_id": [number, 1]})
        time.sleep(2.5)
        page = httpx.get(f"{server.url}/metrics").text
        asked = {"route": "/v1/features", "method": "POST", "status": "200"}
        assert counted(page, "twinbeam_http_request_seconds_count", **asked) == 30
        assert counted(page, "twinbeam_http_request_seconds_bucket", le="+Inf", **asked) == 30
        assert counted(page, "twinbeam_read_rows_sum") == 60
        assert counted(page, "twinbeam_feature_values_total") == 60 * 5
        assert counted(page, "twinbeam_store_seconds_count", call="read") == 30
        assert counted(page, "twinbeam_workers") == 2
        for line in page.splitlines():
            assert line.startswith("# ") or re.fullmatch(r'\w+(\{(\w+="[^"]*",?)+\})? \S+', line)


def test_answers_are_logged_by_key_and_audited(tmp_path: Path) -> None:
    folder = project(tmp_path / "shop", share=0.5)
    with serving(folder, workers=2) as server, httpx.Client(base_url=server.url, timeout=60) as client:
        for _ in range(3):
            for user in range(40):
                read(client, "spending", {"user_id": [user, user + 40]})
        assert server.stop() == 0
    with Platform.open(folder) as platform:
        rows = platform.offline.read("served")
        report = platform.audit()
    assert (report.mismatches, report.skipped) == ((), 0)
    logged: dict[int, int] = {}
    for answer in rows.column("answer").to_pylist():
        for key in _keys(answer):
            logged[key] = logged.get(key, 0) + 1
    assert 15 < len(logged) < 65
    assert set(logged.values()) == {3}


def test_how_far_the_serving_log_lags_is_measured(tmp_path: Path) -> None:
    folder = project(tmp_path / "shop", share=1.0)
    in_the_way = folder / "store" / "offline" / "served"
    in_the_way.write_text("in the way", encoding="utf-8")
    with serving(folder) as server, httpx.Client(base_url=server.url, timeout=60) as client:

        def lag() -> tuple[float, float]:
            page = client.get("/metrics").text
            names = ("rows_waiting", "oldest_seconds")
            return counted(page, f"twinbeam_serving_log_{names[0]}"), counted(page, f"twinbeam_serving_log_{names[1]}")

        for user in range(3):
            read(client, "both", {"user_id": [user, user + 40]})
        server.wait_for("served answers are held back")
        until = time.monotonic() + 60
        for rows, old in ((6, True), (0, False)):
            while (found := lag()) and (found[0] != rows or (found[1] > 0) is not old):
                assert time.monotonic() < until, found
                time.sleep(0.2)
            if old:
                in_the_way.unlink()
    with Platform.open(folder) as platform:
        report = platform.audit()
    assert (report.answers, report.values, report.mismatches, report.skipped) == (3, 6 * 5, (), 0)


def _keys(answer: bytes) -> list[int]:
    with pa.ipc.open_stream(answer) as reader:
        found: list[int] = reader.read_all().column("user_id").to_pylist()
    return found


def test_tls(tmp_path: Path) -> None:
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    made = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    files = ["-keyout", str(tmp_path / "key.pem"), "-out", str(tmp_path / "cert.pem")]
    subprocess.run([*made, *subject, *files], check=True, capture_output=True)
    folder = project(tmp_path / "shop", 'certificate = "../cert.pem"\nkey = "../key.pem"')
    with serving(folder) as server:
        context = ssl.create_default_context(cafile=str(tmp_path / "cert.pem"))
        with httpx.Client(base_url=server.url, verify=context) as client:
            assert server.url.startswith("https://")
            assert read(client, "calm", {"user_id": [1]})["statuses"]["spending:count_24h"] == ["PRESENT"]
        old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
        plain = Wire(server.port)
        plain.send(b"GET /healthz HTTP/1.1\r\nhost: h\r\n\r\n")
        answer = plain.socket.recv(100)
        assert not answer.startswith(b"HTTP/1.1 200")
        plain.close()


def test_a_server_begins_with_nothing_but_what_it_needs(tmp_path: Path) -> None:
    others = ["apache_beam", "cassandra", "cloudpickle", "confluent_kafka", "jwt", "kafka", "opentelemetry"]
    absent = f"import sys; sys.modules.update(dict.fromkeys({others!r}))"
    done = subprocess.run(
        [sys.executable, "-c", f"{absent}; import pipelines.serve_crew; print(len(sys.modules))"],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[1],
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > len(others)


def test_what_cannot_be_served_is_told(tmp_path: Path) -> None:
    folder = settings(tmp_path / "shop", "")

    def refused(*words: str, server: str = "") -> str:
        text = f'project = "shop"\n[server]\n{server}\n'
        (folder / "twinbeam.toml").write_text(text, encoding="utf-8")
        command = [sys.executable, "-m", "pipelines.commands.main", "serve", "--project", str(folder), *words]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
        assert done.returncode == 1
        assert "Traceback" not in done.stderr
        return done.stderr

    assert "others can reach it" in refused("--port", "0", "--host", "0.0.0.0")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert "Address already in use" in refused("--port", port)
    assert "server.wokers: unknown setting" in refused(server="wokers = 1")
    assert "is no grant" in refused(server='callers.a.grants = ["reed"]')
    assert "has no key" in refused(server='callers.a.grants = ["read"]')
    assert "cannot be used" in refused(server='certificate = "none.pem"')
    assert "there is no caller of that name" in refused(server='secrets.a_file = "features.py"')
