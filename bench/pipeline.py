"""Batch runs and streams into both stores: events per CPU second, beside a plain polars script on the same file.

The view has 12 window features: count, sum, mean and max of a price over 1 h, 24 h and 7 d; the events are a day's.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

import twinbeam
from bench.measuring import Stopwatch, call, run
from bench.table import Measured

DEFINITIONS = """\
from twinbeam import Entity, FeatureService, FeatureView, Source, agg

WINDOWS = ["1h", "24h", "7d"]
user = Entity("user", keys={{"user_id": "int64"}})
purchases = Source(
    "purchases", fields={{"user_id": "int64", "ts": "timestamp(us)", "price": "float64"}}, event_time="ts", {places}
)
spending = FeatureView(
    "spending", entity=user, source=purchases,
    features=[
        agg.count(over=WINDOWS), agg.sum("price", over=WINDOWS), agg.mean("price", over=WINDOWS),
        agg.max("price", over=WINDOWS),
    ],
)
service = FeatureService("service", features=[spending])
"""
SETTINGS = 'project = "bench"\ndefinitions = "features.py"\n'
DAY = 86_400_000_000
START = 1_700_000_000_000_000


def make_events(rows: int, entities: int, seed: int = 7) -> pl.DataFrame:
    """A day of purchases in the order of their time: uniform keys, prices with two decimals."""
    draw = np.random.default_rng(seed)
    return pl.DataFrame(
        {
            "user_id": draw.integers(0, entities, rows),
            "ts": pl.Series(np.sort(draw.integers(START, START + DAY, rows))).cast(pl.Datetime("us", "UTC")),
            "price": np.round(draw.lognormal(3, 1, rows), 2),
        }
    )


def make_project(folder: Path, places: str) -> None:
    """A project with the view, its source in the places given."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "twinbeam.toml").write_text(SETTINGS, encoding="utf-8")
    (folder / "features.py").write_text(DEFINITIONS.format(places=places), encoding="utf-8")


def batch(file: str, folder: str) -> dict[str, Any]:
    """One batch run over a Parquet file, in this process."""
    make_project(Path(folder), f"files={file!r}")
    with twinbeam.Platform.open(folder) as platform:
        platform.apply()
        with Stopwatch() as watch:
            report = platform.run_batch()
    return watch.to_json() | {"events": report.events}


def catch_up(folder: str) -> dict[str, Any]:
    """A stream that reads what its topic holds, in this process."""
    with twinbeam.Platform.open(folder) as platform, Stopwatch() as watch:
        report = platform.run_stream(until="caught_up")
    return watch.to_json() | {"events": report.events}


def measure(scale: float = 1.0) -> list[Measured]:
    """Batch runs over 10 k and 1 M entities, and a stream that catches up."""
    rows, found = int(5_000_000 * scale), []
    with tempfile.TemporaryDirectory() as scratch:
        for entities in (10_000, max(int(1_000_000 * scale), 1)):
            place = Path(scratch) / str(entities)
            place.mkdir()
            make_events(rows, entities).write_parquet(place / "events.parquet")
            found.append(_batch(place, rows, entities))
        found.append(_stream(Path(scratch) / "stream", int(1_000_000 * scale)))
    return found


def _batch(place: Path, rows: int, entities: int) -> Measured:
    file = str(place / "events.parquet")
    ours = run(call("bench.pipeline:batch", {"file": file, "folder": str(place / "project")}))
    theirs = run(call("bench.plain_polars:build", {"file": file, "out": str(place / "plain")}))
    return Measured(
        "batch run into both stores, 12 window features",
        f"{rows / 1e6:g} M events, {entities:,} entities",
        rows / ours.answer["cpu"],
        "events per CPU s",
        "higher",
        "plain polars script",
        rows / theirs.answer["cpu"],
        ours.mb,
        theirs.mb,
    )


def _stream(place: Path, rows: int) -> Measured:
    make_project(place, 'topic="purchases"')
    events = make_events(rows, 10_000)
    with twinbeam.Platform.open(place) as platform:
        platform.apply()
        for start in range(0, rows, 50_000):
            platform.publish("purchases", events[start : start + 50_000])
    done = run(call("bench.pipeline:catch_up", {"folder": str(place)}))
    return Measured(
        "stream from the embedded topic into both stores",
        f"{rows / 1e6:g} M events waiting, 10,000 entities",
        rows / done.answer["cpu"],
        "events per CPU s",
        "higher",
        "-",
        None,
        done.mb,
    )
