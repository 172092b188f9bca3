"""`twinbeam try`: definitions over a sample of events, evaluated alone or through a whole embedded platform."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.commands.arguments import Parser, UsageError, count
from pipelines.commands.arguments import words as comma_words
from pipelines.commands.given import EPOCH, instant
from pipelines.commands.tables import cell, json_text, table
from pipelines.platform import Platform
from pipelines.settings import Settings
from schemas.errors import RequestError, TwinbeamError, did_you_mean
from schemas.registry import Registry
from transforms.catalog import Catalog
from transforms.columns import integers, whole
from transforms.encodings.files import read_events
from transforms.equality import same_values
from transforms.evaluate import evaluate_selection, view_rows
from transforms.features import Features
from transforms.frames import plain
from transforms.view import CompiledView

EXAMPLE = """\
twinbeam try features.py --events sample.jsonl
twinbeam try features.py --events purchases=data/live.jsonl --features fraud_v1 --at 2025-03-15T12:00:00Z
twinbeam try features.py --events sample.jsonl --stream"""
LONGEST = "36525d"
NEVER = -(1 << 63)


def run(name: str, words: Sequence[str]) -> int:
    """Evaluates, and with --stream also publishes, streams, serves and compares."""
    parser = Parser("try", "Evaluate definitions over a sample of events; needs no project and no store.", EXAMPLE)
    parser.add_argument("definitions", metavar="FILE", help="definitions: a Python file or a folder")
    parser.add_argument(
        "--events",
        action="append",
        required=True,
        metavar="[SOURCE=]FILE",
        help="sample of a source's events; repeat it",
    )
    parser.add_argument("--features", type=comma_words, metavar="NAME,...", help="views or view:feature (default: all)")
    parser.add_argument("--at", metavar="TIME", help="instant of the values (default: the newest event)")
    parser.add_argument("--keys", type=count, default=5, metavar="N", help="entities shown of each view (default: 5)")
    parser.add_argument("--stream", action="store_true", help="take them through an embedded stream and serve them too")
    parser.json_option()
    given = parser.parse(words)
    if given.stream and given.at:
        raise UsageError("twinbeam try: --at does not go with --stream: what is served is as of the newest event")
    at = None if given.at is None else instant(given.at)
    if not Path(given.definitions).exists():
        raise RequestError(f"{given.definitions}: there is no such file")
    catalog = Catalog.compile(Registry.load(given.definitions))
    samples = _samples(catalog, given.events)
    views = _views(catalog, given.features, samples)
    events = {source: read_events(catalog.registry.sources[source], path) for source, path in samples.items()}
    with tempfile.TemporaryDirectory(prefix="twinbeam-") as folder:
        stream = _streamed(Path(folder), catalog.registry, events) if given.stream else None
        shown: dict[str, Any] = {}
        for view_name, addresses in views.items():
            view = catalog.views[view_name]
            keys, when = _newest(view, events, given.keys, at)
            if not keys.num_rows:
                print(f"{view.name}: the sample makes no row of it")
                continue
            spine = keys.append_column("at", pa.array([when] * keys.num_rows, pa.timestamp("us", "UTC")))
            features = evaluate_selection(catalog, catalog.select(addresses), events, spine, "event", False)
            if stream is not None:
                _compare(features, stream.get(addresses, keys, now=when))
            shown[view.name] = features.to_dict()
            if not given.json:
                print(f"{view.name} as of {cell(when)}")
                print(_table(features, keys.column_names), end="\n\n")
        if stream is not None:
            stream.close()
    if given.json:
        print(json_text(shown, 2))
    elif stream is not None:
        print("published, streamed and served: every value equal to the one evaluated")
    return 0


def _samples(catalog: Catalog, given: Sequence[str]) -> dict[str, str]:
    """Source -> path of its sample."""
    sources = catalog.registry.sources
    legal = ", ".join(sources) or "none"
    found: dict[str, str] = {}
    for text in given:
        source, sign, path = text.partition("=")
        if not sign:
            if len(sources) != 1:
                raise UsageError(
                    f"twinbeam try: --events {text}: say of which source, SOURCE=FILE; sources are {legal}"
                )
            source, path = next(iter(sources)), text
        if source not in sources:
            raise RequestError(
                f"--events: there is no source {source!r}: legal is {legal}.{did_you_mean(source, sources)}"
            )
        if not Path(path).is_file():
            raise RequestError(f"{path}: there is no such file")
        found[source] = path
    return found


def _views(catalog: Catalog, features: Sequence[str] | None, samples: Iterable[str]) -> dict[str, list[str]]:
    """Names of the views to show, with the addresses asked of each; those whose sources have no sample are left out."""
    if features is None:
        given = set(samples)
        return {
            view.name: [feature.address for feature in view.features]
            for view in catalog.views.values()
            if {source.name for source in view.sources} <= given
        }
    found: dict[str, list[str]] = {}
    for output in catalog.select(list(features)).outputs:
        if output.view is None:
            raise RequestError(f"{output.address}: is computed on demand, of a request; `try` shows features of views")
        found.setdefault(output.view.name, []).append(output.address)
    return found


def _newest(
    view: CompiledView, events: Mapping[str, pa.Table], most: int, at: datetime | None
) -> tuple[pa.Table, datetime]:
    """Entities of the view's newest rows up to an instant, and that instant (by default the newest event's)."""
    rows = view_rows(view, events)
    newest = int(integers(whole(rows.column("_event_time"))).max()) if rows.num_rows else 0
    when = at or EPOCH + timedelta(microseconds=newest)
    frame = pl.DataFrame(pl.from_arrow(rows.select([*view.keys.asked, "_event_time"])))
    keys = (
        frame.filter(pl.col("_event_time") <= when)
        .sort("_event_time", descending=True, maintain_order=True)
        .select(list(view.keys.asked))
        .unique(maintain_order=True)
        .head(most)
    )
    return plain(keys.to_arrow()), when


def _table(features: Features, keys: Sequence[str]) -> str:
    """A line per entity, a column per feature by its bare name."""
    values = features.to_dict()
    headers = [*keys, *(address.partition(":")[2] for address in features.answers)]
    columns = [values[name] for name in (*keys, *features.answers)]
    return table(headers, list(zip(*columns, strict=True)))


def _streamed(folder: Path, registry: Registry, events: Mapping[str, pa.Table]) -> Platform:
    """An embedded platform in a folder that has taken the events in: through files up to a cutover, else live."""
    places: dict[str, dict[str, Any]] = {}
    live: dict[str, pa.Table] = {}
    for name, table_ in events.items():
        source = registry.sources[name]
        places[name] = {"topic": source.topic or name, "files": f"{name}.parquet"}
        cutover = source.cutover_time
        early = integers(whole(table_.column(str(source.event_time)))) < (cutover if cutover is not None else NEVER)
        live[name] = table_.filter(pa.array(~early))
        if early.any():
            pq.write_table(table_.filter(pa.array(early)), folder / f"{name}.parquet")
    settings = Settings.of({"project": "try", "run": {"max_skew": LONGEST}, "sources": places}, folder)
    platform = Platform(settings, registry)
    platform.apply()
    platform.run_batch(sources=[name for name in events if (folder / f"{name}.parquet").exists()])
    for name, table_ in live.items():
        if table_.num_rows:
            platform.publish(name, table_)
    platform.run_stream(until="caught_up")
    return platform


def _compare(evaluated: Features, served: Features) -> None:
    """Refuses to go on if a value served is not the one evaluated.

    Raises:
        TwinbeamError: one differs.
    """
    for address, answer in evaluated.answers.items():
        other = served.answers[address]
        equal = same_values(answer.values, other.values) & (answer.statuses == other.statuses)
        for row in np.flatnonzero(~equal).tolist():
            raise TwinbeamError(
                f"{address}: served is {other.values[row].as_py()!r}, evaluated {answer.values[row].as_py()!r}; "
                "this must not be: please report it"
            )
