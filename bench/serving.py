"""The feature server beside `feast serve`: the same rows, the same questions, one worker each, one after the other.

Ten latest features, and twelve windows: Twinbeam folds them of the events when it is asked, Feast has no such thing and
reads twelve columns that somebody computed. Both keep their rows in SQLite.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from bench.feast import VERSION
from bench.servers import KINDS, TITLES, Load, Served, feast, forgiven, loaded, ours, questions, rival, rows_file
from bench.table import Measured

KEYS = (1, 10, 100)
CONNECTIONS = (1, 16)
FIGURES = (
    ("requests/s", "rate", 1.0, "requests/s", "higher"),
    ("p50", "p50", 1e3, "ms", "lower"),
    ("p99", "p99", 1e3, "ms", "lower"),
    ("CPU a request", "cpu", 1e3, "CPU ms", "lower"),
)
Case = tuple[str, int, int]


def measure(scale: float = 1.0) -> list[Measured]:
    """Requests a second, latencies, CPU and memory of both servers."""
    rows, entities = max(int(300_000 * scale), 2_000), max(int(20_000 * scale), 200)
    seconds = max(4.0 * scale, 1.0)
    python = rival()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        file = rows_file(folder / "rows.parquet", rows, entities)
        with ours(folder, file) as server:
            mine = asked(server, entities, seconds)
        theirs: Mapping[Case, Load] = {}
        if python is not None:
            with forgiven(), feast(folder, file, python) as server:
                theirs = asked(server, entities, seconds)
    return table("server", mine, theirs, f"feast serve {VERSION}")


def asked(server: Served, entities: int, seconds: float) -> dict[Case, Load]:
    """Loads by kind of feature, keys and connections."""
    return {
        (kind, keys, connections): loaded(server, questions(server, kind, keys, entities), connections, seconds)
        for kind in KINDS
        for keys in KEYS
        for connections in CONNECTIONS
    }


def size(case: Case) -> str:
    """Keys and connections of a case in words."""
    _, keys, connections = case
    return f"{keys} {'key' if keys == 1 else 'keys'}, {connections} connection{'s' if connections > 1 else ''}"


def table(what: str, mine: Mapping[Case, Load], theirs: Mapping[Case, Load], name: str) -> list[Measured]:
    """Rows of all figures."""
    return [row for figure in FIGURES for row in _rows(what, figure, mine, theirs, name)]


def _rows(
    what: str,
    figure: tuple[str, str, float, str, str],
    mine: Mapping[Case, Load],
    theirs: Mapping[Case, Load],
    name: str,
) -> Iterator[Measured]:
    title, attribute, factor, unit, better = figure
    for case, of_case in mine.items():
        other = theirs.get(case)
        yield Measured(
            f"{what}, {TITLES[case[0]]}: {title}",
            size(case),
            getattr(of_case, attribute) * factor,
            unit,
            better,
            name,
            None if other is None else getattr(other, attribute) * factor,
            of_case.mb,
            None if other is None else other.mb,
        )
