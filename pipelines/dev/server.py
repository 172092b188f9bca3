"""A server as a process: its folder, its log, its ports, when it is ready, and its end."""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from schemas.errors import ServerError

LOG = "log"
PID = "pid"
PORTS = "ports.json"
START_SECONDS = 240.0
STOP_SECONDS = 30.0
# Below the ports that systems hand out to clients: no client's socket can take one while its server is down.
_PORTS = range(20_000, 32_000)
_LINES = 15
_POLL_SECONDS = 0.05
# Processes begun here, by process id: their parent has to take note of their end.
_CHILDREN: dict[int, subprocess.Popen[bytes]] = {}


class Server:
    """One server that lives in a folder and outlives the process that starts it.

    Any process that opens the same folder finds it, and may stop it.

    Args:
        name: what messages call it.
        folder: holds its log and its process id; made if need be.
        ready: whether it takes requests, given what it has logged since its start.
        environ: variables that it sees besides ours.
    """

    def __init__(
        self, name: str, folder: Path, ready: Callable[[str], bool], environ: Mapping[str, str] | None = None
    ) -> None:
        self.name = name
        self.folder = folder
        self._ready = ready
        self._environ = dict(environ or {})

    @property
    def pid(self) -> int | None:
        """Process id while it runs, else None."""
        return _running(self.folder / PID)

    def start(self, command: Sequence[str], seconds: float = START_SECONDS) -> None:
        """Starts it, unless it runs, and returns when it is ready.

        Raises:
            ServerError: it ended, or took too long; the message has the last lines of its log.
        """
        if self.pid is not None:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / LOG).open("ab") as log:
            begin = log.tell()
            process = subprocess.Popen(
                list(command),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                cwd=self.folder,
                env={**os.environ, **self._environ},
            )
        _CHILDREN[process.pid] = process
        _write(self.folder / PID, f"{process.pid} {_birth(process.pid)}")
        end = time.monotonic() + seconds
        while process.poll() is None and time.monotonic() < end:
            if self._ready(self._logged(begin)):
                return
            time.sleep(_POLL_SECONDS)
        code = process.poll()
        self.kill()
        why = f"is not ready after {seconds:.0f} s" if code is None else f"ended with exit code {code}"
        tail = "\n".join(self._logged(begin).rstrip().splitlines()[-_LINES:])
        raise ServerError(f"{self.name} did not start: it {why}. The end of {self.folder / LOG}:\n{tail}")

    def stop(self, seconds: float = STOP_SECONDS) -> None:
        """Asks it to end, waits, and kills it if it does not."""
        stop(self.folder / PID, seconds)

    def kill(self) -> None:
        """Kills it at once (SIGKILL), with the processes that it started."""
        kill(self.folder / PID)

    def _logged(self, begin: int) -> str:
        with (self.folder / LOG).open("rb") as log:
            log.seek(begin)
            return log.read().decode("utf-8", "replace")


def stop(pid_file: Path, seconds: float = STOP_SECONDS) -> None:
    """Ends the server of a file of a process id: by SIGTERM, after some time by SIGKILL."""
    pid = _running(pid_file)
    if pid is not None:
        os.kill(pid, signal.SIGTERM)
        end = time.monotonic() + seconds
        while _running(pid_file) is not None and time.monotonic() < end:
            time.sleep(_POLL_SECONDS)
    kill(pid_file)


def kill(pid_file: Path) -> None:
    """Ends the server of a file of a process id by SIGKILL."""
    pid = _running(pid_file)
    if pid is not None:
        os.killpg(pid, signal.SIGKILL)
        while _running(pid_file) is not None:
            time.sleep(_POLL_SECONDS)
    pid_file.unlink(missing_ok=True)


def ports(folder: Path, names: Sequence[str]) -> dict[str, int]:
    """Free ports of this machine for what a server names; a folder keeps those that it got first."""
    kept = folder / PORTS
    if kept.exists():
        found: dict[str, int] = json.loads(kept.read_text(encoding="utf-8"))
        return found
    folder.mkdir(parents=True, exist_ok=True)
    chosen = dict(zip(names, _free(len(names)), strict=True))
    _write(kept, json.dumps(chosen))
    return chosen


def answers(port: int) -> bool:
    """Whether something listens at a port of this machine."""
    try:
        with socket.create_connection(("127.0.0.1", port), 1.0):
            return True
    except OSError:
        return False


def _free(count: int) -> Iterable[int]:
    found: list[int] = []
    draw = random.SystemRandom()
    while len(found) < count:
        port = draw.choice(_PORTS)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        if port not in found:
            found.append(port)
    return found


def _running(pid_file: Path) -> int | None:
    """Process id in a file, if that very process still runs."""
    try:
        pid, _, birth = pid_file.read_text(encoding="utf-8").partition(" ")
    except FileNotFoundError:
        return None
    found = _birth(int(pid))
    if not found and int(pid) in _CHILDREN:
        _CHILDREN.pop(int(pid)).wait()
    return int(pid) if birth and found == birth else None


def _birth(pid: int) -> str:
    """When a process began, as the system tells it: a process id alone may be another's by now; empty if it ended."""
    if Path("/proc/self/stat").exists():
        try:
            fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            return ""
        return "" if fields[0] in "ZX" else fields[19]
    told = subprocess.run(["ps", "-o", "stat=,lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    state, _, began = told.stdout.strip().partition(" ")
    return "" if state.startswith("Z") else began.strip()


def _write(path: Path, text: str) -> None:
    """Writes a file at once: another process sees all of it, or none."""
    scratch = path.with_name(f"{path.name}.{os.getpid()}")
    scratch.write_text(text, encoding="utf-8")
    scratch.replace(path)
