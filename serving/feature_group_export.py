"""Export of a feature group as SageMaker lays out an offline store: Parquet files by the hour of their event time."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import polars as pl

from schemas.feature_group import (
    DELETED,
    FRACTIONAL,
    HARD,
    INVOKED,
    OFFLINE,
    ONLINE,
    STRING,
    TEXTS,
    WRITTEN,
    FeatureGroup,
    GroupFeature,
)
from serving.stores.offline import OfflineStore
from serving.tables import events_table

_SECONDS = "%Y-%m-%dT%H:%M:%S"


def export(offline: OfflineStore, group: FeatureGroup, out: Path) -> tuple[Path, int]:
    """Writes what the offline store holds of a group; what was exported there before is replaced as a whole.

    Args:
        offline: the offline store.
        group: a registered group.
        out: folder; the group's own is made in it.

    Returns:
        The folder of the group's files, and how many rows they hold.
    """
    folder = out / f"{group.name}-{group.created // 1_000}"
    beside, data = folder / "data.new", folder / "data"
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir(parents=True)
    count = 0
    if offline.exists(events_table(group.source)):
        rows = _rows(offline, group)
        count = len(rows)
        for (hour,), part in rows.partition_by("_hour", as_dict=True, maintain_order=True).items():
            _write(beside, hour, part)
    shutil.rmtree(data, ignore_errors=True)
    beside.rename(data)
    return data, count


def identifiers(offline: OfflineStore, group: FeatureGroup) -> Sequence[int | str]:
    """Identifiers of all records that were put online or deleted there, in order; without those deleted hard last."""
    table = events_table(group.source)
    if not offline.exists(table):
        return []
    key, time = pl.col(group.key.column), pl.col(group.time.column)
    if not group.registered:
        return list(offline.scan(table, [group.key.column]).drop_nulls().unique().collect().to_series().sort())
    latest = (
        offline.scan(table, [group.key.column, group.time.column, HARD], pl.col(ONLINE))
        .group_by(key)
        .agg(gone=time.filter(pl.col(HARD)).max(), there=time.filter(~pl.col(HARD)).max())
        .filter(pl.col("there").is_not_null() & (pl.col("gone").is_null() | (pl.col("gone") < pl.col("there"))))
    )
    return list(latest.select(key).collect().to_series().sort())


def _rows(offline: OfflineStore, group: FeatureGroup) -> pl.DataFrame:
    time = pl.col(group.time.column)
    columns = {feature.name: _column(group, feature) for feature in group.features}
    system = {WRITTEN: pl.col("_arrival"), INVOKED: pl.col(INVOKED), DELETED: pl.col(DELETED)}
    return (
        _held(offline, group)
        .filter(pl.col(OFFLINE))
        .select(
            **columns,
            **system,
            _hour=time.dt.truncate("1h"),
            _time=time,
            _place=pl.format("{}/{}", pl.col("_lane"), pl.col("_offset")),
        )
        .sort("_time", "write_time", "_place")
        .collect()
    )


def _held(offline: OfflineStore, group: FeatureGroup) -> pl.LazyFrame:
    """The events of a group; features that were added, and of which none has come yet, are null."""
    rows = offline.scan(events_table(group.source))
    fields = pl.DataFrame(group.view.sources[0].schema.empty_table()).schema
    there = rows.collect_schema().names()
    return rows.with_columns(pl.lit(None, kind).alias(name) for name, kind in fields.items() if name not in there)


def _column(group: FeatureGroup, feature: GroupFeature) -> pl.Expr:
    """A feature as SageMaker has it offline: the event time in the text that was put."""
    column = pl.col(feature.column)
    if feature != group.time:
        return column.cast(pl.Float64) if feature == group.key and feature.kind == FRACTIONAL else column
    if feature.kind != STRING:
        return column.dt.epoch("us") / 1e6
    micros = column.dt.microsecond()
    text = (
        pl.when(micros == 0)
        .then(column.dt.strftime(f"{_SECONDS}Z"))
        .when(micros % 1_000 == 0)
        .then(column.dt.strftime(f"{_SECONDS}%.3fZ"))
        .otherwise(column.dt.strftime(f"{_SECONDS}%.6fZ"))
    )
    return pl.coalesce(pl.col(TEXTS).str.json_path_match(f"$['{feature.name}']"), text)


def _write(folder: Path, hour: datetime, rows: pl.DataFrame) -> None:
    """Writes the rows of one hour; the file's name ends in a digest of which rows they are."""
    place = folder / hour.strftime("year=%Y/month=%m/day=%d/hour=%H")
    place.mkdir(parents=True)
    digest = hashlib.sha256("\n".join(rows["_place"]).encode()).hexdigest()[:16]
    newest = rows["_time"][-1].strftime("%Y%m%dT%H%M%SZ")
    rows.drop("_hour", "_time", "_place").write_parquet(place / f"{newest}_{digest}.parquet")
