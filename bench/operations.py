"""Fold of each operation over 1,000,000 rows in 10,000 groups, beside polars (and numpy) on the same data.

Prints medians of CPU seconds as nanoseconds a row, and the ratio to polars. Run it with `make bench`.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from functools import partial

import numpy as np
import polars as pl
import pyarrow as pa

from schemas.lane import Lane
from schemas.state import StateSpec
from transforms.accumulators.base import Inputs
from transforms.accumulators.build import accumulator
from transforms.order import Order

ROWS, GROUPS, RUNS = 1_000_000, 10_000, 5

RIVALS: dict[str, pl.Expr] = {
    "count": pl.len(),
    "sum": pl.col("x").sum(),
    "mean": pl.col("x").mean(),
    "min": pl.col("x").min(),
    "max": pl.col("x").max(),
    "variance": pl.col("x").var(),
    "unique_count": pl.col("x").n_unique(),
    "approx_count_distinct": pl.col("x").approx_n_unique(),
    "last": pl.col("x").sort_by("t").last(),
}


def seconds(work: Callable[[], object]) -> float:
    """Median CPU seconds of some runs, after one that is not counted."""
    work()
    taken = []
    for _ in range(RUNS):
        begun = time.process_time()
        work()
        taken.append(time.process_time() - begun)
    return statistics.median(taken)


def main() -> None:
    """Measures and prints."""
    rng = np.random.default_rng(0)
    values, groups = np.round(rng.gamma(2, 50, ROWS), 2), rng.integers(0, GROUPS, ROWS)
    steps, zeros = np.arange(ROWS), np.zeros(ROWS, np.int64)
    order = Order(rng.permutation(ROWS), zeros, steps, zeros, (Lane("s", "files", "1", 0).sort_key,), steps, zeros)
    frame = pl.DataFrame({"g": groups, "x": values, "t": order.time})
    column = pa.array(values)
    plain = seconds(lambda: np.bincount(groups, values, GROUPS)) / ROWS * 1e9
    print(f"{ROWS:,} rows, {GROUPS:,} groups, CPU ns a row (np.bincount, a plain sum: {plain:.1f})")
    print(f"{'operation':<24}{'twinbeam':>10}{'polars':>10}{'ratio':>8}")
    for operation, rival in RIVALS.items():
        columns = () if operation == "count" else ("x",)
        spec = StateSpec(operation, columns, (pa.float64(),) * len(columns))
        fold = accumulator(spec)
        inputs = Inputs((column,) * len(columns), None, order)
        ours = seconds(partial(fold.fold, inputs, groups, GROUPS)) / ROWS * 1e9
        theirs = seconds(partial(frame.group_by("g").agg, rival)) / ROWS * 1e9
        print(f"{operation:<24}{ours:>10.1f}{theirs:>10.1f}{ours / theirs:>8.2f}")


if __name__ == "__main__":
    main()
