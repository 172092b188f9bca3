"""Projects whose streams run on a real Flink cluster, and what tests do to its processes."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pipelines.dev.flink import Flink
from pipelines.flink.rest import FlinkJob, JobManager
from pipelines.platform import Platform
from schemas.errors import FlinkError, StoreAway

USERS = 23
PATIENCE = 180.0
WORKER = "twinbeam-worker"
DEFINITIONS = """
from twinbeam import Entity, FeatureView, Source, agg, latest

user = Entity("user", keys={"user_id": "int64"})
FIELDS = {"user_id": "int64", "ts": "timestamp(us)", "price": "float64", "kind": "string", "items": "list<string>"}
buys = Source("buys", fields=FIELDS, event_time="ts", topic="@buys", encoding="json")
looks = Source("looks", fields=FIELDS, event_time="ts", topic="@looks", encoding="json")
totals = FeatureView("totals", entity=user, source=buys, where="kind != 'gift'", select={"eur": "price * 0.92"},
    features=[agg.sum("eur", over=["1h", "30d"]), agg.count(), agg.last_k("eur", k=3), latest("kind")])
parts = FeatureView("parts", entity=user, source=buys, explode="items",
    features=[agg.count(over="7d", by="items"), agg.stddev("price", over="1d")])
both = FeatureView("both", entity=user, source=[buys, looks], features=[agg.count(over="1d"), agg.max("price")])
seen = FeatureView("seen", entity=user, source=looks, features=[agg.approx_count_distinct("kind", over="7d")])
news = FeatureView("news", entity=user, source=looks, features=[latest("price"), agg.mean("price", over="7d")])
"""


def definitions(prefix: str = "") -> str:
    """The definitions, their topics named with a prefix."""
    return DEFINITIONS.replace("@", prefix)


def settings(flink: Flink, more: str = "") -> str:
    """Settings of a project whose jobs run on a cluster."""
    return f"""
[run]
flush = "300ms"
[run.flink]
jobmanager = "{flink.url}"
checkpoint = "1s"
savepoints = "{flink.folder / "savepoints"}"
[sources.buys]
partitions = 5
[sources.looks]
partitions = 3
{more}"""


def job_manager(platform: Platform) -> JobManager:
    """The JobManager of a platform's settings."""
    return JobManager(platform.settings.run.flink.jobmanager)


@contextmanager
def ended(platform: Platform) -> Iterator[None]:
    """Ends what jobs of the project run after the block."""
    try:
        yield
    finally:
        cancel_all(platform)


def cancel_all(platform: Platform) -> None:
    """Ends what jobs of the project run, once the JobManager answers."""
    for job in platform.jobs():
        if not job.over:
            job_manager(platform).cancel(job.id)


def workers(flink: Flink) -> list[int]:
    """Process ids of the workers of a cluster, the orphans too: all in the process groups of its TaskManagers."""
    listed = subprocess.run(["ps", "-eo", "pid=,args="], capture_output=True, text=True, check=True).stdout
    found = []
    for line in listed.splitlines():
        pid, _, words = line.strip().partition(" ")
        if WORKER in words and _folder(int(pid)).is_relative_to(flink.folder):
            found.append(int(pid))
    return found


def kill_worker(flink: Flink, chance: random.Random) -> None:
    """Kills a worker (SIGKILL), if there is one."""
    if pids := workers(flink):
        os.kill(chance.choice(pids), signal.SIGKILL)


def resubmit(platform: Platform) -> FlinkJob:
    """Resumes the project's stream on a JobManager that was started anew, when TaskManagers and stores are back."""
    until = time.monotonic() + PATIENCE
    while True:
        try:
            return platform.resume_job()
        except (FlinkError, StoreAway):
            assert time.monotonic() < until, "the cluster does not come back"
            time.sleep(0.5)


def eventually(what: Callable[[], bool]) -> None:
    """Waits until something is so."""
    until = time.monotonic() + PATIENCE
    while not what():
        assert time.monotonic() < until, "this takes too long"
        time.sleep(0.1)


def _folder(pid: int) -> Path:
    try:
        return Path(f"/proc/{pid}/cwd").readlink()
    except OSError:
        return Path("/")
