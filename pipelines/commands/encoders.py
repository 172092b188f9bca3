"""`twinbeam encoders`: artefacts of fitted encodings, listed, shown, and applied."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from typing import Any

from pipelines.commands.arguments import Parser, UsageError, project_folder
from pipelines.commands.tables import json_text, table
from pipelines.platform import Platform
from schemas.errors import RequestError, did_you_mean
from serving.deployment import Deployment
from serving.encoders import kept_artefacts, load
from transforms.artefact import SHOWN, Artefact
from transforms.fits import encoding_of

ACTIONS = {
    "list": ("List encodings and their artefacts, the newest last.", "twinbeam encoders list"),
    "show": ("Show what the encoders of an artefact learnt.", "twinbeam encoders show fraud_inputs"),
    "pin": ("Apply an artefact: every read uses it from now on.", "twinbeam encoders pin fraud_inputs 5f0c2a"),
}
HEADERS = ("encoding", "artefact", "rows", "fitted at", "by", "state")
MOST_SHOWN = 5


def run(name: str, words: Sequence[str]) -> int:
    """Lists, shows or applies artefacts."""
    action = words[0] if words else ""
    if action in ("-h", "--help"):
        print("usage: twinbeam encoders list|show|pin ...\n")
        print("\n".join(f"  {each.ljust(4)}  {caption}" for each, (caption, _) in ACTIONS.items()))
        print("\nexample:\n  twinbeam encoders list")
        return 0
    if action not in ACTIONS:
        said = f"{action!r} is not legal" if action else "what to do is missing"
        raise UsageError(f"twinbeam encoders: {said}: one of {', '.join(ACTIONS)}.{did_you_mean(action, ACTIONS)}")
    given = _arguments(action, words[1:])
    with Platform.open(project_folder(given.project), given.env) as platform:
        if action == "list":
            _list(platform, given.json)
        elif action == "show":
            _show(platform, given.encoding, given.version, given.json)
        else:
            platform.pin(given.encoding, given.version)
            version = Deployment.load(platform.offline).encoders[given.encoding]
            head = {"encoding": given.encoding, "version": version}
            print(json_text(head, 2) if given.json else f"{given.encoding}: artefact {version[:SHOWN]} is applied")
    return 0


def _arguments(action: str, words: Sequence[str]) -> argparse.Namespace:
    parser = Parser(f"encoders {action}", *ACTIONS[action])
    if action != "list":
        parser.add_argument("encoding", metavar="NAME", help="name of the encoding")
        parser.add_argument(
            "version",
            nargs="?" if action == "show" else None,
            metavar="ARTEFACT",
            help="its version, or the beginning of it" + (" (default: the one applied)" if action == "show" else ""),
        )
    parser.json_option()
    parser.project_options()
    return parser.parse(words)


def _list(platform: Platform, as_json: bool) -> None:
    """A line per artefact, and per encoding without one."""
    applied = Deployment.load(platform.offline).encoders
    kept = kept_artefacts(platform.offline)
    rows: list[dict[str, Any]] = []
    for name, encoding in platform.catalog.encodings.items():
        own = [each for each in kept if each.encoding == name]
        for each in own:
            state = _state(platform, name, each.version) if applied.get(name) == each.version else ""
            rows.append(
                {
                    "encoding": name,
                    "artefact": each.version,
                    "rows": each.rows,
                    "fitted at": each.fitted_at,
                    "by": each.fitted_by,
                    "state": state,
                }
            )
        if not own:
            state = "not fitted" if encoding.learns else "nothing to fit"
            rows.append(dict.fromkeys(HEADERS) | {"encoding": name, "state": state})
    if as_json:
        print(json_text(rows, 2))
    elif rows:
        shown = [row | {"artefact": row["artefact"] and row["artefact"][:SHOWN]} for row in rows]
        print(table(HEADERS, [[row[name] for name in HEADERS] for row in shown]))
    else:
        print("the project has no encodings")


def _state(platform: Platform, name: str, version: str) -> str:
    """What is to be said of an artefact that is applied."""
    artefact = load(platform.offline, name, version)
    encoded = platform.catalog.encodings[name].fitted(artefact).encoded
    stale = [each.feature.name for each in encoded if each.stale]
    return f"applied; defined otherwise since: {', '.join(stale)}" if stale else "applied"


def _show(platform: Platform, name: str, version: str | None, as_json: bool) -> None:
    encoding = encoding_of(platform.catalog, name)
    chosen = version or Deployment.load(platform.offline).encoders.get(name)
    if chosen is None:
        raise RequestError(f"{name}: no artefact is applied; fit it: twinbeam fit {name} --spine FILE")
    artefact = load(platform.offline, name, chosen)
    if as_json:
        print(json_text({"version": artefact.version} | json.loads(artefact.text), 2))
        return
    print(f"{name}: artefact {artefact.version}, fitted on {artefact.rows:,} rows")
    rows = [
        [
            each.feature.name,
            each.tree.spec.operation,
            ", ".join(each.tree.spec.columns),
            _learnt(artefact, each.feature.name),
        ]
        for each in encoding.encoded
    ]
    print(table(("feature", "encoder", "of", "learnt"), rows))


def _learnt(artefact: Artefact, feature: str) -> str:
    """What an encoder learnt, in short."""
    own: Mapping[str, Any] = artefact.fitted.get(feature, {}).get("own", {})
    parts = [f"{key} {_short(value)}" for key, value in own.items()]
    return "; ".join(parts) or "nothing"


def _short(value: Any) -> str:
    if not isinstance(value, list):
        return f"{value:g}" if isinstance(value, float) else str(value)
    more = f", ... ({len(value):,})" if len(value) > MOST_SHOWN else ""
    return ", ".join(json_text(item) for item in value[:MOST_SHOWN]) + more
