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


def build(
    file: str, out: str, key: str = "user_id", instant: str = "ts", value: str = "price", hops: str = HOPS
) -> dict[str, float]:
    """Reads, folds and writes; says how many events and tiles there were, and the seconds and CPU seconds taken."""
    begun = time.perf_counter(), time.process_time()
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    events = pl.read_parquet(file)
    events.write_parquet(folder / "rows.parquet", compression="zstd")
    tiles = 0
    with sqlite3.connect(folder / "online.db") as online:
        online.execute("PRAGMA journal_mode=WAL")
        for hop in hops.split(","):
            tile, number = pl.col(instant).dt.truncate(hop).alias("tile"), pl.col(value)
            states = [number.sum().alias("sum"), pl.len().alias("count")]
            states += [number.min().alias("min"), number.max().alias("max")]
            folded = events.group_by(pl.col(key).alias("key"), tile).agg(states)
            folded.write_parquet(folder / f"tiles_{hop}.parquet", compression="zstd")
            columns = "key, tile, sum, count, min, max, PRIMARY KEY (key, tile)"
            online.execute(f"CREATE TABLE tiles_{hop} ({columns}) WITHOUT ROWID")
            rows = folded.with_columns(pl.col("tile").to_physical()).iter_rows()
            online.executemany(f"INSERT INTO tiles_{hop} VALUES (?, ?, ?, ?, ?, ?)", rows)
            tiles += len(folded)
    online.close()
    seconds, cpu = time.perf_counter() - begun[0], time.process_time() - begun[1]
    return {"events": len(events), "tiles": tiles, "seconds": seconds, "cpu": cpu}


def main() -> None:
    """Builds what the command line asks for and prints the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", help="file, or pattern of files, of events")
    parser.add_argument("out", help="folder to write to")
    parser.add_argument("--key", default="user_id")
    parser.add_argument("--instant", default="ts")
    parser.add_argument("--value", default="price")
    parser.add_argument("--hops", default=HOPS, help=f"lengths of tiles (default {HOPS})")
    print(json.dumps(build(**vars(parser.parse_args()))))


if __name__ == "__main__":
    main()
