"""The `twinbeam` command: finds the command asked for, runs it, and turns what a user can mend into one line."""

from __future__ import annotations

import importlib
import logging
import os
import signal
import sys
from collections.abc import Sequence
from importlib.metadata import version
from typing import Protocol, cast

from schemas.errors import TwinbeamError, did_you_mean
from schemas.place import OURS

COMMANDS = {
    "init": ("init", "make a project with a working example"),
    "plan": ("plan", "show what the definitions would change in the stores"),
    "apply": ("plan", "make the stores fit the definitions"),
    "run": ("run", "run the pipeline: `run batch` over files, `run stream` over topics"),
    "jobs": ("jobs", "list, stop and resume the streams on a Flink cluster"),
    "status": ("status", "say which runs are alive"),
    "publish": ("publish", "send events of a source to its topic"),
    "get": ("get", "read features online"),
    "serve": ("serve", "answer reads and take events over HTTP"),
    "training-set": ("training_set", "build a training set from the offline store"),
    "fit": ("fit", "fit the encoders of an encoding"),
    "encoders": ("encoders", "list, show and apply what encoders learnt"),
    "audit": ("audit", "replay logged answers against the offline store"),
    "try": ("trial", "evaluate definitions over a sample of events, without a project"),
    "features": ("catalogue", "list, show and search features"),
    "export": ("export", "write the definitions as others read them: `export feast`"),
    "dead-letters": ("dead_letters", "list and replay events that could not be taken"),
    "compact": ("compact", "join the small files of the offline store"),
    "dev": ("dev", "start and stop servers on this machine: Kafka, Cassandra, Flink"),
    "doctor": ("doctor", "say what is wrong with the set-up and how to mend it"),
}
EXTRAS = {"serve": "server"}
FAILED = 1
INTERRUPTED = 130
DEBUG = "TWINBEAM_DEBUG"


class Command(Protocol):
    """What a command's module offers."""

    def run(self, name: str, words: Sequence[str]) -> int:
        """Runs the command called `name` with the words after it; its exit code."""


def main(words: Sequence[str] | None = None) -> int:
    """Runs the command line; its exit code: 0, or 1 for an error (`plan`: 2 if there are changes)."""
    given = list(sys.argv[1:] if words is None else words)
    logging.basicConfig(level=logging.ERROR, format="%(name)s: %(message)s")
    logging.getLogger("twinbeam").setLevel(logging.WARNING)
    logging.getLogger("cassandra").setLevel(logging.CRITICAL)  # What fails there, our own error says.
    try:
        code = _dispatch(given)
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except KeyboardInterrupt:
        return INTERRUPTED
    except SystemExit as exit_:
        return int(exit_.code or 0)
    except Exception as error:
        if os.environ.get(DEBUG):
            raise
        print(_line(error), file=sys.stderr)
        return FAILED


def _dispatch(words: Sequence[str]) -> int:
    if not words or words[0] in ("-h", "--help", "help"):
        print(_help())
        return 0
    if words[0] in ("-V", "--version"):
        print(f"twinbeam {version('twinbeam')}")
        return 0
    name = words[0]
    if name not in COMMANDS:
        raise TwinbeamError(f"there is no command {name!r}.{did_you_mean(name, COMMANDS)} `twinbeam help` lists them")
    try:
        module = importlib.import_module(f"pipelines.commands.{COMMANDS[name][0]}")
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing in OURS:
            raise
        raise TwinbeamError(
            f"`twinbeam {name}` needs the package {missing!r}: pip install 'twinbeam[{EXTRAS.get(name, 'pipeline')}]'"
        ) from error
    return cast(Command, module).run(name, words[1:])


def _line(error: Exception) -> str:
    """What the user is told of an error."""
    if isinstance(error, TwinbeamError):
        return "\n".join(f"twinbeam: {line}" for line in str(error).splitlines())
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        return f"twinbeam: {where}{error.strerror or error}"
    text = " ".join(f"{type(error).__name__}: {error}".split())
    return f"twinbeam: a fault of Twinbeam itself: {text} (with {DEBUG}=1 it shows where)"


def _help() -> str:
    width = max(map(len, COMMANDS))
    lines = [f"  {name.ljust(width)}  {caption}" for name, (_, caption) in COMMANDS.items()]
    return "\n".join(
        [
            "usage: twinbeam COMMAND ...",
            "",
            "A feature is defined once; files and streams go through one pipeline into both stores.",
            "",
            "commands:",
            *lines,
            "",
            "`twinbeam COMMAND --help` says more, with an example. A first project:",
            "  twinbeam init shop && cd shop && twinbeam apply && twinbeam run batch",
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
