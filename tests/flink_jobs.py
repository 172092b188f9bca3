"""Projects whose streams run on a real Flink cluster, and what tests do to its processes."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
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
    """Process ids of the workers of a cluster, the orphans too: they begin in the folders of its TaskManagers."""
    folders = [member.log.parent for member in flink.task_managers]
    return [pid for pid in _named(WORKER) if any(_begun_in(pid, folder) for folder in folders)]


def only_worker(flink: Flink) -> int:
    """Process id of the only worker of a cluster."""
    found = workers(flink)
    assert len(found) == 1, (found, {pid: Path(f"/proc/{pid}/cwd").resolve() for pid in _named(WORKER)})
    return found[0]


def kill_worker(flink: Flink, chance: random.Random) -> None:
    """Kills a worker (SIGKILL); waits for one if all are just being replaced."""
    eventually(lambda: bool(workers(flink)))
    with suppress(ProcessLookupError):
        os.kill(chance.choice(workers(flink)), signal.SIGKILL)


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


def _named(word: str) -> Iterator[int]:
    """Process ids of what has a word in its command line."""
    for place in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            if word.encode() in place.read_bytes():
                yield int(place.parent.name)


def _begun_in(pid: int, folder: Path) -> bool:
    with suppress(OSError):
        return Path(f"/proc/{pid}/cwd").samefile(folder)
    return False
