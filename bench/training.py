"""Training sets beside as-of joins and rolling windows of polars, DuckDB and pandas, over the same Delta files.

A view's rows lie in the offline store; every contender reads them from there (the Parquet files, with only the columns
that it needs) and gives one row a spine row, in the order of the spine, as Arrow. Rows come nearly sorted: their event
times lie up to some minutes before their arrival. Ties are handled by all: by the total order of rows (time, arrival,
lane, offset), and by one rival by time and offset alone, which is right only for rows of one lane.

Rivals' windows end at the instant and begin exactly their length before it; ours move their tails in hops and sum
exactly. Every figure is from a fresh process; run it with `python -m bench.training --scale 0.1` for a quick look.
"""

from __future__ import annotations

import argparse
import importlib
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from bench import as_of_case
from bench.as_of_case import LATEST, WINDOWS
from bench.measuring import Stopwatch, call, median, run
from bench.table import Measured, text
from schemas.entity import Entity
from schemas.feature_view import FeatureView
from schemas.registry import Registry
from schemas.source import Source
from serving.stores.offline import OfflineStore
from serving.tables import rows_table
from serving.training import training_set
from transforms.catalog import Catalog
from twinbeam import agg

DAY = 86_400_000_000
START, SPAN = 1_767_225_600_000_000, 30 * DAY
CHUNK = 500_000
RUNS = 3

CASES = (
    ("latest", 10_000_000, 1_000_000, 100_000, "uniform"),
    ("latest", 1_000_000, 1_000_000, 100_000, "uniform"),
    ("latest", 1_000_000, 100_000, 100, "uniform"),
    ("windows", 1_000_000, 1_000_000, 10_000, "uniform"),
    ("windows", 1_000_000, 100_000, 10_000, "uniform"),
    ("windows", 1_000_000, 100_000, 10_000, "zipf"),
    ("windows", 10_000_000, 1_000_000, 100_000, "uniform"),
)


def catalog() -> Catalog:
    """A view with latest features and one with twelve windows."""
    user = Entity("user", keys={"user_id": "int64"})
    fields = {"user_id": "int64", "ts": "timestamp(us)", "amount": "float64", "score": "float64"}
    events = Source("events", fields=fields | {"level": "int64", "kind": "string"}, event_time="ts", topic="events")
    windows = [feature for make in (agg.sum, agg.mean, agg.max) for feature in [make("amount", over=list(WINDOWS))]]
    view = FeatureView(
        "amounts", entity=user, source=events, features=[*LATEST, agg.count(over=list(WINDOWS)), *windows]
    )
    return Catalog.compile(Registry.of([user, events, view]))


def features(what: str) -> list[str]:
    """Addresses of the features of a case."""
    if what == "latest":
        return [f"amounts:{name}" for name in LATEST]
    names = ["count", "amount_sum", "amount_mean", "amount_max"]
    return [f"amounts:{name}_{window}" for name in names for window in WINDOWS]


