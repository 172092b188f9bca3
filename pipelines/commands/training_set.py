"""`twinbeam training-set`: features as of the instants of a spine, from the offline store, as a Parquet file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pipelines.commands.arguments import Parser, UsageError, project_folder
from pipelines.commands.arguments import words as comma_words
from pipelines.commands.given import read_table
from pipelines.commands.tables import counted, json_text
from pipelines.platform import Platform
from schemas.errors import RequestError, did_you_mean
from transforms.requests import column_types

EXAMPLE = """\
twinbeam training-set --service fraud_v1 --spine data/refunds.csv --out train.parquet
twinbeam training-set --features user_purchases:count_24h,user_profile --spine spine.parquet --out train.parquet"""


def run(name: str, words: Sequence[str]) -> int:
    """Builds and writes a training set."""
    parser = Parser("training-set", "Build a training set: every spine row with its features as of its time.", EXAMPLE)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--features", type=comma_words, metavar="VIEW:FEATURE,...", help="features, or views")
    what.add_argument("--service", metavar="NAME", help="feature service")
    parser.add_argument("--spine", required=True, metavar="FILE", help="keys and times: Parquet, CSV or JSON lines")
    parser.add_argument("--out", required=True, metavar="FILE", help="Parquet file to write")
    parser.add_argument("--time", metavar="COLUMN", help="the spine's time (default: its only timestamp column)")
    parser.add_argument("--label", metavar="COLUMN", help="column of the spine that must be there")
    parser.add_argument(
        "--known",
        choices=("event", "arrival"),
        default="event",
        help="event: all rows that there are; arrival: those that had arrived at the time (default: event)",
    )
    parser.add_argument("--strict", action="store_true", default=None, help="leave out events at the very instant")
    parser.add_argument("--names", choices=("full", "short"), default="full", help="columns: view__feature, or feature")
    parser.json_option()
    parser.project_options()
    given = parser.parse(words)
    out = Path(given.out)
    if out.suffix.lower() != ".parquet":
        raise UsageError(f"twinbeam training-set: --out {given.out}: give a file that ends in .parquet")
    if not out.absolute().parent.is_dir():
        raise UsageError(f"twinbeam training-set: --out {given.out}: there is no folder {out.parent}")
    with Platform.open(project_folder(given.project), given.env) as platform:
        asked = given.service or (given.features[0] if len(given.features) == 1 else given.features)
        services = platform.catalog.registry.services
        if given.service is not None and given.service not in services:
            legal, hint = ", ".join(services) or "none", did_you_mean(given.service, services)
            raise RequestError(f"there is no feature service {given.service!r}: legal is {legal}.{hint}")
        spine = read_table(given.spine, column_types(platform.catalog.select(asked)))
        features = platform.training_set(
            spine,
            asked,
            time=given.time,
            label=given.label,
            known=given.known,
            strict=given.strict,
            names=given.names,
        )
    features.to_parquet(out)
    if given.json:
        head = {"rows": len(features), "features": len(features.answers), "fingerprint": features.fingerprint}
        print(json_text(head | {"out": str(out)} | dict(features.report), 2))
        return 0
    print(f"{counted(len(features), 'row')} of {counted(len(features.answers), 'feature')} in {out}")
    coincident = features.report["coincident"]
    strict = "were left out" if features.report["left_out"] else "count (--strict leaves them out)"
    print(f"rows that coincide with an event of a view they read: {coincident:,}; such events {strict}")
    return 0
