"""Fold, merge and finish of each operation, beside polars on the same data, and beside `np.bincount` for a plain sum.

CPU seconds of all threads, since polars uses every core it finds. Merge: as many states of one row each, into the same
groups; polars does the same arithmetic over partial results of one row each. Finish: the states of all those groups,
ten times over, to values.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from bench.measuring import medians
from bench.table import Measured
from schemas.lane import Lane
from schemas.state import StateSpec
from transforms.accumulators.base import Accumulator, Inputs
from transforms.accumulators.build import accumulator
from transforms.order import Order

RUNS = 3
X = pl.col("x")
RIVALS: dict[str, pl.Expr] = {
    "count": pl.len(),
    "sum": X.sum(),
    "mean": X.mean(),
    "min": X.min(),
    "max": X.max(),
    "variance": X.var(),
    "first": X.sort_by("t").first(),
    "last": X.sort_by("t").last(),
    "last_k": X.sort_by("t").tail(10),
    "top_k": X.top_k(10),
    "unique_count": X.n_unique(),
    "histogram": X.value_counts(),
    "approx_count_distinct": X.approx_n_unique(),
    "approx_percentile": X.quantile(0.5),
}
PARAMETERS: dict[str, tuple[tuple[str, Any], ...]] = {
    "last_k": (("k", 10),),
    "top_k": (("k", 10),),
    "approx_count_distinct": (("p", 12),),
    "approx_percentile": (("error", 0.01), ("q", 0.5)),
}
MERGED: dict[str, pl.Expr] = {"count": pl.col("n").sum()}


def built(operation: str) -> Accumulator:
    """Accumulator of an operation over a float column."""
    columns = () if operation == "count" else ("x",)
    return accumulator(StateSpec(operation, columns, (pa.float64(),) * len(columns), PARAMETERS.get(operation, ())))


def data(rows: int, groups: int) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64], Order]:
    """Prices of two decimals, their groups, and their order: by time, in no order; one lane."""
    draw = np.random.default_rng(0)
    steps, zeros = np.arange(rows), np.zeros(rows, np.int64)
    lanes = (Lane("s", "files", "1", 0).sort_key,)
    order = Order(draw.permutation(rows), zeros, steps, zeros, lanes, steps, zeros)
    return np.round(draw.gamma(2, 50, rows), 2), draw.integers(0, groups, rows), order


def ours(rows: int, groups: int) -> dict[str, float]:
    """Nanoseconds a row or state of this project, by operation and part."""
    values, group, order = data(rows, groups)
    found = {}
    for operation in RIVALS:
        of = built(operation)
        inputs = Inputs(() if operation == "count" else (pa.array(values),), None, order)
        single = of.fold(inputs, np.arange(rows), rows)
        folded = of.take(of.fold(inputs, group, groups), np.tile(np.arange(groups), 10))
        found[f"{operation} fold"] = _nanoseconds(partial(of.fold, inputs, group, groups), rows)
        found[f"{operation} merge"] = _nanoseconds(partial(of.merge, single, group, groups), rows)
        found[f"{operation} finish"] = _nanoseconds(partial(of.finish, folded), 10 * groups)
    return found


def theirs(rows: int, groups: int) -> dict[str, float]:
    """The same of polars; and of numpy's bincount, a plain sum."""
    values, group, order = data(rows, groups)
    frame = pl.DataFrame({"g": group, "x": values, "t": order.time, "n": np.ones(rows, np.int64)})
    found = {"bincount": _nanoseconds(partial(np.bincount, group, values, groups), rows)}
    for operation, rival in RIVALS.items():
        fold = _nanoseconds(partial(frame.group_by("g").agg, rival), rows)
        found[f"{operation} fold"] = found[f"{operation} merge"] = fold
        if operation in MERGED:
            found[f"{operation} merge"] = _nanoseconds(partial(frame.group_by("g").agg, MERGED[operation]), rows)
    return found


def measure(scale: float = 1.0) -> list[Measured]:
    """A fresh process for each side."""
    rows, groups = int(1_000_000 * scale), max(int(10_000 * scale), 10)
    mine = medians("bench.operations:ours", {"rows": rows, "groups": groups})
    rivals = medians("bench.operations:theirs", {"rows": rows, "groups": groups})
    found = []
    for part, unit in (("fold", "ns a row"), ("merge", "ns a state"), ("finish", "ns a state")):
        for operation in RIVALS:
            name = f"{operation} {part}"
            size = f"{10 * groups:,} states" if part == "finish" else f"{rows:,} x {groups:,}"
            row = partial(Measured, f"{part}, CPU", f"{operation}, {size}", mine[name], unit, "lower")
            found.append(row("polars", rivals[name]) if name in rivals else row("-", None))
            if name == "sum fold":
                found.append(row("np.bincount", rivals["bincount"]))
    return found


def _nanoseconds(work: Callable[[], object], rows: int) -> float:
    """Median CPU nanoseconds a row over some runs, after one that is not counted."""
    work()
    taken = []
    for _ in range(RUNS):
        begun = time.process_time()
        work()
        taken.append(time.process_time() - begun)
    return statistics.median(taken) / rows * 1e9
