"""Random rows for encoders: every type that one takes, with nulls, extremes and values that repeat."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa

from schemas.encoding import Encoder, encode
from schemas.types import parse_type

ROWS = 10_000
START = datetime(2026, 1, 1, tzinfo=UTC)
STORED = {
    "s": "string",
    "i": "int64",
    "small": "int8",
    "x": "float64",
    "f": "float32",
    "d": "decimal(12,3)",
    "b": "bool",
    "day": "date",
    "at": "timestamp(us)",
    "raw": "bytes",
}
REQUEST = {"device": "string", "amount": "float64", "qty": "int64"}
TYPES: Mapping[str, pa.DataType] = {name: parse_type(text) for name, text in {**STORED, **REQUEST}.items()}
EDGES = [-1e300, -3, 0, 0.1, 2.5, 100, 2**53 + 1, 1e19]
NAN, INFINITY = float("nan"), float("inf")


def encoders(view: str = "v") -> dict[str, Encoder]:
    """Every encoder over every kind of input, by feature."""
    v = f"{view}:"
    made = [
        encode.vocabulary(f"{v}s", size=50, min_count=2),
        encode.vocabulary(f"{v}i", unknown=-1),
        encode.vocabulary(f"{v}b"),
        encode.vocabulary(f"{v}day", default=-7),
        encode.vocabulary(f"{v}at", size=20),
        encode.vocabulary(f"{v}raw", min_count=3),
        encode.one_hot(f"{v}s", size=12),
        encode.one_hot(f"{v}small", min_count=5),
        encode.target_mean(f"{v}s", target="label", size=60),
        encode.target_mean(f"{v}i", target="price", smoothing=0.0, min_count=2),
        encode.standard(f"{v}x"),
        encode.standard(f"{v}f"),
        encode.standard(f"{v}i"),
        encode.standard(f"{v}d", default=0.0),
        encode.standard("amount"),
        encode.min_max(f"{v}x"),
        encode.min_max(f"{v}d", clip=True),
        encode.min_max("qty", clip=True),
        encode.buckets(f"{v}x", edges=EDGES),
        encode.buckets(f"{v}i", edges=EDGES),
        encode.buckets(f"{v}d", edges=EDGES),
        encode.quantiles(f"{v}x", buckets=7),
        encode.quantiles(f"{v}i", buckets=100),
        encode.quantiles("qty", buckets=4),
        encode.cross([f"{v}s", "device"], buckets=997),
        encode.cross(["device", f"{v}i", f"{v}raw", f"{v}day", f"{v}b", f"{v}at"], buckets=1 << 20, name="all"),
        encode.cross([f"{v}b", "device"], size=9, name="b_device"),
        encode.cross([f"{v}s", encode.quantiles(f"{v}x", buckets=3, default=9)], size=40, unknown=-1, name="s_x"),
        encode.one_hot(encode.buckets("amount", edges=[0, 10, 100])),
    ]
    return {encoder.feature_name: encoder for encoder in made}


def rows(seed: int, count: int = ROWS) -> dict[str, list[Any]]:
    """Columns of random values; of `label` and `price` too."""
    chance = random.Random(seed)
    makers: dict[str, Callable[[], Any]] = {
        "s": lambda: chance.choice([f"w{int(chance.expovariate(0.05))}", "", "ä", "日本", "w" * 30]),
        "i": lambda: chance.choice([chance.randint(-20, 20), chance.randint(-20, 20), 2**53 + 1, -(2**63), 2**63 - 1]),
        "small": lambda: chance.randint(-5, 5),
        "x": lambda: chance.choice([chance.gauss(0, 50), round(chance.gauss(0, 3)), 0.1, -0.0, 0.0, 5e-324, 1e150]),
        "f": lambda: chance.choice([chance.uniform(-1, 1), 3.4e38, 1e-40]),
        "d": lambda: Decimal(chance.choice([chance.randint(-(10**9), 10**9), chance.randint(-999, 999)])).scaleb(-3),
        "b": lambda: chance.random() < 0.3,
        "day": lambda: date(2025, 12, 1) + timedelta(days=chance.randint(0, 60)),
        "at": lambda: START + timedelta(microseconds=chance.randint(-30, 30) * 1_000_001),
        "raw": lambda: bytes([chance.randint(0, 3), 255])[: chance.randint(0, 2)],
        "device": lambda: chance.choice(["ios", "android", "web", ""]),
        "amount": lambda: chance.choice([chance.expovariate(0.1), NAN, INFINITY, -INFINITY, 10.0, 100.0]),
        "qty": lambda: chance.randint(0, 3) * chance.randint(0, 3),
        "label": lambda: chance.random() < 0.2,
        "price": lambda: chance.choice([chance.lognormvariate(0, 2), 1e16, -1.0, NAN]),
    }
    columns: dict[str, list[Any]] = {}
    for name, make in makers.items():
        values = [None if chance.random() < 0.06 else make() for _ in range(count)]
        if name == "x":
            values = [chance.choice([NAN, INFINITY, -INFINITY]) if chance.random() < 0.03 else each for each in values]
        # What a column of a narrower type holds is what its values are.
        columns[name] = pa.array(values, TYPES[name]).to_pylist() if name in ("f", "d") else values
    return columns
