"""Generated cases of the parity test: a definitions file, its events, and what the oracle needs to know of both.

Every piece of a definition that has SQL or polars in it is paired here with a plain Python function that says the same.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

import schemas.state
from tests.oracle import Feature, Row

SECOND, MINUTE, HOUR, DAY = 10**6, 60 * 10**6, 3600 * 10**6, 86400 * 10**6
START = 1_780_000_000 * SECOND
HOPS = [1, 5, 10, 50, 100, 500]
LADDER = [n * 1000 for n in HOPS] + [n * SECOND for n in (1, 5, 15)] + [n * MINUTE for n in (1, 5, 15)]
LADDER += [HOUR, 6 * HOUR, DAY, 7 * DAY, 30 * DAY]
WINDOWS = {"5s": 5 * SECOND, "90s": 90 * SECOND, "1h": HOUR, "24h": DAY, "7d": 7 * DAY, "90d": 90 * DAY}
BAD = object()

FIELDS = {
    "k": "int64",
    "g": "string",
    "ts": "timestamp(us)",
    "seq": "int64",
    "x": "float64",
    "f": "float32",
    "i": "int64",
    "n": "int32",
    "s": "string",
    "b": "bool",
    "d": "decimal(12,2)",
}
FLOATS = [0.0, -0.0, 1.5, -2.25, 0.1, 0.2, 0.30000000000000004, 1e300, -1e300, 5e-324, 3.0, 7.0]
ODD_FLOATS = [math.nan, math.inf, -math.inf]
INTS = [0, 1, -1, 7, 2**63 - 1, -(2**63), 2**62, 12]
TEXTS = ["a", "b", "ä", "日本", "z z", "'q'", "𝄞", "A"]

PRELUDE = """
import polars as pl

from twinbeam import Entity, FeatureService, FeatureView, Source, agg, latest

FACTOR = 0.5


def halved(frame):
    return frame.with_columns(w=pl.col("x") * FACTOR).filter(pl.col("b").is_not_null())
"""


@dataclass
class Case:
    """One generated case.

    Attributes:
        seed: that it was made from.
        definitions: text of `features.py`, with `{files}` and `{topic}` lines to be filled in per source.
        sources: names of the sources.
        events: source -> events as plain dicts, in the order of publication.
        keys: key columns of the entity.
        views: view -> what the oracle needs.
        roles: address prefix -> (view, key columns of the spine).
        derived: address -> function of the values of the other addresses.
        lists: whether an event has a list column.
    """

    seed: int
    definitions: str
    sources: list[str]
    events: dict[str, list[dict[str, Any]]]
    keys: list[str]
    views: dict[str, View] = field(default_factory=dict)
    roles: dict[str, tuple[str, dict[str, str]]] = field(default_factory=dict)
    derived: dict[str, tuple[list[str], Callable[..., Any]]] = field(default_factory=dict)
    lists: bool = False
    _rows: dict[str, dict[tuple[Any, ...], list[Row]]] = field(default_factory=dict)

    def rows(self, view: str) -> dict[tuple[Any, ...], list[Row]]:
        """Rows of a view by entity key."""
        if view not in self._rows:
            self._rows[view] = self.views[view].rows(self.events, self.keys)
        return self._rows[view]

    def without_failures(self) -> Case:
        """The case without the events that a view fails on."""
        kept = {
            source: [
                e for e in events if all(v.rules(e) is not None for v in self.views.values() if source in v.sources)
            ]
            for source, events in self.events.items()
        }
        return replace(self, events=kept, _rows={})


@dataclass
class View:
    """What the oracle needs of one view; `rules` gives the rows of an event, None if it fails."""

    sources: list[str]
    rules: Callable[[dict[str, Any]], list[dict[str, Any]] | None]
    features: dict[str, Feature]

    def rows(self, events: dict[str, list[dict[str, Any]]], keys: list[str]) -> dict[tuple[Any, ...], list[Row]]:
        """Rows by entity key."""
        found: dict[tuple[Any, ...], list[Row]] = {}
        for source in self.sources:
            for offset, event in enumerate(events[source]):
                for part, row in enumerate(self.rules(event) or ()):
                    key = tuple(row[name] for name in keys)
                    if None in key:
                        continue
                    system = {"_event_time": row["ts"], "_sequence": row["seq"], "_arrival": row["ts"]}
                    system |= {
                        "_lane": "s/files-0/0",
                        "_offset": offset,
                        "_part": row.pop("_part", part),
                        "_deleted": False,
                    }
                    found.setdefault(key, []).append(row | system)
        return found


def greater(left: Any, right: float) -> bool | None:
    """SQL's `left > right`: null for null, NaN above every number."""
    return None if left is None else left != left or left > right


