"""Definitions changed while a stream runs: it takes them up by itself, whenever it is killed, and old state stays."""

from __future__ import annotations

import os
import random
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from pipelines import definition_watch
from pipelines.backfill import Backfill
from pipelines.platform import Platform
from pipelines.stores import Stores
from schemas.errors import RequestError
from schemas.registry import Registry
from schemas.state import Block
from serving.deployment import Deployment
from serving.stores.base import SEALED, Slice
from serving.tables import rows_table
from tests.stream_nursery import ENDED, LOG, Nursery, alive, end
from transforms.evaluate import evaluate_selection
from transforms.keys import encode_keys
from transforms.windows import BEGINNING

SIZE = int(os.environ.get("TWINBEAM_SOAK_SIZE", "1"))
SEED = int(os.environ.get("TWINBEAM_SOAK_SEED", "0"))
START = datetime(2026, 5, 1, tzinfo=UTC)
PATIENCE = 120.0
USERS = 7
SETTINGS = """
project = "p"
definitions = "features.py"
[offline]
root = "{stores}/offline"
[online.sqlite]
path = "{stores}/online.db"
[stream.sqlite]
path = "{stores}/topics.db"
[run]
max_skew = "36525d"
flush = "100ms"
[sources.events]
partitions = 2
"""
HEAD = """
import time
from pathlib import Path

from twinbeam import Entity, FeatureView, Source, agg

user = Entity("user", keys={"k": "int64"})
events = Source("events", fields={"k": "int64", "ts": "timestamp(us)", "x": "float64"}, event_time="ts",
                topic="events", encoding="json")
"""
TOTALS = 'totals = FeatureView("totals", entity=user, source=events, features=[agg.sum("x", over="1h"), "x"{more}])\n'
GONE = 'gone = FeatureView("gone", entity=user, source=events, features=[agg.count()])\n'
HIGH = """
high = FeatureView("high", entity=user, source=events, where="x > {least}", features=[agg.mean("x", over="24h")])
"""
MORE = ', agg.max("x", over="24h"), agg.last_k("x", k=3)'
STAGES = (
    HEAD + TOTALS.format(more="") + GONE,
    HEAD + TOTALS.format(more=MORE) + GONE,
    HEAD + TOTALS.format(more=MORE) + HIGH.format(least=0.5),
    HEAD + TOTALS.format(more=MORE) + HIGH.format(least=0.25),
)


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    made = Nursery()
    yield made
    made.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return project(tmp_path / "project", tmp_path / "stores", STAGES[0])


def project(folder: Path, stores: Path, text: str) -> Path:
    """A project folder whose stores lie elsewhere."""
    folder.mkdir()
    (folder / "twinbeam.toml").write_text(SETTINGS.format(stores=stores))
    (folder / "features.py").write_text(text)
    return folder


def apply(folder: Path, text: str) -> None:
    """Puts definitions in place and applies them."""
    (folder / "features.py").write_text(text)
    with Platform.open(folder) as platform:
        platform.apply(accept="state")


def publish(folder: Path, rng: random.Random, count: int, **given: Any) -> list[dict[str, Any]]:
    """Publishes events of some users over some days, in no order."""
    events = [
        {"k": rng.randrange(USERS), "ts": START + timedelta(seconds=rng.randrange(3 * 86400)), "x": rng.random()}
        | given
        for _ in range(count)
    ]
    with Platform.open(folder) as platform:
        platform.publish("events", events)
    return events


def eventually(what: Callable[[], bool], folder: Path, process: int) -> None:
    """Waits for something that a stream is to do."""
    until = time.monotonic() + PATIENCE
    while not what():
        assert alive(process), (folder / LOG).read_text()
        assert time.monotonic() < until, f"this takes too long: {(folder / LOG).read_text()}"
        time.sleep(0.05)


def applied(folder: Path) -> dict[str, tuple[Block, ...]]:
    """Blocks applied, by view."""
    with Platform.open(folder) as platform:
        return Deployment.load(platform.offline).blocks


def marks(folder: Path, blocks: tuple[Block, ...]) -> dict[tuple[str, str], tuple[int, int]]:
    """What the online store has of blocks: by block and lane, how far, and the newest cell."""
    with Platform.open(folder) as platform, closing(Stores.of(platform.settings).online()) as store:
        found = store.marks([block.id for block in blocks])
        return {(mark.log, mark.lane): (mark.offset, mark.newest) for mark in found}


def ends(folder: Path) -> dict[str, int]:
    """Ends of the topic's lanes."""
    with Platform.open(folder) as platform:
        name = platform.broker.id("events")
        return {f"events/topic-{name}/{number}": end for number, end in platform.broker.ends("events").items()}


def fresh(folder: Path, blocks: tuple[Block, ...]) -> bool:
    """Whether blocks are sealed and have all that the topic has."""
    known, lanes = marks(folder, blocks), ends(folder)
    return all(
        (block.id, SEALED) in known
        and all(known.get((block.id, lane), (0, 0))[0] == end for lane, end in lanes.items())
        for block in blocks
    )


