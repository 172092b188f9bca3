"""The log of requests: a line each, with its id; never what was asked or answered, nor any header."""

from __future__ import annotations

import logging
import os
from datetime import UTC, datetime

from serving.server.messages import Request, Response, encode_json

FORMS = ("json", "text", "off")
_MOST_HELD = 64 << 10


class RequestLog:
    """Lines on requests, held for a moment and written together.

    Args:
        form: one of `FORMS`.
        to: descriptor of the file that they are written to.
    """

    def __init__(self, form: str, to: int = 1) -> None:
        self._form, self._to = form, to
        self._held: list[bytes] = []
        self._size = 0

    def write(self, request: Request, route: str, response: Response, seconds: float) -> None:
        """Notes a request that was answered."""
        if self._form == "off":
            return
        time = datetime.now(UTC).isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"
        if self._form == "json":
            line = encode_json(
                {
                    "time": time,
                    "request": request.id,
                    "peer": request.peer,
                    "caller": request.caller.name,
                    "method": request.method[:16],
                    "route": route,
                    "status": response.status,
                    "ms": round(seconds * 1e3, 3),
                    "in": len(request.body),
                    "out": len(response.body),
                    **(request.note or {}),
                }
            )
        else:
            line = (
                f"{time} {request.id} {request.peer} {request.caller.name or '-'} {request.method[:16]} {route or '-'} "
                f"{response.status} {seconds * 1e3:.3f} ms {len(response.body)} B"
            ).encode()
        self._held.append(line)
        self._size += len(line)
        if self._size > _MOST_HELD:
            self.flush()

    def flush(self) -> None:
        """Writes what is held; what a log does not take is no reason to fail a request."""
        if not self._held:
            return
        content = b"\n".join(self._held) + b"\n"
        self._held, self._size = [], 0
        try:
            os.write(self._to, content)
        except OSError:
            return


class JsonLines(logging.Formatter):
    """What else a process has to say, as JSON lines too."""

    def format(self, record: logging.LogRecord) -> str:
        """See `logging.Formatter`."""
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        found = {"time": time, "level": record.levelname.lower(), "logger": record.name, "message": record.getMessage()}
        if record.exc_info:
            found["error"] = self.formatException(record.exc_info)
        return encode_json(found).decode()
