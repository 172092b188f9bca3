"""A plain DuckDB script for training sets: ASOF JOIN on the last row of each time, window aggregates by range."""

from __future__ import annotations

import duckdb
import pyarrow as pa

from bench.as_of_case import LATEST, ORDER, WINDOWS, files, spine

PERIODS = ("1 HOUR", "24 HOURS", "7 DAYS")


def join(folder: str, what: str, threads: int) -> pa.Table:
    """Features of the spine, in its order."""
    connection = duckdb.connect()
    connection.sql(f"SET threads = {threads}")
    connection.sql(f"CREATE VIEW r AS SELECT * FROM read_parquet({files(folder)})")
    connection.sql(f"CREATE VIEW s AS SELECT *, row_number() OVER () AS i FROM '{spine(folder)}'")
    if what == "latest":
        place = f"row({', '.join(ORDER[1:])})"
        values = ", ".join(f"{name} := {name}" for name in LATEST)
        newest = f"SELECT user_id, _event_time, arg_max(struct_pack({values}), {place}) AS v FROM r GROUP BY ALL"
        return connection.sql(
            f"WITH n AS ({newest}) SELECT s.*, unnest(n.v) FROM s"
            " ASOF LEFT JOIN n ON s.user_id = n.user_id AND s.t >= n._event_time ORDER BY i"
        ).to_arrow_table()
    frames = ", ".join(
        f"w{window} AS (PARTITION BY user_id ORDER BY t RANGE BETWEEN INTERVAL {period} PRECEDING AND CURRENT ROW)"
        for window, period in zip(WINDOWS, PERIODS, strict=True)
    )
    values = ", ".join(
        f"{name}(amount) OVER w{window} AS {name}_{window}"
        for name in ("count", "sum", "avg", "max")
        for window in WINDOWS
    )
    both = "SELECT user_id, _event_time AS t, amount, NULL AS i FROM r UNION ALL SELECT user_id, t, NULL, i FROM s"
    return connection.sql(
        f"SELECT * FROM (SELECT i, user_id, t, {values} FROM ({both}) WINDOW {frames}) WHERE i IS NOT NULL ORDER BY i"
    ).to_arrow_table()
