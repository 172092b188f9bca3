"""Parity: one generated definition, its events as files, as a stream and as both; all equal to the naive oracle."""

from __future__ import annotations

import csv
import json
import math
import os
import random
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import fastavro
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.platform import Platform
from schemas.registry import Registry
from tests import oracle
from tests.parity_cases import DAY, HOUR, START, Case, make_case

CASES = int(os.environ.get("TWINBEAM_PARITY_CASES", "60"))
FIRST = int(os.environ.get("TWINBEAM_PARITY_SEED", "0"))
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SETTINGS = """
project = "parity"
definitions = "features.py"
[run]
max_skew = "36525d"
"""


@pytest.mark.parametrize("seed", range(FIRST, FIRST + CASES))
def test_oracle_batch_stream_both_served_and_training_agree(tmp_path: Path, seed: int) -> None:
    case = make_case(seed)
    rng = random.Random(-seed)
    newest = max(event["ts"] for events in case.events.values() for event in events)
    now = newest + rng.choice([0, 1, HOUR, 40 * DAY])
    middle = sorted(event["ts"] for events in case.events.values() for event in events)
    cut = middle[len(middle) // 2]
    platforms = {
        "batch": run_batch(tmp_path / "batch", case, rng),
        "stream": run_stream(tmp_path / "stream", case, rng),
        "both": run_both(tmp_path / "both", case, rng, cut),
    }
    present = present_keys(case)
    spine = make_spine(case, rng, now)
    online = {column: [row[column] for row in present] for column in present[0]}
    expected = {address: [expect(case, address, row, row["t"]) for row in spine] for address in addresses(case)}
    expected_now = {address: [expect(case, address, row, now) for row in present] for address in addresses(case)}
    seen: list[Any] = []
    for name, platform in platforms.items():
        table = pa.Table.from_pylist([row | {"t": moment(row["t"])} for row in spine])
        trained = platform.training_set(table, "everything")
        compare(expected, trained, f"seed {seed}: training set after {name}")
        served = platform.get("everything", online, now=now)
        seen.append((trained.to_dict(), trained.statuses, served.to_dict(), served.statuses))
        assert repr(seen[-1]) == repr(seen[0]), f"seed {seed}: {name} differs from batch"
        assert served.as_of == [moment(now)] * len(present)
        compare(expected_now, served, f"seed {seed}: served after {name}")
        report = platform.audit()
        assert (report.mismatches, report.values) == ((), len(present) * len(expected))
        strict = platform.training_set(table, "everything", strict=True)
        compare(
            {a: [expect(case, a, row, row["t"], strict=True) for row in spine] for a in addresses(case)},
            strict,
            f"seed {seed}: strict training set after {name}",
        )
        platform.close()


def run_batch(folder: Path, case: Case, rng: random.Random) -> Platform:
    """The events as files of some format, in two runs."""
    kind = rng.choice(["parquet", "avro", "jsonl"] if case.lists else ["parquet", "avro", "jsonl", "csv"])
    platform = project(folder, case, {source: f'files="data/{source}/*.{kind}"' for source in case.sources})
    for source, events in case.events.items():
        half = rng.randrange(len(events) + 1)
        for number, part in enumerate((events[:half], events[half:])):
            if part:
                write_file(folder / "data" / source / f"{number}.{kind}", part, platform)
            if number == 0:
                platform.run_batch()
    platform.run_batch()
    return platform


def run_stream(folder: Path, case: Case, rng: random.Random) -> Platform:
    """The events as a stream, published in pieces, between runs and restarts."""
    encoding = rng.choice(["avro", "json"])
    places = {source: f'topic="{source}", encoding="{encoding}"' for source in case.sources}
    platform = project(folder, case, places)
    for source, events in case.events.items():
        half = rng.randrange(len(events) + 1)
        for part in (events[:half], events[half:]):
            if part:
                platform.publish(source, [plain(event) for event in part])
            if rng.random() < 0.5:
                platform.run_stream(until="caught_up")
    platform.run_stream(until="caught_up")
    return platform


def run_both(folder: Path, case: Case, rng: random.Random, cut: int) -> Platform:
    """History as files, the rest as a stream, in either order."""
    at = moment(cut).isoformat()
    places = {
        source: f'files="data/{source}/*.parquet", topic="{source}", cutover="{at}", encoding="avro"'
        for source in case.sources
    }
    platform = project(folder, case, places)
    for source, events in case.events.items():
        old = [event for event in events if event["ts"] < cut]
        new = [event for event in events if event["ts"] >= cut]
        if old:
            write_file(folder / "data" / source / "0.parquet", old, platform)
        if new:
            platform.publish(source, [plain(event) for event in new])
    for step in rng.sample(["batch", "stream"], 2):
        if step == "batch":
            platform.run_batch()
        else:
            platform.run_stream(until="caught_up")
    return platform


def project(folder: Path, case: Case, places: dict[str, str]) -> Platform:
    """An applied project of the case."""
    folder.mkdir()
    (folder / "twinbeam.toml").write_text(SETTINGS)
    text = case.definitions
    for source, place in places.items():
        text = text.replace(f"@{source}@", place)
    (folder / "features.py").write_text(text)
    for source in case.sources:
        (folder / "data" / source).mkdir(parents=True)
    platform = Platform.open(folder)
    platform.apply()
    return platform


def write_file(path: Path, events: list[dict[str, Any]], platform: Platform) -> None:
    """Events as a file of the format that the suffix names."""
    source = Registry.load(platform.settings.folder / "features.py").sources[path.parent.name]
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
