"""Parity: generated definitions and events, delivered in many ways; all equal to the naive oracle, and in their bytes.

Every case goes through the oracle, `evaluate` and one random way of delivery: files of mixed formats, a topic, or
history as files and the rest as a topic; over 1 to 8 lanes, in shuffled pieces, with runs in between that have bundles
of random size, get batches twice, die between two writes and begin again. What is served and what a training set
holds is the oracle's; every offline row is there once, and every online cell has the bytes of one fold of those rows.
To be affordable at this number, the steps of most runs are driven by hand (`tests.driven_runs`), since Beam's overhead
is most of what a small run costs. One case in six also compares both stores with those of one plain run over the same
lanes; one in thirty goes through all three ways, every run of it by Beam, with an audit.

`TWINBEAM_PARITY_CASES` says how many cases, `TWINBEAM_PARITY_SEED` the number of the first, which is its seed too.
"""

from __future__ import annotations

import csv
import json
import math
import os
import random
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import fastavro
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from pipelines.cell_cache import CellCache
from pipelines.envelope import Envelope
from pipelines.fold import OnlineFold
from pipelines.platform import Platform
from pipelines.progress import FedView, Progress
from pipelines.settings import Settings
from schemas.lane import Lane
from schemas.registry import Registry
from schemas.source import Source
from serving.deployment import Deployment
from serving.stores.base import OnlineStore, Slice
from serving.stores.sqlite import SqliteStore
from serving.tables import events_table, rows_table
from tests import oracle
from tests.driven_runs import Driver, Killed
from tests.parity_cases import DAY, HOUR, START, Case, make_case
from transforms.catalog import Catalog
from transforms.evaluate import evaluate_selection
from transforms.keys import encode_keys

SIZE = int(os.environ.get("TWINBEAM_SOAK_SIZE", "1"))
CASES = int(os.environ.get("TWINBEAM_PARITY_CASES", str(300 * SIZE)))
FIRST = int(os.environ.get("TWINBEAM_PARITY_SEED", str(1_000_000 * int(os.environ.get("TWINBEAM_SOAK_SEED", "0")))))
ALL_WAYS, ONE_RUN = 30, 6
WAYS = ("files", "topic", "both")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SYSTEM = ("_lane", "_offset", "_part", "reason")
PLACE = (("_offset", "ascending"), ("_part", "ascending"))


