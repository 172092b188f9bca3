"""What packing saves: values read in process from Twinbeam's cells, and from tables of one row a value.

One row a value is how a store is used that packs nothing: a row for each of the ten newest values of an entity, with
its name and event time, as Feast lays them out (but with plain numbers); and, for windows, a row for each number of a
tile (count, sum, greatest), which cells hold packed. Both are read by the same drivers. The plain script does no more
than read and reduce: no lanes, late rows, exact sums, statuses, marks. Twinbeam's reads are those of a prepared reader,
as `Platform.reader` makes it.

No key is asked for twice by one process, so that no answer is remembered.
"""

from __future__ import annotations

import math
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from itertools import chain, groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from cassandra.query import BatchStatement, BatchType

import twinbeam
from bench.cassandra import open_driver
from bench.measuring import Stopwatch
from bench.plain_reads import SECOND, WINDOWS, connect
from bench.servers import KINDS, LATEST, WIDTHS, cpu

KEYSPACE = "bench_plain"
KEYS = (1, 100)
IN_FLIGHT = 32
MOST_CALLS = {1: 2_000, 100: 100}
VIEWS = {"latest": "profile", "windows": "windows"}
_TABLES = (
    "CREATE TABLE {}latest (key bigint, feature text, value {float}, time bigint, PRIMARY KEY (key, feature)){}",
    "CREATE TABLE {}tiles (key bigint, hop int, tile bigint, name text, value {float}, "
    "PRIMARY KEY (key, hop, tile, name)){}",
)
_PUT = (
    "INSERT INTO {}latest (key, feature, value, time) VALUES (?, ?, ?, ?)",
    "INSERT INTO {}tiles (key, hop, tile, name, value) VALUES (?, ?, ?, ?, ?)",
)
Values = dict[str, list[Any]]
Read = Callable[[Sequence[int], int], Values]


