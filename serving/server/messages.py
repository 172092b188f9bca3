"""Messages: requests and responses as handlers see them, whatever reads and writes them on the wire."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from urllib.parse import parse_qs, unquote

import msgspec

from serving.server.access import NOBODY, Caller
from serving.server.problems import Problem

JSON = "application/json"
ARROW = "application/vnd.apache.arrow.stream"
TEXT = "text/plain; charset=utf-8"

encode_json = msgspec.json.Encoder(decimal_format="string", uuid_format="canonical").encode


class Request:
    """One request.

    Args:
        method: in capitals.
        target: path and query, as sent.
        headers: values by name in small letters; repeated ones are joined by ", ".
        body: as sent, whole.
        id: of the request: the client's own, or one given here.
        peer: address of the client.

    Attributes:
        path: as sent, percent-encoded, without the query.
        params: parts of the path that its route names, decoded.
        caller: who asks.
        note: what the access log says beside the usual, by name.
    """

    __slots__ = ("__dict__", "body", "caller", "headers", "id", "method", "note", "params", "path", "peer", "target")

    def __init__(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes, id: str = "", peer: str = ""
    ) -> None:
        self.method, self.target, self.headers, self.body = method, target, headers, body
        self.id, self.peer = id, peer
        self.path = target.partition("?")[0]
        self.params: Mapping[str, str] = {}
        self.caller: Caller = NOBODY
        self.note: dict[str, Any] | None = None

    @cached_property
    def query(self) -> dict[str, list[str]]:
        """Values by name of the query, decoded, in their order."""
        try:
            return parse_qs(self.target.partition("?")[2], keep_blank_values=True, errors="strict", max_num_fields=1000)
        except ValueError:
            raise Problem(400, "the query is not legal: give NAME=VALUE pairs in percent-encoded UTF-8") from None

    def option(self, name: str, legal: tuple[str, ...]) -> str | None:
        """A value of the query that must be one of some words; None if it is not given.

        Raises:
            Problem: it is another.
        """
        found = self.query.get(name)
        if found is None:
            return None
        if len(found) > 1 or found[0] not in legal:
            raise Problem(400, f"{name}={found[-1]!r} is not legal", where=f"query {name}", legal=legal)
        return found[0]

    def accepts(self, kind: str) -> bool:
        """Whether the client asks for a kind of content by name, and does not rule it out."""
        given = self.headers.get("accept", "")
        return kind in given and f"{kind};q=0" not in given.replace(" ", "")

    @property
    def content_type(self) -> str:
        """Kind of the body, in small letters, without parameters."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()


@dataclass(slots=True)
class Response:
    """One response.

    Attributes:
        status: HTTP status.
        body: whole.
        content_type: of the body.
        headers: further ones; names in small letters.
    """

    status: int = 200
    body: bytes = b""
    content_type: str = JSON
    headers: Mapping[str, str] = field(default_factory=dict)

    @staticmethod
    def json(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
        """Response of a value as JSON."""
        return Response(status, encode_json(value), JSON, headers or {})


@dataclass(slots=True)
class Later:
    """The rest of a handler's work, for a thread: it waits for a disk, or takes long.

    Attributes:
        work: gives the response.
    """

    work: Callable[[], Response]


@dataclass(slots=True)
class Waits:
    """The rest of a handler's work, for a fiber: it is short but for its waiting for a network.

    Attributes:
        work: gives the response.
    """

    work: Callable[[], Response]


def decoded(text: str) -> str:
    """A part of a path, percent-decoded.

    Raises:
        Problem: it is no UTF-8.
    """
    try:
        return unquote(text, errors="strict")
    except UnicodeDecodeError:
        raise Problem(400, "the path is not legal: percent-encoded bytes are to be UTF-8") from None
