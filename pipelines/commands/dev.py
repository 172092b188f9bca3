"""`twinbeam dev`: servers on this machine, for development: Kafka, Cassandra and Flink from Maven artifacts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from pipelines.commands.arguments import Parser, UsageError
from pipelines.commands.tables import json_text
from pipelines.dev.stack import Stack
from schemas.errors import did_you_mean

FOLDER = ".twinbeam-dev"
ACTIONS = {
    "up": ("Start the servers, and say what a project needs to use them.", "twinbeam dev up"),
    "down": ("Stop the servers; their data stays.", "twinbeam dev down"),
    "status": (
        "Say which servers run, and what a project needs to use them. Exit code 1 if one is down.",
        "twinbeam dev status",
    ),
}


def run(name: str, words: Sequence[str]) -> int:
    """Starts, stops or shows the servers of a folder."""
    action = words[0] if words else ""
    if action in ("-h", "--help"):
        parser = Parser("dev", "Servers on this machine, for development.", "twinbeam dev up")
        parser.add_argument("action", metavar="|".join(ACTIONS), help="what to do; each has a --help of its own")
        parser.print_help()
        return 0
    if action not in ACTIONS:
        said = f"{action!r} is not legal" if action else "what to do is missing"
        raise UsageError(f"twinbeam dev: {said}: one of {', '.join(ACTIONS)}.{did_you_mean(action, ACTIONS)}")
    parser = Parser(f"dev {action}", *ACTIONS[action])
    parser.add_argument("--folder", default=FOLDER, metavar="F", help=f"holds their data and logs (default: {FOLDER})")
    if action == "up":
        parser.add_argument("--flink", action="store_true", help="a Flink cluster too")
    if action == "status":
        parser.json_option()
    given = parser.parse(words[1:])
    stack = Stack(Path(given.folder), action == "up" and given.flink)
    if action == "up":
        stack.start()
    elif action == "down":
        if stack.folder.is_dir():
            stack.stop()
        print(f"nothing runs in {stack.folder}")
        return 0
    return _status(stack, action == "status" and given.json)


def _status(stack: Stack, as_json: bool) -> int:
    if not stack.folder.is_dir():
        raise UsageError(f"{stack.folder} holds no servers; `twinbeam dev up` starts some there")
    found = stack.statuses()
    up = all(server.pid is not None for server in found)
    if as_json:
        print(json_text({"servers": [asdict(server) for server in found], "settings": stack.settings()}, 2))
        return 0 if up else 1
    for server in found:
        state = f"pid {server.pid}" if server.pid is not None else "down"
        print(f"{server.name.ljust(13)}  {server.address.ljust(22)}  {state}")
    if up:
        print(f"\nIn twinbeam.toml of a project:\n\n{stack.settings()}", end="")
    return 0 if up else 1
