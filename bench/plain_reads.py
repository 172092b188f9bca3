"""What reads are measured against: a plain script over a hand-made SQLite table of the same values.

One table for each hop, a row of float64 (count, sum, greatest) for each key and tile; a read takes the tiles of each
window by their range and reduces them with numpy, all keys together. No lanes, no exact sums, no late rows, no
statuses, no event times, no marks, no log. Newest rows are a table of ten float64.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

WINDOWS = {"1h": (3600, 300), "24h": (86_400, 3600), "7d": (604_800, 21_600)}
SECOND = 1_000_000
PRAGMAS = ("page_size = 16384", "journal_mode = WAL", "mmap_size = 1073741824", "cache_size = -32768")


def connect(path: Path) -> sqlite3.Connection:
    """The database, set up as Twinbeam sets up its own."""
    connection = sqlite3.connect(path, isolation_level=None, cached_statements=256)
    for pragma in PRAGMAS:
        connection.execute(f"PRAGMA {pragma}")
    return connection


def fill(path: Path, events: pl.DataFrame, newest: pl.DataFrame) -> None:
    """Tiles of the events (`user_id`, `ts` µs, `price`), and the rows of `newest` (`user_id`, ten floats)."""
    connection = connect(path)
    for name, (_, hop) in WINDOWS.items():
        connection.execute(
            f'CREATE TABLE "tiles_{name}" (key INTEGER, tile INTEGER, row BLOB, PRIMARY KEY (key, tile)) WITHOUT ROWID'
        )
        tiles = (
            events.group_by("user_id", (pl.col("ts") // (hop * SECOND) * hop * SECOND).alias("tile"))
            .agg(pl.len().cast(pl.Float64), pl.col("price").sum().alias("sum"), pl.col("price").max().alias("max"))
            .sort("user_id", "tile")
        )
        rows = tiles.select("len", "sum", "max").to_numpy()
        contents = [row.tobytes() for row in np.ascontiguousarray(rows)]
        keys = tiles["user_id"].to_list(), tiles["tile"].to_list()
        connection.execute("BEGIN")
        connection.executemany(f'INSERT INTO "tiles_{name}" VALUES (?, ?, ?)', zip(*keys, contents, strict=True))
        connection.execute("COMMIT")
    connection.execute("CREATE TABLE newest (key INTEGER PRIMARY KEY, row BLOB)")
    floats = np.ascontiguousarray(newest.drop("user_id").to_numpy())
    connection.executemany(
        "INSERT INTO newest VALUES (?, ?)",
        zip(newest["user_id"].to_list(), map(np.ndarray.tobytes, floats), strict=True),
    )
    connection.close()


def windows(connection: sqlite3.Connection, keys: Sequence[int], now: int) -> dict[str, list[Any]]:
    """Count, sum, mean and max over 1h, 24h and 7d, by `feature_window`."""
    values: dict[str, list[Any]] = {}
    for name, (length, hop) in WINDOWS.items():
        first = (now - length * SECOND) // (hop * SECOND) * hop * SECOND
        rows, counts = [], []
        query = f'SELECT row FROM "tiles_{name}" WHERE key = ? AND tile >= ? AND tile <= ?'
        for key in keys:
            found = connection.execute(query, (key, first, now)).fetchall()
            rows += found
            counts.append(len(found))
        floats = np.frombuffer(b"".join([row[0] for row in rows]), np.float64).reshape(-1, 3)
        begins = np.concatenate([[0], np.cumsum(counts)[:-1]])
        sums = np.add.reduceat(floats[:, :2], begins)
        values[f"count_{name}"] = sums[:, 0].astype(np.int64).tolist()
        values[f"sum_{name}"] = sums[:, 1].tolist()
        values[f"mean_{name}"] = (sums[:, 1] / sums[:, 0]).tolist()
        values[f"max_{name}"] = np.maximum.reduceat(floats[:, 2], begins).tolist()
    return values


def latest(connection: sqlite3.Connection, keys: Sequence[int], _: int) -> dict[str, list[Any]]:
    """Ten floats of each key's newest row, by `f0`, `f1`, ..."""
    holes = ", ".join("?" * len(keys))
    found: Mapping[int, bytes] = dict(connection.execute(f"SELECT key, row FROM newest WHERE key IN ({holes})", keys))
    floats = np.frombuffer(b"".join([found[key] for key in keys]), np.float64).reshape(-1, 10)
    return {f"f{number}": column.tolist() for number, column in enumerate(floats.T)}
