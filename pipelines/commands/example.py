"""The example that `twinbeam init` writes: a shop's card purchases, a fortnight as files, one day to publish live."""

from __future__ import annotations

import csv
import io
import json
import random
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

START = datetime(2025, 3, 1, tzinfo=UTC)
HISTORY_DAYS = 14
HISTORY_EVENTS = 4_000
LIVE_EVENTS = 300
SEED = 20250301

SETTINGS = """\
# Settings of this project; `twinbeam doctor` checks them.
project = "{project}"
definitions = "features.py"

[offline]
root = "store/offline"          # Delta tables: readable by pandas, polars, DuckDB and Spark as they are

[online]
store = "sqlite"
[online.sqlite]
path = "store/online.db"

[stream]
broker = "sqlite"               # topics in a file of this project
[stream.sqlite]
path = "store/topics.db"

[run]
runner = "local"
max_skew = "1m"                 # an event that claims to come from later than this is a dead letter

# [sources.purchases]           # where a source lies, per environment
# partitions = 2
# [env.prod.offline]            # merged over the rest by --env prod
# root = "s3://bucket/offline"
"""

DEFINITIONS = '''\
"""Features of the shop's customers."""

from twinbeam import Entity, FeatureService, FeatureView, Source, agg, latest

user = Entity("user", keys={"user_id": "int64"}, description="A registered customer")

purchases = Source(
    "purchases",
    fields={
        "user_id": "int64",
        "ts": "timestamp(ms)",
        "price": "float64",
        "kind": "string",
        "country": "string",
    },
    event_time="ts",
    files="data/purchases/*.csv",  # history
    topic="purchases",  # live
    cutover="2025-03-15T00:00:00Z",  # files hold the events before it, the topic those from it on
    encoding="json",
)

user_purchases = FeatureView(
    "user_purchases",
    entity=user,
    source=purchases,
    select={"price_eur": "price * 0.92"},
    features=[
        agg.sum("price_eur", over=["24h", "7d"]),  # price_eur_sum_24h, price_eur_sum_7d
        agg.count(over=["24h", "7d"]),  # count_24h, count_7d
        agg.count(over="24h", offset="24h"),  # the day before: count_24h_offset_24h
        agg.count(over="7d", where="price > 100", name="big_{window}"),
        agg.count(over="7d", by="kind"),  # a map: kind -> how many
        agg.last_k("kind", k=3),
    ],
    derive={"trend": "count_24h / NULLIF(count_24h_offset_24h, 0)"},
    owner="payments",
    tags={"tier": "1"},
    description="Purchases of a customer",
)

user_profile = FeatureView(
    "user_profile",
    entity=user,
    source=purchases,
    ttl="30d",
    features=[latest("country", default="unknown", description="Where the newest purchase was made")],
    owner="payments",
    description="What is known of a customer",
)

fraud_v1 = FeatureService("fraud_v1", features=[user_purchases, "user_profile:country"])
'''

IGNORED = "store/\n"


def files(project: str) -> Iterator[tuple[str, str]]:
    """Files of the example, as (path below the project's folder, text)."""
    events = list(_events())
    days: dict[str, list[Mapping[str, Any]]] = {}
    for event in events[:HISTORY_EVENTS]:
        days.setdefault(event["ts"][:10], []).append(event)
    yield "twinbeam.toml", SETTINGS.format(project=project)
    yield "features.py", DEFINITIONS
    yield ".gitignore", IGNORED
    for day, rows in sorted(days.items()):
        yield f"data/purchases/{day}.csv", _csv(rows)
    live = events[HISTORY_EVENTS:]
    random.Random(SEED + 1).shuffle(live)
    yield "data/live.jsonl", "".join(json.dumps(event) + "\n" for event in live)
    yield "data/refunds.csv", _csv(list(_refunds(events)))


def _events() -> Iterator[dict[str, Any]]:
    """Purchases: a fortnight of history in order of time, then the day after it."""
    draw = random.Random(SEED)
    kinds = ("card", "voucher", "transfer")
    for begin, length, count in (
        (START, timedelta(days=HISTORY_DAYS), HISTORY_EVENTS),
        (START + timedelta(days=HISTORY_DAYS), timedelta(days=1), LIVE_EVENTS),
    ):
        for position in sorted(draw.random() for _ in range(count)):
            user = int(60 * draw.random() ** 2) + 1
            moment = begin + timedelta(milliseconds=int(position * (length / timedelta(milliseconds=1))))
            yield {
                "user_id": user,
                "ts": moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
                "price": round(draw.lognormvariate(3.2, 0.9), 2),
                "kind": kinds[min(int(draw.expovariate(1.5)), 2)],
                "country": ("DE", "FR", "IT", "PL", "ES")[(user * 7 + (draw.random() < 0.05)) % 5],
            }


def _refunds(events: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Instants to learn from: some purchases, each with whether it was refunded later."""
    draw = random.Random(SEED + 2)
    for event in events[500::25]:
        yield {"user_id": event["user_id"], "ts": event["ts"], "refunded": int(draw.random() < 0.1)}


def _csv(rows: list[Mapping[str, Any]] | list[dict[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
