"""`twinbeam dead-letters`: events that could not be taken, listed with their reasons, or sent again."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence

import polars as pl

from pipelines.commands.arguments import Parser, UsageError, count, project_folder
from pipelines.commands.mended import Letters, letter_id, read_mended
from pipelines.commands.tables import counted, json_text, table
from pipelines.platform import Platform
from schemas.errors import RequestError, did_you_mean
from schemas.lane import Lane
from serving.tables import dead_table

ACTIONS = {
    "list": (
        "List events that could not be taken, newest first.",
        "twinbeam dead-letters list purchases --reason price",
    ),
    "replay": (
        "Send undecodable events of a topic to it again, once each, after the definition was mended; or with --mended "
        "what they should have been. Events that failed in a view are not sent: they are in the offline store, and a "
        "mended view takes them from there.",
        "twinbeam dead-letters replay purchases\ntwinbeam dead-letters replay purchases --mended mended.jsonl",
    ),
}
SCHEMA = pl.Schema(
    {
        "source": pl.String(),
        "reason": pl.String(),
        "view": pl.String(),
        "value": pl.Binary(),
        "key": pl.Binary(),
        "_lane": pl.String(),
        "_offset": pl.Int64(),
        "_arrival": pl.Datetime("us", "UTC"),
    }
)
COLUMNS = ("source", "reason", "view", "value", "lane", "offset", "arrival")


def run(name: str, words: Sequence[str]) -> int:
    """Lists or replays dead letters."""
    action = words[0] if words else ""
    if action in ("-h", "--help"):
        print("usage: twinbeam dead-letters list|replay ...\n")
        print("\n".join(f"  {each.ljust(6)}  {caption}" for each, (caption, _) in ACTIONS.items()))
        print("\nexample:\n  twinbeam dead-letters list")
        return 0
    if action not in ACTIONS:
        said = f"{action!r} is not legal" if action else "what to do is missing"
        raise UsageError(f"twinbeam dead-letters: {said}: one of {', '.join(ACTIONS)}.{did_you_mean(action, ACTIONS)}")
    parser = Parser(f"dead-letters {action}", *ACTIONS[action])
    parser.add_argument("source", nargs="?" if action == "list" else None, metavar="SOURCE", help="name of a source")
    parser.add_argument("--reason", metavar="TEXT", help="only those whose reason holds the text")
    if action == "list":
        parser.add_argument("--view", metavar="NAME", help="only those that failed in this view")
        parser.add_argument("--limit", type=count, default=20, metavar="N", help="show at most so many (default: 20)")
    else:
        parser.add_argument(
            "--mended",
            metavar="FILE",
            help="send the events of this file (Parquet, Avro, CSV or JSON lines) in place of the letters that their "
            "members _lane and _offset name",
        )
    parser.json_option()
    parser.project_options()
    given = parser.parse(words[1:])
    with Platform.open(project_folder(given.project), given.env) as platform:
        sources = platform.catalog.registry.sources
        if given.source is not None and given.source not in sources:
            legal, hint = ", ".join(sources) or "none", did_you_mean(given.source, sources)
            raise RequestError(f"there is no source {given.source!r}: legal is {legal}.{hint}")
        letters = _letters(platform, [given.source] if given.source else list(sources))
        if given.reason:
            letters = letters.filter(pl.col("reason").str.contains(given.reason, literal=True))
        if action == "replay":
            return _replay(platform, given.source, letters, given.mended, given.json)
    if given.view:
        letters = letters.filter(pl.col("view") == given.view)
    _list(letters, given.limit, given.json)
    return 0


def _letters(platform: Platform, sources: Sequence[str]) -> pl.DataFrame:
    """Dead letters of sources, newest first, with the columns of `COLUMNS` and `key`."""
    found = []
    for source in sources:
        name = dead_table(source)
        if platform.offline.exists(name):
            found.append(platform.offline.scan(name).with_columns(source=pl.lit(source)))
    frame = pl.concat(found, how="diagonal").collect() if found else pl.DataFrame(schema=SCHEMA)
    renamed = frame.rename({f"_{name}": name for name in COLUMNS[-3:]})
    return renamed.select(*COLUMNS, "key").sort("arrival", "offset", descending=True, maintain_order=True)


def _list(letters: pl.DataFrame, limit: int, as_json: bool) -> None:
    shown = letters.head(limit).select(COLUMNS).to_dicts()
    if as_json:
        texts = [row | {"value": (row["value"] or b"").decode("utf-8", "backslashreplace")} for row in shown]
        print(json_text(texts, 2))
        return
    if shown:
        print(table(COLUMNS, [list(row.values()) for row in shown]))
    total = len(letters)
    more = f", {limit:,} shown" if total > limit else ""
    print(f"{counted(total, 'dead letter')}{more}")


def _replay(platform: Platform, source: str, letters: pl.DataFrame, mended: str | None, as_json: bool) -> int:
    """Sends undecodable records again, as they came or mended, each once, whoever asks how often."""
    topic = platform.settings.topic(platform.catalog.registry.sources[source])
    kinds = Counter[str]()
    if mended is None:
        chosen, kinds = _as_they_came(letters)
    elif topic is None:
        raise RequestError(f"source {source!r} has no topic: put its rows right in a new file")
    else:
        chosen = read_mended(platform, source, mended, letters)
    sent = 0
    if chosen.ids and topic is not None:
        now = time.time_ns() // 1_000
        sent, _ = platform.broker.replay(topic, chosen.ids, chosen.keys, chosen.values, now=now)
    before = len(chosen.ids) - sent
    if as_json:
        counts = {
            "sent": sent,
            "sent before": before,
            "failed in a view": kinds["in a view"],
            "of files": kinds["files"],
        }
        print(json_text(counts, 2))
        return 0
    print(f"{sent:,} sent to topic {topic} again; {before:,} had been sent before")
    if kinds["in a view"]:
        print(f"{kinds['in a view']:,} failed in a view: mend it and `twinbeam apply`; it takes them from the store")
    if kinds["files"]:
        print(f"{kinds['files']:,} are rows of files: put them right in a new file")
    return 0


def _as_they_came(letters: pl.DataFrame) -> tuple[Letters, Counter[str]]:
    """The undecodable records of topics among dead letters, and how many of each kind there are."""
    kinds = Counter[str]()
    found = Letters([], [], [])
    for row in letters.sort("arrival", "offset").to_dicts():
        kind = "in a view" if row["view"] else Lane.parse(row["lane"]).kind
        kinds[kind] += 1
        if kind == "topic":
            found.ids.append(letter_id(row["lane"], row["offset"]))
            found.keys.append(row["key"])
            found.values.append(row["value"])
    return found, kinds
