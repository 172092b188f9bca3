"""`twinbeam status`: the runs that are alive, and what of them runs twice."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from pipelines.commands.arguments import Parser, project_folder
from pipelines.commands.tables import counted, json_text, table
from pipelines.heartbeat import INTERVAL, MISSED, RunStatus
from pipelines.platform import Platform
from pipelines.readings import Delay, Reading

HEADERS = ("run", "kind", "host", "pid", "sources", "started", "last beat", "events", "events/s", "lag")
VIEW_HEADERS = ("run", "view", "rows", "dead letters", "since arrival", "99 %", "since event", "99 %")
LAG_HEADERS = ("run", "partition", "lag")
STORE_HEADERS = ("run", "call", "half", "99 %")


def run(name: str, words: Sequence[str]) -> int:
    """Prints the runs that are alive."""
    parser = Parser(
        "status",
        "Say which runs are alive, on any machine: what they read, since when, when they were last heard of, how many "
        f"events they took in and how far behind they are. A run that was killed is listed for {_patience()} more.",
        "twinbeam status",
    )
    parser.json_option()
    parser.project_options()
    given = parser.parse(words)
    with Platform.open(project_folder(given.project), given.env) as platform:
        runs = platform.status()
    readings = {each.run: reading for each in runs if each.metrics and (reading := Reading.take(each.metrics))}
    if given.json:
        plain = {name: _plain(reading) for name, reading in readings.items()}
        print(json_text([asdict(each) | {"reading": plain.get(each.run)} for each in runs], 2))
        return 0
    if not runs:
        print("no run is alive")
        return 0
    print(f"{counted(len(runs), 'run')} alive")
    print(table(HEADERS, [_row(each) for each in runs]))
    for source, streams in sorted(_streams(runs).items()):
        if streams > 1:
            print(
                f"{streams} streams are running over {source}: harmless, since what both write is stored once, "
                "but one would do"
            )
    _print_readings(readings)
    return 0


def _plain(reading: Reading) -> Any:
    """A reading as JSON can have it: an age above every edge is "+Inf"."""
    return json.loads(json.dumps(asdict(reading)), parse_constant=lambda _: "+Inf")


def _print_readings(readings: Mapping[str, Reading]) -> None:
    """Tables of what the runs on this machine say of themselves."""
    views = [
        (run[:8], name, view.rows, view.dead_letters, *_delay(view.since_arrival), *_delay(view.since_event))
        for run, reading in readings.items()
        for name, view in reading.views.items()
    ]
    lags = [(run[:8], place, lag) for run, reading in readings.items() for place, lag in reading.lag.items()]
    calls = [(run[:8], call, *_delay(it)) for run, reading in readings.items() for call, it in reading.stores.items()]
    for headers, rows in ((VIEW_HEADERS, views), (LAG_HEADERS, lags), (STORE_HEADERS, calls)):
        if rows:
            print(f"\n{table(headers, rows)}")
    for run, reading in readings.items():
        if reading.cache_hits is not None:
            print(f"\n{run[:8]}: {reading.cache_hits:.1%} of the cells it changed were in its cache")


def _delay(delay: Delay) -> tuple[str, str]:
    return _seconds(delay.half), _seconds(delay.most)


def _seconds(edge: float | None) -> str:
    return "-" if edge is None else f"<= {edge:g} s"


def _row(status: RunStatus) -> tuple[object, ...]:
    return (
        status.run[:8],
        status.kind,
        status.host,
        status.pid,
        ", ".join(status.sources),
        status.started.replace(microsecond=0),
        status.beat.replace(microsecond=0),
        status.events,
        round(status.rate),
        status.lag,
    )


def _streams(runs: Sequence[RunStatus]) -> Counter[str]:
    """How many streams read each source."""
    return Counter(source for each in runs if each.kind == "stream" for source in each.sources)


def _patience() -> str:
    return f"{MISSED * INTERVAL // 1_000_000} seconds"
