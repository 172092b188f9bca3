"""What runs wrote is read by engines that are not ours: polars, pandas, DuckDB and Spark, after a compaction too.

Polars and Spark read the tables by their log; DuckDB and pandas read the files that the log names, since DuckDB's own
reader of Delta tables is an extension that it downloads.
"""

from __future__ import annotations

import base64
import json
import math
import subprocess
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable

from pipelines.commands.main import main
from pipelines.dev.artifacts import java, resolve
from pipelines.platform import Platform
from serving.tables import dead_table, events_table, rows_table
from tests.servers import require_servers

HERE = Path(__file__).resolve().parent
CUTOVER = datetime(2025, 3, 2, tzinfo=UTC)
FILED, SENT = 40, 40
DEFINITIONS = """
from twinbeam import Entity, FeatureView, Source, agg, latest

user = Entity("user", keys={"user_id": "int64"})
buys = Source(
    "buys",
    fields={"user_id": "int64", "ts": "timestamp(us)", "price": "float64", "kind": "string", "day": "date",
            "amount": "decimal(10,2)", "tags": "list<string>", "place": "struct<name: string, height: float64>",
            "blob": "bytes", "ok": "bool", "counts": "map<string,int64>"},
    event_time="ts", files="data/*.parquet", topic="buys", cutover="2025-03-02T00:00:00Z", encoding="avro",
)
totals = FeatureView("totals", entity=user, source=buys, where="kind != 'gift'", select={"eur": "price * 0.5"},
    features=[agg.sum("eur", over="1h"), agg.count(), latest("kind")])
"""
SCHEMA = pa.schema(
    {
        "user_id": pa.int64(),
        "ts": pa.timestamp("us", "UTC"),
        "price": pa.float64(),
        "kind": pa.string(),
        "day": pa.date32(),
        "amount": pa.decimal128(10, 2),
        "tags": pa.list_(pa.string()),
        "place": pa.struct({"name": pa.string(), "height": pa.float64()}),
        "blob": pa.binary(),
        "ok": pa.bool_(),
        "counts": pa.map_(pa.string(), pa.int64()),
    }
)
COLUMNS = (
    "user_id, unix_micros(ts) AS ts, price, kind, CAST(day AS string) AS day, CAST(amount AS string) AS amount, tags, "
    "place, base64(blob) AS blob, ok, counts"
)
OPENED = ("java.base/java.lang", "java.base/java.nio", "java.base/java.util", "java.base/sun.nio.ch")

Table = tuple[str, pa.Table]
"""Folder of a table, and what it is to hold."""


def event(number: int, start: datetime) -> dict[str, Any]:
    odd = (math.nan, math.inf, -0.0, 0.1 + number, None)[number % 5]
    return {
        "user_id": number % 7 - 3,
        "ts": start + timedelta(minutes=number, microseconds=number),
        "price": odd,
        "kind": ("card", "gift", "Zürich ☃")[number % 3],
        "day": date(1969, 12, 30) + timedelta(days=number),
        "amount": Decimal(number - 20).scaleb(-2),
        "tags": None if number % 4 == 0 else [f"t{number}", None][: number % 3],
        "place": None if number % 4 == 1 else {"name": f"p{number}", "height": odd},
        "blob": bytes(range(number)),
        "ok": (True, False, None)[number % 3],
        "counts": None if number % 4 == 2 else {f"k{number}": number},
    }


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Table]:
    """Tables of a project whose files and topic were read, and whose small files were joined."""
    folder = tmp_path_factory.mktemp("shop")
    (folder / "twinbeam.toml").write_text('project = "shop"\n', encoding="utf-8")
    (folder / "features.py").write_text(DEFINITIONS, encoding="utf-8")
    (folder / "data").mkdir()
    filed = [event(number, CUTOVER - timedelta(days=1)) for number in range(FILED)]
    sent = [event(number, CUTOVER) for number in range(SENT)]
    pq.write_table(pa.Table.from_pylist(filed, SCHEMA), folder / "data" / "one.parquet")
    root = folder / "store" / "offline"
    with Platform.open(folder) as platform:
        platform.apply()
        platform.run_batch()
        for part in (sent[::2], sent[1::2]):
            platform.publish("buys", part)
            platform.publish("buys", [b"no event"])
            platform.run_stream(until="caught_up")
        view = platform.catalog.views["totals"]
        rows = rows_table("totals", view.rows_fingerprint)
    before = set(DeltaTable(root / events_table("buys")).file_uris())
    assert main(["compact", "--project", str(folder)]) == 0
    files = set(DeltaTable(root / events_table("buys")).file_uris())
    assert len(files) < len(before)
    assert all(Path(path).exists() for path in before - files)
    events = pa.Table.from_pylist([*filed, *sent], SCHEMA)
    kept = [each for each in (*filed, *sent) if each["kind"] != "gift"]
    halves = [None if each["price"] is None else each["price"] * 0.5 for each in kept]
    held = pa.table({"user_id": [each["user_id"] for each in kept], "eur": pa.array(halves, pa.float64())})
    return {
        "events": (str(root / events_table("buys")), events),
        "rows": (str(root / rows), held),
        "dead letters": (str(root / dead_table("buys")), pa.table({"value": pa.array([b"no event"] * 2)})),
    }