def rows(file: str) -> tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]]:
    """Rows of newest values, and of numbers of tiles, that a file of events comes to; in the order of their keys."""
    events = pl.read_parquet(file).with_columns(pl.col("ts").dt.epoch("us"))
    newest = events.sort("ts").group_by("user_id").last()
    latest = newest.unpivot(LATEST, index=["user_id", "ts"]).select("user_id", "variable", "value", "ts")
    tiles = []
    for _, hop in WINDOWS.values():
        tile = (pl.col("ts") // (hop * SECOND) * hop * SECOND).alias("tile")
        numbers = (
            pl.len().cast(pl.Float64).alias("count"),
            pl.col("f0").sum().alias("sum"),
            pl.col("f1").max().alias("max"),
        )
        folded = events.group_by("user_id", tile).agg(*numbers).with_columns(hop=pl.lit(hop))
        tiles.append(folded.unpivot(["count", "sum", "max"], index=["user_id", "hop", "tile"]))
    return latest.sort("user_id", "variable").rows(), pl.concat(tiles).sort("user_id", "hop", "tile", "variable").rows()


def fill(file: str, where: str) -> dict[str, float]:
    """Makes and fills the tables in a SQLite file, or on the node of Cassandra `cassandra:HOST:PORT`."""
    filled = rows(file)
    if not where.startswith("cassandra:"):
        with closing(connect(Path(where))) as database:
            for make, put, some in zip(_TABLES, _PUT, filled, strict=True):
                database.execute(make.format("", " WITHOUT ROWID", float="REAL"))
                database.execute("BEGIN")
                database.executemany(put.format(""), some)
                database.execute("COMMIT")
    else:
        cluster, session = open_driver(where.removeprefix("cassandra:"))
        session.execute(
            f"CREATE KEYSPACE {KEYSPACE} WITH replication = {{'class': 'SimpleStrategy', 'replication_factor': 1}}"
        )
        for make, put, some in zip(_TABLES, _PUT, filled, strict=True):
            session.execute(make.format(f"{KEYSPACE}.", "", float="double"))
            statement = session.prepare(put.format(f"{KEYSPACE}."))
            batches = [_batch(statement, of_key) for _, of_key in groupby(some, itemgetter(0))]
            for start in range(0, len(batches), IN_FLIGHT):
                for future in [session.execute_async(batch) for batch in batches[start : start + IN_FLIGHT]]:
                    future.result()
        cluster.shutdown()
    return {"rows": float(sum(map(len, filled)))}


def _batch(statement: Any, some: Iterable[tuple[Any, ...]]) -> BatchStatement:
    batch = BatchStatement(BatchType.UNLOGGED)
    for row in some:
        batch.add(statement, row)
    return batch


def read_plain(where: str, entities: int, node: int | None = None) -> dict[str, float]:
    """CPU µs of a value read from one row a value, by kind and keys; `node` is the pid of the node of Cassandra."""
    with plain(where) as reads:
        return _costs(reads, entities, node)


def read_packed(folder: str, entities: int, node: int | None = None) -> dict[str, float]:
    """CPU µs of a value read from the cells of a project, likewise."""
    with twinbeam.Platform.open(folder) as platform:
        return _costs({kind: _packed(platform, view) for kind, view in VIEWS.items()}, entities, node)


def compare(folder: str, where: str, keys: Sequence[int]) -> None:
    """Compares the values of both.

    Raises:
        RuntimeError: they differ.
    """
    now = time.time_ns() // 1_000
    with twinbeam.Platform.open(folder) as platform, plain(where) as reads:
        for kind, view in VIEWS.items():
            ours, theirs = _packed(platform, view)(keys, now), reads[kind](keys, now)
            for name, values in ours.items():
                if not all(map(_close, values, theirs[name])):
                    raise RuntimeError(f"{name}: cells have {values}, one row a value has {theirs[name]}")


@contextmanager
def plain(where: str) -> Iterator[dict[str, Read]]:
    """Reads by kind from a SQLite file or the node of Cassandra `cassandra:HOST:PORT`."""
    if where.startswith("cassandra:"):
        cluster, session = open_driver(where.removeprefix("cassandra:"))
        try:
            yield {"latest": _latest_of_cassandra(session), "windows": _windows_of_cassandra(session)}
        finally:
            cluster.shutdown()
    else:
        with closing(connect(Path(where))) as database:
            yield {"latest": _latest_of_sqlite(database), "windows": _windows_of_sqlite(database)}


def _packed(platform: twinbeam.Platform, view: str) -> Read:
    reader = platform.reader(view)

    def read(keys: Sequence[int], now: int) -> Values:
        found = reader.get({"user_id": list(keys)}, now=now).to_dict()
        return {name.removeprefix(f"{view}:"): values for name, values in found.items() if name != "user_id"}

    return read


def _latest_of_sqlite(database: sqlite3.Connection) -> Read:
    def read(keys: Sequence[int], _: int) -> Values:
        holes = ", ".join("?" * len(keys))
        return _pivoted(
            keys, database.execute(f"SELECT key, feature, value, time FROM latest WHERE key IN ({holes})", keys)
        )

    return read


def _latest_of_cassandra(session: Any) -> Read:
    statement = session.prepare(f"SELECT key, feature, value, time FROM {KEYSPACE}.latest WHERE key = ?")

    def read(keys: Sequence[int], _: int) -> Values:
        futures = [session.execute_async(statement, (key,)) for key in keys]
        return _pivoted(keys, chain.from_iterable(future.result() for future in futures))

    return read


def _pivoted(keys: Sequence[int], found: Any) -> Values:
    at = {key: number for number, key in enumerate(keys)}
    values: Values = {name: [None] * len(keys) for name in LATEST}
    for key, name, value, _ in found:
        values[name][at[key]] = value
    return values


def _windows_of_sqlite(database: sqlite3.Connection) -> Read:
    def numbers(keys: Sequence[int], hop: int, first: int, now: int) -> Any:
        return database.execute(
            "SELECT key, name, sum(value), max(value) FROM tiles "
            f"WHERE key IN ({', '.join('?' * len(keys))}) AND hop = ? AND tile >= ? AND tile <= ? GROUP BY key, name",
            (*keys, hop, first, now),
        )

    return _windows(numbers)


def _windows_of_cassandra(session: Any) -> Read:
    statement = session.prepare(
        f"SELECT key, name, value, value FROM {KEYSPACE}.tiles WHERE key = ? AND hop = ? AND tile >= ? AND tile <= ?"
    )

    def numbers(keys: Sequence[int], hop: int, first: int, now: int) -> Any:
        futures = [session.execute_async(statement, (key, hop, first, now)) for key in keys]
        return chain.from_iterable(future.result() for future in futures)

    return _windows(numbers)


def _windows(numbers: Callable[[Sequence[int], int, int, int], Any]) -> Read:
    def read(keys: Sequence[int], now: int) -> Values:
        at, values = {key: number for number, key in enumerate(keys)}, Values()
        for window, (length, hop) in WINDOWS.items():
            first = (now - length * SECOND) // (hop * SECOND) * hop * SECOND
            count, total, most = [0] * len(keys), [0.0] * len(keys), [-math.inf] * len(keys)
            for key, name, of_sum, of_max in numbers(keys, hop, first, now):
                number = at[key]
                if name == "count":
                    count[number] += int(of_sum)
                elif name == "sum":
                    total[number] += of_sum
                else:
                    most[number] = max(most[number], of_max)
            values[f"count_{window}"] = count
            values[f"f0_sum_{window}"] = [one if n else None for one, n in zip(total, count, strict=True)]
            values[f"f0_mean_{window}"] = [one / n if n else None for one, n in zip(total, count, strict=True)]
            values[f"f1_max_{window}"] = [one if n else None for one, n in zip(most, count, strict=True)]
        return values

    return read


def _costs(reads: dict[str, Read], entities: int, node: int | None) -> dict[str, float]:
    found = {}
    for kind in KINDS:
        order = np.random.default_rng(29).permutation(entities)
        reads[kind](order[:1].tolist(), time.time_ns() // 1_000)
        halves = dict(zip(KEYS, np.array_split(order[1:], len(KEYS)), strict=True))
        for keys, some in halves.items():
            calls = min(MOST_CALLS[keys], len(some) // keys)
            asked = some[: calls * keys].reshape(calls, keys).tolist()
            before = 0.0 if node is None else cpu(node)
            with Stopwatch() as watch:
                for each in asked:
                    reads[kind](each, time.time_ns() // 1_000)
            factor = 1e6 / (calls * keys * WIDTHS[kind])
            found[f"{kind} {keys}"] = watch.cpu * factor
            if node is not None:
                found[f"{kind} {keys} node"] = (cpu(node) - before) * factor
    return found


def _close(one: Any, other: Any) -> bool:
    if one is None or other is None:
        return one is other
    return math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-9)
