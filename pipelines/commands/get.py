"""`twinbeam get`: features of entities now, from the online store."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from pipelines.commands.arguments import Parser, UsageError, columns, pair, project_folder
from pipelines.commands.arguments import words as comma_words
from pipelines.commands.given import instant, read_table, typed
from pipelines.commands.tables import json_text, table
from pipelines.platform import Platform
from transforms.features import Features
from transforms.requests import column_types

EXAMPLE = """\
twinbeam get fraud_v1 user_id=7 --now latest
twinbeam get user_purchases:count_24h,user_profile:country user_id=7 user_id=8"""


def run(name: str, words: Sequence[str]) -> int:
    """Reads and prints features."""
    parser = Parser("get", "Read features online.", EXAMPLE)
    parser.add_argument("features", type=comma_words, metavar="FEATURES", help="service, view, or view:feature,...")
    parser.add_argument("key", nargs="*", type=pair, metavar="KEY=VALUE", help="repeat a key for more rows")
    parser.add_argument(
        "--keys", metavar="FILE", help="keys (and request values) from a Parquet, CSV or JSON lines file"
    )
    parser.add_argument(
        "--request", action="append", default=[], type=pair, metavar="NAME=VALUE", help="value for on-demand features"
    )
    parser.add_argument("--now", metavar="TIME", help="ISO 8601, or latest: the newest event (default: the clock)")
    parser.add_argument("--fingerprint", help="refuse if the features are no longer those of this fingerprint")
    parser.json_option()
    parser.project_options()
    given = parser.parse(words)
    if bool(given.key) == bool(given.keys):
        raise UsageError("twinbeam get: give the keys: KEY=VALUE, or --keys FILE (not both)")
    now = given.now if given.now in (None, "latest") else instant(given.now)
    asked = given.features[0] if len(given.features) == 1 else given.features
    with Platform.open(project_folder(given.project), given.env) as platform:
        selection = platform.catalog.select(asked)
        types = column_types(selection)
        request = typed(columns(given.request, "request value"), dict(selection.request), "request value")
        if given.keys:
            keys = read_table(given.keys, types)
        else:
            entity = {column: kind for column, kind in types.items() if column not in selection.request}
            keys = typed(columns(given.key, "key"), entity, "key")
        values = _repeated(request, keys.num_rows)
        answer = platform.get(asked, keys, values, now=now, fingerprint=given.fingerprint)
    print(json_text(_json(answer), 2) if given.json else _table(answer))
    return 0


def _repeated(request: pa.Table, rows: int) -> dict[str, Any] | None:
    """Request values by column, those given once for every row."""
    if not request.num_columns:
        return None
    if request.num_rows not in (1, rows):
        raise UsageError(f"twinbeam get: request values are given {request.num_rows} times, the keys {rows} times")
    return {name: request.column(name).to_pylist() * (rows // request.num_rows) for name in request.column_names}


def _json(answer: Features) -> dict[str, Any]:
    return {
        "values": answer.to_dict(),
        "statuses": answer.statuses,
        "event_times": answer.event_times,
        "as_of": answer.as_of,
        "fingerprint": answer.fingerprint,
    }


def _table(answer: Features) -> str:
    """A line per row and feature, the keys first."""
    values, statuses, times = answer.to_dict(), answer.statuses, answer.event_times
    given = [name for name in values if name not in statuses]
    rows = [
        [
            *(values[name][row] for name in given),
            address,
            values[address][row],
            statuses[address][row],
            times[address][row],
        ]
        for row in range(len(answer))
        for address in statuses
    ]
    return table([*given, "feature", "value", "status", "event time"], rows)
