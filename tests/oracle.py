"""Naive oracle: every value and status by plain loops over dict rows, exact arithmetic, nothing of the project's own.

A row is a dict of its columns and `_event_time`, `_sequence`, `_arrival` (ints, µs), `_lane` (text), `_offset`,
`_part`, `_deleted`; the rows given are those of one entity. Maps are dicts in the order of their entries. An
approximate operation gives a `Near`, which equals any number within the stated bound.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from fractions import Fraction
from itertools import groupby
from typing import Any

Row = dict[str, Any]
COUNTS = ("count", "unique_count", "bounded_unique_count", "approx_count_distinct")
ORDERED = ("first", "last", "first_k", "last_k")
LEAST = {"mean": 1, "variance": 1, "stddev": 1, "skew": 3, "kurtosis": 4}  # values needed; variances: that many + ddof
OVERFLOW = object()


@dataclass(frozen=True)
class Feature:
    """One feature, times in µs; a latest one has one column and perhaps a ttl. `where` gives True, False or None.

    `expires` names a column (µs) that says from when on a row is too old.
    """

    operation: str
    columns: tuple[str, ...] = ()
    params: dict[str, Any] = field(default_factory=dict)
    window: int | None = None
    hop: int = 1
    offset: int = 0
    by: str | None = None
    where: Callable[[Row], bool | None] | None = None
    default: Any = None
    kind: str = "aggregate"
    ttl: int | None = None
    ties: str = "last"
    expires: str | None = None


@dataclass(frozen=True, eq=False)
class Near:
    """Equal to any number within `error` (relative) plus `slack` (absolute) of one of the targets."""

    targets: tuple[float, ...]
    error: float
    slack: float = 0.0

    def __eq__(self, got: object) -> bool:
        return isinstance(got, (int, float)) and any(
            got == x or abs(got - x) <= self.error * abs(x) + self.slack for x in self.targets
        )


def answer(
    feature: Feature, rows: Sequence[Row] | None, t: int, strict: bool = False, known: str = "event"
) -> tuple[Any, str]:
    """Value and status of a feature at instant t; None instead of rows stands for a null key."""
    if rows is None:
        return feature.default, "NOT_FOUND"
    rows = [row for row in rows if row["_event_time"] < t or (row["_event_time"] == t and not strict)]
    rows = [row for row in rows if known == "event" or row["_arrival"] <= t]
    result, status = (_latest if feature.kind == "latest" else _aggregate)(feature, rows, t)
    return (feature.default if result is None else result), status


def _latest(feature: Feature, rows: list[Row], t: int) -> tuple[Any, str]:
    newest = [row for row in sorted(rows, key=order) if row["_event_time"] == max(r["_event_time"] for r in rows)]
    row = newest[0 if feature.ties == "first" else -1] if newest else None
    if row is None or row["_deleted"]:
        return None, "NOT_FOUND"
    if feature.ttl is not None and t - row["_event_time"] > feature.ttl:
        return None, "OUTSIDE_MAX_AGE"
    if feature.expires is not None and row[feature.expires] is not None and row[feature.expires] <= t:
        return None, "OUTSIDE_MAX_AGE"
    return row[feature.columns[0]], "NULL_VALUE" if row[feature.columns[0]] is None else "PRESENT"


def _aggregate(feature: Feature, rows: list[Row], t: int) -> tuple[Any, str]:
    rows = [row for row in rows if not row["_deleted"]]
    if feature.window is not None:
        start = (t - feature.offset - feature.window) // feature.hop * feature.hop
        end = (t - feature.offset) // feature.hop * feature.hop - 1 if feature.offset else t
        rows = [row for row in rows if start <= row["_event_time"] <= end]
    elif not rows and (feature.operation not in COUNTS or feature.by):
        return None, "NOT_FOUND"
    rows = [row for row in rows if feature.where is None or feature.where(row)]
    result, overflow = value(feature.operation, rows, feature.params, feature.columns, feature.by)
    return result, "OVERFLOW" if overflow else "NULL_VALUE" if result is None else "PRESENT"


def order(row: Row) -> tuple[Any, ...]:
    """Place of a row in the total order of rows."""
    sequence = -math.inf if row["_sequence"] is None else row["_sequence"]
    source, kind, log, number = re.findall("(.+)/([a-z]+)-(.+)/([0-9]+)", row["_lane"])[0]
    return row["_event_time"], sequence, row["_arrival"], (source, kind, int(number), log), row["_offset"], row["_part"]


def value(
    operation: str, rows: Sequence[Row], params: dict[str, Any], columns: Sequence[str], by: str | None = None
) -> tuple[Any, bool]:
    """Value of an operation over rows, and whether a result (that of any bucket) does not fit its type."""
    if by is not None:
        bucketed = sorted((row for row in rows if row[by] is not None), key=lambda row: rank(row[by]))
        buckets = [list(same) for _, same in groupby(bucketed, lambda row: rank(row[by]))]
        found = [(text(bucket[0][by]), *value(operation, bucket, params, columns)) for bucket in buckets]
        shown = {name: inner for name, inner, _ in found} if 0 < len(found) <= params.get("limit", 10_000) else None
        return shown, shown is not None and any(overflow for _, _, overflow in found)
    values: list[Any] = []
    for row in sorted(rows, key=order):
        items = {column: row[column] for column in columns}
        item = items if len(items) > 1 else row[columns[0]] if items else row
        if item is not None or (operation in ORDERED and params.get("keep_null")):
            values.append(item)
    if not values:
        return (0 if operation in COUNTS else None), False
    result = len(values) if operation == "count" else _plain(operation, values, params)
    return (None, True) if result is OVERFLOW else (result, False)


def _plain(operation: str, values: list[Any], params: dict[str, Any]) -> Any:
    k, limit = params.get("k"), params.get("limit", 10_000)
    if operation in ORDERED:
        return {"first": values[0], "last": values[-1], "first_k": values[:k], "last_k": values[::-1][:k]}[operation]
    if operation == "sum":
        return _sum(values)
    if operation in LEAST:
        return _moment(operation, values, params.get("ddof", 1))
    ascending = [v + 0.0 if isinstance(v, float) else v for v in sorted(values, key=rank)]
    if operation == "approx_percentile":
        numbers = [float(v) for v in ascending if v == v]
        return _percentile(numbers, params["q"], params.get("error", 0.01)) if numbers else None
    alike = [list(same) for _, same in groupby(ascending, rank)]
    frequent = sorted(alike, key=len, reverse=True)[:k]
    return {
        "min": ascending[0],
        "max": ascending[-1],
        "top_k": ascending[::-1][:k],
        "bottom_k": ascending[:k],
        "unique_count": len(alike) if len(alike) <= limit else None,
        "bounded_unique_count": min(len(alike), k or 0),
        "histogram": {text(same[0]): len(same) for same in frequent} if len(alike) <= limit else None,
        "approx_count_distinct": Near((len(alike),), 6 * 1.04 / math.sqrt(2 ** params.get("p", 12)), slack=3),
    }[operation]


def _sum(values: list[Any]) -> Any:
    if isinstance(values[0], float):
        return sum(v for v in values if not math.isfinite(v)) or _float(sum(Fraction(v) for v in values))
    total = sum(Fraction(v) for v in values)
    if not isinstance(values[0], Decimal):
        return int(total) if -(2**63) <= total < 2**63 else OVERFLOW
    scale = -int(values[0].as_tuple().exponent)
    return Decimal(f"{int(total * 10**scale)}e-{scale}") if abs(total * 10**scale) < 10**38 else OVERFLOW


def _moment(operation: str, values: list[Any], ddof: int) -> float | None:
    n = len(values)
    if n < LEAST[operation] + (ddof if operation in ("variance", "stddev") else 0):
        return None
    if isinstance(values[0], float) and not all(math.isfinite(v) for v in values):
        return sum(v for v in values if not math.isfinite(v)) if operation == "mean" else math.nan
    mean = sum((Fraction(v) for v in values), Fraction()) / n
    second, third, fourth = (sum(((Fraction(v) - mean) ** power for v in values), Fraction()) for power in (2, 3, 4))
    if operation in ("mean", "variance"):
        return _float(mean if operation == "mean" else second / (n - ddof))
    if operation == "stddev":
        return math.sqrt(_float(second / (n - ddof)))
    m2, m3, m4 = _float(second / n), _float(third / n), _float(fourth / n)
    if m2 == 0:
        return None
    return _divide(m3, m2 * math.sqrt(m2)) if operation == "skew" else _divide(m4, m2 * m2) - 3


def _percentile(ascending: list[float], q: Any, error: float) -> Any:
    if isinstance(q, (list, tuple)):
        return [_percentile(ascending, one, error) for one in q]
    place = Fraction(q) * (len(ascending) - 1)
    return Near((ascending[math.floor(place)], ascending[math.ceil(place)]), error * (1 + 1e-9), slack=5e-324)


def _float(exact: Fraction | int) -> float:
    try:
        return float(exact)
    except OverflowError:
        return math.inf if exact > 0 else -math.inf


def _divide(a: float, b: float) -> float:
    return a / b if b else math.nan if a == 0 or a != a else math.copysign(math.inf, a)


def rank(v: Any) -> tuple[bool, Any]:
    """Sort key: NaN above every number and equal to itself, -0.0 equal to 0.0."""
    return (True, 0) if v != v else (False, v)


def text(v: Any) -> str:
    """Text of a value as the key of a map."""
    if isinstance(v, (bool, float)):
        return repr(v + 0.0) if isinstance(v, float) else str(v).lower()
    if isinstance(v, bytes):
        return v.hex()
    return v.isoformat().replace("+00:00", "Z") if isinstance(v, date) else str(v)
