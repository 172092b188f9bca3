"""Feast's side of the benches, run by the interpreter of the environment that has Feast (see `bench.feast`).

One view of ten float features of an entity `user_id`, over a Parquet file; SQLite online, DuckDB or dask offline.
"""

from __future__ import annotations

import json
import os
import statistics
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pandas as pd
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, PushSource, RepoConfig, ValueType  # type: ignore[import-not-found]
from feast.types import Float64  # type: ignore[import-not-found]

from bench.measuring import Stopwatch

FEATURES = [f"f{number}" for number in range(10)]
AGE = timedelta(days=3650)
REPOSITORY = """\
project: bench
provider: local
registry: registry.db
offline_store: {type: duckdb}
entity_key_serialization_version: 3
"""


def applied(file: str, folder: str, engine: str) -> Any:
    """A feature store in a folder, with the view applied."""
    os.environ["FEAST_USAGE"] = "False"
    place = Path(folder)
    place.mkdir(parents=True, exist_ok=True)
    config = RepoConfig(
        project="bench",
        provider="local",
        registry=str(place / "registry.db"),
        online_store={"type": "sqlite", "path": str(place / "online.db")},
        offline_store={"type": engine},
        entity_key_serialization_version=3,
    )
    store = FeatureStore(config=config)
    user = Entity(name="user", join_keys=["user_id"], value_type=ValueType.INT64)
    source = FileSource(name="profiles", path=file, timestamp_field="ts")
    fields = [Field(name=name, dtype=Float64) for name in FEATURES]
    store.apply([user, FeatureView(name="profile", entities=[user], ttl=AGE, schema=fields, source=source)])
    return store


def materialize(file: str, folder: str, engine: str) -> dict[str, float]:
    """Fills the online store with the newest row of every entity."""
    store = applied(file, folder, engine)
    times = pd.read_parquet(file, columns=["ts"])["ts"]
    with Stopwatch() as watch:
        store.materialize(times.min() - AGE / 2, times.max() + timedelta(seconds=1))
    return watch.to_json()


def prepare(file: str, folder: str, cassandra: dict[str, Any] | None = None) -> dict[str, float]:
    """A repository that `feast serve` serves, with two views of the newest row of every entity in its online store.

    The view of ten features, `profile`, can be pushed to by a push source named `pushed`.

    Args:
        file: of the rows.
        folder: that is made.
        cassandra: port, keyspace and datacenter of the node that is its online store; None for SQLite.
    """
    os.environ["FEAST_USAGE"] = "False"
    place = Path(folder)
    place.mkdir(parents=True)
    online: dict[str, Any] = {"type": "sqlite", "path": "online.db"}
    if cassandra is not None:
        online = {"type": "cassandra", "hosts": ["127.0.0.1"], "protocol_version": 5}
        online |= {name: cassandra[name] for name in ("port", "keyspace")}
        policy = "TokenAwarePolicy(DCAwareRoundRobinPolicy)"
        online["load_balancing"] = {"local_dc": cassandra["datacenter"], "load_balancing_policy": policy}
    (place / "feature_store.yaml").write_text(REPOSITORY + f"online_store: {json.dumps(online)}\n", encoding="utf-8")
    store = FeatureStore(repo_path=folder)
    user = Entity(name="user", join_keys=["user_id"], value_type=ValueType.INT64)
    source = FileSource(name="profiles", path=file, timestamp_field="ts")
    pushed = PushSource(name="pushed", batch_source=source)
    windows = [f"w{number}" for number in range(12)]
    views = [
        FeatureView(
            name=name,
            entities=[user],
            ttl=AGE,
            schema=[Field(name=column, dtype=Float64) for column in columns],
            source=fed,
        )
        for name, columns, fed in (("profile", FEATURES, pushed), ("windows", windows, source))
    ]
    store.apply([user, *views])
    times = pd.read_parquet(file, columns=["ts"])["ts"]
    with Stopwatch() as watch:
        names = [view.name for view in views]
        store.materialize(times.min() - timedelta(days=1), times.max() + timedelta(seconds=1), names)
    return watch.to_json()


def read(file: str, folder: str, engine: str, keys: str) -> dict[str, float]:
    """Median seconds of a call for ten features of some keys, over the lists of keys in a JSON file."""
    lists = json.loads(Path(keys).read_text(encoding="utf-8"))
    store, features = applied(file, folder, engine), [f"profile:{name}" for name in FEATURES]
    found = store.get_online_features(features, [{"user_id": key} for key in lists[0]]).to_dict()
    if any(value is None for value in found["f0"]):
        raise RuntimeError("features of known keys are missing")
    taken = []
    for some in lists:
        rows = [{"user_id": key} for key in some]
        begun = time.perf_counter()
        store.get_online_features(features, rows).to_dict()
        taken.append(time.perf_counter() - begun)
    return {"seconds": statistics.median(taken)}


def history(file: str, spine: str, folder: str, engine: str) -> dict[str, float]:
    """Ten features as of every row of a spine (Parquet: user_id, event_timestamp)."""
    store, asked = applied(file, folder, engine), pd.read_parquet(spine)
    with Stopwatch() as watch:
        table = store.get_historical_features(asked, [f"profile:{name}" for name in FEATURES]).to_arrow()
    values = table.column("f0")
    present = len(values) - values.null_count
    return watch.to_json() | {"rows": table.num_rows, "present": present, "checksum": float(sum_of(values))}


def sum_of(values: Any) -> float:
    """Sum of a column that may hold nulls."""
    return float(values.to_pandas().sum())
