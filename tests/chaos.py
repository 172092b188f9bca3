"""Chaos: a stream over real servers whose processes are killed (SIGKILL) at random moments, and started again.

Events are published in portions while the stream runs; each kill comes some time into a portion. In the end both stores
are compared, byte for byte, with those of one plain undisturbed run over the same topic.
"""

from __future__ import annotations

import faulthandler
import logging
import os
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import numpy as np
import pyarrow as pa
from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile
from cassandra.policies import DCAwareRoundRobinPolicy

from pipelines.dev.cassandra import COMMIT_LOG_WINDOW, DATACENTER, Cassandra
from pipelines.dev.kafka import Kafka
from pipelines.heartbeat import ENTITY
from pipelines.platform import Platform
from pipelines.progress import Progress
from pipelines.stream import topic_ends
from schemas.errors import StoreError
from serving.tables import events_table
from tests.kill_workers import SIZE, stream
from tests.store_contents import assert_same, cells, int_keys, published, taken

T = TypeVar("T")
LOG = logging.getLogger("twinbeam.chaos")
LONG = SIZE > 1
EVENTS = int(os.environ.get("TWINBEAM_CHAOS_EVENTS", "2000000" if LONG else "20000"))
KILLS = int(os.environ.get("TWINBEAM_CHAOS_KILLS", "32" if LONG else "6"))
USERS, ITEMS, PARTITIONS = 300, 60, 8
SPAN = 12 * 3600 * 1_000_000
BEGIN = int(datetime(2025, 3, 1, tzinfo=UTC).timestamp()) * 1_000_000
STALL_SECONDS = 600.0
SPOILT = b"{this is no event"
DEFINITIONS = """
from twinbeam import Entity, FeatureView, Source, agg, latest

user = Entity("user", keys={"user_id": "int64"})
item = Entity("item", keys={"item_id": "int64"})
buys = Source(
    "buys", fields={"user_id": "int64", "item_id": "int64", "ts": "timestamp(us)", "price": "float64",
                    "kind": "string", "city": "string"},
    event_time="ts", topic="buys", encoding="avro",
)
profile = FeatureView("profile", entity=user, source=buys, ttl="6h", features=["city", latest("price")])
totals = FeatureView("totals", entity=user, source=buys, where="kind != 'gift'", select={"eur": "price * 0.92"},
    features=[agg.sum("eur", over=["1h", "24h"]), agg.count(over="1h"), agg.stddev("eur", over="24h"), agg.count()])
recent = FeatureView("recent", entity=user, source=buys,
    features=[agg.last_k(["price", "kind"], k=5), agg.top_k("price", k=5, over="24h")])
demand = FeatureView("demand", entity=item, source=buys,
    features=[agg.sum("price", over="24h", by="kind"), agg.unique_count("user_id", over="24h")])
buyers = FeatureView("buyers", entity=item, source=buys, where="price > 0", select={"buyer": "user_id * 2"},
    features=[agg.last_k("buyer", k=5), agg.first_k("city", k=3), agg.mean("price", over="6h"), latest("kind")])
"""
COMMON = f"""
[run]
flush = "500ms"
upkeep = "5s"
keep = "10s"
{{more}}
[sources.buys]
partitions = {PARTITIONS}
topic = "{{topic}}"
[stream]
broker = "kafka"
[stream.kafka]
servers = "{{servers}}"
"""
ONLINE = """
[online]
store = "cassandra"
[online.cassandra]
hosts = "{hosts}"
datacenter = "{datacenter}"
commit_log_window = "{window}"
keyspace = "{keyspace}"
"""


def settings(
    kafka: Kafka, cassandra: Cassandra | None, more: str = "", topic: str = "buys", keyspace: str = "chaos"
) -> str:
    """Settings of a project over these servers; its online store is SQLite if there is no Cassandra."""
    text = COMMON.format(servers=kafka.servers, more=more, topic=topic)
    if cassandra is not None:
        place = {"hosts": cassandra.hosts, "datacenter": DATACENTER, "keyspace": keyspace}
        text += ONLINE.format(window=COMMIT_LOG_WINDOW, **place)
    return text