WHERES: list[tuple[str | None, Callable[[dict[str, Any]], bool | None]]] = [
    (None, lambda row: True),
    ("b", lambda row: row["b"]),
    ("s = 'a' OR i > 0", lambda row: row["s"] == "a" or (row["i"] is not None and row["i"] > 0)),
    ("x > 0 AND n IS NOT NULL", lambda row: bool(greater(row["x"], 0)) and row["n"] is not None),
    ("s IN ('a', 'ä', '日本')", lambda row: row["s"] in ("a", "ä", "日本")),
    ("NOT (n BETWEEN 0 AND 5)", lambda row: row["n"] is not None and not 0 <= row["n"] <= 5),
]


def _plus_one(row: dict[str, Any]) -> Any:
    return None if row["i"] is None else BAD if row["i"] == 2**63 - 1 else row["i"] + 1


SELECTS: list[tuple[str, str, str, Callable[[dict[str, Any]], Any]]] = [
    ("y", "float64", "x * 2", lambda row: None if row["x"] is None else row["x"] * 2),
    ("z", "float64", "COALESCE(x, 0.25)", lambda row: 0.25 if row["x"] is None else row["x"]),
    ("p", "int64", "i + 1", _plus_one),
    ("m", "string", "s || '!'", lambda row: None if row["s"] is None else row["s"] + "!"),
    ("q", "int64", "CASE WHEN x > 0 THEN 1 ELSE n END", lambda row: 1 if greater(row["x"], 0) else row["n"]),
]

NUMERIC = {"x": "float64", "f": "float32", "i": "int64", "n": "int32", "d": "decimal", "b": "bool"}


def make_case(seed: int) -> Case:
    """Case number `seed`."""
    rng = random.Random(seed)
    composite, two_sources, listed = rng.random() < 0.4, rng.random() < 0.3, rng.random() < 0.3
    keys = ["k", "g"] if composite else [rng.choice(["k", "g"])]
    sources = ["s1", "s2"] if two_sources else ["s1"]
    fields = dict(FIELDS) | ({"items": "list<int64>"} if listed else {})
    text = [PRELUDE]
    key_text = ", ".join(f'"{key}": "{FIELDS[key]}"' for key in keys)
    text.append(f'thing = Entity("thing", keys={{{key_text}}})')
    for source in sources:
        text.append(
            f'{source} = Source("{source}", fields={fields!r}, event_time="ts", sequence="seq", {{{source}}})'.replace(
                f"{{{source}}}", f"@{source}@"
            )
        )
    events = _events(rng, sources, listed)
    case = Case(seed, "", sources, events, keys, lists=listed)
    for number in range(rng.choice([1, 1, 2])):
        text.append(_view(rng, case, f"v{number}", listed, two_sources))
    if rng.random() < 0.4:
        renamed = {key: f"other_{key}" for key in keys}
        arguments = ", ".join(f'{key}="{column}"' for key, column in renamed.items())
        text.append(f'seller = v0.alias("seller", {arguments})')
        case.roles["seller"] = ("v0", renamed)
    asked = ["v0", *(["v1"] if "v1" in case.views else []), *(["seller"] if "seller" in case.roles else [])]
    text.append(f'everything = FeatureService("everything", features=[{", ".join(asked)}])')
    case.definitions = "\n".join(text)
    return case


