"""A small project that is served, and real servers of it: processes of their own at free ports of the loopback."""

from __future__ import annotations

import os
import re
import resource
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Generic, TypeVar

import httpx
import pytest

from pipelines.dev.cassandra import Cassandra
from pipelines.platform import Platform
from tests.servers import drop_keyspaces

COMMAND = [sys.executable, "-m", "pipelines.commands.main"]
START_SECONDS = 180.0
NOON = datetime(2026, 11, 30, 12, tzinfo=UTC)
DEFINITIONS = """\
from twinbeam import Entity, FeatureService, FeatureView, Source, agg, latest, on_demand

user = Entity("user", keys={"user_id": "int64"})
cell = Entity("cell", keys={"place": "string", "day": "date"})
purchases = Source(
    "purchases",
    fields={"user_id": "int64", "ts": "timestamp", "price": "float64", "kind": "string"},
    event_time="ts", topic="purchases", encoding="json",
)
profiles = Source(
    "profiles",
    fields={"user_id": "int64", "ts": "timestamp", "score": "float64", "photo": "bytes", "seen": "timestamp",
            "born": "date", "owes": "decimal(12,2)", "tags": "list<float64>", "vip": "bool", "name": "string"},
    event_time="ts", topic="profiles",
)
readings = Source(
    "readings", fields={"place": "string", "day": "date", "ts": "timestamp", "heat": "float32"},
    event_time="ts", topic="readings",
)
spending = FeatureView(
    "spending", entity=user, source=purchases, owner="payments", tags={"tier": "1"}, description="Card purchases",
    features=[agg.sum("price", over=["1h", "24h"]), agg.count(over="24h"), agg.last_k("price", k=3)],
)
person = FeatureView(
    "person", entity=user, source=profiles, owner="crm",
    features=["score", "photo", "seen", "born", "owes", "tags", "vip", latest("name", default="nobody")],
)
weather = FeatureView("weather", entity=cell, source=readings, features=["heat", agg.max("heat", over="24h")])
payer = person.alias("payer", user_id="payer_id")
both = FeatureService("both", features=[spending, "person:name"])
calm = FeatureService("calm", features=["spending:count_24h", "person:score"])


@on_demand(inputs=["person:score"], request={"amount": "float64"}, returns={"ratio": "float64"})
def burden(df):
    return df.select(ratio=df["amount"] / df["person__score"])
"""
SETTINGS = """\
project = "shop"
[run]
max_skew = "36525d"
[serving]
log_sample = {share}
[server]
{server}
"""


