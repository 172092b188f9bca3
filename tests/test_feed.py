"""The feed of a run: which lanes, from where, in which turns; and the files that patterns mean."""

from __future__ import annotations

import itertools
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from pipelines.brokers.embedded import EmbeddedBroker
from pipelines.envelope import TIME, Envelope
from pipelines.feed import Feed, LaneTask
from pipelines.file_patterns import find_files
from pipelines.job import Job, pickled
from pipelines.lane_plan import plan_lanes
from pipelines.lanes.base import LaneReader, event_schema
from pipelines.lanes.events import EventsReader
from pipelines.lanes.topic import topic_lanes
from pipelines.progress import FedView, Progress
from pipelines.stores import Stores
from schemas.entity import Entity
from schemas.errors import LaneError
from schemas.feature import agg
from schemas.feature_view import FeatureView
from schemas.lane import Lane
from schemas.registry import Registry
from schemas.source import Source
from serving.stores.base import SEALED, Mark
from serving.stores.offline import OfflineStore
from transforms.blocks import assign_blocks
from transforms.catalog import Catalog

source = Source("s", fields={"k": "int64", "ts": "timestamp(us)"}, event_time="ts", topic="s", encoding="json")
view = FeatureView("v", entity=Entity("e", keys={"k": "int64"}), source=source, features=[agg.count(over="1h"), "k"])
COMPILED = Catalog.compile(Registry.of([view])).views["v"]
FED = FedView(COMPILED, assign_blocks(COMPILED))
ONE, TWO = Lane("s", "topic", "x", 0), Lane("s", "topic", "x", 1)
FILES = Lane("s", "files", "1", 0)


def progress(events: dict[Lane, int], rows: dict[Lane, int], blocks: dict[Lane, int] | None = None) -> Progress:
    """Progress with the same position in every block."""
    tables = {
        "events/s": {(lane.text, ""): offset for lane, offset in events.items()},
        FED.table: {(lane.text, ""): offset for lane, offset in rows.items()},
    }
    marks = [Mark(block.id, lane.text, offset, 0) for block in FED.blocks for lane, offset in (blocks or rows).items()]
    return Progress(tables, {(mark.log, mark.lane): mark for mark in marks})


def plan(stored: Progress, ends: dict[Lane, int], unbounded: bool = False) -> dict[str, tuple[int, int, int, bool]]:
    tasks = plan_lanes(["s"], [FED], stored, ends, unbounded)
    return {task.lane.text: (task.start, task.seam, task.end, task.live) for task in tasks}


def test_a_lane_starts_at_the_smallest_progress_of_what_it_feeds() -> None:
    assert plan(progress({ONE: 9}, {ONE: 7}, {ONE: 5}), {ONE: 12}) == {ONE.text: (5, 9, 12, True)}
    assert plan(progress({ONE: 4}, {ONE: 7}), {ONE: 12}) == {ONE.text: (4, 4, 12, True)}
    assert plan(progress({ONE: 9}, {ONE: 3}, {ONE: 9}), {ONE: 12}) == {ONE.text: (3, 9, 12, True)}
    assert plan(progress({}, {}), {ONE: 12}) == {ONE.text: (0, 0, 12, True)}


def test_lanes_without_a_log_are_read_from_the_offline_store_alone() -> None:
    stored = progress({ONE: 9, FILES: 5}, {ONE: 9, FILES: 2})
    assert plan(stored, {}) == {FILES.text: (2, 5, 5, False)}
    assert plan(stored, {ONE: 9}, unbounded=True) == {FILES.text: (2, 5, 5, False), ONE.text: (9, 9, 9, True)}


def test_lanes_that_lack_nothing_are_left_out_unless_they_may_grow() -> None:
    stored = progress({ONE: 9, TWO: 3}, {ONE: 9, TWO: 3})
    assert plan(stored, {ONE: 9, TWO: 4}) == {TWO.text: (3, 3, 4, True)}
    assert set(plan(stored, {ONE: 9, TWO: 4}, unbounded=True)) == {ONE.text, TWO.text}


def test_a_log_that_ends_below_what_is_stored_is_refused() -> None:
    with pytest.raises(LaneError, match="s/topic-x/0 ends at offset 8, but the stores hold it up to 9"):
        plan(progress({ONE: 9}, {ONE: 9}), {ONE: 8})


