"""`twinbeam features`: the features of a project listed, shown and searched; needs no store."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict

from pipelines.commands.arguments import Parser, UsageError, pair, project_folder
from pipelines.commands.tables import cell, json_text, table
from pipelines.settings import Settings
from schemas.errors import RequestError, did_you_mean
from schemas.registry import Registry
from serving.lineage import Entry, entries
from transforms.catalog import Catalog

ACTIONS = {
    "list": ("List all features.", "twinbeam features list --entity user"),
    "show": (
        "Show one feature, what it is made of and what uses it.",
        "twinbeam features show user_purchases:count_24h",
    ),
    "search": (
        "Find features whose address, description, owner, tags, entity or source hold every word.",
        "twinbeam features search payments count --tag tier=1",
    ),
}
HEADERS = ("feature", "kind", "type", "window", "entity", "owner", "description")


def run(name: str, words: Sequence[str]) -> int:
    """Lists, shows or searches features."""
    action = words[0] if words else ""
    if action in ("-h", "--help"):
        _parser("features", "Features of a project.", "twinbeam features list").print_help()
        return 0
    if action not in ACTIONS:
        said = f"{action!r} is not legal" if action else "what to do is missing"
        raise UsageError(f"twinbeam features: {said}: one of {', '.join(ACTIONS)}.{did_you_mean(action, ACTIONS)}")
    parser = _parser(f"features {action}", *ACTIONS[action])
    parser.project_options()
    parser.json_option()
    if action == "show":
        parser.add_argument("address", metavar="VIEW:FEATURE", help="as features list gives it")
    else:
        if action == "search":
            parser.add_argument("word", nargs="+", metavar="WORD", help="all of them are to be found")
        parser.add_argument("--entity", help="only features of this entity")
        parser.add_argument("--owner", help="only features of this owner")
        parser.add_argument("--tag", type=pair, metavar="NAME=VALUE", help="only features with this tag")
    arguments = parser.parse(words[1:])
    settings = Settings.load(project_folder(arguments.project), arguments.env)
    found = entries(Catalog.compile(Registry.load(settings.definitions)))
    if action == "show":
        _show(_named(found, arguments.address), arguments.json)
        return 0
    wanted = [entry for entry in found if _fits(entry, arguments)]
    if arguments.json:
        print(json_text([asdict(entry) for entry in wanted], 2))
    elif wanted:
        print(table(HEADERS, [_row(entry) for entry in wanted]))
    else:
        print("no feature fits" if found else "the project has no features")
    return 0


def _parser(command: str, caption: str, example: str) -> Parser:
    parser = Parser(command, caption, example)
    if command == "features":
        parser.add_argument("action", metavar="|".join(ACTIONS), help="what to do; each has a --help of its own")
    return parser


def _named(found: Sequence[Entry], address: str) -> Entry:
    known = [entry.address for entry in found]
    for entry in found:
        if entry.address == address:
            return entry
    raise RequestError(
        f"there is no feature {address!r}.{did_you_mean(address, known)} `twinbeam features list` has all"
    )


def _fits(entry: Entry, arguments: argparse.Namespace) -> bool:
    return (
        all(word.lower() in entry.text for word in getattr(arguments, "word", ()))
        and arguments.entity in (None, entry.entity)
        and arguments.owner in (None, entry.owner)
        and (arguments.tag is None or entry.tags.get(arguments.tag[0]) == arguments.tag[1])
    )


def _row(entry: Entry) -> tuple[str, ...]:
    return (entry.address, entry.kind, entry.type, entry.window, entry.entity, entry.owner, entry.description)


def _show(entry: Entry, as_json: bool) -> None:
    if as_json:
        print(json_text(asdict(entry), 2))
        return
    values = asdict(entry)
    width = max(map(len, values))
    for key, value in values.items():
        parts = list(value) if isinstance(value, tuple) and key in ("upstream", "downstream") else [value]
        if isinstance(value, dict):
            parts = [", ".join(f"{name}={text}" for name, text in value.items())]
        if isinstance(value, tuple) and key in ("keys", "roles"):
            parts = [", ".join(value)]
        for number, part in enumerate(parts or [None]):
            label = key if number == 0 else ""
            print(f"{label.ljust(width)}  {cell(part or None)}")
