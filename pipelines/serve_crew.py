"""The processes that answer: started by `twinbeam serve`, which holds the socket that they listen at."""

from __future__ import annotations

import gc
import logging
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from socket import socket

from pipelines.clock import SystemClock
from pipelines.commands.arguments import Parser, count
from pipelines.group_changes import GroupChanges
from pipelines.project import Project
from pipelines.serve import ProjectBackend
from pipelines.serve_mounts import MOUNTS
from pipelines.settings import Settings
from schemas.errors import TwinbeamError
from schemas.registry import Registry
from serving.server.counters import Counters
from serving.server.crew import NEVER_BEGAN, form
from serving.server.request_log import JsonLines
from serving.server.site import SiteBuilder
from serving.server.supervisor import inherited
from serving.server.worker import Worker

GRACE = 5.0


def main() -> int:
    """Serves the socket of the process that started this one; the exit code of what could not begin."""
    parser = Parser("serve", "Answer at a socket that is there.", "twinbeam serve")
    parser.project_options()
    parser.add_argument("--workers", type=count, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    given = parser.parse(sys.argv[1:])
    listening, ready = inherited()
    try:
        settings = Settings.load(given.project, given.env)
    except TwinbeamError as error:
        _tell(error)
        return 1
    handler = logging.StreamHandler()
    if settings.server.log == "json":
        handler.setFormatter(JsonLines())
    logging.basicConfig(level=logging.ERROR, handlers=[handler], force=True)
    logging.getLogger("twinbeam").setLevel(logging.WARNING)
    gc.freeze()

    def work(number: int) -> int:
        return _work(settings, given.folder, listening, ready)

    grace = settings.server.linger + 2 * settings.server.drain + GRACE
    another = list(sys.argv)
    another[another.index("--workers") + 1] = "1"
    form(work, given.workers, grace, [sys.executable, "-m", "pipelines.serve_crew", *another[1:]])


def _work(settings: Settings, folder: Path, listening: socket, ready: Callable[[], None]) -> int:
    """What a worker does; its exit code."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    counters = Counters()
    try:
        GroupChanges(settings).recover()
        project = Project(settings, Registry.load(list(settings.definitions)), None, SystemClock())
        backend = ProjectBackend(project, counters)
        try:
            site = SiteBuilder(backend, settings.server, folder, counters, MOUNTS)
            worker = Worker(settings.server, site.build, site.tick)
            backend.watch()
            gc.collect()
            gc.freeze()
            worker.run(listening, ready)
            site.close()
        finally:
            backend.close()
    except TwinbeamError as error:
        _tell(error)
        return NEVER_BEGAN
    return 0


def _tell(error: TwinbeamError) -> None:
    sys.stderr.write("".join(f"twinbeam: {line}\n" for line in str(error).splitlines()))


if __name__ == "__main__":
    sys.exit(main())
