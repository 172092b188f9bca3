"""Kafka into Delta and Cassandra, by the local runner and by Flink: rate, freshness, CPU by process, checkpoints.

All servers run on this machine, and beside them all that is measured: `python -m bench.flink [--events N]`. With
`--offline-only` the view is one, so that events go into Delta alone, and nothing is asked of what is served.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench.measuring import machine
from bench.pipeline import DEFINITIONS, make_events
from pipelines.dev.cassandra import BATCH, COMMIT_LOG_WINDOW, DATACENTER, Cassandra
from pipelines.dev.flink import Flink
from pipelines.dev.kafka import Kafka
from pipelines.flink.rest import JobManager
from pipelines.platform import Platform
from pipelines.serving_calls import PreparedReader
from pipelines.stores import Stores
from serving.deployment import Deployment
from serving.stores.base import SEALED
from serving.tables import events_table

ENTITIES, PARTITIONS = 10_000, 8
SETTINGS = """project = "{name}"
[stream]
broker = "kafka"
[stream.kafka]
servers = "{servers}"
[online]
store = "cassandra"
[online.cassandra]
hosts = "{hosts}"
datacenter = "{datacenter}"
commit_log_window = "{window}"
batch = {batch}
[run]
flush = "1s"
[run.flink]
jobmanager = "{url}"
checkpoint = "5s"
[sources.purchases]
partitions = {partitions}
"""
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Servers:
    """The servers of a bench."""

    kafka: Kafka
    cassandra: Cassandra
    flink: Flink

    def cpu(self) -> dict[str, float]:
        """CPU seconds so far by kind of process; Python's are those that run the pipeline."""
        found = {
            "Kafka": _cpu(self.kafka.pid),
            "Cassandra": _cpu(self.cassandra.pid),
            "JobManager": _cpu(self.flink.job_manager.pid),
            "TaskManagers": sum(_cpu(each.pid) for each in self.flink.task_managers),
        }
        return found | {"Python": sum(map(_cpu, pipelines_of(self.flink)))}


def pipelines_of(flink: Flink) -> list[int]:
    """Python processes that run a pipeline: workers of the cluster, and local streams begun here."""
    listed = subprocess.run(["ps", "-eo", "pid=,ppid=,args="], capture_output=True, text=True, check=True).stdout
    managers = {each.pid for each in flink.task_managers} | {os.getpid()}
    rows = [line.split(None, 2) for line in listed.splitlines()]
    return [
        int(pid) for pid, parent, words in rows if int(parent) in managers and ("worker" in words or "stream" in words)
    ]


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(prog="python -m bench.flink", description=__doc__)
    parser.add_argument("--events", type=int, default=500_000, help="that a stream catches up with")
    parser.add_argument("--seconds", type=float, default=30.0, help="of the measuring of freshness")
    parser.add_argument("--ways", default="local,flink 1,flink 2", help="some of: local, flink 1, flink 2")
    parser.add_argument(
        "--offline-only", action="store_true", help="a view of online=False: rate and checkpoints alone"
    )
    options = parser.parse_args()
    logging.getLogger().setLevel(logging.ERROR)
    print(f"{machine()}; {options.events:,} events, {ENTITIES:,} entities, {PARTITIONS} partitions")
    seconds = None if options.offline_only else options.seconds
    with tempfile.TemporaryDirectory() as scratch, served(Path(scratch)) as servers:
        for way in options.ways.split(","):
            print(f"{way}:")
            for line in measured(Path(scratch), servers, way, options.events, seconds):
                print(f"  {line}", flush=True)


@contextmanager
def served(folder: Path) -> Iterator[Servers]:
    """Kafka, Cassandra and a Flink of two TaskManagers."""
    servers = Servers(Kafka(folder / "kafka"), Cassandra(folder / "cassandra"), Flink(folder / "flink", 2))
    every = (servers.kafka, servers.cassandra, servers.flink)
    try:
        for each in every:
            each.start()
        yield servers
    finally:
        for each in every:
            each.stop()


def measured(folder: Path, servers: Servers, way: str, count: int, seconds: float | None) -> Iterator[str]:
    """Lines about one way to run the stream; without seconds for what is served, of a view that is offline only."""
    name = way.replace(" ", "")
    home = folder / name
    home.mkdir()
    definitions = DEFINITIONS.format(places=f'topic="{name}"')
    if seconds is None:
        definitions = definitions.replace("source=purchases,", "source=purchases, online=False,")
    (home / "features.py").write_text(definitions, encoding="utf-8")
    text = SETTINGS.format(
        name=name,
        servers=servers.kafka.servers,
        hosts=servers.cassandra.hosts,
        datacenter=DATACENTER,
        window=COMMIT_LOG_WINDOW,
        batch=BATCH,
        url=servers.flink.url,
        partitions=PARTITIONS,
    )
    (home / "twinbeam.toml").write_text(text, encoding="utf-8")
    with Platform.open(home) as platform:
        platform.apply()
        platform.publish("purchases", make_events(count, ENTITIES))
        with running(platform, home, way):
            yield from rate(platform, servers, count)
            if seconds is not None:
                yield from freshness(platform, servers, seconds)
            if way != "local":
                yield from checkpoints(platform)
            if seconds is not None and way != "local":
                yield restored(platform, servers)


