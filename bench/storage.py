"""Bytes on disk per feature value, online and offline, beside the same numbers packed plainly.

Plain packing, online: a SQLite table of key, hop, tile and a struct of the tile's count, sum and greatest price (all
that means need too), or of key and a struct of the event time and ten floats; rows put in in the order of the key.
Plain packing, offline: the events' own columns in one Parquet file by polars (zstd), in the order of time. Twinbeam's
files are taken as a batch run leaves them; its rows also say which lane and offset they came from and when.
"""

from __future__ import annotations

import sqlite3
import struct
import tempfile
from collections.abc import Iterable
from pathlib import Path

import polars as pl

from bench import feast, pipeline
from bench.measuring import call, run
from bench.table import Measured

HOPS = ("5m", "1h", "6h")
PER_TILE = 3
PER_ROW = len(feast.COLUMNS)
CASE = "bytes on disk per feature value"


def size(*places: Path) -> int:
    """Bytes of files, those in folders too."""
    files = [file for place in places for file in ([place] if place.is_file() else place.rglob("*"))]
    return sum(file.stat().st_size for file in files if file.is_file())


def online_size(folder: Path) -> int:
    """Bytes of a project's online store, its write-ahead log included."""
    return size(*(folder / "store").glob("online.db*"))


def pack_tiles(events: pl.DataFrame, path: Path) -> tuple[int, int]:
    """Tiles of all hops, packed into SQLite: bytes, and how many tiles."""
    tiles = 0
    with sqlite3.connect(path) as store:
        store.execute("CREATE TABLE tiles (key, hop, tile, content, PRIMARY KEY (key, hop, tile)) WITHOUT ROWID")
        price, packed = pl.col("price"), []
        for number, hop in enumerate(HOPS):
            tile = pl.col("ts").dt.truncate(hop).dt.epoch("us").alias("tile")
            folded = events.group_by("user_id", tile).agg(pl.len(), price.sum().alias("sum"), price.max().alias("max"))
            tiles += len(folded)
            packed.append(folded.select("user_id", pl.lit(number).alias("hop"), "tile", "len", "sum", "max"))
        rows = pl.concat(packed).sort("user_id", "hop", "tile").iter_rows()
        numbers = ((key, hop, start, struct.pack("<qdd", *values)) for key, hop, start, *values in rows)
        store.executemany("INSERT INTO tiles VALUES (?, ?, ?, ?)", numbers)
    store.close()
    return size(path), tiles


def pack_latest(events: pl.DataFrame, path: Path) -> tuple[int, int]:
    """Newest row of every key, packed into SQLite: bytes, and how many keys."""
    newest = events.sort("ts").group_by("user_id").last().sort("user_id")
    with sqlite3.connect(path) as store:
        store.execute("CREATE TABLE latest (key INTEGER PRIMARY KEY, content)")
        rows: Iterable[tuple[int, ...]] = newest.with_columns(pl.col("ts").dt.epoch("us")).iter_rows()
        store.executemany(
            "INSERT INTO latest VALUES (?, ?)", ((key, struct.pack(f"<q{PER_ROW}d", *values)) for key, *values in rows)
        )
    store.close()
    return size(path), len(newest)


def measure(scale: float = 1.0) -> list[Measured]:
    """A view of 12 window features, and one of 10 latest features."""
    rows, entities = int(1_000_000 * scale), max(int(10_000 * scale), 10)
    with tempfile.TemporaryDirectory() as scratch:
        return [*_windows(Path(scratch), rows, entities), *_latest(Path(scratch), rows, 10 * entities)]


def _windows(scratch: Path, rows: int, entities: int) -> list[Measured]:
    events, file, folder = pipeline.make_events(rows, entities), scratch / "events.parquet", scratch / "windows"
    events.write_parquet(file)
    run(call("bench.pipeline:batch", {"file": str(file), "folder": str(folder)}))
    plain, tiles = pack_tiles(events, scratch / "tiles.db")
    name = f"12 window features, {rows:,} events, {entities:,} entities"
    return [
        _row(f"online: {name}", online_size(folder), plain, tiles * PER_TILE, "struct in SQLite"),
        *_offline(name, events, folder, rows, scratch / "plain.parquet"),
    ]


def _latest(scratch: Path, rows: int, entities: int) -> list[Measured]:
    file, folder = feast.rows_file(scratch / "profiles.parquet", rows, entities), scratch / "latest"
    events = pl.read_parquet(file)
    run(call("bench.feast:fill", {"file": str(file), "folder": str(folder)}))
    plain, keys = pack_latest(events, scratch / "latest.db")
    name = f"10 latest features, {rows:,} events, {entities:,} entities"
    return [
        _row(f"online: {name}", online_size(folder), plain, keys * PER_ROW, "struct in SQLite"),
        *_offline(name, events, folder, rows * PER_ROW, scratch / "plain.parquet"),
    ]


def _offline(name: str, events: pl.DataFrame, folder: Path, values: int, plain: Path) -> list[Measured]:
    events.write_parquet(plain, compression="zstd")
    offline, rival = folder / "store" / "offline", "plain Parquet, zstd"
    return [
        _row(f"offline, rows: {name}", size(offline / "rows"), size(plain), values, rival),
        _row(f"offline, rows and events: {name}", size(offline), size(plain), values, rival),
    ]


def _row(what: str, ours: int, theirs: int, values: int, rival: str) -> Measured:
    return Measured(CASE, what, ours / values, "bytes", "lower", rival, theirs / values)