@pytest.mark.parametrize("seed", range(FIRST, FIRST + CASES))
def test_oracle_evaluate_every_way_served_and_training_agree(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    prove(seed, tmp_path, monkeypatch, WAYS, {})


def prove(
    seed: int, folder: Path, monkeypatch: pytest.MonkeyPatch, ways: Sequence[str], engines: Mapping[str, Any]
) -> None:
    """Delivers a case in one of the ways, or all of them, and compares everything with everything.

    Args:
        seed: of the case.
        folder: for its projects.
        monkeypatch: puts a driver in the place of runs.
        ways: some of `WAYS`.
        engines: further settings of its projects; `prefix` is what names of topics begin with, `cassandra` are those of
            its online stores, with the beginning of their keyspaces.
    """
    case, rng = make_case(seed), random.Random(-seed - 1)
    times = [event["ts"] for events in case.events.values() for event in events]
    now = max(times) + rng.choice([0, 1, HOUR, 40 * DAY])
    whole = seed % ALL_WAYS == 0
    spine = make_spine(case, rng, now)
    failing = case.without_failures()
    seen: list[Any] = []
    for way in ways if whole else [rng.choice(ways)]:
        delivery = Delivery(case, folder / way, way, rng, rng.choice(times), engines)
        what = f"case {seed}, {way}"
        strict = rng.random() < 0.5
        check_evaluation(delivery, failing, spine, strict, what)
        driver = Driver(rng, beam=whole, rough=True, kills=0 if whole else rng.choice([0, 1, 3]))
        platform = delivery.platform("way")
        monkeypatch.setattr("pipelines.launch.execute", driver.execute)
        delivery.deliver(platform)
        check_stores(delivery, platform, what)
        if seed % ONE_RUN == 0:
            driver = Driver(rng, beam=whole or rng.random() < 0.5, rough=False)
            monkeypatch.setattr("pipelines.launch.execute", driver.execute)
            with delivery.once(platform) as once:
                assert cells(case, platform) == cells(case, once), f"{what}: online cells"
                assert tables(platform) == tables(once), f"{what}: offline tables"
        check_values(case, platform, spine, now, strict, whole, seen, what)
        platform.close()


def check_evaluation(delivery: Delivery, case: Case, spine: list[dict[str, Any]], strict: bool, what: str) -> None:
    """`evaluate` over events in hand, those left out that a view fails on."""
    catalog = delivery.catalog
    events = {source: [plain(event) for event in some] for source, some in case.events.items()}
    selection = catalog.select("everything")
    found = evaluate_selection(catalog, selection, events, table(spine), "event", strict)
    wanted = {a: [expect(case, a, row, row["t"], strict) for row in spine] for a in addresses(case)}
    compare(wanted, found, f"{what}: evaluate")


def check_stores(delivery: Delivery, platform: Platform, what: str) -> None:
    """Every row is offline once, as many as there are to be; the cells online are one fold of them."""
    case, found = delivery.case, tables(platform)
    for name, rows in found.items():
        places = [row[:-1] for row in rows]
        assert len(set(places)) == len(places), f"{what}: {name} has rows twice"
    for source, events in case.events.items():
        assert len(found[events_table(source)]) == len(events), f"{what}: events of {source}"
    for name, view in delivery.catalog.views.items():
        wanted = sum(map(len, case.rows(name).values()))
        assert len(found[rows_table(name, view.rows_fingerprint)]) == wanted, f"{what}: rows of {name}"
    assert cells(case, platform)[0] == folded(case, platform, delivery), f"{what}: online cells"


def check_values(
    case: Case,
    platform: Platform,
    spine: list[dict[str, Any]],
    now: int,
    strict: bool,
    whole: bool,
    seen: list[Any],
    what: str,
) -> None:
    """Training sets and served values, as the oracle says; and to the last bit as `seen` of the ways before."""
    present = present_keys(case)
    expected_now = {address: [expect(case, address, row, now) for row in present] for address in addresses(case)}
    served = platform.get("everything", {name: [row[name] for row in present] for name in present[0]}, now=now)
    assert served.as_of == [moment(now)] * len(present)
    compare(expected_now, served, f"{what}: served")
    for left_out in (False, True) if whole else (strict,):
        trained = platform.training_set(table(spine), "everything", strict=left_out)
        wanted = {a: [expect(case, a, row, row["t"], left_out) for row in spine] for a in addresses(case)}
        compare(wanted, trained, f"{what}: training set, strict={left_out}")
    if whole or strict:
        at_now = platform.training_set(table([row | {"t": now} for row in present]), "everything", strict=False)
        assert [repr(values(at_now)), at_now.statuses] == [repr(values(served)), served.statuses], f"{what}: skew"
    seen.append(repr((values(trained), trained.statuses, values(served), served.statuses)))
    assert seen[-1] == seen[0], f"{what}: differs from another way"
    if whole:
        report = platform.audit()
        assert (report.mismatches, report.values) == ((), len(present) * len(expected_now)), what


@dataclass
class Delivery:
    """One way by which the events of a case come.

    Attributes:
        case: the case.
        folder: of its project.
        way: one of `WAYS`.
        rng: decides everything that is left open.
        cut: µs, the cutover of the way "both".
        engines: further settings: see `prove`.
    """

    case: Case
    folder: Path
    way: str
    rng: random.Random
    cut: int
    engines: Mapping[str, Any]

    def __post_init__(self) -> None:
        self.folder.mkdir()
        text = self.case.definitions
        encoding = self.rng.choice(["avro", "json"])
        for source in self.case.sources:
            place = f'topic="{source}", encoding="{encoding}"'
            if self.way == "both":
                place += f', files="none/*.csv", cutover="{moment(self.cut).isoformat()}"'
            text = text.replace(f"@{source}@", place)
        (self.folder / "features.py").write_text(text)
        self.registry = Registry.load([self.folder / "features.py"])
        self.catalog = Catalog.compile(self.registry)
        self.sources: dict[str, Any] = {
            source: {"partitions": self.rng.randint(1, 8), "topic": f"{self._prefix}{source}"}
            | ({"files": self._patterns(source), "lanes": self.rng.randint(1, 8)} if self.way != "topic" else {})
            for source in self.case.sources
        }
        self.runs = {"files": ["batch"], "topic": ["stream"], "both": ["batch", "stream"]}[self.way]

    def platform(self, name: str) -> Platform:
        """The project with stores of its own, and a broker that all of its kind share."""
        values: dict[str, Any] = {
            "project": "parity",
            "run": {"max_skew": "36525d"},
            "sources": self.sources,
            "offline": {"root": f"{name}/offline"},
            "online": {"sqlite": {"path": f"{name}/online.db"}},
        }
        values |= {key: value for key, value in self.engines.items() if key not in ("prefix", "cassandra")}
        if "cassandra" in self.engines:
            cluster = self.engines["cassandra"]
            own = {"keyspace": f"{cluster['keyspace']}_{self.way}_{name}"}
            values["online"] = {"store": "cassandra", "cassandra": cluster | own}
        platform = Platform(Settings.of(values, self.folder), self.registry)
        platform._project.__dict__["catalog"] = self.catalog  # to compile is most of what opening costs
        platform.apply()
        return platform

    def deliver(self, platform: Platform) -> None:
        """All events in shuffled pieces, runs in between, and at last runs that find nothing more to come."""
        pieces = []
        for source, events in self.case.events.items():
            early = [
                event for event in events if self.way == "files" or (self.way == "both" and event["ts"] < self.cut)
            ]
            late = [
                event for event in events if self.way == "topic" or (self.way == "both" and event["ts"] >= self.cut)
            ]
            pieces += [(self._file, source, part) for part in self._split(early)]
            pieces += [(self._publish, source, part) for part in self._split(late)]
        self.rng.shuffle(pieces)
        for bring, source, part in pieces:
            bring(platform, source, part)
            if self.rng.random() < 0.25:
                self._run(platform, self.rng.choice(self.runs))
        for kind in self.rng.sample(self.runs, len(self.runs)):
            self._run(platform, kind)

    def once(self, platform: Platform) -> Platform:
        """The same lanes read in one pass into stores of their own."""
        manifests = Path(platform.offline.root) / "manifests"
        if manifests.exists():
            shutil.copytree(manifests, self.folder / "once" / "offline" / "manifests")
        once = self.platform("once")
        for kind in self.runs:
            self._run(once, kind)
        return once

    @property
    def _prefix(self) -> str:
        return f"{self.engines['prefix']}{self.way}-" if "prefix" in self.engines else ""

    def _run(self, platform: Platform, kind: str) -> None:
        while True:
            try:
                platform.run_batch() if kind == "batch" else platform.run_stream(until="caught_up")
            except Killed:
                continue
            return

    def _split(self, events: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
        ends = sorted(self.rng.randrange(len(events) + 1) for _ in range(self.rng.randrange(3)))
        bounds = zip([0, *ends], [*ends, len(events)], strict=True)
        return [events[start:end] for start, end in bounds if end > start]

    def _publish(self, platform: Platform, source: str, events: list[dict[str, Any]]) -> None:
        platform.publish(source, [plain(event) for event in events])

    def _file(self, platform: Platform, source: str, events: list[dict[str, Any]]) -> None:
        folder = self.folder / "data" / source
        folder.mkdir(parents=True, exist_ok=True)
        kinds = ["parquet", "avro", "jsonl", *([] if self.case.lists else ["csv"])]
        name = f"{self.rng.randrange(10**9)}-{len(list(folder.iterdir()))}.{self.rng.choice(kinds)}"
        write_file(folder / name, events, self.registry.sources[source])

    def _patterns(self, source: str) -> list[str]:
        return [f"data/{source}/*.{kind}" for kind in ("parquet", "avro", "jsonl", "csv")]


def cells(case: Case, platform: Platform) -> list[Any]:
    """Every cell of the online store, and every mark."""
    blocks = [block for some in Deployment.load(platform.offline).blocks.values() for block in some]
    online = platform._project.online
    marks = [(mark.log, mark.lane, mark.offset, mark.newest) for mark in online.marks([block.id for block in blocks])]
    return [contents(case, online, [block.id for block in blocks]), sorted(marks)]


def contents(case: Case, store: OnlineStore, blocks: Sequence[str]) -> list[tuple[Any, ...]]:
    """Every cell of the blocks."""
    events = [event for some in case.events.values() for event in some]
    combos = sorted({tuple(event[key] for key in case.keys) for event in events}, key=repr)
    kinds = {"k": pa.int64(), "g": pa.string()}
    columns = [pa.array([combo[at] for combo in combos], kinds[key]) for at, key in enumerate(case.keys)]
    keys = [key for key in encode_keys(columns).to_pylist() if key is not None]
    found = store.read("thing", keys, [Slice(block, -(2**62)) for block in blocks])
    assert found.blob or not any(case.rows(view) for view in case.views)
    numbers = [found.key.tolist(), [blocks[at] for at in found.slice.tolist()], found.tile.tolist()]
    return sorted(zip(*numbers, found.lane, found.version.tolist(), found.blob, strict=True))


def folded(case: Case, platform: Platform, delivery: Delivery) -> list[tuple[Any, ...]]:
    """Cells of one fold of all rows that are offline, lane by lane, into a store of its own."""
    blocks = Deployment.load(platform.offline).blocks
    fed = [FedView(view, blocks[name]) for name, view in delivery.catalog.views.items()]
    store = SqliteStore(delivery.folder / "folded.db", synchronous="OFF")
    fold = OnlineFold(fed, store, Progress({}, {}), CellCache(1 << 28))
    for view in fed:
        rows = platform.offline.read(view.table, schema=view.view.row_schema).sort_by([("_lane", "ascending"), *PLACE])
        for text in rows.column("_lane").unique().to_pylist():
            lane = Lane.parse(text)
            mine = rows.filter(pc.equal(rows.column("_lane"), text)).combine_chunks().to_batches()[0]
            end = mine.column("_offset")[-1].as_py() + 1
            fold.add(mine, Envelope("rows", lane.source, view.view.name, view.table, "", lane, 0, end))
    fold.flush(lambda view, lane, batch: None)
    found = contents(case, store, [block.id for view in fed for block in view.blocks])
    store.close()
    return found


def tables(platform: Platform) -> dict[str, list[tuple[Any, ...]]]:
    """Rows of the offline tables that events bring, in order: their places, then all of them as text."""
    found = {}
    for name in platform.offline.tables():
        if name.startswith(("events/", "rows/", "dead_letters/")):
            rows = platform.offline.read(name).to_pylist()
            found[name] = sorted((*(str(row.get(part)) for part in SYSTEM), repr(row)) for row in rows)
    return found


def table(rows: Sequence[dict[str, Any]]) -> pa.Table:
    """A spine as Arrow."""
    return pa.Table.from_pylist([row | {"t": moment(row["t"])} for row in rows])


def values(features: Any) -> dict[str, list[Any]]:
    """Values by address."""
    return {name: column for name, column in features.to_dict().items() if ":" in name}


def write_file(path: Path, events: list[dict[str, Any]], source: Source) -> None:
    """Events as a file of the format that the suffix names."""
    if path.suffix == ".parquet":
        columns = {name: [event[name] for event in events] for name in events[0]}
        arrays = [
            pa.array(columns[name], pa.int64()).cast(kind) if name == "ts" else pa.array(columns[name], kind)
            for name, kind in zip(source.schema.names, source.schema.types, strict=True)
        ]
        pq.write_table(pa.table(arrays, names=source.schema.names), path, row_group_size=20)
    elif path.suffix == ".avro":
        with path.open("wb") as out:
            fastavro.writer(out, source.avro_schema, [plain(event) for event in events])
    elif path.suffix == ".jsonl":
        path.write_text("\n".join(json.dumps(jsonable(event), ensure_ascii=False) for event in events) + "\n")
    else:
        with path.open("w", newline="") as out:
            writer = csv.DictWriter(out, list(events[0]))
            writer.writeheader()
            writer.writerows({name: "" if v is None else v for name, v in jsonable(event).items()} for event in events)


def plain(event: dict[str, Any]) -> dict[str, Any]:
    """An event as a publisher hands it in."""
    return event | {"ts": moment(event["ts"])}


def jsonable(event: dict[str, Any]) -> dict[str, Any]:
    """An event as JSON has it."""
    text = {name: str(value) if isinstance(value, Decimal) else value for name, value in event.items()}
    return text | {"ts": moment(event["ts"]).isoformat()}


def moment(micros: int) -> datetime:
    return EPOCH + timedelta(microseconds=micros)


def addresses(case: Case) -> list[str]:
    """Addresses in the order that the service asks for."""
    found = []
    for role in (role for role in ("v0", "v1", "seller") if role in case.roles):
        view = case.roles[role][0]
        found += [f"{role}:{name}" for name in case.views[view].features]
        found += [f"{role}:ratio"] if f"{view}:ratio" in case.derived else []
    return found


def present_keys(case: Case) -> list[dict[str, Any]]:
    """Distinct entities of the events, one that never was, and one with a null."""
    events = [event for some in case.events.values() for event in some]
    combos = sorted({tuple(event[key] for key in case.keys) for event in events}, key=repr)
    never = tuple(77 if key == "k" else "never" for key in case.keys)
    null = (None,) * len(case.keys)
    rows = [dict(zip(case.keys, combo, strict=True)) for combo in [*combos, never, null]]
    if "seller" in case.roles:
        for number, row in enumerate(rows):
            other = rows[(number * 7 + 1) % len(rows)]
            row.update({case.roles["seller"][1][key]: other[key] for key in case.keys})
    return rows


def make_spine(case: Case, rng: random.Random, now: int) -> list[dict[str, Any]]:
    """Rows of a spine: instants between, at and a microsecond after events, some twice, in no order."""
    keys = present_keys(case)
    times = [event["ts"] for events in case.events.values() for event in events]
    instants = [now, START - 1, *(rng.choice(times) + rng.choice([-1, 0, 0, 1, HOUR]) for _ in range(40))]
    rows = [rng.choice(keys) | {"t": instant} for instant in instants]
    return rows + rows[:3]


def expect(case: Case, address: str, row: dict[str, Any], instant: int, strict: bool = False) -> tuple[Any, str | None]:
    """What the oracle says; the status of a derived feature is not its business."""
    role, name = address.split(":")
    view, columns = case.roles[role]
    if f"{view}:{name}" in case.derived:
        inputs, function = case.derived[f"{view}:{name}"]
        return function(*(expect(case, f"{role}:{each}", row, instant, strict)[0] for each in inputs)), None
    key = tuple(row[columns[part]] for part in case.keys)
    rows = None if None in key else case.rows(view).get(key, [])
    return oracle.answer(case.views[view].features[name], rows, instant, strict)


def compare(expected: dict[str, list[tuple[Any, str | None]]], features: Any, what: str) -> None:
    """Equality of values and statuses, with ==."""
    values, statuses = features.to_dict(), features.statuses
    assert [name for name in values if ":" in name] == list(expected), what
    for address, wanted in expected.items():
        for row, ((value, status), got) in enumerate(zip(wanted, values[address], strict=True)):
            assert same(value, got), f"{what}: {address}, row {row}: expected {value!r}, got {got!r}"
            if status is not None:
                found = statuses[address][row]
                assert found == status, f"{what}: {address}, row {row}: {got!r} is {found}, expected {status}"


def same(expected: Any, got: Any) -> bool:
    """== throughout, NaN equal to NaN and -0.0 unlike 0.0."""
    if isinstance(expected, float) and isinstance(got, float):
        if math.isnan(expected):
            return math.isnan(got)
        return expected == got and math.copysign(1, got) == math.copysign(1, expected)
    if isinstance(expected, dict) and isinstance(got, dict):
        return list(expected) == list(got) and all(same(expected[key], got[key]) for key in expected)
    if isinstance(expected, list) and isinstance(got, list):
        return len(expected) == len(got) and all(same(a, b) for a, b in zip(expected, got, strict=True))
    return bool(expected == got) and (expected is None) == (got is None)
