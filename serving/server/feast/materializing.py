"""POST /materialize and /materialize-incremental: runs of ours that bring in what sources hold.

A run takes in all that is new, whatever the times asked for: what was taken in before is not taken in again.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

from schemas.errors import TwinbeamError
from serving.server.feast.bodies import Bodies, IncrementalBody, MaterializeBody
from serving.server.feast.errors import failure, malformed, view_missing
from serving.server.messages import Request, Response
from serving.server.ports import Runs
from serving.server.routing import Queue, Route
from serving.server.site import Site

LOG = logging.getLogger("twinbeam.server")
_THREADS = 2
_FLAGS = {"true": True, "1": True, "on": True, "yes": True, "false": False, "0": False, "off": False, "no": False}


class FeastRuns:
    """Starts runs.

    Args:
        site: what is served.
        runs: the runs.
    """

    def __init__(self, site: Site, runs: Runs) -> None:
        self._site, self._runs = site, runs
        self._bodies, self._incremental = Bodies(MaterializeBody), Bodies(IncrementalBody)
        self._reserved: set[str] = set()
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(_THREADS, "twinbeam-materialize")

    def routes(self) -> list[Route]:
        """The routes."""
        return [
            Route("POST", "/materialize", self.materialize, Queue.NONE, protocol="feast"),
            Route("POST", "/materialize-incremental", self.incremental, Queue.NONE, protocol="feast"),
        ]

    def materialize(self, request: Request) -> Awaitable[Response]:
        """All that is new; the span of time is checked, and is not needed."""
        body: MaterializeBody = self._bodies.decode(request.body)
        if not body.disable_event_timestamp:
            if not body.start_ts or not body.end_ts:
                raise malformed("start_ts and end_ts are required when disable_event_timestamp is False", [])
            start, end = _time(body.start_ts, "start_ts"), _time(body.end_ts, "end_ts")
            if start >= end:
                raise malformed(f"start_ts ({start}) must be before end_ts ({end})", ["start_ts"])
        return self._run(request, body.feature_views, body.version)

    def incremental(self, request: Request) -> Awaitable[Response]:
        """All that is new."""
        body: IncrementalBody = self._incremental.decode(request.body)
        _time(body.end_ts, "end_ts")
        return self._run(request, body.feature_views, body.version)

    def _run(self, request: Request, asked: list[str] | None, version: str | None) -> Awaitable[Response]:
        catalog, project = self._site.backend.reads.catalog, self._site.backend.project
        may = [name for name in catalog.views if request.caller.may("push", name)]
        views = may if asked is None else list(dict.fromkeys(asked))
        for name in views:
            if name not in may:
                raise view_missing(name, project)
        if version is not None:
            raise failure(
                "FeatureViewVersionNotFound",
                404,
                f"Version {version} of feature view {', '.join(views)} does not exist in project {project}",
            )
        apart, force = _flag(request, "async"), _flag(request, "force")
        if apart:
            return self._later(lambda: self._accept(views, force))
        return self._later(lambda: self._filled(views))

    async def _later(self, work: Callable[[], Response]) -> Response:
        """Answers in threads of their own: a run takes long, and is not to keep probes waiting."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)

    def _filled(self, views: list[str]) -> Response:
        if views:
            try:
                self._runs.fill(views)
            except TwinbeamError as error:
                raise failure("FeastError", 409, str(error)) from None
        return Response(200, b"null")

    def _accept(self, views: list[str], force: bool) -> Response:
        filling = self._runs.filling()
        with self._lock:
            busy = sorted((filling | self._reserved) & set(views))
            if busy and not force:
                told = (
                    "Cannot start async materialization — the following feature views are already in MATERIALIZING "
                    f"state: {busy}. Use ?force=true to override."
                )
                return Response.json({"error": told, "feature_views": busy}, 409)
            self._reserved |= set(views)
        threading.Thread(target=self._apart, args=(views,), name="twinbeam-materialize", daemon=True).start()
        return Response.json({"status": "accepted", "feature_views": views}, 202)

    def _apart(self, views: list[str]) -> None:
        try:
            self._runs.fill(views)
        except Exception as error:  # noqa: BLE001
            LOG.error("materialize %s: %s", ", ".join(views), error)
        finally:
            with self._lock:
                self._reserved -= set(views)


def _time(text: str, name: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise malformed(f"Invalid timestamp format: {text!r}: give ISO 8601 text", [name]) from None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def _flag(request: Request, name: str) -> bool:
    given = request.query.get(name, ["false"])[-1].lower()
    if given not in _FLAGS:
        raise malformed(f"{name}={given!r} is no boolean: legal are true and false", ["query", name])
    return _FLAGS[given]