def make(folder: str, rows: int, spine: int, entities: int, skew: str) -> None:
    """Writes a view's rows and a spine."""
    rng = np.random.default_rng(rows + spine + entities)
    view = catalog().views["amounts"]
    store, table = OfflineStore(Path(folder) / "offline"), rows_table("amounts", view.rows_fingerprint)

    def keys(count: int) -> Any:
        if skew == "uniform":
            return rng.integers(0, entities, count)
        weights = 1 / np.arange(1, entities + 1) ** 1.2
        return np.searchsorted(np.cumsum(weights / weights.sum()), rng.random(count)).clip(0, entities - 1)

    kinds = pa.array(["card", "cash", "transfer", "voucher"])
    for at in range(0, rows, CHUNK):
        count = min(CHUNK, rows - at)
        arrival = START + np.sort(rng.integers(SPAN * at // rows, SPAN * (at + count) // rows, count))
        columns = {
            "user_id": keys(count),
            "ts": arrival - rng.exponential(60e6, count).astype(np.int64),
            "amount": np.round(rng.gamma(2, 50, count), 2),
            "score": rng.normal(size=count),
            "level": rng.integers(0, 100, count),
            "kind": kinds.take(pa.array(rng.integers(0, 4, count))),
            "_lane": pa.array(["events/topic-1/0"] * count),
            "_offset": at + np.arange(count),
            "_part": np.zeros(count, np.int64),
            "_arrival": arrival,
            "_deleted": np.zeros(count, np.bool_),
        }
        columns["_event_time"] = columns["ts"]
        fields = [
            pa.array(columns[field.name]).cast(field.type) if field.name in columns else pa.nulls(count, field.type)
            for field in view.row_schema
        ]
        store.append(table, [pa.RecordBatch.from_arrays(fields, schema=view.row_schema)], {})
    instants = START + rng.integers(0, SPAN, spine)
    frame = pa.table({"user_id": keys(spine), "t": pa.array(instants, pa.timestamp("us", "UTC"))})
    pq.write_table(frame, as_of_case.spine(folder))


def twinbeam(folder: str, what: str, threads: int) -> pa.Table:
    """Ours."""
    assert pa.cpu_count() == threads
    compiled = catalog()
    store = OfflineStore(Path(folder) / "offline")
    selection = compiled.select(features(what))
    return training_set(store, selection, as_of_case.spine(folder), time="t").to_arrow()


CONTENDERS = {
    "twinbeam": "bench.training:twinbeam",
    "polars": "bench.polars_joins:join",
    "polars, one lane": "bench.polars_joins:join_one_lane",
    "DuckDB": "bench.duckdb_joins:join",
    "pandas": "bench.pandas_joins:join",
}


def contend(who: str, folder: str, what: str, threads: int) -> dict[str, float]:
    """One contender, in this process: seconds, CPU seconds and rows."""
    pa.set_cpu_count(threads)
    module, name = CONTENDERS[who].split(":")
    join = getattr(importlib.import_module(module), name)
    with Stopwatch() as watch:
        rows = len(join(folder, what, threads))
    return watch.to_json() | {"rows": rows}


def measure(scale: float = 1.0, only: str = "", threads: tuple[int, ...] = (1, 2)) -> list[Measured]:
    """Every case at a share of its size, with one thread and with two: CPU seconds, wall seconds and peak memory."""
    found: list[Measured] = []
    for what, *full, skew in CASES:
        sizes = [max(1, round(int(number) * scale)) for number in full]
        size = f"{sizes[0]:,} rows x {sizes[1]:,} spine, {sizes[2]:,} entities, {skew}"
        if only not in f"{what} {size}":
            continue
        with tempfile.TemporaryDirectory() as folder:
            arguments = dict(zip(("rows", "spine", "entities"), sizes, strict=True))
            run(call("bench.training:make", {"folder": folder, "skew": skew} | arguments))
            for count in threads:
                found += _compare(folder, what, size, count)
    return found


def _compare(folder: str, what: str, size: str, threads: int) -> list[Measured]:
    env = {name: str(threads) for name in ("POLARS_MAX_THREADS", "OMP_NUM_THREADS", "TOKIO_WORKER_THREADS")}
    rivals = ["polars", "polars, one lane", "DuckDB", "pandas"] if what == "latest" else ["polars", "DuckDB"]
    cost: dict[str, dict[str, float]] = {}
    for who in ["twinbeam", *rivals]:
        command = call("bench.training:contend", {"who": who, "folder": folder, "what": what, "threads": threads})
        times = RUNS if who == "twinbeam" or who.startswith("polars") else 1  # the others once: they take long
        middle = median([run(command, env) for _ in range(times)], lambda one: one.answer["cpu"])
        cost[who] = middle.answer | {"mb": middle.mb}
    ours, case = cost["twinbeam"], f"training set, {'latest' if what == 'latest' else '12 windows'}"
    size += f", {threads} thread{'s' * (threads > 1)}"
    return [
        Measured(case, size, ours[figure], unit, "lower", who, cost[who][figure], ours["mb"], cost[who]["mb"])
        for who in rivals
        for figure, unit in (("cpu", "CPU s"), ("seconds", "s"))
    ]


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(prog="python -m bench.training", description=__doc__)
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--only", default="", help="part of a case's name")
    parser.add_argument("--threads", type=json.loads, default=[1, 2], help="such as [1]")
    options = parser.parse_args()
    print(text(measure(options.scale, options.only, tuple(options.threads))))


if __name__ == "__main__":
    main()
