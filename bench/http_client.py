"""A client that asks a server as fast as it answers, or at a steady rate, over some connections.

What it sends is made beforehand. At a steady rate an answer takes from the instant at which its request was due, were
there a free connection or not; the last moment before one is due is not slept through, but looked through.
"""

from __future__ import annotations

import json
import selectors
import socket
import struct
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

_LENGTH = b"content-length:"
_LONGEST = 120.0
_SOON = 1e-4
_PATIENCE = struct.pack("@ll", 1, 0)


class _Asker:
    """One connection: the next request goes out when the answer before it is whole."""

    def __init__(self, port: int, requests: Sequence[bytes], at: int) -> None:
        self._port, self._requests, self._at = port, requests, at
        self.socket = self._connected()
        self._held = bytearray()
        self._part = memoryview(bytearray(1 << 18))
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
        try:
            size = self.socket.recv_into(self._part)
        except BlockingIOError:  # Nothing came in a second.
            return False
        if not size:
            raise RuntimeError("the server closed the connection")
        held = self._held
        held += self._part[:size]
        if self._missing < 0:
            end = held.find(b"\r\n\r\n")
            if end < 0:
                return False
            head = bytes(held[:end]).lower()
            if not head.startswith((b"http/1.1 200 ", b"http/1.1 202 ")):
                raise RuntimeError(bytes(held[:2_000]).decode(errors="replace"))
            at = head.index(_LENGTH) + len(_LENGTH)
            self._missing = end + 4 + int(head[at:].split(b"\r\n", 1)[0])
        return len(held) >= self._missing

    def _connected(self) -> socket.socket:
        until = time.monotonic() + _LONGEST / 4
        while True:
            try:
                found = socket.create_connection(("127.0.0.1", self._port), 60)
                break
            except ConnectionRefusedError:  # A worker that ends is followed by another.
                if time.monotonic() > until:
                    raise
                time.sleep(0.1)
        found.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # Python's own timeout would have every call ask the kernel first whether it would wait.
        found.settimeout(None)
        found.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _PATIENCE)
        return found


def ask(port: int, path: str, bodies: str, connections: int, seconds: float, rate: float = 0.0) -> dict[str, Any]:
    """Asks for some seconds; requests answered, how long answers took, and how many came after the time was over.

    Args:
        port: of the server, on this machine.
        path: that is posted to.
        bodies: file of a JSON list of bodies, sent in turn.
        connections: how many.
        seconds: how long.
        rate: requests a second; 0 for as many as are answered.
    """
    head = f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\ncontent-type: application/json\r\ncontent-length: "
    made = [json.dumps(body).encode() for body in json.loads(Path(bodies).read_text(encoding="utf-8"))]
    requests = [f"{head}{len(body)}\r\n\r\n".encode() + body for body in made]
    # At a steady rate times are waited for, which epoll rounds up to whole milliseconds.
    waiting = selectors.SelectSelector() if rate else selectors.DefaultSelector()
    askers = [_Asker(port, requests, number * 7) for number in range(connections)]
    for asker in askers:
        waiting.register(asker.socket, selectors.EVENT_READ, asker)
    begun = time.perf_counter()
    taken = _steadily(waiting, askers, seconds, rate) if rate else _at_once(waiting, askers, seconds)
    now = time.perf_counter()
    late = 0 if rate else _ended(waiting, askers)
    taken.sort()
    count = len(taken)
    if not count:
        raise RuntimeError("no request was answered")
    return {
        "requests": count,
        "late": late,
        "rate": count / (now - begun),
        "p50": taken[count // 2],
        "p99": taken[min(count - 1, count * 99 // 100)],
    }


def _ended(waiting: selectors.BaseSelector, askers: Sequence[_Asker]) -> int:
    """Waits for the answers that are still to come, one a connection, so that no later load meets them; how many."""
    begun, came = time.perf_counter(), 0
    while came < len(askers) and time.perf_counter() - begun < _LONGEST:
        for key, _ in waiting.select(1.0):
            if key.data.heard():
                waiting.unregister(key.fileobj)
                came += 1
    return came


def _at_once(waiting: selectors.BaseSelector, askers: Sequence[_Asker], seconds: float) -> list[float]:
    taken: list[float] = []
    begun = time.perf_counter()
    for asker in askers:
        asker.ask()
    # Answers that take longer than all of that are waited for, once.
    while (now := time.perf_counter()) - begun < seconds or (not taken and now - begun < _LONGEST):
        for asker in askers if len(askers) == 1 else [key.data for key, _ in waiting.select(1.0)]:
            if asker.heard():
                taken.append(time.perf_counter() - asker.begun)
                asker.ask()
    return taken


def _steadily(waiting: selectors.BaseSelector, askers: Sequence[_Asker], seconds: float, rate: float) -> list[float]:
    taken: list[float] = []
    free, busy = list(askers), 0
    begun, sent, wanted = time.perf_counter(), 0, int(seconds * rate)
    # A server that cannot keep up is given twice the time; what it has not answered then is not among its answers.
    while (sent < wanted or busy) and time.perf_counter() - begun < (2 * seconds if taken else _LONGEST):
        while free and sent < wanted and begun + sent / rate <= time.perf_counter():
            asker, due = free.pop(), begun + sent / rate
            asker.ask()
            asker.begun = due
            sent, busy = sent + 1, busy + 1
        rest = begun + sent / rate - time.perf_counter() if free and sent < wanted else 1.0
        for key, _ in waiting.select(max(rest - _SOON, 0.0)):
            if key.data.heard():
                taken.append(time.perf_counter() - key.data.begun)
                free.append(key.data)
                busy -= 1
    return taken


if __name__ == "__main__":
    print(json.dumps(ask(**json.loads(sys.argv[1]))))
