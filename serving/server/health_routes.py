"""Routes of health: whether the process lives, whether it can answer, and what it counted."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic

from serving.server.exposition import CONTENT_TYPE, Exposition
from serving.server.messages import TEXT, Later, Request, Response
from serving.server.openapi_parts import HEALTHY, METRICS, READY
from serving.server.ports import Backend
from serving.server.problems import Problem
from serving.server.routing import Queue, Route

_FRESH = 1.0


class HealthRoutes:
    """Answers probes.

    Args:
        backend: the project.
        exposition: counters of all processes.
        draining: whether the process is about to end.
        guarded: whether metrics are for known callers alone.
    """

    def __init__(self, backend: Backend, exposition: Exposition, draining: Callable[[], bool], guarded: bool) -> None:
        self._backend, self._exposition, self._draining, self._guarded = backend, exposition, draining, guarded
        self._looked = -_FRESH
        self._ailments: dict[str, str] = {}

    def routes(self) -> list[Route]:
        """The routes; probes need no credentials, and tell nothing but whether."""
        return [
            Route("GET", "/healthz", self.alive, Queue.NONE, public=True, operation=HEALTHY),
            Route("GET", "/readyz", self.ready, Queue.NONE, public=True, operation=READY),
            Route("GET", "/metrics", self.metrics, Queue.NONE, operation=METRICS),
        ]

    def alive(self, request: Request) -> Response:
        """The process lives."""
        return Response(200, b"alive\n", TEXT)

    def ready(self, request: Request) -> Response | Later:
        """The stores answer, and the process is not about to end; looked at once a second at most."""
        if self._draining():
            return _verdict({"server": "ends"}, 503)
        if monotonic() - self._looked < _FRESH:
            return self._told(request)
        return Later(lambda: self._look(request))

    def metrics(self, request: Request) -> Later:
        """What all processes counted."""
        if self._guarded and not (request.caller.admin or request.caller.may("read", "metrics")):
            raise Problem(404, "there is nothing at /metrics", where="path")
        return Later(lambda: Response(200, self._exposition.page(), CONTENT_TYPE))

    def _look(self, request: Request) -> Response:
        self._ailments, self._looked = self._backend.ailments(), monotonic()
        return self._told(request)

    def _told(self, request: Request) -> Response:
        if not self._ailments:
            return Response(200, b'{"status":"ready"}')
        # What ails a store may name places; only those who may see everything are told.
        told = self._ailments if request.caller.admin else dict.fromkeys(self._ailments, "does not answer")
        return _verdict(told, 503)


def _verdict(ailments: dict[str, str], status: int) -> Response:
    return Response.json({"status": "not ready", "reasons": ailments}, status, {"retry-after": "1"})