@contextmanager
def running(platform: Platform, home: Path, way: str) -> Iterator[None]:
    """The stream, while the block lasts."""
    if way != "local":
        job = platform.submit_stream(parallelism=int(way.split()[1]))
        try:
            yield
        finally:
            JobManager(platform.settings.run.flink.jobmanager).cancel(job.id)
        return
    command = [sys.executable, "-m", "pipelines.commands.main", "run", "stream", "--project", str(home)]
    with (home / "log").open("w") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:
            yield
        finally:
            process.send_signal(signal.SIGTERM)


def rate(platform: Platform, servers: Servers, count: int) -> Iterator[str]:
    """Events a second from the first that both stores say they have to the last, and what it cost."""
    with progress(platform) as stored:
        wait(lambda: stored() > 0)
        first, begun, before = stored(), time.perf_counter(), servers.cpu()
        wait(lambda: stored() >= count)
        took, after = time.perf_counter() - begun, servers.cpu()
    done = count - first
    yield f"{done / took:,.0f} events/s ({done:,} in {took:.1f} s)"
    yield "CPU µs an event: " + shares(before, after, 1e6 / done)


def freshness(platform: Platform, servers: Servers, seconds: float) -> Iterator[str]:
    """From publishing to served, of probes under a load of 1000 events a second."""
    over, load = threading.Event(), make_events(50, ENTITIES)
    loading = threading.Thread(target=_publish, args=(platform, load, over))
    loading.start()
    reader, ages, end = platform.reader("spending:count_1h"), list[float](), time.perf_counter() + seconds
    begun, before = time.perf_counter(), servers.cpu()
    try:
        while time.perf_counter() < end:
            now = time.time_ns() // 1000
            seen = _values(reader, [-1], now)
            sent = time.perf_counter()
            platform.publish("purchases", [{"user_id": -1, "ts": now, "price": 1.0}])
            while _values(reader, [-1], now) == seen:
                time.sleep(0.002)
            ages.append(time.perf_counter() - sent)
            time.sleep(0.05)
    finally:
        over.set()
        loading.join()
    p50, p99 = np.quantile(ages, [0.5, 0.99])
    yield f"published to served at 1 k events/s: p50 {p50:.3f} s, p99 {p99:.3f} s ({len(ages)} probes)"
    yield "cores in use: " + shares(before, servers.cpu(), 1 / (time.perf_counter() - begun))


def checkpoints(platform: Platform) -> Iterator[str]:
    """Sizes and durations of a job's checkpoints so far."""
    manager = JobManager(platform.settings.run.flink.jobmanager)
    told = manager.checkpoints(platform.jobs()[0].id)
    done = [each for each in told["history"] if each["status"] == "COMPLETED"][::-1]
    sizes, took = [each["state_size"] for each in done], [each["end_to_end_duration"] for each in done]
    yield (
        f"checkpoints: {told['counts']['completed']} completed, {told['counts']['failed']} failed; of the last "
        f"{len(done)}: {sizes[0]:,} B to {sizes[-1]:,} B, {np.median(took):.0f} ms (median), {max(took):,} ms (longest)"
    )


def restored(platform: Platform, servers: Servers) -> str:
    """How long after a worker is killed events are served again."""
    reader = platform.reader("spending:count_1h")
    os.kill(pipelines_of(servers.flink)[0], signal.SIGKILL)
    begun, now = time.perf_counter(), time.time_ns() // 1000
    users = list(range(-100, -1))
    platform.publish("purchases", [{"user_id": user, "ts": now, "price": 1.0} for user in users])
    wait(lambda: all(_values(reader, users, now)))
    return f"a worker killed: all lanes served again after {time.perf_counter() - begun:.1f} s"


@contextmanager
def progress(platform: Platform) -> Iterator[Callable[[], int]]:
    """Tells how many events both stores have, by what they say of their progress."""
    blocks = [block.id for each in Deployment.load(platform.offline).blocks.values() for block in each]
    with closing(Stores.of(platform.settings).online()) as online:

        def stored() -> int:
            marks = online.marks(blocks)
            folded = [
                sum(mark.offset for mark in marks if (mark.log, mark.lane == SEALED) == (of, False)) for of in blocks
            ]
            return min([sum(platform.offline.positions(events_table("purchases")).values()), *folded])

        yield stored


def wait(what: Callable[[], bool]) -> None:
    """Waits until something is so."""
    end = time.monotonic() + 600
    while not what():
        if time.monotonic() > end:
            raise TimeoutError("this takes too long")
        time.sleep(0.1)


def shares(before: Mapping[str, float], after: Mapping[str, float], factor: float) -> str:
    """What each kind of process used."""
    return ", ".join(f"{kind} {(after[kind] - before[kind]) * factor:.3g}" for kind in after)


def _values(reader: PreparedReader, users: list[int], now: int) -> list[Any]:
    return list(reader.get({"user_id": users}, now=now + 1_000_000).to_dict().values())[-1]


def _publish(platform: Platform, load: Any, over: threading.Event) -> None:
    due = time.perf_counter()
    while not over.is_set():
        platform.publish("purchases", load)
        due += len(load) / 1000
        over.wait(max(due - time.perf_counter(), 0))


def _cpu(pid: int | None) -> float:
    """CPU seconds of a process so far; 0 if it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / _TICKS


if __name__ == "__main__":
    main()
