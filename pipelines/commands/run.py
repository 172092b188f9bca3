"""`twinbeam run`: the pipeline over files until they are read, or over topics until it is told to stop."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from pipelines.commands.arguments import Parser, UsageError, project_folder, subtasks
from pipelines.commands.arguments import words as comma_words
from pipelines.commands.tables import json_text
from pipelines.platform import Platform
from pipelines.runner import FLINK, LOCAL
from schemas.durations import parse_duration
from schemas.errors import did_you_mean

ACTIONS = {
    "batch": (
        "Run the pipeline over the files of the sources, what is new in them, into both stores.",
        "twinbeam run batch --sources purchases",
    ),
    "stream": (
        "Run the pipeline over the topics into both stores, until SIGTERM or SIGINT (Ctrl-C) ends it cleanly; on Flink "
        "submit it, and leave it to the cluster (`twinbeam jobs` lists and stops it).",
        "twinbeam run stream\ntwinbeam run stream --until caught_up\ntwinbeam run stream --runner flink",
    ),
}
CAUGHT_UP = "caught_up"


def run(name: str, words: Sequence[str]) -> int:
    """Runs the pipeline and prints its report."""
    action = words[0] if words else ""
    if action in ("-h", "--help"):
        print("usage: twinbeam run batch|stream ...\n")
        print("\n".join(f"  run {each.ljust(6)}  {caption}" for each, (caption, _) in ACTIONS.items()))
        print("\nexample:\n  twinbeam run batch\n  twinbeam run stream --until caught_up")
        return 0
    if action not in ACTIONS:
        said = f"{action!r} is not legal" if action else "what to run is missing"
        raise UsageError(f"twinbeam run: {said}: one of {', '.join(ACTIONS)}.{did_you_mean(action, ACTIONS)}")
    parser = Parser(f"run {action}", *ACTIONS[action])
    parser.add_argument("--views", type=comma_words, metavar="NAME,...", help="feed only these (default: all)")
    if action == "batch":
        parser.add_argument("--sources", type=comma_words, metavar="NAME,...", help="read only these (default: all)")
        parser.add_argument(
            "--rebuild", action="store_true", help="read all their files anew, into new state of the views they feed"
        )
    else:
        parser.add_argument("--until", metavar="WHEN", help=f"{CAUGHT_UP}, or a duration as in 30s (default: for ever)")
        parser.add_argument("--runner", choices=(LOCAL, FLINK), help="where it runs (default: the settings' [run])")
        parser.add_argument(
            "--parallelism", type=subtasks, metavar="N", help="subtasks on Flink (default: its setting)"
        )
    parser.json_option()
    parser.project_options()
    given = parser.parse(words[1:])
    until = None if action == "batch" else _until(given.until)
    with Platform.open(project_folder(given.project), given.env, out=sys.stderr) as platform:
        if action == "batch":
            if given.rebuild:
                platform.rebuild(given.sources)
            report = platform.run_batch(views=given.views, sources=given.sources)
        else:
            runner = given.runner or platform.settings.run.runner
            if until is None and runner == FLINK:
                job = platform.submit_stream(given.views, given.parallelism)
                print(json_text({"job": job.id, "name": job.name}, 2) if given.json else f"submitted job {job.id}")
                return 0
            if given.parallelism is not None:
                raise UsageError("twinbeam run stream: --parallelism is for a stream on Flink without --until")
            report = platform.run_stream(views=given.views, until=until, runner=runner)
    print(json_text(asdict(report), 2) if given.json else report)
    return 0


def _until(text: str | None) -> Any:
    """`caught_up`, seconds, or None."""
    if text is None or text == CAUGHT_UP:
        return text
    try:
        return parse_duration(text) / 1e6
    except ValueError:
        hint = did_you_mean(text, [CAUGHT_UP])
        raise UsageError(
            f"twinbeam run stream: --until {text!r} is not legal: {CAUGHT_UP}, or a duration as in 30s.{hint}"
        ) from None
