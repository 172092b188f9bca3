"""A client that asks a server as fast as it answers, over some connections: what it sends is made beforehand."""

from __future__ import annotations

import json
import selectors
import socket
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

_LENGTH = b"content-length:"


class _Asker:
    """One connection: the next request goes out when the answer before it is whole."""

    def __init__(self, port: int, requests: Sequence[bytes], at: int) -> None:
        self._port, self._requests, self._at = port, requests, at
        self.socket = self._connected()
        self._held = bytearray()
        self._missing = -1
        self.begun = 0.0

    def ask(self) -> None:
        """Sends the next request."""
        content = self._requests[self._at % len(self._requests)]
        self._at += 1
        self._held.clear()
        self._missing = -1
        self.begun = time.perf_counter()
        self.socket.sendall(content)

    def heard(self) -> bool:
        """Reads what came; whether the answer is whole.

        Raises:
            RuntimeError: it is no good answer.
        """
        part = self.socket.recv(1 << 18)
        if not part:
            raise RuntimeError("the server closed the connection")
        held = self._held
        held += part
        if self._missing < 0:
            end = held.find(b"\r\n\r\n")
            if end < 0:
                return False
            head = bytes(held[:end]).lower()
            if not head.startswith(b"http/1.1 200 "):
                raise RuntimeError(bytes(held[:2_000]).decode(errors="replace"))
            at = head.index(_LENGTH) + len(_LENGTH)
            self._missing = end + 4 + int(head[at:].split(b"\r\n", 1)[0])
        return len(held) >= self._missing

    def _connected(self) -> socket.socket:
        found = socket.create_connection(("127.0.0.1", self._port), 60)
        found.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return found


def ask(port: int, path: str, bodies: str, connections: int, seconds: float) -> dict[str, Any]:
    """Asks for some seconds; requests answered, and how long answers took.

    Args:
        port: of the server, on this machine.
        path: that is posted to.
        bodies: file of a JSON list of bodies, sent in turn.
        connections: how many.
        seconds: how long.
    """
    head = f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\ncontent-type: application/json\r\ncontent-length: "
    made = [json.dumps(body).encode() for body in json.loads(Path(bodies).read_text(encoding="utf-8"))]
    requests = [f"{head}{len(body)}\r\n\r\n".encode() + body for body in made]
    waiting = selectors.DefaultSelector()
    for number in range(connections):
        asker = _Asker(port, requests, number * 7)
        waiting.register(asker.socket, selectors.EVENT_READ, asker)
        asker.ask()
    taken: list[float] = []
    begun = time.perf_counter()
    while (now := time.perf_counter()) - begun < seconds:
        for key, _ in waiting.select(1.0):
            if key.data.heard():
                taken.append(time.perf_counter() - key.data.begun)
                key.data.ask()
    taken.sort()
    count = len(taken)
    if not count:
        raise RuntimeError("no request was answered")
    return {
        "requests": count,
        "rate": count / (now - begun),
        "p50": taken[count // 2],
        "p99": taken[min(count - 1, count * 99 // 100)],
    }


if __name__ == "__main__":
    print(json.dumps(ask(**json.loads(sys.argv[1]))))
