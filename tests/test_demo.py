"""The demo on a fortieth of the flights: the same code, its report checked against the data itself."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from examples.flights.demo import CUTOVER, main
from examples.flights.nyc import read_year

ROOT = Path(__file__).resolve().parent.parent
EVERY = 40


def test_the_demo_reports_what_is_so(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    command = [sys.executable, "-m", "examples.flights.demo", "--project", str(folder)]
    done = subprocess.run(
        [*command, "--every", str(EVERY), "--pause", "0"], cwd=ROOT, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    report = json.loads((folder / "report.json").read_text())
    year = read_year(EVERY)
    rows = report["offline_rows"]
    history = year.flights.filter(pl.col("departed") < CUTOVER), year.weather.filter(pl.col("observed") < CUTOVER)
    assert report["events"]["files"] == sum(map(len, history))
    assert sum(report["events"].values()) == len(year.flights) + len(year.weather)
    assert rows["events/flights"] == len(year.flights)
    assert rows["events/weather"] == len(year.weather)
    assert report["online"] == dict(year.flights["origin"].value_counts().iter_rows())
    known = {name.split("/")[1]: count for name, count in rows.items() if name.startswith("rows/")}
    assert known == {
        "airport_delays": len(year.flights),
        "airport_weather": len(year.weather),
        "carrier_delays": len(year.flights),
        "plane_delays": year.flights["tailnum"].count(),
    }
    assert report["dead_letters"] == 0
    assert report["late"] > 0
    spine = year.spine.filter(pl.col("asked") >= CUTOVER)
    assert report["training"]["rows"] == len(spine)
    keys = spine.select("carrier", "tailnum", "origin").unique()
    assert report["skew"]["values"] >= len(keys) * report["training"]["features"]
    assert (report["skew"]["differing"], report["audit"]["differing"]) == (0, 0)
    assert report["audit"]["values"] > report["skew"]["values"]
    assert report["freshness"]["probes"] == 19
    assert 0 < report["freshness"]["p50"] <= report["freshness"]["max"]
    assert report["throughput"]["files"] > 0
    assert f"0 of {report['skew']['values']:,} values served differ from training" in done.stdout
    assert f"{len(spine):,} rows of {report['training']['features']} features" in done.stdout
    check_training(pq.read_table(folder / "december.parquet"), spine, year.flights)


def check_training(training: pa.Table, spine: pl.DataFrame, flights: pl.DataFrame) -> None:
    """Compares some columns with plain loops over the events."""
    assert pl.DataFrame(pl.from_arrow(training.select(spine.columns))).equals(spine)
    for row in training.take(list(range(0, len(spine), 11))).to_pylist(maps_as_pydicts="strict"):
        mine = flights.filter(pl.col("origin") == row["origin"], pl.col("departed") <= row["asked"])
        assert row["airport_delays__flights"] == len(mine)
        tail = row["asked"] - timedelta(hours=24)
        day = mine.filter(pl.col("departed") >= tail.replace(minute=0))
        assert row["airport_delays__count_24h"] == len(day)
        delays = day["dep_delay"].drop_nulls().to_list()
        assert row["airport_delays__dep_delay_mean_24h"] == (sum(delays) / len(delays) if delays else None)
        by = row["airport_delays__count_24h_by_dest"] or {}
        assert by == dict(day["dest"].value_counts().iter_rows())
        planes = flights.filter(
            pl.col("tailnum") == pl.lit(row["tailnum"], pl.String), pl.col("departed") <= row["asked"]
        )
        last = planes.sort("departed", maintain_order=True)["dest"].to_list()[-1:-4:-1]
        assert row["plane_delays__dest_last_k3"] == (last or None)


def test_the_demo_leaves_other_folders_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    monkeypatch.setattr(sys, "argv", ["demo", "--project", str(tmp_path)])
    with pytest.raises(SystemExit, match="holds something else; name another folder with --project"):
        main()
    assert (tmp_path / "mine.txt").read_text() == "mine"
