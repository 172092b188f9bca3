"""`twinbeam status`: the runs that are alive, and what of them runs twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict

from pipelines.commands.arguments import Parser, project_folder
from pipelines.commands.tables import counted, json_text, table
from pipelines.heartbeat import INTERVAL, MISSED, RunStatus
from pipelines.platform import Platform

HEADERS = ("run", "kind", "host", "pid", "sources", "started", "last beat", "events", "lag")


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
    if given.json:
        print(json_text([asdict(each) for each in runs], 2))
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
    return 0


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
        status.lag,
    )


def _streams(runs: Sequence[RunStatus]) -> Counter[str]:
    """How many streams read each source."""
    return Counter(source for each in runs if each.kind == "stream" for source in each.sources)


def _patience() -> str:
    return f"{MISSED * INTERVAL // 1_000_000} seconds"
