"""A model of all that can happen between writers: whatever did, the stores end as the fold of everything.

Three writers, each a process's worth of reader, row rules, caches and buffers over the real stores, read the lanes of
one topic in steps that interleave in any way. Writes fail, or happen and are never acknowledged; writers die at any
step, are left behind and go on later; batches come twice; tables are compacted. Whenever all is quiet, both stores
must hold what one writer that nothing happened to writes: the same bytes in every cell, every row once.
"""

from __future__ import annotations

import os
import tempfile
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
from hypothesis import HealthCheck, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from pipelines.brokers.embedded import EmbeddedBroker
from pipelines.job import Job, Pace
from pipelines.lane_plan import plan_lanes
from pipelines.lanes.topic import topic_lanes
from pipelines.offline_buffer import FlushRule
from pipelines.progress import FedView, Progress
from pipelines.publish import publish
from pipelines.stores import Stores
from schemas.entity import Entity
from schemas.errors import StoreError
from schemas.feature import agg
from schemas.feature_view import FeatureView
from schemas.registry import Registry
from schemas.source import Source
from schemas.window import DAY, HOUR, MINUTE
from serving.stores.base import Mark, Slice
from serving.stores.offline import OfflineStore
from serving.stores.sqlite import SqliteStore
from serving.tables import dead_table, events_table
from tests.driven_runs import BIG, DrivenRun
from transforms.blocks import assign_blocks
from transforms.catalog import Catalog
from transforms.cells import Cells
from transforms.keys import encode_keys

SIZE = int(os.environ.get("TWINBEAM_SOAK_SIZE", "1"))
SEED = int(os.environ.get("TWINBEAM_SOAK_SEED", "0"))
START = 1_780_000_000_000_000
KEYS = encode_keys([pa.array(range(4), pa.int64())]).to_pylist()
BEFORE, AFTER = "before", "after"
WRITERS = st.sampled_from(["a", "b", "c"])

FIELDS = {"k": "int64", "ts": "timestamp(us)", "x": "float64", "tags": "list<string>"}
source = Source("s", fields=FIELDS, event_time="ts", topic="s", encoding="avro")
thing = Entity("thing", keys={"k": "int64"})
sums = FeatureView(
    "sums",
    entity=thing,
    source=source,
    features=["x", agg.sum("x", over=["1h", "24h"]), agg.last_k("x", k=3, over="1h"), agg.unique_count("x")],
)
tags = FeatureView("tags", entity=thing, source=source, explode="tags", features=[agg.count(over="1h", by="tags")])
CATALOG = Catalog.compile(Registry.of([sums, tags]))
FED = tuple(FedView(view, assign_blocks(view)) for view in CATALOG.views.values())
BLOCKS = [block.id for fed in FED for block in fed.blocks]
TABLES = [events_table("s"), dead_table("s"), *(fed.table for fed in FED)]

EVENT = st.fixed_dictionaries(
    {
        "k": st.sampled_from([0, 1, 2, 3, None]),
        "ts": st.sampled_from([0, 1, MINUTE, 7 * MINUTE, HOUR, 5 * HOUR, DAY, 9 * DAY]).map(lambda at: START + at),
        "x": st.sampled_from([0.1, 0.2, -0.0, 1e300, -1e300, None]),
        "tags": st.sampled_from([None, [], ["a"], ["a", "b", "a"]]),
    }
)


class Lost(StoreError):
    """The connection broke; whether the write happened is not known."""


@dataclass
class Faults:
    """What is to go wrong with the next writes of a writer: by store, after how many more writes, and when."""

    armed: dict[str, tuple[int, str]] = field(default_factory=dict)

    def strike(self, store: str, moment: str) -> None:
        """Raises if the fault of the store is due at this moment of its write."""
        if store not in self.armed:
            return
        left, when = self.armed[store]
        if left == 0 and when == moment:
            del self.armed[store]
            raise Lost
        if moment == AFTER:
            self.armed[store] = (left - 1, when)


class FaultyOnline(SqliteStore):
    """The online store over a connection that may break before a write or after it."""

    def __init__(self, path: Path, faults: Faults) -> None:
        super().__init__(path, synchronous="OFF")
        self._faults = faults

    def write(self, entity: str, cells: Sequence[Cells], marks: Sequence[Mark] = ()) -> None:
        self._faults.strike("online", BEFORE)
        super().write(entity, cells, marks)
        self._faults.strike("online", AFTER)