def by_polars(path: str, columns: list[str]) -> pa.Table:
    return pl.read_delta(path).select(columns).to_arrow()


def by_pandas(path: str, columns: list[str]) -> pa.Table:
    files = DeltaTable(path).file_uris()
    frames = [pd.read_parquet(file, columns=columns, dtype_backend="pyarrow") for file in files]
    return pa.Table.from_pandas(pd.concat(frames), preserve_index=False)


def by_duckdb(path: str, columns: list[str]) -> pa.Table:
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        files = DeltaTable(path).file_uris()
        table: pa.Table = connection.read_parquet(files, union_by_name=True).select(*columns).to_arrow_table()
    return table


@pytest.mark.parametrize("name", ["events", "rows", "dead letters"])
@pytest.mark.parametrize("read", [by_polars, by_pandas, by_duckdb])
def test_an_engine_reads_what_was_written(
    written: dict[str, Table], read: Callable[[str, list[str]], pa.Table], name: str
) -> None:
    path, held = written[name]
    found = read(path, held.column_names)
    assert plain(found.cast(held.schema).to_pylist()) == plain(held.to_pylist())


def test_spark_reads_what_was_written(written: dict[str, Table]) -> None:
    require_servers()
    (events, event_rows), (rows, row_rows), (dead, _) = written.values()
    found = by_spark(
        f"SELECT {COLUMNS} FROM delta.`{events}`",
        f"SELECT user_id, eur FROM delta.`{rows}`",
        f"SELECT CAST(value AS string) AS value, reason IS NOT NULL AS told FROM delta.`{dead}`",
        f"SELECT count(DISTINCT _lane, _offset) AS n FROM delta.`{events}`",
    )
    assert plain(map(from_json, found[0])) == plain(map(to_json, event_rows.to_pylist()))
    assert plain(map(from_json, found[1])) == plain(row_rows.to_pylist())
    assert found[2] == [{"value": "no event", "told": True}] * 2
    assert found[3] == [{"n": FILED + SENT}]


def by_spark(*queries: str) -> list[list[dict[str, Any]]]:
    """Rows of queries, each row as its JSON says it."""
    command = [
        java(),
        "-Xmx512m",
        "-XX:+UseSerialGC",
        "-XX:TieredStopAtLevel=1",
        *(f"--add-opens={each}=ALL-UNNAMED" for each in OPENED),
    ]
    command += ["-cp", f"{resolve(HERE / 'spark_pom.xml')}/*", str(HERE / "SparkRead.java"), *queries]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    found: list[list[dict[str, Any]]] = [[]]
    for line in done.stdout.splitlines():
        if line:
            found[-1].append(json.loads(line))
        else:
            found.append([])
    return found[:-1]


def to_json(row: dict[str, Any]) -> dict[str, Any]:
    """An event as Spark's JSON has it."""
    micros = (row["ts"] - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    counts = None if row["counts"] is None else dict(row["counts"])
    blob = base64.b64encode(row["blob"]).decode()
    return row | {
        "ts": micros,
        "day": str(row["day"]),
        "amount": f"{row['amount']:.2f}",
        "blob": blob,
        "counts": counts,
    }


def from_json(row: dict[str, Any]) -> dict[str, Any]:
    """A row of Spark's JSON with its floats, which JSON has no words for, as floats."""
    row = {
        name: float(value) if name in ("price", "eur") and value is not None else value for name, value in row.items()
    }
    if row.get("place") is not None and row["place"]["height"] is not None:
        row["place"] = row["place"] | {"height": float(row["place"]["height"])}
    if row.get("blob") is not None:
        row["blob"] = "".join(row["blob"].split())
    return row


def plain(rows: Any) -> list[str]:
    """Rows as sorted texts: NaN equals itself, and -0.0 is not 0.0."""
    return sorted(repr(dict(row)) for row in rows)
