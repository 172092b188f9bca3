"""The application of one process: from a request that came to its answer, whoever is asked for it.

Credentials are looked at before anything else, so that a stranger learns nothing, not even which paths there are.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from time import perf_counter
from typing import Protocol, cast

from schemas.errors import StoreError
from serving.fiber import Fiber
from serving.server.access import ANYBODY, Caller
from serving.server.configuration import ServerConfiguration
from serving.server.counters import Counters
from serving.server.gate import Gate
from serving.server.messages import Later, Request, Response, Waits, encode_json
from serving.server.problems import CONTENT_TYPE, NOT_BEGUN, Problem, problem_of
from serving.server.request_log import RequestLog
from serving.server.routing import Answer, Queue, Route, Router
from serving.server.tracing import Tracing

LOG = logging.getLogger("twinbeam.server")
NATIVE = "native"
CONTROL_THREADS = 4


class Client(Protocol):
    """Where an answer goes."""

    def answer(self, request: Request, response: Response) -> None:
        """Writes the answer."""


@dataclass(frozen=True)
class ForeignProtocol:
    """What routes of one protocol have in common.

    Attributes:
        name: as the routes name it.
        render: response of a problem, as clients of the protocol expect it.
        caller: who sent a request, None if it shows no credentials that are known; None: as the native protocol does.
    """

    name: str
    render: Callable[[Problem, Request], Response]
    caller: Callable[[Request], Caller | None] | None = None


class _Work:
    """A request under way."""

    __slots__ = ("begun", "client", "gate", "request", "route")

    def __init__(self, request: Request, client: Client, route: Route, gate: Gate[_Work] | None, begun: float) -> None:
        self.request, self.client, self.route, self.gate, self.begun = request, client, route, gate, begun


class Application:
    """Answers requests.

    Args:
        configuration: of the server.
        routes: all of them.
        caller: who sent a request, by the configured credentials; None if it shows none that are known.
        counters: of the process.
        log: of requests.
        tracing: traces of requests.
        protocols: the foreign ones.
        loop: of the process.

    Attributes:
        under_way: requests that are not answered yet.
    """

    def __init__(
        self,
        configuration: ServerConfiguration,
        routes: Iterable[Route],
        caller: Callable[[Request], Caller | None],
        counters: Counters,
        log: RequestLog,
        tracing: Tracing,
        protocols: Iterable[ForeignProtocol],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._router, self._caller, self._guarded = Router(list(routes)), caller, configuration.guarded
        self._counters, self._log, self._tracing, self._loop = counters, log, tracing, loop
        self._protocols = {protocol.name: protocol for protocol in protocols}
        self.under_way = 0
        self._tasks: set[asyncio.Task[None]] = set()

        def gate(name: str, limit: int, threads: int) -> Gate[_Work]:
            return Gate(name, loop, limit, configuration.patience, threads, self._serve, self._overdue)

        self.gates: Mapping[Queue, Gate[_Work]] = {
            Queue.READS: gate("reads", configuration.queue, configuration.threads),
            Queue.WRITES: gate("writes", configuration.queue, configuration.threads),
            Queue.NONE: gate("control", configuration.queue, CONTROL_THREADS),
        }

    def accept(self, request: Request, client: Client) -> None:
        """Answers a request, now or later, by `client.answer`."""
        begun = perf_counter()
        self.under_way += 1
        route: Route | None = None
        try:
            route = self._router.find(request)
            self._know(request, route)
            if route is None:
                raise self._router.refusal(request)
        except Problem as problem:
            self._end(_Work(request, client, route or _NOWHERE, None, begun), self._refused(problem, request, route))
            return
        gate = self.gates[route.queue]
        work = _Work(request, client, route, gate, begun)
        if route.queue is Queue.NONE:
            if self._serve(work):
                gate.apart += 1
        elif not gate.offer(work):
            self._overdue(work)

    def refuse(self, problem: Problem, request: Request) -> Response:
        """Response of what was refused before it could be accepted."""
        response = self._refused(problem, request, None)
        self._log.write(request, "", response, 0.0)
        self._counters.request("", request.method, response.status, 0.0)
        return response

    async def drained(self, seconds: float) -> bool:
        """Whether all requests are answered, after so many seconds at most."""
        until = self._loop.time() + seconds
        while self.under_way and self._loop.time() < until:
            await asyncio.sleep(0.02)
        return not self.under_way

    def close(self) -> None:
        """Ends the threads."""
        for gate in self.gates.values():
            gate.close()

    def _know(self, request: Request, route: Route | None) -> None:
        """Finds out who asks.

        Raises:
            Problem: nobody that is known, and that matters.
        """
        protocol = self._protocols.get(route.protocol) if route else None
        if protocol is not None and protocol.caller is not None:
            known = protocol.caller(request)
        elif not self._guarded:
            known = ANYBODY
        else:
            known = self._caller(request)
        if known is not None:
            request.caller = known
        elif route is None or not route.public:
            raise Problem(
                401,
                "credentials are needed: a key or a token in the header Authorization, as in Bearer KEY",
                headers={"www-authenticate": "Bearer"},
            )

    def _serve(self, work: _Work) -> bool:
        """Begins with a request; says whether it goes on apart from the loop."""
        request = work.request
        try:
            with self._tracing.span(work.route, request):
                answer: Answer = work.route.handler(request)
        except Exception as error:  # noqa: BLE001
            self._end(work, self._failed(error, work))
            return False
        if type(answer) is Response:
            self._end(work, answer)
            return False
        gate = work.gate
        if type(answer) is Later and gate is not None:
            future = gate.pool.submit(self._worked, answer.work, work)
            future.add_done_callback(lambda done: self._loop.call_soon_threadsafe(self._done, work, done))
            return True
        if type(answer) is Waits and gate is not None:
            Fiber(self._loop, gate.pool, partial(self._in_fiber, answer.work, work, gate)).switch()
            return True
        task = self._loop.create_task(self._awaited(work, answer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return True

    def _worked(self, give: Callable[[], Response], work: _Work) -> Response:
        try:
            with self._tracing.span(work.route, work.request):
                return give()
        except Exception as error:  # noqa: BLE001
            return self._failed(error, work)

    def _in_fiber(self, give: Callable[[], Response], work: _Work, gate: Gate[_Work]) -> None:
        response = self._worked(give, work)
        gate.left()
        self._end(work, response)

    def _done(self, work: _Work, done: Future[Response]) -> None:
        if work.gate is not None:
            work.gate.left()
        if done.cancelled():
            self._end(work, self._failed(Problem(503, "the server ends", retry=1, extra=NOT_BEGUN), work))
        else:
            self._end(work, done.result())

    async def _awaited(self, work: _Work, answer: Answer) -> None:
        try:
            response = await cast("asyncio.Future[Response]", answer)
        except Exception as error:  # noqa: BLE001
            response = self._failed(error, work)
        if work.gate is not None:
            work.gate.left()
        self._end(work, response)

    def _overdue(self, work: _Work) -> None:
        """Refuses a request since there are too many."""
        self._counters.shed(work.route.queue.value)
        problem = Problem(503, "more is asked than this server can answer now", retry=1, extra=NOT_BEGUN)
        self._end(work, self._refused(problem, work.request, work.route))

    def _failed(self, error: Exception, work: _Work) -> Response:
        problem = problem_of(error)
        if not isinstance(error, Problem):
            if problem.status >= 500 and isinstance(error, StoreError):
                LOG.error("%s %s: %s", work.request.id, work.route.path, error)
            elif problem.status >= 500:
                LOG.error("%s %s: a fault of the server", work.request.id, work.route.path, exc_info=error)
        return self._refused(problem, work.request, work.route)

    def _refused(self, problem: Problem, request: Request, route: Route | None) -> Response:
        headers = dict(problem.headers)
        if problem.retry is not None:
            headers["retry-after"] = str(problem.retry)
        protocol = self._protocols.get(route.protocol) if route else None
        if protocol is not None:
            response = protocol.render(problem, request)
            response.headers = {**response.headers, **headers}
            return response
        return Response(problem.status, encode_json(problem.members(request.id)), CONTENT_TYPE, headers)

    def _end(self, work: _Work, response: Response) -> None:
        self.under_way -= 1
        seconds = perf_counter() - work.begun
        request = work.request
        try:
            work.client.answer(request, response)
        finally:
            self._counters.request(work.route.path, request.method, response.status, seconds)
            self._log.write(request, work.route.path, response, seconds)


def _nothing(request: Request) -> Response:
    return Response(404)


_NOWHERE = Route("GET", "", _nothing, Queue.NONE)
