"""A plain pandas script for training sets: `merge_asof` after a sort by the total order of rows."""

from __future__ import annotations

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from bench.as_of_case import LATEST, ORDER, files, spine


def join(folder: str, what: str, threads: int) -> pa.Table:
    """Latest features of the spine, in its order."""
    assert what == "latest"
    assert pa.cpu_count() == threads
    right = pq.read_table(files(folder), columns=["user_id", *ORDER, *LATEST]).to_pandas()
    right = right.sort_values(list(ORDER))[["user_id", "_event_time", *LATEST]]
    left = pq.read_table(spine(folder)).to_pandas().reset_index().sort_values("t")
    joined = pd.merge_asof(left, right, left_on="t", right_on="_event_time", by="user_id")
    return pa.Table.from_pandas(joined.sort_values("index"), preserve_index=False)
