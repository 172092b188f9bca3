"""Servers under measurement: ours and `feast serve`, one worker each, over the same rows, and the load upon them.

Both are installed in environments of their own under `.bench`, so that neither pays for packages that a server does not
need. CPU is that of all processes of a server; memory is their proportional share (PSS).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from socket import create_server
from typing import Any

import numpy as np
import polars as pl
from cassandra.cluster import Cluster

import twinbeam
from bench.feast import interpreter
from bench.measuring import ROOT, TICK, tree
from pipelines.dev.cassandra import BATCH, COMMIT_LOG_WINDOW, DATACENTER, Cassandra

ENVIRONMENT = ROOT / ".bench" / "server"
EXTRAS = "server,cassandra"
LATEST = [f"f{number}" for number in range(10)]
WINDOWS = [f"w{number}" for number in range(12)]
KINDS = ("latest", "windows")
WIDTHS = {"latest": len(LATEST), "windows": len(WINDOWS)}
TITLES = {"latest": "10 latest features", "windows": "12 windows"}
DAY = 86_400_000_000
WARM_ENTITIES, WARM_SECONDS = 200, 2.0
KEYSPACE, RIVAL_KEYSPACE = "bench", "bench_feast"
SETTINGS = """\
project = "bench"
[serving]
log_sample = 0.0
[server]
log = "off"
wait = "60s"
patience = "10s"
"""
STARTED_SECONDS = 900.0
LOAD_SECONDS = 300.0
OVER_CASSANDRA = """\
[online]
store = "cassandra"
[online.cassandra]
hosts = "{hosts}"
keyspace = "{keyspace}"
commit_log_window = "{window}"
batch = {batch}
"""
DEFINITIONS = """\
from twinbeam import Entity, FeatureService, FeatureView, Source, agg

columns = [f"f{{number}}" for number in range(10)]
user = Entity("user", keys={{"user_id": "int64"}})
profiles = Source(
    "profiles", fields={{"user_id": "int64", "ts": "timestamp(us)"}} | dict.fromkeys(columns, "float64"),
    event_time="ts", {where},
)
profile = FeatureView("profile", entity=user, source=profiles, features=columns, ttl="3650d")
windows = FeatureView("windows", entity=user, source=profiles, features=[
    agg.count(over=["1h", "24h", "7d"]), agg.sum("f0", over=["1h", "24h", "7d"]),
    agg.mean("f0", over=["1h", "24h", "7d"]), agg.max("f1", over=["1h", "24h", "7d"]),
])
"""


@dataclass(frozen=True)
class Served:
    """A server that runs.

    Attributes:
        pid: of its first process.
        port: that it answers at.
        folder: of its project.
        path: that reads are posted to.
        ours: whether it is ours.
    """

    pid: int
    port: int
    folder: Path
    path: str
    ours: bool

    def body(self, kind: str, keys: Sequence[int]) -> dict[str, Any]:
        """A question for the features of a kind."""
        if self.ours:
            return {"features": "profile" if kind == "latest" else "windows", "keys": {"user_id": list(keys)}}
        view, names = ("profile", LATEST) if kind == "latest" else ("windows", WINDOWS)
        return {"features": [f"{view}:{name}" for name in names], "entities": {"user_id": list(keys)}}

    def cpu(self) -> float:
        """CPU seconds so far."""
        return cpu(self.pid)

    def mb(self) -> float:
        """Memory, MB."""
        return memory(self.pid)


@dataclass(frozen=True)
class Load:
    """What a load came to.

    Attributes:
        requests: that were answered.
        late: more of them, answered when the time was over.
        rate: of them a second.
        p50: seconds that the median answer took.
        p99: likewise.
        cpu: CPU seconds of the server for one request, the late ones among them.
        mb: its memory afterwards.
    """

    requests: int
    late: int
    rate: float
    p50: float
    p99: float
    cpu: float
    mb: float


def rival() -> Path | None:
    """The interpreter that has Feast, or None, with the reason told."""
    try:
        return interpreter()
    except RuntimeError as error:
        print(f"\nFeast is left out, it cannot be installed here: {error}", file=sys.stderr)
        return None


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
def ours(folder: Path, file: Path, node: Cassandra | None = None) -> Iterator[Served]:
    """Our server over a project that holds the file, in SQLite or on a node of Cassandra."""
    place = made(folder / "ours", f"files={str(file)!r}", node)
    with twinbeam.Platform.open(place) as platform:
        platform.apply()
        platform.run_batch()
    with answering(place) as served:
        if node is not None:
            warm(served)
        yield served


def warm(server: Served) -> None:
    """Has a node of Cassandra compile what reads need, which else whoever reads first would pay."""
    for kind in KINDS:
        for keys in (1, 100):
            loaded(server, questions(server, kind, keys, WARM_ENTITIES), 4, WARM_SECONDS)


@contextmanager
def forgiven(what: str = "Feast") -> Iterator[None]:
    """Where Feast's server does not start, does not answer or ends by itself, that is told, and a figure left out."""
    try:
        yield
    except RuntimeError as error:
        print(f"\n{what} is left out: {error}", file=sys.stderr)


