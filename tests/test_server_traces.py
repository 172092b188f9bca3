"""Traces and log lines of a real server, as a collector and a reader of logs get them."""

from __future__ import annotations

import gzip
import json
import re
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from tests.served import project, read, serving

pytestmark = pytest.mark.xdist_group("server")
TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


class Collector(ThreadingHTTPServer):
    """An OTLP receiver over HTTP, at a free port of the loopback.

    Attributes:
        taken: the requests that it got.
    """

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Taker)
        self.taken: list[ExportTraceServiceRequest] = []
        self.thread = threading.Thread(target=self.serve_forever)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def spans(self) -> list[tuple[str, Any]]:
        """Service and span of all that came."""
        return [
            (next(each.value.string_value for each in of.resource.attributes if each.key == "service.name"), span)
            for request in self.taken
            for of in request.resource_spans
            for scope in of.scope_spans
            for span in scope.spans
        ]


class _Taker(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        if self.headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        known = self.path == "/v1/traces" and self.headers["content-type"] == "application/x-protobuf"
        if known:
            self.server.taken.append(ExportTraceServiceRequest.FromString(body))
        answer = ExportTraceServiceResponse().SerializeToString()
        self.send_response(200 if known else 404)
        self.send_header("content-type", "application/x-protobuf")
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: Any) -> None:
        """Says nothing."""


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as found:
        found.thread.start()
        yield found
        found.shutdown()
        found.thread.join()


def test_spans_and_log_lines_name_the_request(collector: Collector, tmp_path: Path) -> None:
    folder = project(tmp_path / "shop", f'traces = "{collector.url}"')
    with serving(folder) as server, httpx.Client(base_url=server.url, timeout=60) as client:
        headers = {"traceparent": f"00-{TRACE}-{PARENT}-01", "x-request-id": "mine-1"}
        body = {"features": "calm", "keys": {"user_id": [1]}}
        assert client.post("/v1/features", json=body, headers=headers).headers["x-request-id"] == "mine-1"
        wrong = client.post("/v1/features", json=body | {"features": "kalm"})
        given = wrong.headers["x-request-id"]
        assert re.fullmatch("[0-9a-f]+", given)
        assert wrong.json()["instance"] == f"urn:request:{given}"
        read(client, "both", {"user_id": list(range(500))})  # So many are answered in a thread.
        assert server.stop() == 0
        lines = [json.loads(line) for line in server.out().splitlines()]
    spans = collector.spans()
    assert {service for service, _ in spans} == {"twinbeam-shop"}
    by_request: dict[str, list[Any]] = {}
    for _, span in spans:
        attributes = {each.key: each.value.string_value for each in span.attributes}
        assert attributes["http.request.method"] == span.name.split()[0]
        assert attributes["http.route"] == span.name.split()[1]
        by_request.setdefault(attributes["twinbeam.request"], []).append(span)
    (mine,) = by_request["mine-1"]
    assert (mine.trace_id.hex(), mine.parent_span_id.hex()) == (TRACE, PARENT)
    assert mine.name == "POST /v1/features"
    assert 0 < mine.start_time_unix_nano < mine.end_time_unix_nano <= time.time_ns()
    (other,) = by_request[given]
    assert (other.parent_span_id, other.trace_id.hex() != TRACE) == (b"", True)
    assert other.status.code == other.status.STATUS_CODE_ERROR
    reads = [line for line in lines if line["route"] == "/v1/features"]
    assert {line["request"] for line in reads} <= by_request.keys()
    assert [(line["request"], line["status"]) for line in reads[:2]] == [("mine-1", 200), (given, 404)]
    for line in reads:
        assert set(line) == {
            "time", "request", "peer", "caller", "method", "route", "status", "ms", "in", "out",
        }  # fmt: skip
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line["time"])
        assert line["peer"].startswith("127.0.0.1")
    assert reads[0]["in"] == len(httpx.Request("POST", server.url, json=body).content)
    assert "user_id" not in server.out()


def test_what_a_server_says_besides_is_json_too(tmp_path: Path) -> None:
    folder = project(tmp_path / "shop", share=1.0)
    (folder / "store" / "offline" / "served").write_text("in the way", encoding="utf-8")
    with serving(folder) as server, httpx.Client(base_url=server.url, timeout=60) as client:
        read(client, "calm", {"user_id": [1]})
        server.wait_for("served answers are held back")
        (line, *_) = [line for line in server.err().splitlines() if "held back" in line]
    found = json.loads(line)
    assert set(found) == {"time", "level", "logger", "message"}
    assert (found["level"], found["logger"]) == ("error", "twinbeam.serving")
