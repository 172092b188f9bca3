"""Feast's protocol at our server: what its SDK with `online_store: type: remote` speaks."""

from __future__ import annotations

from collections.abc import Sequence

from serving.server.application import ForeignProtocol
from serving.server.feast.errors import render
from serving.server.feast.materializing import FeastRuns
from serving.server.feast.reading import FeastReads
from serving.server.feast.writing import FeastWrites
from serving.server.messages import Later, Request, Response
from serving.server.ports import Runs
from serving.server.routing import Queue, Route
from serving.server.site import Site


def mount(site: Site, runs: Runs) -> tuple[ForeignProtocol, Sequence[Route]]:
    """Routes of Feast's protocol.

    Args:
        site: what is served.
        runs: what materialize starts.
    """

    def health(request: Request) -> Later:
        return Later(lambda: Response(503 if site.backend.ailments() else 200))

    routes = [
        *FeastReads(site).routes(),
        *FeastWrites(site).routes(),
        *FeastRuns(site, runs).routes(),
        Route("GET", "/health", health, Queue.NONE, public=True, protocol="feast"),
    ]
    return ForeignProtocol("feast", render), routes