def made(place: Path, where: str, node: Cassandra | None = None) -> Path:
    """A project of ours whose source lies somewhere: `files=...` or `topic=...`."""
    place.mkdir(parents=True)
    online = (
        ""
        if node is None
        else OVER_CASSANDRA.format(hosts=node.hosts, keyspace=KEYSPACE, window=COMMIT_LOG_WINDOW, batch=BATCH)
    )
    (place / "twinbeam.toml").write_text(SETTINGS + online, encoding="utf-8")
    (place / "features.py").write_text(DEFINITIONS.format(where=where), encoding="utf-8")
    return place


@contextmanager
def answering(place: Path) -> Iterator[Served]:
    """Our server of a project that is applied."""
    port = free_port()
    command = [str(installed()), "-m", "pipelines.commands.main", "serve", "--workers", "1", "--port", str(port)]
    log = place.with_suffix(".log")
    with process([*command, "--project", str(place)], log, f"http://127.0.0.1:{port}/readyz") as pid:
        yield Served(pid, port, place, "/v1/features", True)


@contextmanager
def feast(folder: Path, file: Path, python: Path, node: Cassandra | None = None) -> Iterator[Served]:
    """Feast's server over the newest row of every entity; a push replaces what is read of latest features."""
    place, port = folder / "theirs", free_port()
    os.environ["FEAST_USAGE"] = "False"
    if node is not None:
        make_keyspace(node, RIVAL_KEYSPACE)
    address = None if node is None else {"port": node.port, "keyspace": RIVAL_KEYSPACE, "datacenter": DATACENTER}
    given = {"file": str(file), "folder": str(place), "cassandra": address}
    case = [str(python), "-m", "bench.measuring", "bench.feast_case:prepare", json.dumps(given)]
    try:
        done = subprocess.run(case, cwd=ROOT, capture_output=True, text=True, check=False, timeout=STARTED_SECONDS)
    except subprocess.TimeoutExpired:
        raise RuntimeError(f"Feast was not filled in {STARTED_SECONDS:.0f} s") from None
    if done.returncode:
        raise RuntimeError(f"Feast could not be filled:\n{done.stderr[-2_000:]}")
    command = [str(python.with_name("feast")), "--chdir", str(place), "serve", "--port", str(port), "--workers", "1"]
    # By default its worker begins anew after a thousand requests.
    command += ["--no-access-log", "--max-requests", "100000000"]
    with process(command, folder / "feast.log", f"http://127.0.0.1:{port}/health") as pid:
        served = Served(pid, port, place, "/get-online-features", False)
        if node is not None:
            warm(served)
        yield served


def make_keyspace(node: Cassandra, name: str) -> None:
    """Makes a keyspace of one copy; Feast wants it there."""
    with Cluster(["127.0.0.1"], port=node.port, protocol_version=5) as cluster:
        cluster.connect().execute(
            f"CREATE KEYSPACE IF NOT EXISTS {name} WITH replication = "
            "{'class': 'SimpleStrategy', 'replication_factor': 1}"
        )


def questions(server: Served, kind: str, keys: int, entities: int, count: int = 200) -> list[dict[str, Any]]:
    """Questions for some keys each, the same to both servers."""
    draw = np.random.default_rng([13, keys])
    return [server.body(kind, draw.choice(entities, keys, replace=False).tolist()) for _ in range(count)]


