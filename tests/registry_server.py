"""A small schema registry for tests: subjects, versions and ids over HTTP, as Confluent's documentation has them."""

from __future__ import annotations

import base64
import json
import re
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

CONTENT = "application/vnd.schemaregistry.v1+json"


class Registry:
    """What the registry holds, and what it was asked for.

    Attributes:
        subjects: ids of each subject's versions.
        schemas: by id, less one.
        asked: how often each path was asked for, by "METHOD path".
        user: name and password wanted, or None.
        broken: whether it answers 500 to all.
        conflict: whether it refuses new schemas as incompatible.
    """

    def __init__(self) -> None:
        self.subjects: dict[str, list[int]] = {}
        self.schemas: list[dict[str, Any]] = []
        self.asked = Counter[str]()
        self.user: tuple[str, str] | None = None
        self.broken = self.conflict = False
        self.url = ""
        self._lock = threading.Lock()

    def add(self, subject: str, schema: Any, **more: Any) -> int:
        """Registers a schema, as a client does; its id."""
        return int(self._register(subject, {"schema": json.dumps(schema), **more})[1]["id"])

    def answer(self, method: str, path: str, body: Any, login: str | None) -> tuple[int, Any]:
        """Status and content of an answer."""
        with self._lock:
            self.asked[f"{method} {path}"] += 1
            if self.user and login != "Basic " + base64.b64encode(":".join(self.user).encode()).decode():
                return 401, {"error_code": 40101, "message": "Unauthorized"}
            if self.broken:
                return 500, {"error_code": 50001, "message": "Error in the backend datastore"}
            return self._route(method, path, body)

    def _route(self, method: str, path: str, body: Any) -> tuple[int, Any]:
        if match := re.fullmatch(r"/schemas/ids/(\d+)", path):
            at = int(match[1]) - 1
            if not 0 <= at < len(self.schemas):
                return 404, {"error_code": 40403, "message": "Schema not found"}
            return 200, self.schemas[at]
        if match := re.fullmatch(r"/subjects/([^/]+)/versions/(\d+)", path):
            ids = self.subjects.get(match[1], [])
            if not 0 < int(match[2]) <= len(ids):
                return 404, {"error_code": 40402, "message": "Version not found"}
            number = ids[int(match[2]) - 1]
            return 200, {"subject": match[1], "version": int(match[2]), "id": number, **self.schemas[number - 1]}
        match = re.fullmatch(r"/subjects/([^/]+)(/versions)?", path)
        if match and method == "POST":
            if match[2] is None and match[1] not in self.subjects:
                return 404, {"error_code": 40401, "message": "Subject not found"}
            return self._register(match[1], body)
        return 404, {"error_code": 404, "message": "HTTP 404 Not Found"}

    def _register(self, subject: str, body: Any) -> tuple[int, Any]:
        schema = {key: body[key] for key in ("schema", "schemaType", "references") if body.get(key)}
        schema["schema"] = json.dumps(json.loads(schema["schema"]))
        ids = self.subjects.setdefault(subject, [])
        if schema not in self.schemas:
            if self.conflict:
                return 409, {"error_code": 409, "message": "Schema being registered is incompatible"}
            self.schemas.append(schema)
        number = self.schemas.index(schema) + 1
        if number not in ids:
            ids.append(number)
        return 200, {"id": number, "subject": subject, "version": ids.index(number) + 1, **schema}


@contextmanager
def serving(registry: Registry, port: int = 0) -> Iterator[Registry]:
    """Serves a registry on a port of this machine while the block lasts."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _do(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            path = self.path.partition("?")[0]
            status, content = registry.answer(self.command, path, body, self.headers.get("Authorization"))
            data = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Type", CONTENT)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = _do

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    server.daemon_threads = True
    registry.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield registry
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
