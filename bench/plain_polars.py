"""The batch run as a plain polars script would do it: no lanes, no versions, no replays; `plain_polars.py IN OUT`.

Reads Parquet events, writes them out again as the offline rows (Parquet, zstd), and computes what 12 window features
need, by `group_by` of key and tile: sum, count, min and max in the hops of windows of 1 h, 24 h and 7 d. The tiles go
to Parquet and to a table of SQLite each (`executemany`, one transaction). Prints its figures as JSON.
"""

from __future__ import annotations

import argparse
import json
import sqlite3
import time
from pathlib import Path

import polars as pl

HOPS = "5m,1h,6h"


def main() -> None:
    """Reads, folds, writes and prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parquet", help="file, or pattern of files, of events")
    parser.add_argument("out", type=Path, help="folder to write to")
    parser.add_argument("--key", default="user_id")
    parser.add_argument("--time", default="ts")
    parser.add_argument("--value", default="price")
    parser.add_argument("--hops", default=HOPS, help=f"tile lengths (default {HOPS})")
    given = parser.parse_args()
    begun = time.perf_counter(), time.process_time()
    given.out.mkdir(parents=True, exist_ok=True)
    events = pl.read_parquet(given.parquet)
    events.write_parquet(given.out / "rows.parquet", compression="zstd")
    tiles = 0
    with sqlite3.connect(given.out / "online.db") as online:
        online.execute("PRAGMA journal_mode=WAL")
        for hop in given.hops.split(","):
            tile = pl.col(given.time).dt.truncate(hop).alias("tile")
            value = pl.col(given.value)
            states = [value.sum().alias("sum"), pl.len().alias("count"), value.min().alias("min")]
            folded = events.group_by(pl.col(given.key).alias("key"), tile).agg(*states, value.max().alias("max"))
            folded.write_parquet(given.out / f"tiles_{hop}.parquet", compression="zstd")
            columns = "key, tile, sum, count, min, max, PRIMARY KEY (key, tile)"
            online.execute(f"CREATE TABLE tiles_{hop} ({columns}) WITHOUT ROWID")
            rows = folded.with_columns(pl.col("tile").to_physical()).iter_rows()
            online.executemany(f"INSERT INTO tiles_{hop} VALUES (?, ?, ?, ?, ?, ?)", rows)
            tiles += len(folded)
    online.close()
    seconds, cpu = time.perf_counter() - begun[0], time.process_time() - begun[1]
    print(json.dumps({"events": len(events), "tiles": tiles, "seconds": seconds, "cpu": cpu}))


if __name__ == "__main__":
    main()
