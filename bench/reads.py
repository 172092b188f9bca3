"""Reads in process, `Platform.get(...).to_dict()` over the SQLite store, beside a plain script over its own tables.

Twelve window features (count, sum, mean and max of a float64 over 1h, 24h and 7d: 13, 25 and 29 tiles in three blocks,
all of them filled) and ten latest features. "Not read before" asks for every key once: all cells are decoded. "Again"
asks for keys whose answers are remembered because their cells have not changed since (`transforms.answer_memo`).
"Logged" puts every answer into the serving log; the others log none. The script gets no such memo; see `plain_reads`.

Where the time of a read of one key goes (profiles of one core, µs): the statement in SQLite 13 to 18, of which marks 3;
keys, plan and result 8; a remembered answer 10. If nothing is remembered: opening the cells 40, windows 20, sections of
the tiles 35, counts, exact sums and extremes 110, finishing 40, rows and memo 40: about a hundred numpy calls of 1 to 2
µs, whose number does not grow with the keys. At 100 keys half is SQLite (700 cells), the rest bytes to states. Before
reads were planned, one key took 3,300: 2,300 of it for decoding block by block and state by state through Arrow.
"""

from __future__ import annotations

import gc
import math
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

import twinbeam
from bench import plain_reads
from bench.measuring import call, middle, runs
from bench.table import Measured

NOW = 1_790_000_123_456_789
SECOND = 1_000_000
MINUTE, HOUR = 60 * SECOND, 3600 * SECOND
COLUMNS = [f"f{number}" for number in range(10)]
CALLS = {1: 1_000, 10: 300, 100: 60}
READ_CALLS = {1: "1 key", 10: "10 keys", 100: "100 keys"}
SETTINGS = (
    'project = "bench"\ndefinitions = "features.py"\n[run]\nmax_skew = "36525d"\n[serving]\nlog_sample = {share}\n'
)
DEFINITIONS = """\
from twinbeam import Entity, FeatureView, Source, agg

columns = [f"f{number}" for number in range(10)]
over = ["1h", "24h", "7d"]
user = Entity("user", keys={"user_id": "int64"})
purchases = Source(
    "purchases", fields={"user_id": "int64", "ts": "timestamp(us)", "price": "float64"}, event_time="ts",
    files="purchases.parquet",
)
profiles = Source(
    "profiles", fields={"user_id": "int64", "ts": "timestamp(us)"} | dict.fromkeys(columns, "float64"),
    event_time="ts", files="profiles.parquet",
)
price = FeatureView(
    "price", entity=user, source=purchases,
    features=[
        operation("price", over=over, name=f"{name}_{{window}}")
        for name, operation in (("count", agg.count), ("sum", agg.sum), ("mean", agg.mean), ("max", agg.max))
    ],
)
newest = FeatureView("newest", entity=user, source=profiles, features=columns)
"""
VIEWS = {"windows": "price", "latest": "newest"}
WHAT = {"windows": "12 window features", "latest": "10 latest features"}


def fill(folder: str, keys: int) -> dict[str, float]:
    """Fills both sides with the same events: one in every tile of every window, of each key."""
    place = Path(folder)
    place.mkdir(parents=True)
    draw = np.random.default_rng(7)
    back = np.concatenate([np.arange(13) * 5 * MINUTE, np.arange(1, 25) * HOUR, np.arange(1, 29) * 6 * HOUR])
    times = (NOW - back[None, :] - draw.integers(0, 4 * SECOND, (keys, len(back)))).ravel()
    order = np.argsort(times, kind="stable")
    events = pl.DataFrame(
        {
            "user_id": np.repeat(np.arange(keys), len(back))[order],
            "ts": times[order],
            "price": np.round(draw.gamma(2, 30, len(order)), 2),
        }
    )
    rows = {"user_id": np.arange(keys), "ts": NOW - draw.integers(0, 10 * HOUR, keys)}
    profiles = pl.DataFrame(rows | {name: draw.normal(size=keys) for name in COLUMNS})
    moment = pl.col("ts").cast(pl.Datetime("us", "UTC"))
    events.with_columns(moment).write_parquet(place / "purchases.parquet")
    profiles.with_columns(moment).write_parquet(place / "profiles.parquet")
    (place / "features.py").write_text(DEFINITIONS)
    (place / "twinbeam.toml").write_text(SETTINGS.format(share=0.0))
    with twinbeam.Platform.open(place) as platform:
        platform.apply()
        report = platform.run_batch()
    plain_reads.fill(place / "plain.db", events, profiles.drop("ts"))
    return {"events": float(report.events)}


