"""`twinbeam serve`: reads answered and events taken over HTTP, by several processes at one socket."""

from __future__ import annotations

import ipaddress
import os
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from pipelines.commands.arguments import Parser, count, project_folder
from pipelines.settings import Settings
from schemas.errors import SettingsError
from serving.server.configuration import ServerConfiguration
from serving.server.credentials import Credentials
from serving.server.listening import listen
from serving.server.supervisor import supervise
from serving.server.worker import tls

EXAMPLE = """\
twinbeam serve
twinbeam serve --port 8080 --workers 4
curl -d '{"features": "fraud_v1", "keys": {"user_id": [7]}}' http://127.0.0.1:6570/v1/features
kill -HUP PID                                           # other workers: new code, settings, certificates"""

CREW = "pipelines.serve_crew"


def run(name: str, words: Sequence[str]) -> int:
    """Serves until SIGTERM or SIGINT."""
    parser = Parser("serve", "Answer reads and take events over HTTP.", EXAMPLE)
    parser.add_argument("--host", help="address to listen at (default: server.host, 127.0.0.1)")
    parser.add_argument("--port", type=int, help="TCP port, 0 for a free one (default: server.port, 6570)")
    parser.add_argument("--workers", type=count, metavar="N", help="processes (default: one a core)")
    parser.project_options()
    given = parser.parse(words)
    folder = project_folder(given.project).absolute()
    settings = Settings.load(folder, given.env)
    server = settings.server
    host = server.host if given.host is None else given.host
    server = replace(server, host=host, port=server.port if given.port is None else given.port)
    workers = given.workers or server.workers or len(os.sched_getaffinity(0))
    _check(settings.project, server)
    listening = listen(server.host, server.port)
    host, port = listening.getsockname()[:2]
    scheme = "http" if server.certificate is None else "https"

    shown = f"[{host}]" if ":" in host else host
    shared = Path(tempfile.mkdtemp(prefix="twinbeam-serve-"))
    crew = [sys.executable, "-m", CREW, "--project", str(folder), "--workers", str(workers), "--folder", str(shared)]
    crew += ["--env", given.env] if given.env else []
    supervise(crew, listening, workers, f"{settings.project} is served at {scheme}://{shown}:{port}", shared)


def _check(project: str, server: ServerConfiguration) -> None:
    """Refuses what would not serve, or would serve anybody.

    Raises:
        SettingsError: a certificate or credentials cannot be used, or a server that others reach asks for none.
    """
    Credentials(project, server)
    try:
        tls(server)
    except OSError as error:
        raise SettingsError(f"server.certificate: {server.certificate} cannot be used: {error}") from None
    if not server.guarded and not server.open and not _loopback(server.host):
        raise SettingsError(
            f"server: at {server.host} others can reach it, and it asks for no credentials: legal are "
            '[server.callers.NAME] tables or [server.tokens], host = "127.0.0.1", or open = true'
        )


def _loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
