"""A strict HTTP client over bare sockets: whatever is not a whole answer to a request that was sent is a failure."""

from __future__ import annotations

import asyncio
import json
import socket
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Answer:
    """One answer as it came.

    Attributes:
        status: HTTP status.
        headers: by name in small letters.
        body: whole.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """The body as JSON has it."""
        return json.loads(self.body)


def request_bytes(method: str, path: str, body: bytes = b"", **headers: str) -> bytes:
    """A request as it is sent; names of headers with _ for -."""
    lines = [f"{method} {path} HTTP/1.1", "host: here"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    if body:
        lines.append(f"content-length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


class Wire:
    """One blocking connection.

    Args:
        port: TCP port of the loopback.
    """

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), 60)
        self._file = self.socket.makefile("rb")

    def send(self, content: bytes) -> None:
        """Sends bytes."""
        self.socket.sendall(content)

    def answer(self) -> Answer | None:
        """The next answer; None if the server has closed."""
        try:
            line = self._file.readline()
        except ConnectionResetError:
            return None
        if not line:
            return None
        headers: dict[str, str] = {}
        while (header := self._file.readline()) not in (b"\r\n", b""):
            name, _, value = header.decode("latin-1").partition(":")
            headers[name.lower()] = value.strip()
        return Answer(int(line.split()[1]), headers, self._file.read(int(headers.get("content-length", "0"))))

    def ask(self, method: str, path: str, body: bytes = b"", **headers: str) -> Answer | None:
        """Sends a request and waits for its answer."""
        self.send(request_bytes(method, path, body, **headers))
        return self.answer()

    def close(self) -> None:
        """Ends it."""
        self._file.close()
        self.socket.close()


@dataclass
class Load:
    """What a load came to.

    Attributes:
        statuses: how many answers had each.
        failures: what went wrong instead of an answer.
        refused: connections that were refused.
    """

    statuses: Counter[int] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    refused: int = 0


async def load(port: int, content: bytes, connections: int, over: asyncio.Event) -> Load:
    """Sends one request again and again over some connections, until told to end or no connection is taken any more.

    Args:
        port: TCP port of the loopback.
        content: the request.
        connections: how many.
        over: set when it is enough.
    """
    found = Load()
    await asyncio.gather(*(_sender(port, content, over, found) for _ in range(connections)))
    return found


async def _sender(port: int, content: bytes, over: asyncio.Event, found: Load) -> None:
    while not over.is_set():
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
        except ConnectionRefusedError:
            found.refused += 1
            return
        except OSError as error:
            found.failures.append(f"connecting: {error!r}")
            return
        try:
            goes_on = True
            while goes_on and not over.is_set():
                writer.write(content)
                head = await reader.readuntil(b"\r\n\r\n")
                lines = head.decode("latin-1").lower().split("\r\n")
                headers = dict(line.split(": ", 1) for line in lines[1:] if line)
                await reader.readexactly(int(headers["content-length"]))
                found.statuses[int(lines[0].split()[1])] += 1
                goes_on = headers.get("connection") != "close"
        except (OSError, asyncio.IncompleteReadError) as error:
            found.failures.append(f"waiting for an answer: {error!r}")
        finally:
            writer.close()
