"""`twinbeam fit`: an encoding fitted on its inputs as of the instants of a spine, kept as an artefact and applied."""

from __future__ import annotations

from collections.abc import Sequence

from pipelines.commands.arguments import Parser, project_folder
from pipelines.commands.given import read_table
from pipelines.commands.tables import counted, json_text
from pipelines.platform import Platform
from transforms.artefact import SHOWN
from transforms.fits import encoding_of, fit_selection
from transforms.requests import column_types

EXAMPLE = """\
twinbeam fit fraud_inputs --spine data/january.parquet
twinbeam fit fraud_inputs --spine data/january.csv --time day --no-pin"""


def run(name: str, words: Sequence[str]) -> int:
    """Fits an encoding."""
    parser = Parser("fit", "Fit the encoders of an encoding, keep what they learnt, and apply it.", EXAMPLE)
    parser.add_argument("encoding", metavar="NAME", help="name of the encoding")
    parser.add_argument(
        "--spine", required=True, metavar="FILE", help="keys, times and targets: Parquet, CSV or JSON lines"
    )
    parser.add_argument("--time", metavar="COLUMN", help="the spine's time (default: its only timestamp column)")
    parser.add_argument(
        "--known",
        choices=("event", "arrival"),
        default="event",
        help="event: all rows that there are; arrival: those that had arrived at the time (default: event)",
    )
    parser.add_argument("--strict", action="store_true", default=None, help="leave out events at the very instant")
    parser.add_argument("--no-pin", action="store_true", help="keep the artefact, and leave the one applied as it is")
    parser.json_option()
    parser.project_options()
    given = parser.parse(words)
    with Platform.open(project_folder(given.project), given.env) as platform:
        encoding = encoding_of(platform.catalog, given.encoding)
        spine = read_table(given.spine, column_types(fit_selection(platform.catalog, encoding)))
        artefact = platform.fit(
            given.encoding, spine, time=given.time, known=given.known, strict=given.strict, pin=not given.no_pin
        )
    if given.json:
        head = {"encoding": artefact.encoding, "version": artefact.version, "rows": artefact.rows}
        print(json_text(head | {"features": list(artefact.fitted), "applied": not given.no_pin}, 2))
        return 0
    what = "kept" if given.no_pin else "kept and applied"
    print(
        f"{artefact.encoding}: {counted(len(artefact.fitted), 'feature')} fitted on {counted(artefact.rows, 'row')}; "
        f"artefact {artefact.version[:SHOWN]} {what}"
    )
    return 0