def _events(rng: random.Random, sources: list[str], listed: bool) -> dict[str, list[dict[str, Any]]]:
    """Events over some span, with equal times, nulls, odd floats, in a shuffled order, some published twice."""
    span = rng.choice([60 * SECOND, 3 * HOUR, 40 * DAY, 400 * DAY])
    count, odd = rng.choice([15, 60, 150]), rng.random() < 0.4
    times = [START + rng.randrange(span) for _ in range(max(3, count // 2))]
    events: dict[str, list[dict[str, Any]]] = {source: [] for source in sources}
    for number in range(1, count + 1):
        event: dict[str, Any] = {
            "k": rng.choice([1, 2, 3, -5, 2**62, None] if rng.random() < 0.3 else [1, 2, 3]),
            "g": rng.choice(["u", "ünï", "日"]),
            "ts": rng.choice(times),
            "seq": number,
            "x": rng.choice(FLOATS + ODD_FLOATS) if odd else rng.choice(FLOATS[:7]),
            "f": rng.choice([0.5, -1.25, 3.0]),
            "i": rng.choice(INTS if rng.random() < 0.3 else INTS[:4]),
            "n": rng.randrange(-3, 9),
            "s": rng.choice(TEXTS),
            "b": rng.random() < 0.5,
            "d": Decimal(rng.randrange(-(10**5), 10**5)).scaleb(-2),
        }
        if listed:
            event["items"] = rng.choice([None, [], [1], [3, 2, 3], [None, 5]])
        for name in ("x", "f", "i", "n", "s", "b", "d"):
            if rng.random() < 0.12:
                event[name] = None
        events[rng.choice(sources)].append(event)
    for some in events.values() if rng.random() < 0.3 else ():
        for event in rng.sample(some, len(some) // 6):
            some.insert(rng.randrange(len(some) + 1), dict(event))
    return events


def _view(rng: random.Random, case: Case, name: str, listed: bool, two_sources: bool) -> str:
    select = rng.sample(SELECTS, rng.choice([0, 1, 2]))
    transformed, exploded = rng.random() < 0.35, listed and rng.random() < 0.6
    where, keeps = rng.choice(WHERES)
    columns = dict(NUMERIC) | {"s": "string"} | {column: kind for column, kind, _, _ in select}
    columns |= ({"w": "float64"} if transformed else {}) | ({"items": "int64"} if exploded else {})
    sources = case.sources if two_sources and rng.random() < 0.7 else [case.sources[0]]

    def rules(event: dict[str, Any]) -> list[dict[str, Any]] | None:
        row = dict(event)
        if transformed:
            if row["b"] is None:
                return []
            row["w"] = None if row["x"] is None else row["x"] * 0.5
        parts = (
            [row | {"items": item, "_part": at} for at, item in enumerate(row["items"] or [])] if exploded else [row]
        )
        done = []
        for part in parts:
            chosen = {column: compute(part) for column, _, _, compute in select}
            if BAD in chosen.values():
                return None
            part = part | chosen
            if keeps(part):
                done.append(part)
        return done

    features: dict[str, Feature] = {}
    lines: list[str] = []
    for _ in range(rng.randrange(3, 8)):
        lines.append(_aggregation(rng, columns, features))
    if rng.random() < 0.6:
        column, ttl = rng.choice(list(columns)), None
        default = rng.random() < 0.2 and column in ("x", "w", "y")
        lines.append(f'latest("{column}"{", default=-1.0" if default else ""})')
        ttl = rng.choice([None, "1h", "30d"])
        features[column] = Feature(
            "latest",
            (column,),
            kind="latest",
            ttl={"1h": HOUR, "30d": 30 * DAY}.get(ttl or ""),
            default=-1.0 if default else None,
        )
    else:
        ttl = None
    options = [f"where={where!r}"] if where else []
    if select:
        options.append(f"select={ {column: sql for column, _, sql, _ in select}!r}")
    if transformed:
        options.append('transform=halved, returns={"w": "float64"}')
    if exploded:
        options.append('explode="items"')
    if ttl:
        options.append(f"ttl={ttl!r}")
    numbers = [n for n, f in features.items() if f.operation == "count" and f.by is None]
    if len(numbers) >= 2 and rng.random() < 0.8:
        left, right = numbers[:2]
        options.append(f"derive={{'ratio': '{left} / NULLIF({right}, 0)'}}")
        case.derived[f"{name}:ratio"] = ([left, right], lambda a, b: None if not b else a / b)
    case.views[name] = View(sources, rules, features)
    case.roles[name] = (name, {key: key for key in case.keys})
    source = sources[0] if len(sources) == 1 else f"[{', '.join(sources)}]"
    feature_text = ",\n    ".join(lines)
    lines = [f"features=[\n    {feature_text},\n]"]
    arguments = ", ".join([f'"{name}"', "entity=thing", f"source={source}", *options, *lines])
    return f"{name} = FeatureView({arguments})"


def _aggregation(rng: random.Random, columns: dict[str, str], features: dict[str, Feature]) -> str:
    """Text of one aggregation; adds its features."""
    numeric = [name for name, kind in columns.items() if kind != "string"]
    floats = [name for name, kind in columns.items() if kind in ("float64", "float32", "int64", "int32")]
    anything = list(columns)
    operation = rng.choice(OPERATIONS)
    params: dict[str, Any] = {}
    chosen: tuple[str, ...]
    if operation in ("sum", "mean"):
        chosen = (rng.choice(numeric),)
    elif operation in ("variance", "stddev", "skew", "kurtosis", "approx_percentile"):
        chosen = (rng.choice(floats),)
    elif operation == "count":
        chosen = rng.choice([(), (rng.choice(anything),)])
    elif operation in ("first_k", "last_k") and rng.random() < 0.3:
        chosen = tuple(rng.sample(anything, 2))
    else:
        chosen = (rng.choice(anything),)
    if operation in ("first_k", "last_k", "top_k", "bottom_k", "bounded_unique_count"):
        params["k"] = rng.choice([1, 2, 5])
    if operation == "histogram" and rng.random() < 0.5:
        params["k"] = 2
    if operation in ("variance", "stddev"):
        params["ddof"] = rng.choice([0, 1])
    if operation == "approx_percentile":
        params["q"] = rng.choice([0.5, 0.9])
    if operation in ("first", "last", "first_k", "last_k") and len(chosen) == 1 and rng.random() < 0.3:
        params["keep_null"] = True
    by = rng.choice([None, None, None, "s", "n", "b"])
    limit = rng.choice([None, None, 3]) if operation in ("unique_count", "histogram") or by else None
    if limit:
        params["limit"] = limit
    where, keeps = rng.choice(WHERES) if rng.random() < 0.3 else (None, None)
    windows = rng.sample(list(WINDOWS), rng.choice([1, 2])) if rng.random() < 0.8 else []
    offset = rng.choice(["1h", "24h"]) if windows and rng.random() < 0.25 else None
    hop = "1s" if windows and all(WINDOWS[w] <= 90 * SECOND for w in windows) and rng.random() < 0.5 else None
    name = None
    if where:
        name = f"only{len(features)}" + ("_{window}" if len(windows) > 1 else "")
    parts = [repr(chosen[0] if len(chosen) == 1 else list(chosen))] if chosen else []
    parts += [f"{key}={value!r}" for key, value in params.items()]
    parts += [f"over={windows!r}"] if windows else []
    parts += [f"{key}={value!r}" for key, value in (("offset", offset), ("hop", hop), ("by", by)) if value]
    parts += [f"where={where!r}, name={name!r}"] if where else []
    new: dict[str, Feature] = {}
    choices: list[str | None] = [*windows] if windows else [None]
    for window in choices:
        length = WINDOWS[window] if window else None
        fitting = [step for step in LADDER if length and step * 12 <= length]
        step = SECOND if hop else (fitting[-1] if fitting else 1)
        stem = "_".join([*chosen, operation + str(params.get("k", ""))])
        tail = [window, f"offset_{offset}" if offset else None, f"by_{by}" if by else None]
        full = "_".join([stem, *(part for part in tail if part)])
        label = name.replace("{window}", window or "") if name else full
        shift = WINDOWS[offset] if offset else 0
        new[label] = Feature(operation, chosen, params, length, step, shift, by, keeps)
    if any(label.lower() in {other.lower() for other in features} for label in new):
        return _aggregation(rng, columns, features)
    features |= new
    return f"agg.{operation}({', '.join(parts)})"


OPERATIONS = [*schemas.state.OPERATIONS, "count", "sum"]