def test_blocks_lack_the_lanes_that_events_holds_until_they_are_sealed() -> None:
    stored = progress({ONE: 9, FILES: 5}, {})
    lacking = stored.unsealed([FED])
    assert set(lacking) == {block.id for block in FED.blocks}
    assert lacking[FED.blocks[0].id] == {ONE.text: 9, FILES.text: 5}
    seal = {(FED.blocks[0].id, SEALED): Mark(FED.blocks[0].id, SEALED, 1, 0)}
    assert set(Progress(stored.tables, seal).unsealed([FED])) == {block.id for block in FED.blocks[1:]}


@pytest.fixture
def topics(tmp_path: Path) -> Iterator[EmbeddedBroker]:
    broker = EmbeddedBroker(tmp_path / "topics.db")
    broker.create("s", 3)
    yield broker
    broker.close()


def publish(topics: EmbeddedBroker, count: int) -> None:
    values = [b'{"k": %d, "ts": "2026-01-01"}' % number for number in range(count)]
    topics.publish("s", [b"%d" % number for number in range(count)], values, now=1)


def turns(feed: Feed, limit: int, count: int) -> list[tuple[int, int, int]]:
    """Lane, start and end of what each of so many turns brings."""
    seen = []
    for _ in range(count):
        for batch in feed.turn(feed.next_lane(), limit):
            envelope = Envelope.of(batch)
            seen.append((envelope.lane.number, envelope.start, envelope.end))
    return seen


def test_every_lane_has_its_turn(topics: EmbeddedBroker) -> None:
    publish(topics, 300)
    ends = topic_lanes(topics, "s", "s")
    feed = Feed([LaneTask(lane, 0, 0, end, True) for lane, end in ends.items()], lambda task, past: topics.reader("s"))
    assert [number for number, *_ in turns(feed, 10, 6)] == [0, 1, 2, 0, 1, 2]
    assert not feed.caught_up()
    seen = turns(feed, 50, 30)
    assert feed.caught_up()
    assert feed.positions == {lane.text: end for lane, end in ends.items()}
    for number in range(3):
        mine = [bounds for bounds in seen if bounds[0] == number]
        assert all(before[2] == after[1] for before, after in itertools.pairwise(mine))
    assert turns(feed, 50, 3) == []
    publish(topics, 30)
    assert sum(end - start for _, start, end in turns(feed, 50, 3)) == 30
    feed.close()


def test_a_lane_that_is_sent_back_reads_again(topics: EmbeddedBroker) -> None:
    publish(topics, 60)
    ends = topic_lanes(topics, "s", "s")
    feed = Feed([LaneTask(lane, 0, 0, end, True) for lane, end in ends.items()], lambda task, past: topics.reader("s"))
    first = turns(feed, 100, 3)
    here = list(feed.positions.items())
    feed.seek(here)
    assert turns(feed, 100, 3) == []
    feed.seek([(here[0][0], 2), *here[1:]])
    assert turns(feed, 100, 3) == [(0, 2, first[0][2])]
    feed.close()


def test_a_lane_goes_from_the_offline_store_to_its_log_without_a_seam(topics: EmbeddedBroker, tmp_path: Path) -> None:
    publish(topics, 90)
    (lane, end), *_ = topic_lanes(topics, "s", "s").items()
    offline, seam = OfflineStore(tmp_path / "offline"), end // 2
    offsets = list(range(0, seam - 3, 2))
    columns = [
        pa.array([1] * len(offsets), pa.int64()),
        pa.array([1] * len(offsets), pa.int64()).cast(TIME),
        pa.array([lane.text] * len(offsets)),
        pa.array(offsets, pa.int64()),
        pa.array([0] * len(offsets), pa.int32()),
        pa.array([1] * len(offsets), pa.int64()).cast(TIME),
    ]
    batch = pa.RecordBatch.from_arrays(columns, schema=event_schema(source.schema))
    offline.append("events/s", [batch], {(lane.text, ""): seam})

    def reader(task: LaneTask, past: bool) -> LaneReader:
        return EventsReader(offline, source) if past else topics.reader("s")

    feed = Feed([LaneTask(lane, 1, seam, end, True)], reader)
    seen, kinds, stored = [], [], []
    while not feed.caught_up():
        for part in feed.turn(feed.next_lane(), 4):
            envelope = Envelope.of(part)
            seen.append((envelope.start, envelope.end))
            kinds.append(envelope.kind)
            if envelope.kind == "events":
                stored += part.column("_offset").to_pylist()
    assert seen[0][0] == 1
    assert seen[-1][1] == end
    assert all(before[1] == after[0] for before, after in itertools.pairwise(seen))
    assert kinds == sorted(kinds)
    assert seam in {start for start, _ in seen}
    assert stored == [offset for offset in offsets if offset >= 1]
    feed.close()