def project(folder: Path, server: str = "", share: float = 0.0, filled: bool = True) -> Path:
    """A project with the definitions above, applied; filled: with a few events in its stores.

    Args:
        folder: where to; it is made.
        server: settings of `[server]`, and tables after it.
        share: of the answers that are logged.
        filled: whether it has events.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "twinbeam.toml").write_text(SETTINGS.format(server=server, share=share), encoding="utf-8")
    (folder / "features.py").write_text(DEFINITIONS, encoding="utf-8")
    with Platform.open(folder) as platform:
        platform.apply()
        if filled:
            fill(platform)
    return folder


def fill(platform: Platform) -> None:
    """Publishes the events and takes them in."""
    for source, events in events_now().items():
        platform.publish(source, events)
    platform.run_stream(until="caught_up")


def events_now() -> Mapping[str, list[dict[str, Any]]]:
    """Events of a few users and cells, all from `NOON` on."""
    times = [NOON + timedelta(minutes=number) for number in range(40)]
    people: Mapping[int, Mapping[str, Any]] = {
        1: {"score": 0.5, "photo": b"\x00\xff", "seen": NOON, "born": NOON.date(), "owes": "12.50", "tags": [1.5, 2.0]},
        2: {"score": float("nan"), "tags": [float("inf"), None], "vip": True, "name": "Zoë \U0001f600"},
        3: {"score": -0.0, "owes": None, "name": ""},
    }
    return {
        "purchases": [
            {"user_id": number % 4, "ts": time, "price": number / 8, "kind": "card"}
            for number, time in enumerate(times)
        ],
        "profiles": [{"user_id": user, "ts": NOON, **person} for user, person in people.items()],
        "readings": [
            {"place": "pier", "day": NOON.date(), "ts": time, "heat": 0.1 * number} for number, time in enumerate(times)
        ],
    }


T = TypeVar("T")
CASSANDRA = """\
[online]
store = "cassandra"
[online.cassandra]
hosts = "{hosts}"
keyspace = "{keyspace}"
timeout = "{timeout}"
commit_log_window = "200ms"
"""


def over_cassandra(node: Cassandra, keyspace: str, timeout: str = "10s") -> str:
    """Settings of a project whose online store is a Cassandra."""
    return CASSANDRA.format(hosts=node.hosts, keyspace=keyspace, timeout=timeout)


class ByStore(Generic[T]):
    """What a module's tests share, over each online store: made when a test first asks, ended when the module ends.

    Args:
        make: makes it, of tables of settings that name the store.
    """

    def __init__(self, make: Callable[[str, str], AbstractContextManager[T]]) -> None:
        self._make, self._made = make, dict[str, T]()
        self._stack = ExitStack()

    def of(self, store: str, request: pytest.FixtureRequest) -> T:
        """Of one store, "sqlite" or "cassandra"."""
        if store not in self._made:
            settings = ""
            if store == "cassandra":
                node: Cassandra = request.getfixturevalue("cassandra")
                keyspace = f"t{uuid.uuid4().hex[:12]}"
                self._stack.callback(drop_keyspaces, node, keyspace)
                settings = over_cassandra(node, keyspace)
            self._made[store] = self._stack.enter_context(self._make(store, settings))
        return self._made[store]

    def close(self) -> None:
        """Ends all."""
        self._stack.close()


class Server:
    """A server under test.

    Attributes:
        folder: of the project.
        url: of it.
        port: its TCP port.
        process: the process that was started.
    """

    def __init__(self, process: subprocess.Popen[str], folder: Path) -> None:
        self.process, self.folder = process, folder
        self._said, self._out = folder / "server.err", folder / "server.out"
        self.url, self.port = "", 0

    @property
    def pid(self) -> int:
        """Of the process that was started."""
        return self.process.pid

    def err(self) -> str:
        """What it said on its error output."""
        return self._said.read_text(encoding="utf-8")

    def out(self) -> str:
        """Lines on requests."""
        return self._out.read_text(encoding="utf-8")

    def wait_for(self, text: str, seconds: float = START_SECONDS) -> None:
        """Waits until the error output holds a text."""
        until = time.monotonic() + seconds
        while text not in self.err():
            assert self.process.poll() is None, f"the server ended: {self.err()}"
            assert time.monotonic() < until, f"{text!r} was not said: {self.err()}"
            time.sleep(0.05)

    def memory(self) -> int:
        """Bytes that all its processes hold."""
        parents = {}
        for place in Path("/proc").glob("[0-9]*/stat"):
            with suppress(OSError):
                parents[int(place.parent.name)] = int(place.read_text().rpartition(")")[2].split()[1])
        ours = {self.pid}
        while more := {pid for pid, parent in parents.items() if parent in ours} - ours:
            ours |= more
        total = 0
        for pid in ours:
            with suppress(OSError):
                total += int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        return total * resource.getpagesize()

    def hup(self) -> None:
        """Has it replace its workers; returns at once."""
        os.kill(self.pid, signal.SIGHUP)

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Ends it; its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(120)


@contextmanager
def serving(
    folder: Path, *words: str, workers: int = 1, environment: Mapping[str, str] | None = None
) -> Iterator[Server]:
    """A server of a project while the block lasts.

    Args:
        folder: of the project.
        words: further ones of the command line.
        workers: processes.
        environment: further variables.
    """
    said, out = folder / "server.err", folder / "server.out"
    command = [*COMMAND, "serve", "--port", "0", "--workers", str(workers), "--project", str(folder), *words]
    with said.open("w") as err, out.open("w") as lines:
        process = subprocess.Popen(
            command, stdout=lines, stderr=err, text=True, env={**os.environ, **(environment or {})}
        )
    server = Server(process, folder)
    try:
        server.wait_for("is served at")
        found = re.search(r"is served at (https?://\S+:(\d+)) ", server.err())
        assert found is not None
        server.url, server.port = found[1], int(found[2])
        yield server
    finally:
        if process.poll() is None:
            process.terminate()
        try:
            process.wait(60)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()


def read(client: httpx.Client, features: Any, keys: Any, code: int = 200, **others: Any) -> Any:
    """Answer of POST /v1/features."""
    answer = client.post("/v1/features", json={"features": features, "keys": keys, **others})
    assert answer.status_code == code, answer.text
    return answer.json()


def descendants(pid: int) -> set[int]:
    """Processes that a process has started, and those that they have."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            rest = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if rest[0] != "Z":
            parents[int(stat.parent.name)] = int(rest[1])
    found: set[int] = set()
    while more := {child for child, parent in parents.items() if parent in found | {pid}} - found:
        found |= more
    return found
