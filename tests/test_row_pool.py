"""Rows taken in batch by batch and dealt to parts answer as all rows at once do, and as an oracle in plain Python."""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from schemas.entity import Entity
from schemas.feature_view import FeatureView
from schemas.registry import Registry
from schemas.source import Source
from transforms import line, range_values, row_pool
from transforms.answers import Answer
from transforms.asof import History
from transforms.catalog import Catalog
from transforms.keys import encode_keys
from transforms.row_pool import RowPool
from transforms.view import CompiledView
from twinbeam import agg

TIME = pa.timestamp("us", "UTC")
LANES = ("s/topic-1/0", "s/topic-1/10", "s/topic-1/9")
LATEST = ("x", "kind")
TTL = 20_000_000
COUNTS = {"count_1s": (1_000_000, 50_000), "count_1m": (60_000_000, 5_000_000)}


def view_of(ties: str, kind: str) -> CompiledView:
    """A view with latest features and some aggregates."""
    user = Entity("user", keys={"u": kind})
    fields = {"u": kind, "t": "timestamp(us)", "x": "float64", "n": "int64", "kind": "string"}
    source = Source("s", fields=fields, event_time="t", topic="s", deleted="n = -1")
    every: list[Any] = [
        *LATEST,
        agg.count(over=["1s", "1m"]),
        agg.sum("x", over=["1s", "1m"]),
        agg.mean("n", over="1m"),
        agg.max("x", over=["1s", "1m"]),
        agg.min("kind", over="1m"),
        agg.last_k("kind", k=3, over="1m"),
        agg.sum("x", over="1m", where="kind = 'a'", name="a_sum"),
        agg.unique_count("kind", over="1m"),
    ]
    view = FeatureView("v", entity=user, source=source, features=every, ttl="20s", ties=ties)
    return Catalog.compile(Registry.of([user, source, view])).views["v"]


def rows_of(view: CompiledView, rng: random.Random, count: int) -> pa.Table:
    """Rows of few times and entities, with nulls, tombstones and every kind of tie."""
    text = pa.types.is_string(view.key_types[0])
    keys = [rng.randrange(6) for _ in range(count)]
    columns: dict[str, list[Any]] = {
        "u": [f"u{key}" for key in keys] if text else keys,
        "t": [rng.randrange(40) * 1_000_000 for _ in range(count)],
        "x": [rng.choice([None, 0.1, -2.5, 1e17, float("nan"), rng.gauss(0, 1)]) for _ in range(count)],
        "n": [rng.randrange(-1, 9) for _ in range(count)],
        "kind": [rng.choice([None, "a", "b", "c"]) for _ in range(count)],
        "_lane": [rng.choice(LANES) for _ in range(count)],
        "_offset": rng.sample(range(count), count),
        "_part": [0] * count,
    }
    columns["_arrival"] = [time + rng.randrange(3) * 1_000_000 for time in columns["t"]]
    columns["_event_time"] = columns["t"]
    columns["_deleted"] = [value == -1 for value in columns["n"]]
    return pa.table(
        [
            pa.array(columns[field.name]).cast(field.type) if field.name in columns else pa.nulls(count, field.type)
            for field in view.row_schema
        ],
        schema=view.row_schema,
    )


def pooled(
    view: CompiledView, names: Sequence[str], rows: pa.Table, keys: pa.Array, instants: Any, options: Any, at_once: int
) -> tuple[dict[str, Answer], Any]:
    """Answers of a pool that gets the rows in batches of 16."""
    features = [feature for feature in view.features if feature.name in names]
    strict, known = options
    pool = RowPool(view, features, [keys], instants, strict, known, len(rows), at_once)
    times = rows.column("_event_time").cast(pa.int64()).to_numpy()
    some = rows.filter(pa.array((times >= pool.span[0]) & (times <= pool.span[1]))).select(pool.columns)
    for at, name in enumerate(some.column_names):
        if name in pool.texts:
            some = some.set_column(at, name, some.column(name).dictionary_encode())
    parts = [part for number in range(pool.passes) for part in pool.gather(number, some.to_batches(16))]
    return pool.join(parts)


