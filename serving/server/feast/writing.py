"""POST /write-to-online-store and /push: rows appended to the topic of their source, answered once they can be read.

A client of Feast reads what it has just written, so an answer waits until a running stream has served the rows. If
that does not come in time they are durable all the same: 202 says so. (503 and 504 would have the client send them
again by itself.)
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from concurrent.futures import Executor

import pyarrow as pa

from serving.server.feast.bodies import Bodies, PushBody, WriteBody
from serving.server.feast.errors import failure, malformed, view_missing
from serving.server.feast.rows import EventRows
from serving.server.messages import Request, Response
from serving.server.push_routes import pushable
from serving.server.routing import Queue, Route
from serving.server.site import Site
from serving.server.waiting import readable

TARGETS = ("online", "offline", "online_and_offline")


class FeastWrites:
    """Takes rows.

    Args:
        site: what is served.
    """

    def __init__(self, site: Site) -> None:
        self._site = site
        self._writes, self._pushes = Bodies(WriteBody), Bodies(PushBody)
        self._pool: Executor | None = None

    def routes(self) -> list[Route]:
        """The routes."""
        return [
            Route("POST", "/write-to-online-store", self.write, Queue.WRITES, protocol="feast"),
            Route("POST", "/push", self.push, Queue.WRITES, protocol="feast"),
        ]

    def write(self, request: Request) -> Awaitable[Response]:
        """Rows of a view, or of a source by its name."""
        body: WriteBody = self._writes.decode(request.body)
        return self._sent(*self._of_name(request, body.feature_view_name), body, True, b"null")

    def push(self, request: Request) -> Awaitable[Response]:
        """Rows of a source."""
        body: PushBody = self._pushes.decode(request.body)
        if body.to not in TARGETS:
            raise malformed(
                f"{body.to} is not a supported push format. Please specify one of these {list(TARGETS)}.", ["to"]
            )
        catalog = self._site.backend.reads.catalog
        source = pushable(catalog, request.caller).get(body.push_source_name)
        if source is None:
            raise failure("PushSourceNotFoundException", 422, f"Unable to find push source '{body.push_source_name}'.")
        return self._sent(source.name, EventRows.of_source(source), body, body.to != "offline", b"")

    def _of_name(self, request: Request, name: str) -> tuple[str, EventRows]:
        catalog, publishing = self._site.backend.reads.catalog, self._site.backend.publishing
        legal, view = pushable(catalog, request.caller), catalog.views.get(name)
        if view is not None:
            of_view = [source for source in view.sources if source.name in legal]
            if of_view or request.caller.may("push", name):
                sources = of_view or list(view.sources)
                source = next((each for each in sources if publishing.topic(each.name) is not None), sources[0])
                return source.name, EventRows.of_view(catalog, view, source)
        elif name in legal:
            return name, EventRows.of_source(legal[name])
        raise view_missing(name, self._site.backend.project)

    async def _sent(
        self, source: str, rows: EventRows, body: WriteBody | PushBody, wait: bool, said: bytes
    ) -> Response:
        publishing, configuration = self._site.backend.publishing, self._site.configuration
        if publishing.topic(source) is None:
            raise failure(
                "FeastError",
                409,
                f"source {source!r} has no topic, its rows come from files: POST /materialize brings them in",
            )

        def publish() -> tuple[pa.Table, dict[str, int]]:
            events = rows.events(body.df, configuration.events)
            return events, publishing.publish(source, events) if events.num_rows else {}

        loop = asyncio.get_running_loop()
        events, lanes = await loop.run_in_executor(self._pool, publish)
        self._site.counters.pushed[source] += events.num_rows
        limit = configuration.wait
        if wait and lanes and not await readable(publishing, source, lanes, limit, self._pool):
            told = (
                f"{events.num_rows} rows are durable, and could not be read within {limit:g} s; is a stream running "
                "(twinbeam run stream)? Do not send them again"
            )
            return Response.json({"status": "accepted", "detail": told, "lanes": lanes}, 202)
        return Response(200, said)
