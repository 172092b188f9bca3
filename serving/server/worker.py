"""A worker: one process that answers at a listening socket until it is told to end, and then loses no answer."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import ssl
import time
from collections.abc import Callable
from email.utils import formatdate

import uvloop

from serving.server.application import Application
from serving.server.configuration import ServerConfiguration
from serving.server.connection import Connection
from serving.server.listening import BACKLOG, FINAL, deafen
from serving.server.messages import Request, Response
from serving.server.problems import Problem

LOG = logging.getLogger("twinbeam.server")
TICK = 0.1

Build = Callable[[asyncio.AbstractEventLoop, "Worker"], Application]


class Worker:
    """Serves one socket in this process.

    Args:
        configuration: of the server.
        build: makes the application, once the loop is there.
        tick: called about once a second.

    Attributes:
        connections: open ones.
        now: seconds, of some clock that goes on; renewed several times a second.
        date: the time as answers have it.
        draining: whether it is about to end.
    """

    def __init__(self, configuration: ServerConfiguration, build: Build, tick: Callable[[], None]) -> None:
        self.configuration = configuration
        self.connections: set[Connection] = set()
        self.now, self.date = time.monotonic(), formatdate(usegmt=True).encode()
        self.draining = False
        self._build, self._tick = build, tick
        self._ids = os.urandom(6).hex()
        self._count = 0
        self._application: Application

    def run(self, listening: socket.socket, ready: Callable[[], None]) -> None:
        """Answers until SIGTERM, SIGINT or `FINAL`, or until the process that started this one is gone.

        Args:
            listening: bound socket; it is closed here, other processes may go on with it.
            ready: called once requests are taken.
        """
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(self._run(listening, ready))

    def accept(self, request: Request, connection: Connection) -> None:
        """See `Host`."""
        self._application.accept(request, connection)

    def refuse(self, problem: Problem, request: Request) -> Response:
        """See `Host`."""
        return self._application.refuse(problem, request)

    def new_id(self) -> str:
        """See `Host`."""
        self._count += 1
        return f"{self._ids}{self._count:x}"

    async def _run(self, listening: socket.socket, ready: Callable[[], None]) -> None:
        loop, parent = asyncio.get_running_loop(), os.getppid()
        over, final = asyncio.Event(), asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, over.set)

        def end_now() -> None:
            final.set()
            over.set()

        loop.add_signal_handler(FINAL, end_now)
        self._application = self._build(loop, self)
        context = tls(self.configuration)
        timeout = self.configuration.headers if context is not None else None
        waiting = listening.dup()
        server = await loop.create_server(
            lambda: Connection(self), sock=listening, backlog=BACKLOG, ssl=context, ssl_handshake_timeout=timeout
        )
        ticking = loop.create_task(self._ticking(over, parent))
        ready()
        await over.wait()
        self.draining = True
        await asyncio.sleep(self.configuration.linger)
        if final.is_set():
            deafen(waiting)
        server.close()
        await self._take(loop, waiting, context)
        await self._drain(loop)
        ticking.cancel()
        self._application.close()

    async def _take(
        self, loop: asyncio.AbstractEventLoop, waiting: socket.socket, context: ssl.SSLContext | None
    ) -> None:
        """Takes the connections that clients have made and that nobody has taken."""
        with waiting:
            for _ in range(BACKLOG):
                try:
                    accepted, _ = waiting.accept()
                except OSError:
                    return
                accepted.setblocking(False)
                try:
                    await loop.connect_accepted_socket(lambda: Connection(self), accepted, ssl=context)
                except OSError as error:
                    LOG.debug("a connection was lost: %s", error)

    async def _ticking(self, over: asyncio.Event, parent: int) -> None:
        ticks = 0
        while True:
            await asyncio.sleep(TICK)
            self.now = time.monotonic()
            for connection in list(self.connections):
                connection.expire(self.now)
            ticks += 1
            if ticks % round(1 / TICK) == 0 or self.draining:
                self.date = formatdate(usegmt=True).encode()
                self._tick()
                if os.getppid() != parent:
                    over.set()

    async def _drain(self, loop: asyncio.AbstractEventLoop) -> None:
        """Waits until all is answered and every client knows that its connection ends."""
        until = loop.time() + self.configuration.drain
        if not await self._application.drained(self.configuration.drain):
            LOG.warning("%d requests were not answered in time", self._application.under_way)
        while self.connections and loop.time() < until:
            await asyncio.sleep(TICK / 2)
        for connection in list(self.connections):
            connection.close()


def tls(configuration: ServerConfiguration) -> ssl.SSLContext | None:
    """The TLS context of the configured certificate; None if there is none.

    Raises:
        OSError: the certificate or its key cannot be read, or they are no such thing.
    """
    if configuration.certificate is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    context.load_cert_chain(configuration.certificate, configuration.key)
    return context
