"""The feature server beside `feast serve`: the same rows, the same questions, one worker each, one after the other.

Ten latest features, and twelve windows: Twinbeam folds them of the events when it is asked, Feast has no such thing and
reads twelve columns that somebody computed. Both servers are installed in environments of their own under `.bench`, so
that neither pays for packages that a server does not need. Memory is the proportional share (PSS) of all processes of a
server after the load.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from socket import create_server
from typing import Any

import numpy as np
import polars as pl

import twinbeam
from bench.feast import VERSION, interpreter
from bench.measuring import ROOT, TICK, tree
from bench.table import Measured

ENVIRONMENT = ROOT / ".bench" / "server"
LATEST = [f"f{number}" for number in range(10)]
WINDOWS = [f"w{number}" for number in range(12)]
DAY = 86_400_000_000
KEYS = (1, 10, 100)
CONNECTIONS = (1, 16)
SETTINGS = 'project = "bench"\n[serving]\nlog_sample = 0.0\n[server]\nlog = "off"\n'
DEFINITIONS = """\
from twinbeam import Entity, FeatureService, FeatureView, Source, agg

columns = [f"f{{number}}" for number in range(10)]
user = Entity("user", keys={{"user_id": "int64"}})
profiles = Source(
    "profiles", fields={{"user_id": "int64", "ts": "timestamp(us)"}} | dict.fromkeys(columns, "float64"),
    event_time="ts", files={file!r},
)
profile = FeatureView("profile", entity=user, source=profiles, features=columns, ttl="3650d")
windows = FeatureView("windows", entity=user, source=profiles, features=[
    agg.count(over=["1h", "24h", "7d"]), agg.sum("f0", over=["1h", "24h", "7d"]),
    agg.mean("f0", over=["1h", "24h", "7d"]), agg.max("f1", over=["1h", "24h", "7d"]),
])
"""


def measure(scale: float = 1.0) -> list[Measured]:
    """Requests a second, latencies, CPU and memory of both servers."""
    rows, entities = max(int(300_000 * scale), 2_000), max(int(20_000 * scale), 200)
    seconds = max(4.0 * scale, 1.0)
    try:
        rival: Path | None = interpreter()
    except RuntimeError as error:
        print(f"\nFeast is left out, it cannot be installed here: {error}", file=sys.stderr)
        rival = None
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        file = rows_file(folder / "rows.parquet", rows, entities)
        with ours(folder, file) as (pid, port):
            mine = asked(folder, pid, port, "/v1/features", entities, seconds, our_body)
        theirs: Mapping[tuple[str, int, int], Mapping[str, float]] = {}
        if rival is not None:
            with feast(folder, file, rival) as (pid, port):
                theirs = asked(folder, pid, port, "/get-online-features", entities, seconds, feast_body)
    return [row for figure in FIGURES for row in _rows(figure, mine, theirs)]


def rows_file(path: Path, rows: int, entities: int) -> Path:
    """Profiles of the last seven days, in the order of their time, every entity among them."""
    draw = np.random.default_rng(11)
    end = time.time_ns() // 1_000
    times = pl.Series(np.sort(draw.integers(end - 7 * DAY, end, rows))).cast(pl.Datetime("us", "UTC"))
    users = np.concatenate([np.arange(entities), draw.integers(0, entities, rows - entities)])
    columns = {"user_id": draw.permutation(users), "ts": times}
    values = {name: draw.normal(size=rows) for name in (*LATEST, *WINDOWS)}
    pl.DataFrame(columns | values).write_parquet(path)
    return path


@contextmanager
def ours(folder: Path, file: Path) -> Iterator[tuple[int, int]]:
    """Our server over a project that holds the file: pid and port."""
    place = folder / "ours"
    place.mkdir()
    (place / "twinbeam.toml").write_text(SETTINGS, encoding="utf-8")
    (place / "features.py").write_text(DEFINITIONS.format(file=str(file)), encoding="utf-8")
    with twinbeam.Platform.open(place) as platform:
        platform.apply()
        platform.run_batch()
    port = _free_port()
    command = [str(_installed()), "-m", "pipelines.commands.main", "serve", "--workers", "1", "--port", str(port)]
    with _served([*command, "--project", str(place)], folder / "ours.log", f"http://127.0.0.1:{port}/readyz") as pid:
        yield pid, port


@contextmanager
def feast(folder: Path, file: Path, python: Path) -> Iterator[tuple[int, int]]:
    """Feast's server over the newest row of every entity: pid and port."""
    place, port = str(folder / "theirs"), _free_port()
    os.environ["FEAST_USAGE"] = "False"
    case = ["bench.feast_case:prepare", json.dumps({"file": str(file), "folder": place})]
    subprocess.run([str(python), "-m", "bench.measuring", *case], check=True, cwd=ROOT, capture_output=True)
    command = [str(python.with_name("feast")), "--chdir", place, "serve", "--port", str(port), "--workers", "1"]
    # By default its worker begins anew after a thousand requests.
    command += ["--no-access-log", "--max-requests", "100000000"]
    with _served(command, folder / "feast.log", f"http://127.0.0.1:{port}/health") as pid:
        yield pid, port


