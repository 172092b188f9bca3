"""Routes of pushing: POST /v1/push/{source}; durable in the topic before it is answered."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping
from concurrent.futures import Executor
from typing import Any

import msgspec
import pyarrow as pa

from schemas.source import Source
from serving.server.access import Caller
from serving.server.bodies import Body, BodyDecoder, arrow_table, check_type
from serving.server.configuration import ServerConfiguration
from serving.server.counters import Counters
from serving.server.messages import ARROW, JSON, Later, Request, Response
from serving.server.openapi_parts import PUSH
from serving.server.ports import Backend
from serving.server.problems import Problem
from serving.server.routing import Queue, Route
from serving.server.waiting import readable
from transforms.catalog import Catalog
from transforms.encodings.json import JsonDecoder

LINES = "application/x-ndjson"
SERVED = "served"
_MOST_BAD = 20


class PushRequest(Body):
    """Body of POST /v1/push/{source}."""

    events: list[msgspec.Raw]


class PushRoutes:
    """Takes events.

    Args:
        backend: the project.
        configuration: of the server.
        counters: of the process.

    Attributes:
        pool: threads that wait for the broker; None for the loop's own.
    """

    def __init__(self, backend: Backend, configuration: ServerConfiguration, counters: Counters) -> None:
        self._backend, self._counters = backend, counters
        self.pool: Executor | None = None
        self._most, self._wait = configuration.events, configuration.wait
        self._decoder = BodyDecoder(PushRequest)

    def routes(self) -> list[Route]:
        """The routes."""
        return [Route("POST", "/v1/push/{source}", self.push, Queue.WRITES, operation=PUSH)]

    def push(self, request: Request) -> Later | Awaitable[Response]:
        """Takes events, answered once they are durable, or once they can be read."""
        wait = request.option("wait", (SERVED,))
        limit = self._limit(request)
        source = self._source(request.caller, request.params["source"])
        kind = check_type(request, JSON, LINES, ARROW)
        if wait is None:
            return Later(lambda: self._pushed(source, kind, request.body))
        return self._served(source, kind, request.body, limit)

    def _pushed(self, source: Source, kind: str, body: bytes) -> Response:
        events, lanes = self._sent(source, kind, body)
        return Response.json({"events": events, "lanes": lanes}, 202)

    async def _served(self, source: Source, kind: str, body: bytes, limit: float) -> Response:
        """Sends events and waits until they can be read."""
        loop = asyncio.get_running_loop()
        events, lanes = await loop.run_in_executor(self.pool, self._sent, source, kind, body)
        if not await readable(self._backend.publishing, source.name, lanes, limit, self.pool):
            raise Problem(
                504,
                f"the events are durable, and could not be read within {limit:g} s; is a stream running "
                "(twinbeam run stream)? Do not send them again",
                extra={"events": events, "lanes": lanes},
            )
        return Response.json({"events": events, "lanes": lanes, "served": True})

    def _sent(self, source: Source, kind: str, body: bytes) -> tuple[int, Mapping[str, int]]:
        """Sends the events of a body: how many, and the last offset in each lane."""
        count, events = self._events(source, kind, body)
        lanes = self._backend.publishing.publish(source.name, events)
        self._counters.pushed[source.name] += count
        return count, lanes

    def _events(self, source: Source, kind: str, body: bytes) -> tuple[int, Any]:
        """How many events a body has, and the events."""
        if kind == ARROW:
            table = arrow_table(body)
            self._check(table.num_rows)
            return table.num_rows, table
        if kind == LINES:
            lines = [line for line in body.splitlines() if line.strip()]
        else:
            lines = [bytes(event) for event in self._decoder.decode(body).events]
        self._check(len(lines))
        if not lines:
            return 0, []
        found = JsonDecoder(source).decode(pa.array(lines, pa.binary()))
        if found.bad:
            shown = [{"row": row, "reason": reason} for row, reason in sorted(found.bad)[:_MOST_BAD]]
            raise Problem(
                422,
                f"{source.name}: row {shown[0]['row']}: {shown[0]['reason']}; {len(found.bad)} of {len(lines)} events "
                "do not fit, nothing was sent",
                where="events",
                extra={"errors": shown},
            )
        return len(lines), found

    def _check(self, events: int) -> None:
        if events > self._most:
            told = f"a push has at most {self._most} events, this one has {events}"
            raise Problem(413, told, where="events", extra={"limit": self._most})

    def _limit(self, request: Request) -> float:
        given = request.query.get("timeout", [None])[-1]
        if given is None:
            return self._wait
        try:
            seconds = float(given)
        except ValueError:
            seconds = -1.0
        if not 0 < seconds <= self._wait:
            raise Problem(
                400,
                f"{given!r} is not legal: give seconds, above 0 and up to {self._wait:g}",
                where="query timeout",
                extra={"limit": self._wait},
            )
        return seconds

    def _source(self, caller: Caller, name: str) -> Source:
        """The source of a name that a caller may push to.

        Raises:
            Problem: there is none, for all that they may know.
        """
        catalog = self._backend.reads.catalog
        legal = pushable(catalog, caller)
        if name not in legal:
            raise Problem(
                404, f"there is no source {name!r} that may be pushed to here", "source", sorted(legal), given=name
            )
        if self._backend.publishing.topic(name) is None:
            raise Problem(409, f"source {name!r} has no topic: give it topic= in its definition or the settings")
        return legal[name]


def pushable(catalog: Catalog, caller: Caller) -> dict[str, Source]:
    """Sources that a caller may push to: by their names, or since all views that they feed may be pushed to."""
    found = {}
    for name, source in catalog.registry.sources.items():
        fed = [view.name for view in catalog.views.values() if any(each.name == name for each in view.sources)]
        if caller.may("push", name) or (fed and all(caller.may("push", view) for view in fed)):
            found[name] = source
    return found
