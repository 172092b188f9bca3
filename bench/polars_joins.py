"""Plain polars scripts for training sets: `join_asof` after a sort of the rows, `rolling` for windows."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl
import pyarrow as pa

from bench.as_of_case import LATEST, ORDER, WINDOWS, files, spine


def join(folder: str, what: str, threads: int) -> pa.Table:
    """Features of the spine, in its order; windows by one `rolling` call each over rows and spine together."""
    return _join(folder, what, threads, ORDER)


def join_one_lane(folder: str, what: str, threads: int) -> pa.Table:
    """The same by a script that knows that the rows came in one lane, so that time and offset order them."""
    return _join(folder, what, threads, ("_event_time", "_offset"))


def _join(folder: str, what: str, threads: int, order: Sequence[str]) -> pa.Table:
    assert pl.thread_pool_size() == threads
    asked = pl.read_parquet(spine(folder)).with_row_index("i")
    rows = pl.scan_parquet(files(folder))
    if what == "latest":
        right = rows.select("user_id", *order, *LATEST).collect().sort(order).select("user_id", "_event_time", *LATEST)
        joined = asked.sort("t").join_asof(
            right, left_on="t", right_on="_event_time", by="user_id", check_sortedness=False
        )
        return joined.sort("i").to_arrow()
    events = rows.select("user_id", t="_event_time", amount="amount", i=pl.lit(None, pl.UInt32)).collect()
    both = pl.concat([events, asked.select("user_id", "t", pl.lit(None, pl.Float64).alias("amount"), "i")])
    both = both.sort("user_id", "t")
    del events
    amount, out = pl.col("amount"), [asked]
    for window in WINDOWS:
        rolled = both.rolling("t", period=window, group_by="user_id", closed="both").agg(
            amount.count().alias(f"count_{window}"),
            amount.sum().alias(f"sum_{window}"),
            amount.mean().alias(f"mean_{window}"),
            amount.max().alias(f"max_{window}"),
        )
        rolled = rolled.drop("user_id", "t").with_columns(both["i"]).filter(pl.col("i").is_not_null())
        out.append(rolled.sort("i").drop("i"))
    return pl.concat(out, how="horizontal").to_arrow()