def events(first: int, count: int, total: int, seed: int) -> pa.Table:
    """Events of a run of so many in all: time goes on with their numbers, some are late, sums must be exact."""
    number = np.arange(first, first + count)
    chance = np.random.default_rng([seed, first])
    late = np.where(chance.random(count) < 0.02, chance.random(count) * SPAN, chance.random(count) * 60e6)
    times = np.maximum(BEGIN + number * SPAN // total - late.astype(np.int64), BEGIN)
    huge = np.where(number % 11 == 0, 1e15, np.where(number % 11 == 5, -1e15, 0.1))
    kinds, cities = np.array(["card", "gift", "cash", "ünï"]), np.array(["Köln", "Oslo", "Rome"])
    return pa.table(
        {
            "user_id": chance.integers(0, USERS, count),
            "item_id": chance.integers(0, ITEMS, count),
            "ts": pa.array(times, pa.timestamp("us", "UTC")),
            "price": huge * (1 + number % 3),
            "kind": kinds[chance.integers(0, 4, count)].tolist(),
            "city": cities[chance.integers(0, 3, count)].tolist(),
        }
    )


@dataclass(frozen=True)
class Victim:
    """What is killed and started again.

    Attributes:
        kill: kills it (SIGKILL).
        revive: starts it, and returns when it is up.
    """

    kill: Callable[[], object]
    revive: Callable[[], object]


@dataclass
class Portions:
    """Publishes events in a thread of its own, in pieces of random sizes, never more than is allowed so far.

    A piece whose publishing fails because the broker is away is published again, whatever of it has come through.

    Args:
        platform: of the project.
        chance: of the sizes.
        total: how many events there are.
        seed: of the events.

    Attributes:
        allowed: how many may be published so far.
        sent: how many are.
        failed: pieces that were published again.
    """

    platform: Platform
    chance: random.Random
    total: int
    seed: int
    allowed: int = 0
    sent: int = 0
    failed: int = 0
    _over: threading.Event = field(default_factory=threading.Event)
    _fault: BaseException | None = None

    def finish(self) -> None:
        """Publishes all that is left, and returns when that is done."""
        self.allowed = self.total
        wait_while_it_goes_on(lambda: self.sent, lambda: self.sent == self.total or self._fault is not None)

    def _publish(self) -> None:
        try:
            while self.sent < self.total and not self._over.is_set():
                most = min(max(self.total // 200, 50), 5_000)
                count = min(self.chance.randrange(1, most), self.allowed - self.sent)
                if count <= 0 or not self._send(count):
                    self._over.wait(0.05)
        except BaseException as fault:
            self._fault = fault
            raise

    def _send(self, count: int) -> bool:
        try:
            if self.chance.random() < 0.1:
                self.platform.publish("buys", [SPOILT])
            self.platform.publish("buys", events(self.sent, count, self.total, self.seed))
        except StoreError as error:
            LOG.info("published again: %s", error)
            self.failed += 1
            return False
        self.sent += count
        return True

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._publish)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()
        assert self._fault is None


class Chaos:
    """Kills victims one after the other at random moments; what a kill left is started again while others go on.

    Args:
        platform: of the project whose stream runs.
        seed: of all that is random.
        total: how many events are published.
        victims: by name.

    Attributes:
        kills: a line for each: when, what, how many events had been published and stored.
    """

    def __init__(self, platform: Platform, seed: int, total: int, victims: Mapping[str, Victim]) -> None:
        self.kills: list[str] = []
        self._platform, self._seed, self._total, self._victims = platform, seed, total, victims
        self._chance = random.Random(seed)
        self._begun = time.monotonic()
        self._coming: dict[str, Future[None]] = {}
        self._log = platform.settings.folder / "kills.txt"
        self._log.write_text(f"seed {seed}, {total} events\n")

    def run(self, counts: Mapping[str, int]) -> None:
        """Kills each victim so many times, in a random order, and returns when the stream has taken in everything."""
        faulthandler.cancel_dump_traceback_later()  # How long it takes, the machine says; a stall is found here.
        plan = list(Counter(counts).elements())
        self._chance.shuffle(plan)
        sizes = random.Random(self._seed + 1)
        with (
            ThreadPoolExecutor(len(self._victims)) as nurses,
            Portions(self._platform, sizes, self._total, self._seed) as portions,
        ):
            for number, name in enumerate(plan, 1):
                before = self._stored()
                portions.allowed = self._total * number // (len(plan) + 1)
                self._await_moment(name, before)
                self._note(name, portions.sent)
                self._victims[name].kill()
                down = self._chance.random() * 2.0
                self._coming[name] = nurses.submit(self._revive, name, down)
            for future in self._coming.values():
                future.result()
            portions.finish()
            wait_while_it_goes_on(self._stored, lambda: caught_up(self._platform))
        self._note(f"end; {portions.failed} calls published again", portions.sent)

    def _await_moment(self, name: str, before: int) -> None:
        """Waits until a victim is up, and for a random moment: of any time, or some time into a portion."""
        if name in self._coming:
            self._coming.pop(name).result()
        if not self.kills or self._chance.random() < 0.75:
            wait_while_it_goes_on(lambda: 0, lambda: self._stored() > before)
        time.sleep(self._chance.random() * 2.0)
        for future in self._coming.values():
            if future.done():
                future.result()

    def _revive(self, name: str, down: float) -> None:
        time.sleep(down)
        self._victims[name].revive()

    def _note(self, what: str, sent: int) -> None:
        seconds = time.monotonic() - self._begun
        self.kills.append(f"{seconds:6.1f} s  {what}: {sent} published, {self._stored()} stored")
        with self._log.open("a") as log:
            log.write(f"{self.kills[-1]}\n")

    def _stored(self) -> int:
        return sum(self._platform.offline.positions(events_table("buys")).values())


def caught_up(platform: Platform) -> bool:
    """Whether both stores have all that the topics hold."""
    project = platform._project
    sources = project.sources(None)
    try:
        ends = topic_ends(project, sources)
        fed = project.fed_views(project.checked_deployment(), None, sources)
        progress = Progress.read(project.offline, project.online, sources, fed)
    except StoreError:
        return False
    return all(progress.start(lane, fed) >= end for lane, end in ends.items())


def wait_while_it_goes_on(progress: Callable[[], int], over: Callable[[], bool]) -> None:
    """Waits until something is over, for as long as there is progress."""
    known, since = progress(), time.monotonic()
    while not over():
        now = progress()
        if now != known:
            known, since = now, time.monotonic()
        assert time.monotonic() - since < STALL_SECONDS, f"nothing moves any more, at {known}"
        time.sleep(0.1)


def assert_exact(platform: Platform, calm: Path, cassandra: Cassandra) -> None:
    """Compares both stores with those of one plain run into SQLite and Delta over the same lanes.

    Args:
        platform: of the project that was disturbed; nothing runs any more.
        calm: folder of a project with the same definitions and broker.
        cassandra: that holds the online store.
    """
    topic = platform.settings.topic(platform.registry.sources["buys"])
    assert topic is not None
    assert taken(platform, "buys") == published(platform, topic)
    with Platform.open(calm) as undisturbed:
        undisturbed.apply()
        undisturbed.run_stream(until="caught_up", runner="local")
        most = max(USERS, ITEMS)
        assert_same(platform, undisturbed, most)
    access = platform._project.stores.cassandra
    assert access is not None
    there = rows_of_tables(cassandra, access.keyspace, "cells_")
    assert there == len(cells(platform, int_keys(most))), "there are cells of entities that no event names"


def rows_of_tables(cassandra: Cassandra, keyspace: str, beginning: str) -> int:
    """Rows of all tables of a keyspace whose names begin so, that of heartbeats aside, counted by the driver alone."""
    profile = ExecutionProfile(load_balancing_policy=DCAwareRoundRobinPolicy(DATACENTER), request_timeout=120.0)
    profiles = {EXEC_PROFILE_DEFAULT: profile}
    cluster = Cluster(["127.0.0.1"], port=cassandra.port, protocol_version=5, execution_profiles=profiles)
    try:
        session = cluster.connect(keyspace)
        tables = cluster.metadata.keyspaces[keyspace].tables
        names = [name for name in tables if name.startswith(beginning) and name != f"{beginning}{ENTITY}"]
        return sum(1 for name in names for _ in session.execute(f'SELECT tile FROM "{name}"'))
    finally:
        cluster.shutdown()


def side_by_side(*starts: Callable[[], T]) -> list[T]:
    """Starts servers at once, and gives them when all are up."""
    with ThreadPoolExecutor(len(starts)) as pool:
        return [future.result() for future in [pool.submit(start) for start in starts]]


def stream_with_log(folder: Path) -> None:
    """A stream until SIGTERM, whose words go to a file of the project's folder."""
    log = os.open(folder / "stream.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    stream(folder)


def told(name: str, seed: int, total: int, counts: Mapping[str, int], seconds: float) -> str:
    """One line about a run of chaos."""
    kinds = ", ".join(f"{kind} {count}" for kind, count in counts.items())
    kills = sum(counts.values())
    return f"{name}: seed {seed}, {total} events, {kills} kills ({kinds}), {seconds:.0f} s to the end"


def rounds(kinds: Sequence[str], kills: int, weights: Sequence[int]) -> dict[str, int]:
    """How often each kind is killed, of at least so many kills in all."""
    whole = sum(weights)
    return {kind: max(1, -(-kills * weight // whole)) for kind, weight in zip(kinds, weights, strict=True)}