def cells(folder: Path, blocks: tuple[Block, ...]) -> list[tuple[Any, ...]]:
    """Every cell of blocks, whole."""
    keys = encode_keys([pa.array(range(USERS), pa.int64())]).to_pylist()
    with Platform.open(folder) as platform, closing(Stores.of(platform.settings).online()) as store:
        found = store.read("user", keys, [Slice(block.id, BEGINNING) for block in blocks])
    columns = (found.key, found.slice, found.tile, found.lane, found.version, found.blob)
    return sorted(zip(*(np.asarray(column, object).tolist() for column in columns), strict=True))


def rows(folder: Path, view: str) -> list[dict[str, Any]]:
    """Every row of a view as it is applied now."""
    with Platform.open(folder) as platform:
        table = rows_table(view, platform.catalog.views[view].rows_fingerprint)
        return sorted(platform.offline.read(table).to_pylist(), key=lambda row: (row["_lane"], row["_offset"]))


def test_killed_at_any_moment_new_blocks_become_what_one_pass_makes(folder: Path, nursery: Nursery) -> None:
    rng = random.Random(SEED)
    apply(folder, STAGES[0])
    publish(folder, rng, 2_000)
    process = nursery.stream(folder)
    eventually(lambda: fresh(folder, sum(applied(folder).values(), ())), folder, process)
    old = applied(folder)
    for stage in STAGES[1:]:
        apply(folder, stage)
        for _ in range(4 * SIZE):
            publish(folder, rng, rng.choice([1, 60]))
            time.sleep(rng.uniform(0.0, 1.2))
            end(process, signal.SIGKILL)
            process = nursery.stream(folder)
        time.sleep(rng.uniform(0.0, 0.8))
        end(process, signal.SIGTERM)
        process = nursery.stream(folder)
        publish(folder, rng, 60)
        now = sum(applied(folder).values(), ())
        eventually(lambda now=now: fresh(folder, now), folder, process)  # type: ignore[misc]
    end(process, signal.SIGTERM)
    assert (folder / LOG).read_text().rstrip().endswith(ENDED)

    one = project(folder.with_name("one"), folder.with_name("one-stores"), STAGES[0])
    folder.with_name("one-stores").mkdir()
    for path in folder.with_name("stores").glob("topics.db*"):
        shutil.copy(path, folder.with_name("one-stores"))
    for stage in STAGES:
        apply(one, stage)
    with Platform.open(one) as platform:
        platform.run_stream(until="caught_up")
    blocks = applied(folder)
    assert blocks == applied(one)
    assert blocks["totals"][: len(old["totals"])] == old["totals"]
    assert len(blocks["totals"]) == len(old["totals"]) + 2
    every = sum(blocks.values(), ())
    assert cells(folder, every) == cells(one, every) != []
    assert marks(folder, every) == marks(one, every)
    assert all(
        offset < ends(folder)[lane] for (_, lane), (offset, _) in marks(folder, old["gone"]).items() if lane != SEALED
    )
    for view in blocks:
        assert rows(folder, view) == rows(one, view) != []


def test_files_read_anew_while_a_stream_goes_on_are_counted_once(tmp_path: Path) -> None:
    text = HEAD.replace('topic="events"', 'topic="events", files="*.jsonl", cutover="2026-05-02T00:00:00Z"') + GONE
    folder = project(tmp_path / "project", tmp_path / "stores", text)
    lines = [f'{{"k": {number % USERS}, "ts": "2026-05-01T00:00:00Z", "x": 1.0}}\n' for number in range(21)]
    (folder / "old.jsonl").write_text("".join(lines))
    with Platform.open(folder) as platform:
        platform.apply()
        platform.run_batch()
        platform.publish("events", [{"k": 1, "ts": START + timedelta(days=1), "x": 1.0}])
        platform.run_stream(until="caught_up")
        (folder / "old.jsonl").write_text("".join(lines[:14]))
        platform.rebuild()
        platform.run_stream(until="caught_up")
        platform.run_batch()
        answer = platform.get("gone:count", {"k": list(range(USERS))}, now=START + timedelta(days=2))
        assert answer.to_dict()["gone:count"] == [2, 3, 2, 2, 2, 2, 2]


def test_a_backfill_seals_nothing_and_the_stream_that_goes_on_with_it_does(folder: Path) -> None:
    rng, near = random.Random(SEED + 3), threading.Event()
    apply(folder, STAGES[0])
    publish(folder, rng, 50)
    with Platform.open(folder) as platform:
        platform.run_stream(until="caught_up")
    apply(folder, STAGES[2])
    new = applied(folder)["totals"][2:] + applied(folder)["high"]
    with Platform.open(folder) as platform:
        project, sources = platform._project, platform._project.sources(None)
        fed = project.fed_views(project.checked_deployment(), None, sources)
        with Backfill(project, sources, fed, near.set) as backfill:
            assert near.wait(PATIENCE)
        assert backfill.near
        known, lanes = marks(folder, new), ends(folder)
        assert len(new) == 3
        assert {place: offset for place, (offset, _) in known.items()} == {
            (block.id, lane): offset for block in new for lane, offset in lanes.items()
        }
        platform.run_stream(until="caught_up")
    assert fresh(folder, new)