def asked(
    folder: Path, pid: int, port: int, path: str, entities: int, seconds: float, body: Any
) -> dict[tuple[str, int, int], dict[str, float]]:
    """Figures by kind of feature, keys and connections."""
    found: dict[tuple[str, int, int], dict[str, float]] = {}
    draw = np.random.default_rng(13)
    bodies = folder / "bodies.json"
    for kind in ("latest", "windows"):
        for keys in KEYS:
            lists = [draw.choice(entities, keys, replace=False).tolist() for _ in range(200)]
            bodies.write_text(json.dumps([body(kind, some) for some in lists]), encoding="utf-8")
            for connections in CONNECTIONS:
                load = {"port": port, "path": path, "bodies": str(bodies), "connections": connections}
                _client(load | {"seconds": seconds / 4})
                before = _cpu(pid)
                figures = _client(load | {"seconds": seconds})
                figures["cpu"] = (_cpu(pid) - before) / figures["requests"]
                figures["mb"] = _memory(pid)
                found[kind, keys, connections] = figures
    return found


def our_body(kind: str, keys: Sequence[int]) -> dict[str, Any]:
    """A question to our server."""
    return {"features": "profile" if kind == "latest" else "windows", "keys": {"user_id": list(keys)}}


def feast_body(kind: str, keys: Sequence[int]) -> dict[str, Any]:
    """The same to Feast's."""
    view, names = ("profile", LATEST) if kind == "latest" else ("windows", WINDOWS)
    return {"features": [f"{view}:{name}" for name in names], "entities": {"user_id": list(keys)}}


FIGURES = (
    ("requests/s", "rate", 1.0, "requests/s", "higher"),
    ("p50", "p50", 1e3, "ms", "lower"),
    ("p99", "p99", 1e3, "ms", "lower"),
    ("CPU a request", "cpu", 1e3, "CPU ms", "lower"),
)


def _rows(
    figure: tuple[str, str, float, str, str],
    mine: Mapping[tuple[str, int, int], Mapping[str, float]],
    theirs: Mapping[tuple[str, int, int], Mapping[str, float]],
) -> Iterator[Measured]:
    title, name, factor, unit, better = figure
    for case, of_case in mine.items():
        kind, keys, connections = case
        rival = theirs.get(case)
        yield Measured(
            f"server, {'10 latest features' if kind == 'latest' else '12 windows'}: {title}",
            f"{keys} {'key' if keys == 1 else 'keys'}, {connections} connection{'s' if connections > 1 else ''}",
            of_case[name] * factor,
            unit,
            better,
            f"feast serve {VERSION}",
            None if rival is None else rival[name] * factor,
            of_case["mb"],
            None if rival is None else rival["mb"],
        )


def _client(arguments: Mapping[str, Any]) -> dict[str, float]:
    """Figures of a load, made by a process of its own."""
    command = [sys.executable, "-m", "bench.http_client", json.dumps(dict(arguments))]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    if done.returncode:
        raise RuntimeError(f"the load failed: {done.stderr[-2_000:]}")
    found: dict[str, float] = json.loads(done.stdout)
    return found


@contextmanager
def _served(command: Sequence[str], log: Path, probe: str) -> Iterator[int]:
    """A server while the block lasts, once its probe is answered: its pid."""
    with log.open("w") as said:
        process = subprocess.Popen(command, stdout=said, stderr=said, cwd=ROOT)
        try:
            until = time.monotonic() + 900
            while not _answers(probe):
                if process.poll() is not None or time.monotonic() > until:
                    raise RuntimeError(f"{' '.join(command)}: does not answer:\n{log.read_text()[-2_000:]}")
                time.sleep(0.1)
            yield process.pid
        finally:
            process.terminate()
            process.wait(60)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _installed() -> Path:
    """The interpreter of an environment that has what `twinbeam[server]` names, and this project's code."""
    python, ready = ENVIRONMENT / "bin" / "python", ENVIRONMENT / ".ready"
    wanted = (ROOT / "setup.py").read_text(encoding="utf-8")
    if ready.exists() and ready.read_text(encoding="utf-8") == wanted:
        return python
    ENVIRONMENT.parent.mkdir(exist_ok=True)
    (ENVIRONMENT.parent / ".gitignore").write_text("*\n", encoding="utf-8")
    for command in (
        [sys.executable, "-m", "venv", str(ENVIRONMENT)],
        [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-e", f"{ROOT}[server]"],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)}: {(done.stderr or done.stdout).strip()[-500:]}")
    ready.write_text(wanted, encoding="utf-8")
    return python


def _free_port() -> int:
    with create_server(("127.0.0.1", 0)) as found:
        port: int = found.getsockname()[1]
    return port


def _cpu(pid: int) -> float:
    """CPU seconds of a process and all below it."""
    total = 0
    for each in tree(pid):
        try:
            fields = Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        total += int(fields[11]) + int(fields[12])
    return total / TICK


def _memory(pid: int) -> float:
    """Proportional share of memory of a process and all below it, MB."""
    total = 0
    for each in tree(pid):
        try:
            lines = Path(f"/proc/{each}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        total += next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total * 1024 / 1e6