def loaded(
    server: Served, bodies: Sequence[Any], connections: int, seconds: float, rate: float = 0.0, path: str = ""
) -> Load:
    """A load by a client of its own process, after a quarter of it as warming.

    Args:
        server: that is asked.
        bodies: sent in turn.
        connections: how many.
        seconds: how long.
        rate: requests a second; 0 for as many as are answered.
        path: that is posted to; by default that of reads.
    """
    asked = warmed(server, bodies, connections, seconds, rate, path)
    return measured(server, asked, seconds)


def warmed(
    server: Served, bodies: Sequence[Any], connections: int, seconds: float, rate: float = 0.0, path: str = ""
) -> dict[str, Any]:
    """The warming alone of a load of so many seconds; what `measured` takes to go on with it."""
    file = server.folder.with_name("bodies.json")
    file.write_text(json.dumps(list(bodies)), encoding="utf-8")
    asked = {"port": server.port, "path": path or server.path, "bodies": str(file), "connections": connections}
    asked["rate"] = rate
    _client(asked | {"seconds": max(seconds / 4, 0.5)})
    return asked


def measured(server: Served, asked: Mapping[str, Any], seconds: float) -> Load:
    """A load that was warmed."""
    before = server.cpu()
    found = _client({**asked, "seconds": seconds})
    spent = server.cpu() - before
    count, late = int(found["requests"]), int(found["late"])
    return Load(count, late, found["rate"], found["p50"], found["p99"], spent / (count + late), server.mb())


def _client(arguments: Mapping[str, Any]) -> dict[str, float]:
    """Figures of a load, made by a process of its own."""
    command = [sys.executable, "-m", "bench.http_client", json.dumps(dict(arguments))]
    limit = 10 * arguments["seconds"] + LOAD_SECONDS
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, timeout=limit)
    except subprocess.TimeoutExpired:
        raise RuntimeError(f"the load did not end in {limit:.0f} s") from None
    if done.returncode:
        raise RuntimeError(f"the load failed: {done.stderr[-2_000:]}")
    found: dict[str, float] = json.loads(done.stdout)
    return found


@contextmanager
def process(command: Sequence[str], log: Path, probe: str) -> Iterator[int]:
    """A server while the block lasts, once its probe is answered: its pid."""
    with log.open("w") as said:
        started = subprocess.Popen(command, stdout=said, stderr=said, cwd=ROOT)
        try:
            until = time.monotonic() + STARTED_SECONDS
            while not _answers(probe):
                if started.poll() is not None or time.monotonic() > until:
                    raise RuntimeError(f"{' '.join(command)}: does not answer:\n{log.read_text()[-2_000:]}")
                time.sleep(0.1)
            yield started.pid
        finally:
            started.terminate()
            try:
                started.wait(60)
            except subprocess.TimeoutExpired:
                started.kill()
                started.wait()


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def installed() -> Path:
    """The interpreter of an environment that has what `twinbeam[server]` names, and this project's code."""
    python, ready = ENVIRONMENT / "bin" / "python", ENVIRONMENT / ".ready"
    wanted = f"{EXTRAS} {(ROOT / 'setup.py').read_text(encoding='utf-8')}"
    if ready.exists() and ready.read_text(encoding="utf-8") == wanted:
        return python
    ENVIRONMENT.parent.mkdir(exist_ok=True)
    (ENVIRONMENT.parent / ".gitignore").write_text("*\n", encoding="utf-8")
    for command in (
        [sys.executable, "-m", "venv", str(ENVIRONMENT)],
        [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-e", f"{ROOT}[{EXTRAS}]"],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)}: {(done.stderr or done.stdout).strip()[-500:]}")
    ready.write_text(wanted, encoding="utf-8")
    return python


def free_port() -> int:
    """A port of the loopback that nobody listens at."""
    with create_server(("127.0.0.1", 0)) as found:
        port: int = found.getsockname()[1]
    return port


def cpu(pid: int) -> float:
    """CPU seconds of a process and all below it."""
    total = 0
    for each in tree(pid):
        try:
            fields = Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        total += int(fields[11]) + int(fields[12])
    return total / TICK


def memory(pid: int) -> float:
    """Proportional share of memory of a process and all below it, MB."""
    total = 0
    for each in tree(pid):
        with suppress(OSError):
            told = Path(f"/proc/{each}/smaps_rollup").read_text()
            total += sum(int(line.split()[1]) for line in told.splitlines() if line.startswith("Pss:"))
    return total * 1024 / 1e6