def read(folder: str, what: str, count: int, keys: int, logged: bool = False) -> dict[str, float]:
    """Median µs of reads of keys that were not read before, and of the same keys again."""
    place = Path(folder)
    (place / "twinbeam.toml").write_text(SETTINGS.format(share=float(logged)))
    asked = _asked(count, keys)
    with twinbeam.Platform.open(place) as platform:
        view = VIEWS[what]
        platform.get(view, {"user_id": [-1] * count}, now=NOW).to_dict()
        gc.freeze()
        figures = []
        for _ in range(2):
            taken = []
            for each in asked:
                begun = time.perf_counter_ns()
                platform.get(view, {"user_id": each}, now=NOW).to_dict()
                taken.append((time.perf_counter_ns() - begun) / 1e3)
            figures.append(statistics.median(taken))
    return {"first": figures[0], "again": figures[1]}


def read_plain(folder: str, what: str, count: int, keys: int) -> dict[str, float]:
    """Median µs of the same reads by the plain script, the faster of two rounds; its values must be ours."""
    connection = plain_reads.connect(Path(folder) / "plain.db")
    asked, function = _asked(count, keys), {"windows": plain_reads.windows, "latest": plain_reads.latest}[what]
    rounds = []
    for _ in range(2):
        taken = []
        for each in asked:
            begun = time.perf_counter_ns()
            function(connection, each, NOW)
            taken.append((time.perf_counter_ns() - begun) / 1e3)
        rounds.append(statistics.median(taken))
    with twinbeam.Platform.open(Path(folder)) as platform:
        ours = platform.get(VIEWS[what], {"user_id": asked[0]}, now=NOW).to_dict()
    for name, values in function(connection, asked[0], NOW).items():
        if not all(map(_close, values, ours[f"{VIEWS[what]}:{name}"])):
            raise RuntimeError(f"{name}: the plain script has {values}, Twinbeam {ours[f'{VIEWS[what]}:{name}']}")
    connection.close()
    return {"seconds": min(rounds)}


def measure(scale: float = 1.0) -> list[Measured]:
    """Reads of 1, 10 and 100 keys."""
    keys = max(int(10_000 * scale), 1_000)
    rows: list[Measured] = []
    with tempfile.TemporaryDirectory() as scratch:
        folder = str(Path(scratch) / "project")
        runs(call("bench.reads:fill", {"folder": folder, "keys": keys}), 1)
        for what in VIEWS:
            for count in CALLS:
                case = {"folder": folder, "what": what, "count": count, "keys": keys}
                ours = middle(runs(call("bench.reads:read", case)))
                logged = middle(runs(call("bench.reads:read", case | {"logged": True})))
                theirs = middle(runs(call("bench.reads:read_plain", case)))
                figures = {"again": ours["again"], "again, logged": logged["again"]}
                if what == "windows":
                    figures = {"not read before": ours["first"], **figures}
                else:
                    figures = {"": ours["again"], "logged": logged["again"]}
                for how, figure in figures.items():
                    rows.append(
                        Measured(
                            f"get {WHAT[what]} in process, p50" + (f", {how}" if how else ""),
                            READ_CALLS[count],
                            figure,
                            "µs",
                            "lower",
                            "plain SQLite and numpy",
                            theirs["seconds"],
                            (logged if "logged" in how else ours)["process_mb"],
                            theirs["process_mb"],
                        )
                    )
    return rows


def _asked(count: int, keys: int) -> list[list[int]]:
    """Keys of each call, none of them twice."""
    draw = np.random.default_rng(count).permutation(keys)
    calls = min(CALLS[count], keys // count)
    found: list[list[int]] = draw[: calls * count].reshape(calls, count).tolist()
    return found


def _close(one: Any, other: Any) -> bool:
    return math.isclose(one, other, rel_tol=1e-9)