def test_a_stream_of_views_that_were_all_removed_ends_and_says_so(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(definition_watch, "LOOK_SECONDS", 0.05)
    apply(folder, STAGES[1])
    publish(folder, random.Random(SEED + 4), 50)
    old = applied(folder)["gone"]
    with Platform.open(folder) as platform, ThreadPoolExecutor(1) as pool:
        run = pool.submit(platform.run_stream, views=["gone"])
        until = time.monotonic() + PATIENCE
        while not fresh(folder, old):
            assert time.monotonic() < until
            assert not run.done(), run.exception()
            # To look costs the stream, a thread of this process, its turns.
            time.sleep(1.0)
        apply(folder, STAGES[2])
        with pytest.raises(RequestError, match="gone: removed from the definitions"):
            run.result(PATIENCE)


def test_definitions_made_in_code_are_not_read_anew(folder: Path) -> None:
    with Platform.open(folder) as platform:
        registry = Registry.of(platform.registry.objects)
    with Platform(platform.settings, registry) as made, pytest.raises(RequestError, match="made in code"):
        made._project.again()


WAITS = """
def waits(frame):
    if (frame["x"] == -7.25).any():
        while not Path({gate!r}).exists():
            time.sleep(0.01)
    return frame.with_columns(z=frame["x"] + 1)


slow = FeatureView("slow", entity=user, source=events, transform=waits, returns={{"z": "float64"}},
                   features=[agg.sum("z", over="1h")])
"""


def test_what_is_live_stays_fresh_while_history_is_read(folder: Path, nursery: Nursery) -> None:
    rng = random.Random(SEED + 1)
    gate = folder / "gate"
    apply(folder, STAGES[0])
    events = publish(folder, rng, 50) + publish(folder, rng, 1, x=-7.25) + publish(folder, rng, 50)
    process = nursery.stream(folder)
    old = sum(applied(folder).values(), ())
    eventually(lambda: fresh(folder, old), folder, process)
    eventually(lambda: rows(folder, "totals")[100:] != [], folder, process)
    apply(folder, STAGES[0] + WAITS.format(gate=str(gate)))
    eventually(lambda: "filling from history beside the stream: slow" in (folder / LOG).read_text(), folder, process)
    for _ in range(3):
        events += publish(folder, rng, 20)
        eventually(lambda: fresh(folder, old), folder, process)
    new = applied(folder)["slow"]
    assert (new[0].id, SEALED) not in marks(folder, new)
    with Platform.open(folder) as platform, pytest.raises(RequestError, match="filled from history"):
        platform.get("slow", {"k": [1]})
    gate.touch()
    eventually(lambda: fresh(folder, old + new), folder, process)
    keys, now = {"k": list(range(USERS))}, START + timedelta(days=3)
    with Platform.open(folder) as platform:
        selection = platform.catalog.select(["slow:z_sum_1h", "totals:x"])
        spine = keys | {"t": [now] * USERS}
        wanted = evaluate_selection(platform.catalog, selection, {"events": events}, spine, "event", False).to_dict()
        del wanted["t"]
        assert platform.get(["slow:z_sum_1h", "totals:x"], keys, now=now).to_dict() == wanted
    end(process, signal.SIGTERM)
    assert (folder / LOG).read_text().rstrip().endswith(ENDED)


def test_a_stream_without_the_files_that_were_applied_goes_on_until_it_has_them(
    folder: Path, nursery: Nursery, tmp_path: Path
) -> None:
    rng = random.Random(SEED + 2)
    apply(folder, STAGES[0])
    publish(folder, rng, 20)
    process = nursery.stream(folder)
    old = applied(folder)["totals"]
    eventually(lambda: fresh(folder, old), folder, process)
    elsewhere = project(tmp_path / "elsewhere", tmp_path / "stores", STAGES[1])
    (folder / "features.py").write_text("this is no Python")
    apply(elsewhere, STAGES[1])
    said = "other definitions were applied than those at hand, which go on: "
    eventually(lambda: said in (folder / LOG).read_text(), folder, process)
    publish(elsewhere, rng, 20)
    eventually(lambda: fresh(elsewhere, old), folder, process)
    (folder / "features.py").write_text(STAGES[1])
    now = applied(elsewhere)["totals"]
    eventually(lambda: fresh(elsewhere, now), folder, process)
    assert (folder / LOG).read_text().count(said) == 1
    end(process, signal.SIGTERM)
    assert (folder / LOG).read_text().rstrip().endswith(ENDED)
