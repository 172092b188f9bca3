"""A proxy before a server, which does wrong what it is told, and keeps what was asked."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx

DROP = "no answer"
HALF = "half an answer"
STALL = "an answer that does not come"
PAGE = "a page that is no JSON"
BUSY = "503, for a second"
LONG = "503, for an hour"
NOT_BEGUN = "503, and nothing was done"


@dataclass(frozen=True)
class Asked:
    """One request.

    Attributes:
        method: in capitals.
        target: path and query.
        body: as sent.
        at: when it came, by the monotonic clock.
    """

    method: str
    target: str
    body: bytes
    at: float


@dataclass
class Proxy:
    """A proxy that runs.

    Attributes:
        url: of it.
        asked: what it was asked, in order.
        connections: how many were made to it.
    """

    url: str
    asked: list[Asked] = field(default_factory=list)
    connections: int = 0


@contextmanager
def faulty_proxy(server: str, faults: Sequence[str] = ()) -> Iterator[Proxy]:
    """A proxy while the block lasts.

    Args:
        server: URL of what is behind it.
        faults: one a request, in order; later requests are answered as the server does.
    """
    left = list(faults)
    over = threading.Event()
    told = '{"type":"about:blank","title":"Service Unavailable","status":503,"detail":"busy"'

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def setup(self) -> None:
            proxy.connections += 1
            super().setup()

        def do_GET(self) -> None:
            self.do_POST()

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            proxy.asked.append(Asked(self.command, self.path, body, time.monotonic()))
            fault = left.pop(0) if left else ""
            if fault == STALL:
                over.wait(60)
            if fault in (DROP, STALL):
                self.close_connection = True
            elif fault in (BUSY, LONG, NOT_BEGUN):
                more = ',"begun":false}' if fault == NOT_BEGUN else "}"
                seconds = {"retry-after": "3600" if fault == LONG else "1"}
                self._answer(503, (told + more).encode(), "application/problem+json", seconds)
            elif fault == PAGE:
                self._answer(502, b"<html>", "text/html", {})
            else:
                self._forward(body, whole=fault != HALF)

        def _forward(self, body: bytes, whole: bool) -> None:
            names = ("accept", "authorization", "content-type")
            headers = {name: self.headers[name] for name in names if name in self.headers}
            found = client.request(self.command, server + self.path, content=body, headers=headers)
            told = {name: found.headers[name] for name in ("retry-after",) if name in found.headers}
            self._answer(found.status_code, found.content, found.headers["content-type"], told, whole)

        def _answer(self, status: int, body: bytes, kind: str, more: dict[str, str], whole: bool = True) -> None:
            self.send_response(status)
            for name, value in {"content-type": kind, "content-length": str(len(body)), **more}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body if whole else body[: len(body) // 2])
            self.close_connection = self.close_connection or not whole

        def log_message(self, format: str, *arguments: Any) -> None:
            """Says nothing."""

    class Listener(ThreadingHTTPServer):
        def handle_error(self, request: Any, client_address: Any) -> None:
            """A client that has left is none of the proxy's concern."""

    with httpx.Client(timeout=60) as client, Listener(("127.0.0.1", 0), Handler) as listener:
        proxy = Proxy(f"http://127.0.0.1:{listener.server_address[1]}")
        serving = threading.Thread(target=listener.serve_forever, args=(0.02,))
        serving.start()
        try:
            yield proxy
        finally:
            over.set()
            listener.shutdown()
            serving.join()