@pytest.mark.parametrize(("ties", "kind"), [("last", "int64"), ("first", "string")])
@pytest.mark.parametrize("known", ["event", "arrival"])
@pytest.mark.parametrize("bits", [line._BITS, 0])
def test_pools_answer_as_all_rows_at_once(
    monkeypatch: pytest.MonkeyPatch, ties: str, kind: str, known: str, bits: int
) -> None:
    monkeypatch.setattr(row_pool, "FLUSH", 32)
    monkeypatch.setattr(range_values, "LOT", 7)
    view, rng = view_of(ties, kind), random.Random(len(ties + kind + known))
    every = [feature.name for feature in view.features]
    for strict, count, names, at_once in itertools.product((False, True), (0, 64, 300), (LATEST, every), (40, 1000)):
        rows = rows_of(view, rng, count)
        plain = [
            (row["u"], micros(row["_event_time"]), micros(row["_arrival"]))
            for row in rows.to_pylist()
            if not row["_deleted"]
        ]
        asked = [rng.choice([None, 1, 3, 4, 99]) for _ in range(rng.choice([0, 1, 60]))]
        texts = [None if key is None else f"u{key}" for key in asked]
        keys = pa.array(texts if kind == "string" else asked, view.key_types[0])
        instants = np.asarray([rng.randrange(45) * 1_000_000 + rng.randrange(2) for _ in asked], np.int64)
        monkeypatch.setattr(line, "_BITS", bits)  # none: entity and time do not fit one integer
        found, coincident = pooled(view, names, rows, keys, instants, (strict, known), at_once)
        monkeypatch.setattr(line, "_BITS", 62)
        history = History(view, rows, encode_keys([keys]), instants, strict, known)
        assert coincident.tolist() == history.coincident().tolist()
        for feature in view.features:
            if feature.name in COUNTS:
                asked_for = zip(keys.to_pylist(), instants.tolist(), strict=True)
                expected = [counted(plain, key, at, *COUNTS[feature.name], strict, known) for key, at in asked_for]
                assert history.answer(feature).values.to_pylist() == expected
            if feature.name in names:
                whole, parts = history.answer(feature), found[feature.name]
                assert repr(parts.values.to_pylist()) == repr(whole.values.to_pylist()), feature.name
                assert parts.statuses.tolist() == whole.statuses.tolist(), feature.name
                assert parts.times.tolist() == whole.times.tolist(), feature.name


def counted(
    rows: list[tuple[object, int, int]], key: object, instant: int, length: int, hop: int, strict: bool, known: str
) -> int | None:
    """Rows in a window, one by one."""
    if key is None:
        return None
    first, last = (instant - length) // hop * hop, instant - strict
    return sum(
        own == key and first <= time <= last and (known == "event" or arrival <= instant) for own, time, arrival in rows
    )


@pytest.mark.parametrize("ties", ["last", "first"])
def test_the_newest_row_wins(monkeypatch: pytest.MonkeyPatch, ties: str) -> None:
    monkeypatch.setattr(row_pool, "FLUSH", 16)
    view, rng = view_of(ties, "int64"), random.Random(5)
    rows = rows_of(view, rng, 320)
    keys, instants = [rng.randrange(7) for _ in range(60)], [rng.randrange(45) * 1_000_000 for _ in range(60)]
    options = (False, "event")
    found, _ = pooled(view, ["kind"], rows, pa.array(keys), np.asarray(instants), options, 1000)
    lanes = {lane: rank for rank, lane in enumerate((LANES[0], LANES[2], LANES[1]))}
    plain = [
        (row, (micros(row["_arrival"]), lanes[row["_lane"]], row["_offset"]), micros(row["_event_time"]))
        for row in rows.to_pylist()
    ]
    sign = 1 if ties == "last" else -1
    for key, instant, value, status in zip(
        keys, instants, found["kind"].values.to_pylist(), found["kind"].statuses.tolist(), strict=True
    ):
        own = [(time, [sign * part for part in place], row) for row, place, time in plain if row["u"] == key]
        own = [item for item in own if item[0] <= instant]
        newest = max(own, key=lambda item: item[:2], default=None)
        if newest is None or newest[2]["_deleted"]:
            assert (value, status) == (None, 2)
        elif instant - newest[0] > TTL:
            assert (value, status) == (None, 3)
        else:
            assert (value, status) == (newest[2]["kind"], int(newest[2]["kind"] is None))


def micros(time: Any) -> int:
    """µs since the epoch."""
    return int(time.timestamp()) * 1_000_000
