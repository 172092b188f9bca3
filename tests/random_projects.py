"""Random projects: sources with fields of random types, views over them, and events with random values."""

from __future__ import annotations

import math
import random
import string
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

from schemas.type_texts import family, members

EAST = timezone(timedelta(hours=5, minutes=45))
FLAT = ("bool", "int8", "int16", "int32", "int64", "float32", "float64", "string", "bytes", "timestamp", "date")
EDGES: Mapping[str, tuple[Any, ...]] = {
    "int64": (-(2**63), 2**63 - 1, 2**53 + 1),
    "float64": (math.nan, math.inf, -math.inf, -0.0, 5e-324, 1e22, 0.1 + 0.2),
    "float32": (math.nan, math.inf, -math.inf, -0.0, 2.0**-149, 16_777_216.0),
    "string": ("", "NaN", "Infinity", 'Zoë \U0001f600\u2028\\"', "null"),
    "bytes": (b"", bytes(range(256))),
    "timestamp": (datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)),
    "date": (date.min, date.max),
}
DEFINITIONS = """\
from twinbeam import Entity, FeatureService, FeatureView, Source, agg, on_demand

user = Entity("user", keys={{"user_id": "int64"}})
place = Entity("place", keys={{"code": "bytes", "day": "date", "name": "string"}})
FIELDS = {fields!r}
things = Source("things", fields={{"user_id": "int64", "ts": "timestamp", **FIELDS}}, event_time="ts", topic="things",
                encoding="json")
heats = Source("heats", event_time="ts", topic="heats", encoding="json", fields={{
    "code": "bytes", "day": "date", "name": "string", "ts": "timestamp", "heat": "float32",
}})
thing = FeatureView("thing", entity=user, source=things, owner="tests", tags={{"tier": "1"}}, features=[
    *FIELDS, agg.count(over="24h"), agg.last_k({first!r}, k=2), agg.unique_count({first!r}, over="1h", name="kinds"),
])
warmth = FeatureView("warmth", entity=place, source=heats, features=["heat", agg.mean("heat", over="24h")])
all_of = FeatureService("all_of", features=[thing])
few = FeatureService("few", features=["thing:count_24h"])


@on_demand(inputs=["thing:count_24h"], request={{"amount": "float64", "word": "string"}},
           returns={{"ratio": "float64", "said": "string"}})
def told(df):
    return df.select(ratio=df["amount"] / df["thing__count_24h"], said=df["word"])
"""


@dataclass(frozen=True)
class RandomProject:
    """A project's definitions, and what makes events of its source `things`.

    Attributes:
        seed: that it was made of.
        fields: type of each field but `user_id` and `ts`.
    """

    seed: int
    fields: Mapping[str, str]

    @staticmethod
    def of(seed: int) -> RandomProject:
        """A project with every flat type, and some nested ones."""
        draw = random.Random(seed)
        kinds = [*FLAT, *(_type(draw, 2) for _ in range(7)), _decimal(draw)]
        draw.shuffle(kinds)
        return RandomProject(seed, {f"f{number}": kind for number, kind in enumerate(kinds)})

    @property
    def definitions(self) -> str:
        """Text of `features.py`."""
        first = next(name for name, kind in self.fields.items() if kind in ("int64", "string", "int32"))
        return DEFINITIONS.format(fields=dict(self.fields), first=first)

    def events(self, users: range, start: datetime) -> list[dict[str, Any]]:
        """Events of some users, one or two of each."""
        draw = random.Random(self.seed + 1)
        return [
            {
                "user_id": user,
                "ts": start + timedelta(seconds=draw.randrange(3_000), microseconds=draw.randrange(10**6)),
                **{name: random_value(draw, kind) for name, kind in self.fields.items()},
            }
            for user in users
            for _ in range(draw.choice((1, 2)))
        ]


def random_value(draw: random.Random, kind: str) -> Any:
    """A value of a type, sometimes null."""
    if draw.random() < 0.1:
        return None
    if kind in EDGES and draw.random() < 0.3:
        return draw.choice(EDGES[kind])
    known, inner = family(kind), members(kind)
    if known == "list":
        return [random_value(draw, inner[0][1]) for _ in range(draw.randrange(4))]
    if known == "map":
        names = draw.sample(["", "a", "b", "10", "ö", "__x"], draw.randrange(4))
        return {name: random_value(draw, inner[0][1]) for name in names}
    if known == "struct":
        return {name: random_value(draw, text) for name, text in inner}
    if known == "decimal":
        precision, scale = map(int, kind[8:-1].split(","))
        number = draw.randrange(-(10**precision) + 1, 10**precision)
        return Decimal(number).scaleb(-scale) if precision <= 28 else Decimal(f"{number}E-{scale}")
    return _flat(draw, kind)


def _flat(draw: random.Random, kind: str) -> Any:
    if kind == "bool":
        return draw.random() < 0.5
    if kind.startswith("int"):
        half = 2 ** (int(kind[3:]) - 1)
        return draw.randrange(-half, half)
    if kind.startswith("float"):
        return draw.uniform(-1e6, 1e6)
    if kind == "string":
        return "".join(draw.choices(string.printable + "äß漢\U0001f600", k=draw.randrange(12)))
    if kind == "bytes":
        return draw.randbytes(draw.randrange(12))
    if kind == "timestamp":
        moment = datetime(1900, 1, 1, tzinfo=UTC) + timedelta(microseconds=draw.randrange(8 * 10**15))
        return draw.choice((moment, moment.replace(tzinfo=None), moment.astimezone(EAST)))
    return date(1900, 1, 1) + timedelta(days=draw.randrange(90_000))


def _decimal(draw: random.Random) -> str:
    precision = draw.randrange(1, 39)
    return f"decimal({precision},{draw.randrange(0, precision + 1)})"


def _type(draw: random.Random, depth: int) -> str:
    kind = draw.choice(("list", "map", "struct"))
    inner = [_type(draw, depth - 1) if depth > 1 and draw.random() < 0.4 else _leaf(draw) for _ in range(3)]
    if kind == "list":
        return f"list<{inner[0]}>"
    if kind == "map":
        return f"map<string,{inner[0]}>"
    return f"struct<{','.join(f'm{number}:{text}' for number, text in enumerate(inner))}>"


def _leaf(draw: random.Random) -> str:
    return draw.choice((*FLAT, _decimal(draw)))