class FaultyOffline(OfflineStore):
    """The offline store over a connection that may break before a commit or after it."""

    def __init__(self, root: Path, faults: Faults) -> None:
        super().__init__(root)
        self._faults = faults

    def append(self, table: str, batches: Sequence[pa.RecordBatch], positions: Mapping[tuple[str, str], int]) -> None:
        self._faults.strike("offline", BEFORE)
        super().append(table, batches, positions)
        self._faults.strike("offline", AFTER)


@dataclass(frozen=True)
class FaultyStores(Stores):
    """Stores of one writer."""

    faults: Faults = field(default_factory=Faults)

    def offline(self) -> OfflineStore:
        return FaultyOffline(Path(self.offline_root), self.faults)

    def online(self) -> FaultyOnline:
        return FaultyOnline(Path(self.online_path), self.faults)


@dataclass
class Writer:
    """A process that reads, folds and writes."""

    run: DrivenRun
    faults: Faults
    last: list[pa.RecordBatch] = field(default_factory=list)


class Writers(RuleBasedStateMachine):
    """Writers of one project, its topic, and what happens to them."""

    def __init__(self) -> None:
        super().__init__()
        self._folder = tempfile.TemporaryDirectory()
        self.root = Path(self._folder.name)
        self.topics = EmbeddedBroker(self.root / "topics.db")
        self.writers: dict[str, Writer] = {}

    @initialize(partitions=st.integers(1, 3), events=st.lists(EVENT, min_size=5, max_size=20))
    def create(self, partitions: int, events: list[dict[str, Any]]) -> None:
        self.topics.create("s", partitions)
        self.append(events)

    @rule(events=st.lists(EVENT, min_size=1, max_size=12))
    def append(self, events: list[dict[str, Any]]) -> None:
        """More is published; a null key goes to the dead letters."""
        publish(self.topics, "s", source, events, ["k"], START)

    @rule(
        name=WRITERS,
        budget=st.sampled_from([0, 1500, BIG]),
        turn=st.sampled_from([1, 3, 100]),
        rows=st.sampled_from([1, 20, 1_000_000]),
        patience=st.sampled_from([0, 2000, BIG]),
        bundles=st.integers(0, 4),
    )
    def start(self, name: str, budget: int, turn: int, rows: int, patience: int, bundles: int) -> None:
        """A writer begins where the stores are, in place of the one of its name, which dies."""
        self._kill(name)
        self.writers[name] = self._begin(self.root / "stores", budget, turn, rows, patience)
        self.go_on(name, bundles)

    @precondition(lambda machine: machine.writers)
    @rule(name=WRITERS, bundles=st.integers(1, 6))
    def go_on(self, name: str, bundles: int) -> None:
        """Whole bundles."""
        for _ in range(bundles):
            self._act(name, self._bundle)

    @precondition(lambda machine: machine.writers)
    @rule(name=WRITERS, part=st.sampled_from(["read", "again", "online", "offline", "commit"]))
    def step(self, name: str, part: str) -> None:
        """A part of a bundle: its batches reach the sinks, or the last ones do again, or one of the sinks writes."""
        parts: dict[str, Callable[[Writer], object]] = {
            "read": self._read,
            "again": self._again,
            "online": lambda writer: writer.run.online.finish_bundle(),
            "offline": lambda writer: writer.run.offline.finish_bundle(),
            "commit": lambda writer: writer.run.work.flush_offline(everything=True),
        }
        self._act(name, parts[part])

    @precondition(lambda machine: machine.writers)
    @rule(
        name=WRITERS,
        store=st.sampled_from(["online", "offline"]),
        left=st.integers(0, 3),
        when=st.sampled_from([BEFORE, AFTER]),
    )
    def arm(self, name: str, store: str, left: int, when: str) -> None:
        """A write to come will fail, or happen without acknowledgement; the writer dies of it."""
        if name in self.writers:
            self.writers[name].faults.armed[store] = (left, when)

    @rule(table=st.sampled_from(TABLES))
    def tidy(self, table: str) -> None:
        """Small files are joined and what they replace is deleted while writers go on; `events` never claims too much.

        What `events` says that it holds it has, once, and so have the tables that are written before it. One that got
        no row may say so later.
        """
        offline = OfflineStore(self.root / "stores" / "offline")
        if offline.exists(table):
            before = offline.count(table)
            offline.compact(table)
            offline.tidy(table, 0, 0)
            assert offline.count(table) == before
        events = offline.positions(TABLES[0])
        if events:
            found = offline.read(TABLES[0], ["_lane", "_offset", "k", "tags"]).to_pylist()
            for fed in FED:
                rows = offline.positions(fed.table)
                late = [row for row in found if row["_offset"] >= rows.get((row["_lane"], ""), 0)]
                assert all(row["k"] is None or (fed.view.name == "tags" and not row["tags"]) for row in late)
            wanted = [(lane, offset) for (lane, _), end in events.items() for offset in range(end)]
            assert sorted((row["_lane"], row["_offset"]) for row in found) == sorted(wanted)

    def settle(self) -> None:
        """One writer reads to the end, those left behind write what they hold: both stores are as if it were alone."""
        last = self._begin(self.root / "stores", BIG, 1000, 1_000_000, 0)
        self._finish(last)
        expected = self._alone()
        assert self._contents(self.root / "stores") == expected
        for name in list(self.writers):
            self._act(name, self._bundle)
            self._act(name, lambda writer: writer.run.work.flush_offline(everything=True))
        assert self._contents(self.root / "stores") == expected

    def teardown(self) -> None:
        try:
            if self.topics.names():
                self.settle()
        finally:
            for name in list(self.writers):
                self._kill(name)
            self.topics.close()
            self._folder.cleanup()

    def _begin(self, root: Path, budget: int, turn: int, rows: int, patience: int) -> Writer:
        faults = Faults()
        online_path, topics_path = str(root / "online.db"), str(self.root / "topics.db")
        stores = FaultyStores(str(root / "offline"), {}, online_path, topics_path, faults=faults)
        online = stores.online()
        progress = Progress.read(stores.offline(), online, ["s"], FED)
        online.close()
        lanes = plan_lanes(["s"], FED, progress, topic_lanes(self.topics, "s", "s"), unbounded=True)
        pace = Pace(lane_rows=turn, hold=0, linger=0, poll=0, patience=patience)
        sources, topics = {"s": source}, {"s": "s"}
        name, rule_ = uuid.uuid4().hex, FlushRule(rows=rows)
        job = Job(name, stores, sources, topics, {}, FED, {}, lanes, False, 1 << 60, pace, rule_, budget)
        return Writer(DrivenRun(job, bounded=False), faults)

    def _finish(self, writer: Writer) -> None:
        """Reads to the end of the topic, writes everything, ends."""
        quiet = False
        while not quiet:
            self._bundle(writer)
            quiet = not writer.last
        writer.run.work.close()

    def _read(self, writer: Writer) -> None:
        writer.last = []
        for batch in writer.run.read():
            writer.run.take(batch)
            writer.last.append(batch)

    def _again(self, writer: Writer) -> None:
        for batch in writer.last:
            writer.run.take(batch)

    def _bundle(self, writer: Writer) -> None:
        self._read(writer)
        writer.run.offline.finish_bundle()
        writer.run.online.finish_bundle()

    def _act(self, name: str, action: Callable[[Writer], object]) -> None:
        writer = self.writers.get(name)
        if writer is None:
            return
        try:
            action(writer)
        except Lost:
            self._kill(name)

    def _kill(self, name: str) -> None:
        writer = self.writers.pop(name, None)
        if writer is not None:
            writer.run.die()

    def _alone(self) -> Any:
        with tempfile.TemporaryDirectory() as folder:
            self._finish(self._begin(Path(folder), BIG, 100_000, 1_000_000, 0))
            return self._contents(Path(folder))

    def _contents(self, root: Path) -> Any:
        """Everything of both stores: cells, marks, rows, positions."""
        online, offline = SqliteStore(root / "online.db"), OfflineStore(root / "offline")
        found = online.read("thing", KEYS, [Slice(block, -(2**62)) for block in BLOCKS])
        columns = [found.key.tolist(), found.slice.tolist(), found.tile.tolist(), found.lane, found.version.tolist()]
        cells = sorted(zip(*columns, found.blob, strict=True))
        marks = sorted((mark.log, mark.lane, mark.offset, mark.newest) for mark in online.marks(BLOCKS))
        online.close()
        rows = {table: sorted(map(repr, offline.read(table).to_pylist())) for table in TABLES if offline.exists(table)}
        # Dead letters vouch for as much as the batches that brought some.
        positions = {table: offline.positions(table) for table in TABLES if table != dead_table("s")}
        return {"cells": cells, "marks": marks, "rows": rows, "positions": positions}


def test_writers_that_anything_happens_to_leave_the_fold_of_everything() -> None:
    machine = seed(SEED)(Writers) if SEED else Writers
    checks = [HealthCheck.too_slow, HealthCheck.data_too_large]
    steps = settings(max_examples=25 * SIZE, stateful_step_count=20, deadline=None, suppress_health_check=checks)
    run_state_machine_as_test(machine, settings=steps)
