"""The site: everything that one process serves, put together for one project."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from serving.server.application import Application, ForeignProtocol
from serving.server.configuration import ServerConfiguration
from serving.server.counters import Counters
from serving.server.credentials import Credentials
from serving.server.exposition import Exposition
from serving.server.feature_routes import FeatureRoutes
from serving.server.health_routes import HealthRoutes
from serving.server.openapi import page_routes
from serving.server.ports import Backend
from serving.server.push_routes import PushRoutes
from serving.server.registry_routes import RegistryRoutes
from serving.server.request_log import RequestLog
from serving.server.routing import Queue, Route
from serving.server.tracing import Tracing
from serving.server.visible import Sight
from serving.server.worker import Worker


@dataclass(frozen=True)
class Site:
    """What the routes of every protocol may use.

    Attributes:
        backend: the project.
        configuration: of the server.
        counters: of the process.
        credentials: who sends requests.
        sight: what callers may see.
        features: reads, planned and counted.
    """

    backend: Backend
    configuration: ServerConfiguration
    counters: Counters
    credentials: Credentials
    sight: Sight
    features: FeatureRoutes


Mount = Callable[[Site], tuple[ForeignProtocol, Sequence[Route]]]
"""Makes the routes of a foreign protocol, and what they have in common."""


class SiteBuilder:
    """Puts together the site of one process.

    Args:
        backend: the project.
        configuration: of the server.
        folder: that all processes of the server share.
        counters: of the process.
        mounts: the foreign protocols.
    """

    def __init__(
        self,
        backend: Backend,
        configuration: ServerConfiguration,
        folder: Path,
        counters: Counters,
        mounts: Sequence[Mount] = (),
    ) -> None:
        self._backend, self._configuration, self._counters, self._mounts = backend, configuration, counters, mounts
        self._exposition = Exposition(folder, counters)
        self._log = RequestLog(configuration.log)
        self._tracing = Tracing(configuration.traces, f"twinbeam-{backend.project}")
        self._application: Application

    def build(self, loop: asyncio.AbstractEventLoop, worker: Worker) -> Application:
        """The application.

        Args:
            loop: of the process.
            worker: that it is served by.
        """
        configuration, backend, counters, sight = self._configuration, self._backend, self._counters, Sight()
        credentials = Credentials(backend.project, configuration)
        features = FeatureRoutes(backend, configuration, counters, sight)
        site = Site(backend, configuration, counters, credentials, sight, features)
        health = HealthRoutes(backend, self._exposition, lambda: worker.draining, configuration.guarded)
        pushes = PushRoutes(backend, configuration, counters)
        native = [*features.routes(), *pushes.routes(), *RegistryRoutes(backend, sight).routes(), *health.routes()]
        routes = [*native, *page_routes(native, configuration.guarded)]
        protocols = []
        for mount in self._mounts:
            protocol, foreign = mount(site)
            protocols.append(protocol)
            routes += foreign
        self._application = Application(
            configuration, routes, credentials.caller, counters, self._log, self._tracing, protocols, loop
        )
        pushes.pool = self._application.gates[Queue.WRITES].pool
        self._worker = worker
        return self._application

    def tick(self) -> None:
        """Writes what is held: lines of the log, and the counters."""
        gauges, application = self._counters.gauges, self._application
        gauges["workers"] = 1.0
        gauges["connections"] = len(self._worker.connections)
        gauges["requests_under_way"] = application.under_way
        for queue, gate in application.gates.items():
            gauges[f"waiting_{queue.value}"] = gate.waiting
        rows, oldest = self._backend.unlogged()
        gauges["serving_log_rows_waiting"] = rows
        self._counters.oldest["serving_log_oldest_seconds"] = oldest
        self._log.flush()
        self._exposition.write()

    def close(self) -> None:
        """Writes what is held for the last time."""
        self._log.flush()
        self._exposition.write(ended=True)
        self._tracing.close()
