"""Connections: HTTP/1.1 of one client, read by httptools and answered one request at a time, within limits.

Every wait for a client has a deadline: for its headers, its body, its next request, and its reading of an answer. The
deadlines of all connections are looked at a few times a second, which costs a request nothing.
"""

from __future__ import annotations

import asyncio
from collections import deque
from http import HTTPStatus
from typing import Any, Protocol

import httptools

from serving.server.configuration import ServerConfiguration
from serving.server.messages import Request, Response
from serving.server.problems import NOT_BEGUN, Problem

MOST_HEADERS = 64 << 10
MOST_NAMES = 128
MOST_PIPELINED = 16
FAREWELL = 2.0
QUIET = 1.0
_STATUS = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus}
_PLAIN_ID = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.:")


class Host(Protocol):
    """What connections ask of the process that they are in."""

    configuration: ServerConfiguration
    connections: set[Connection]
    now: float
    date: bytes
    draining: bool

    def accept(self, request: Request, connection: Connection) -> None:
        """Answers a request, now or later, by `connection.answer`."""

    def refuse(self, problem: Problem, request: Request) -> Response:
        """Response of what was refused before it could be accepted."""

    def new_id(self) -> str:
        """Id for a request that has none."""


class Connection(asyncio.Protocol):
    """One client's connection.

    Args:
        host: the process's server.
    """

    _transport: asyncio.Transport
    _parser: Any

    def __init__(self, host: Host) -> None:
        self._host = host
        self._peer = ""
        self._deadline = 0.0
        self._quiet_since = 0.0
        self._state = "idle"
        self._waiting: deque[tuple[Request, bool]] = deque()
        self._busy: Request | None = None
        self._keep = True
        self._stalled = 0.0
        self._paused = False
        self._new()

    def _new(self) -> None:
        self._url = b""
        self._headers: dict[str, str] = {}
        self._body: list[bytes] = []
        self._size = self._head = 0

    # What asyncio tells.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        self._transport = transport  # type: ignore[assignment]
        peer = transport.get_extra_info("peername")
        self._peer = peer[0] if isinstance(peer, tuple) else ""
        self._parser = httptools.HttpRequestParser(self)
        host = self._host
        host.connections.add(self)
        self._rest()
        if len(host.connections) > host.configuration.connections:
            self._refuse(Problem(503, "the server has as many connections as it takes", retry=1, extra=NOT_BEGUN))

    def connection_lost(self, error: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        self._host.connections.discard(self)
        self._state = "closed"
        self._waiting.clear()

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        if self._state in ("farewell", "closed"):
            return
        if self._state == "headers" or self._state == "idle":
            self._size += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._keep = False
            if self._busy is None and not self._waiting:
                self._refuse(Problem(501, "no other protocol is spoken here than HTTP/1.1"))
        except httptools.HttpParserError as error:
            context = error.__context__
            refused = context if isinstance(context, Problem) else Problem(400, "this is no HTTP/1.1")
            self._refuse(refused)
        if self._state == "headers" and self._size > MOST_HEADERS:
            self._refuse(Problem(431, f"the headers are longer than {MOST_HEADERS} bytes"))

    def eof_received(self) -> bool:
        """See `asyncio.Protocol`; a client that has said all may still read its answer."""
        if self._busy is not None or self._waiting:
            self._keep = False
            return True
        return False

    def pause_writing(self) -> None:
        """See `asyncio.Protocol`."""
        self._stalled = self._host.now + self._host.configuration.download

    def resume_writing(self) -> None:
        """See `asyncio.Protocol`."""
        self._stalled = 0.0
        self._next()

    # What httptools tells.

    def on_message_begin(self) -> None:
        """A request begins."""
        self._new()
        self._state = "headers"
        self._deadline = self._host.now + self._host.configuration.headers

    def on_url(self, url: bytes) -> None:
        """A part of the request's target."""
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header."""
        headers = self._headers
        self._head += len(name) + len(value)
        if self._head > MOST_HEADERS:
            raise Problem(431, f"the headers are longer than {MOST_HEADERS} bytes")
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        if key in headers:
            text = f"{headers[key]}, {text}"
        elif len(headers) >= MOST_NAMES:
            raise Problem(431, f"there are more than {MOST_NAMES} headers")
        headers[key] = text

    def on_headers_complete(self) -> None:
        """The body comes next."""
        self._size = 0
        host, headers = self._host, self._headers
        if "content-length" in headers or "transfer-encoding" in headers:
            self._state = "body"
            self._deadline = host.now + host.configuration.upload
            most, given = host.configuration.body, headers.get("content-length", "0")
            if given.isdigit() and int(given) > most:
                raise Problem(413, f"the body has {given} bytes, more than {most} are not taken")
            if headers.get("expect", "").lower() == "100-continue" and self._busy is None:
                self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        """A part of the body."""
        self._size += len(body)
        most = self._host.configuration.body
        if self._size > most:
            raise Problem(413, f"the body has more than {most} bytes")
        self._body.append(body)

    def on_message_complete(self) -> None:
        """The request is whole."""
        self._state, self._deadline, self._size = "answering", 0.0, 0
        try:
            target = self._url.decode("ascii")
        except UnicodeDecodeError:
            raise Problem(400, "the path is not legal: bytes beyond ASCII are to be percent-encoded") from None
        if target.startswith("http"):
            target = "/" + target.partition("://")[2].partition("/")[2]
        parser, headers = self._parser, self._headers
        if "host" not in headers and parser.get_http_version() != "1.0":
            raise Problem(400, "the header Host is missing", where="header host")
        given = headers.get("x-request-id", "")
        known = given if given and len(given) <= 128 and _PLAIN_ID.issuperset(given) else self._host.new_id()
        body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        request = Request(parser.get_method().decode("ascii"), target, headers, body, known, self._peer)
        self._new()
        keep = bool(parser.should_keep_alive())
        if self._busy is None and not self._waiting and not self._stalled:
            self._accept(request, keep)
            return
        self._waiting.append((request, keep))
        if len(self._waiting) >= MOST_PIPELINED and not self._paused:
            self._paused = True
            self._transport.pause_reading()

    # What the server tells.

    def answer(self, request: Request, response: Response) -> None:
        """Writes the answer of the request that was accepted last."""
        if self._state == "closed" or self._busy is not request:
            return
        self._busy = None
        keep = self._keep and not self._host.draining
        self._transport.write(self._bytes(request, response, keep))
        if not keep:
            self._waiting.clear()
            self._close()
        else:
            self._next()

    def expire(self, now: float) -> None:
        """Ends what has waited for the client for too long."""
        if self._stalled and now > self._stalled:
            self._transport.abort()
        elif self._host.draining and self._state == "idle" and self._busy is None and now - self._quiet_since > QUIET:
            self._transport.close()
        elif self._deadline and now > self._deadline:
            if self._state in ("headers", "body"):
                self._refuse(Problem(408, f"the {self._state} of the request took too long to come"))
            else:
                self._transport.close()

    def close(self) -> None:
        """Ends the connection at once."""
        self._transport.abort()

    def _accept(self, request: Request, keep: bool) -> None:
        self._busy, self._keep = request, self._keep and keep
        self._host.accept(request, self)

    def _next(self) -> None:
        """Goes on with what the client has sent already, or waits for more."""
        if self._busy is not None or self._stalled or self._state == "closed":
            return
        if self._waiting:
            request, keep = self._waiting.popleft()
            if self._paused and not self._waiting:
                self._paused = False
                self._transport.resume_reading()
            self._accept(request, keep)
        elif self._state == "answering":
            self._rest()

    def _rest(self) -> None:
        self._state = "idle"
        self._quiet_since = self._host.now
        self._deadline = self._quiet_since + self._host.configuration.idle

    def _refuse(self, problem: Problem) -> None:
        """Answers what cannot be accepted, once what was accepted is answered, and hears no more."""
        if self._state in ("farewell", "closed"):
            return
        if self._busy is not None:
            self._keep = False
            self._waiting.clear()
            return
        request = Request("GET", self._url.decode("latin-1"), self._headers, b"", self._host.new_id(), self._peer)
        self._transport.write(self._bytes(request, self._host.refuse(problem, request), False))
        self._close()

    def _close(self) -> None:
        """Ends the connection in a way that the client can still read the last answer, whatever it goes on to send."""
        self._state = "farewell"
        self._deadline = self._host.now + FAREWELL
        if self._transport.can_write_eof():
            self._transport.write_eof()
        else:
            self._transport.close()

    def _bytes(self, request: Request, response: Response, keep: bool) -> bytes:
        head = b"%bdate: %b\r\ncontent-type: %b\r\ncontent-length: %d\r\nx-request-id: %b\r\n" % (
            _STATUS[response.status],
            self._host.date,
            response.content_type.encode("latin-1"),
            len(response.body),
            request.id.encode("latin-1"),
        )
        for name, value in response.headers.items():
            if "\r" in value or "\n" in value:
                raise ValueError(f"header {name} would hold a line end")
            head += f"{name}: {value}\r\n".encode("latin-1")
        if not keep:
            head += b"connection: close\r\n"
        elif self._parser.get_http_version() == "1.0":
            head += b"connection: keep-alive\r\n"
        return head + b"\r\n" + (b"" if request.method == "HEAD" else response.body)