def test_patterns_mean_files_that_are_there(tmp_path: Path) -> None:
    names = [
        "a.csv",
        "b.csv",
        "c.txt",
        ".hidden.csv",
        "_temporary/d.csv",
        "deep/e.csv",
        "deep/er/f.csv",
        "deep/.g/h.csv",
    ]
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "folder.csv").mkdir()

    def found(*patterns: str) -> list[str]:
        return [str(Path(path).relative_to(tmp_path)) for path in find_files(f"{tmp_path}/{each}" for each in patterns)]

    assert found("*.csv") == ["a.csv", "b.csv"]
    assert found("**/*.csv") == ["a.csv", "b.csv", "deep/e.csv", "deep/er/f.csv"]
    assert found("a.csv", "?.csv", "nothing/*.csv") == ["a.csv", "b.csv"]
    assert found("_temporary/*.csv", ".hidden.csv", "deep/.g/h.csv") == [
        ".hidden.csv",
        "_temporary/d.csv",
        "deep/.g/h.csv",
    ]
    assert found("[!a].csv") == ["b.csv"]


def test_patterns_of_urls_mean_the_same(tmp_path: Path) -> None:
    for name in ["a.csv", "b.csv", "c.txt", "deep/e.csv", "deep/er/f.csv", ".hidden.csv"]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()

    def found(pattern: str) -> list[str]:
        return [path.removeprefix(f"file://{tmp_path}/") for path in find_files([f"file://{tmp_path}/{pattern}"])]

    assert found("*.csv") == ["a.csv", "b.csv"]
    assert found("**/*.csv") == ["a.csv", "b.csv", "deep/e.csv", "deep/er/f.csv"]
    assert found("deep/*/f.csv") == ["deep/er/f.csv"]
    assert found("a.csv") == ["a.csv"]
    assert found("z.csv") == []
    assert found("[!a].csv") == ["b.csv"]
    assert found("nowhere/*.csv") == []


DEFINITIONS = """
from twinbeam import Entity, FeatureView, Source, agg

FACTOR = 3


def tripled(frame):
    return frame.with_columns(y=frame["x"] * FACTOR)


thing = Entity("thing", keys={"k": "int64"})
source = Source("s", fields={"k": "int64", "ts": "timestamp(us)", "x": "int64"}, event_time="ts", topic="s")
view = FeatureView("v", entity=thing, source=source, transform=tripled, returns={"y": "int64"}, features=[agg.sum("y")])
"""
WORKER = """
import pickle, sys
from datetime import UTC, datetime

import pyarrow as pa

from pipelines.envelope import TIME

job = pickle.load(open(sys.argv[1], "rb"))
rules = job.views[0].view.rules["s"]
time = pa.array([datetime(2026, 1, 1, tzinfo=UTC)], TIME)
columns = [pa.array([1]), time, pa.array([14]), pa.array(["l"]), pa.array([0]), pa.array([0], pa.int32()), time]
names = ["k", "ts", "x", "_lane", "_offset", "_part", "_arrival"]
print(rules.apply(pa.RecordBatch.from_arrays(columns, names)).rows.column("y").to_pylist())
print([name for name in sys.modules if name.startswith("twinbeam_definitions")])
"""


def test_a_worker_needs_no_definition_files(tmp_path: Path) -> None:
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "features.py").write_text(DEFINITIONS)
    registry = Registry.load(folder / "features.py")
    compiled = Catalog.compile(registry).views["v"]
    views = (FedView(compiled, assign_blocks(compiled)),)
    job = Job("n", Stores("", {}, "", ""), registry.sources, {}, {}, views, {}, (), True, 0)
    (tmp_path / "job").write_bytes(pickled(job, registry.modules))
    (folder / "features.py").unlink()
    ran = subprocess.run(
        [sys.executable, "-c", WORKER, str(tmp_path / "job")],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parent.parent,
        check=False,
    )
    assert ran.stdout.splitlines() == ["[42]", "[]"], ran.stderr
