"""Routes: which handler answers which method and path, with which rights."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from serving.server.messages import Later, Request, Response, Waits, decoded
from serving.server.problems import Problem

Answer = Response | Later | Waits | Awaitable[Response]
Handler = Callable[[Request], Answer]
_NAMED = re.compile(r"\{(\w+)\}")


class Queue(Enum):
    """Where requests wait when more come than can be answered: each queue is bounded by itself."""

    NONE = "none"
    READS = "reads"
    WRITES = "writes"


@dataclass(frozen=True)
class Route:
    """One method and path.

    Attributes:
        method: in capitals.
        path: as in "/v1/push/{source}"; a named part holds no slash unless that is percent-encoded.
        handler: answers.
        queue: where its requests wait.
        public: whether it is answered without credentials.
        operation: its OpenAPI operation, or None to leave it out of the page.
        protocol: name of the protocol that it belongs to; problems are rendered, and callers known, as that does.
    """

    method: str
    path: str
    handler: Handler
    queue: Queue = Queue.READS
    public: bool = False
    operation: Mapping[str, Any] | None = None
    protocol: str = "native"


@dataclass
class Router:
    """Finds routes.

    Args:
        routes: all of them.
    """

    routes: Iterable[Route]
    _exact: dict[tuple[str, str], Route] = field(default_factory=dict)
    _named: list[tuple[re.Pattern[str], Route]] = field(default_factory=list)

    def __post_init__(self) -> None:
        for route in self.routes:
            if _NAMED.search(route.path):
                pattern = "".join(
                    f"(?P<{part}>[^/]+)" if number % 2 else re.escape(part)
                    for number, part in enumerate(_NAMED.split(route.path))
                )
                self._named.append((re.compile(pattern), route))
            else:
                self._exact[route.method, route.path] = route

    def find(self, request: Request) -> Route | None:
        """Route of a request, or None; gives the request the named parts of its path."""
        method = "GET" if request.method == "HEAD" else request.method
        route = self._exact.get((method, request.path))
        if route is not None:
            return route
        for pattern, named in self._named:
            if named.method == method and (match := pattern.fullmatch(request.path)):
                request.params = {name: decoded(value) for name, value in match.groupdict().items()}
                return named
        return None

    def refusal(self, request: Request) -> Problem:
        """The problem of a request that has no route."""
        methods = sorted({route.method for route in self._exact.values() if route.path == request.path})
        methods += sorted({route.method for pattern, route in self._named if pattern.fullmatch(request.path)})
        if methods:
            return Problem(
                405,
                f"{request.method} is not legal here",
                where="method",
                legal=methods,
                headers={"allow": ", ".join(methods)},
            )
        paths = sorted({route.path for route in (*self._exact.values(), *(route for _, route in self._named))})
        return Problem(404, f"there is nothing at {request.path}", where="path", legal=paths, given=request.path)
