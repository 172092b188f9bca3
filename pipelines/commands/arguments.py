"""Arguments of the commands: parsers whose errors are one line, and what several commands share."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from pipelines.settings import FILE
from schemas.errors import TwinbeamError, did_you_mean

MOST_SUBTASKS = 1_000


class UsageError(TwinbeamError):
    """A command was called in a way that it does not know."""


class Parser(argparse.ArgumentParser):
    """Parser of one command; what is wrong is one line that names the help to read.

    Args:
        command: as the user types it, after `twinbeam`.
        caption: one line that says what it does.
        example: lines that a user can type as they are.
    """

    def __init__(self, command: str, caption: str, example: str) -> None:
        super().__init__(
            prog=f"twinbeam {command}",
            description=caption,
            epilog="example:\n" + "\n".join(f"  {line}" for line in example.strip().splitlines()),
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )

    def error(self, message: str) -> NoReturn:
        """Raises the message as a `UsageError`."""
        raise UsageError(f"{message}; see `{self.prog} --help`")

    def parse(self, words: Sequence[str]) -> argparse.Namespace:
        """Arguments from the words after the command.

        Raises:
            UsageError: the words do not fit.
        """
        arguments, rest = self.parse_known_args(words)
        if rest:
            known = [option for action in self._actions for option in action.option_strings]
            if rest[0].startswith("-"):
                self.error(f"unknown option {rest[0]}.{did_you_mean(rest[0], known)}")
            self.error(f"{rest[0]!r} is one argument too many")
        return arguments

    def project_options(self) -> None:
        """Adds the options of every command that works on a project."""
        self.add_argument("--project", metavar="FOLDER", help="project folder (default: this one, or one above it)")
        self.add_argument("--env", metavar="NAME", help="environment of twinbeam.toml (default: $TWINBEAM_ENV)")

    def json_option(self) -> None:
        """Adds --json."""
        self.add_argument("--json", action="store_true", help="print JSON, for scripts")


def project_folder(given: str | None) -> Path:
    """Folder of the project meant: the one given, or the nearest one upwards that holds twinbeam.toml."""
    if given is not None:
        return Path(given)
    here = Path.cwd()
    return next((folder for folder in (here, *here.parents) if (folder / FILE).exists()), here)


def pair(text: str) -> tuple[str, str]:
    """`NAME=VALUE` as a pair."""
    name, sign, value = text.partition("=")
    if not name or not sign:
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form NAME=VALUE")
    return name, value


def positive(text: str) -> float:
    """Number above 0."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is no number above 0")
    return value


def count(text: str) -> int:
    """Whole number above 0."""
    if not text.isascii() or not text.isdigit() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number above 0")
    return int(text)


def share(text: str) -> float:
    """Number from 0 to 1."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 0 to 1")
    return value


def words(text: str) -> list[str]:
    """Comma-separated words."""
    found = [word.strip() for word in text.split(",")]
    if not all(found):
        raise argparse.ArgumentTypeError(f"{text!r} has an empty place between commas")
    return found


def subtasks(text: str) -> int:
    """Number of subtasks of a job on Flink."""
    if not text.isdecimal() or not 1 <= int(text) <= MOST_SUBTASKS:
        raise argparse.ArgumentTypeError(f"{text!r} is not legal: a whole number from 1 to {MOST_SUBTASKS}")
    return int(text)


def columns(pairs: Sequence[tuple[str, str]], what: str) -> dict[str, list[str]]:
    """Pairs as columns of texts: a name given n times has n rows; one given once stands for all of them.

    Raises:
        UsageError: two names are given different numbers of times, and neither once.
    """
    found: dict[str, list[Any]] = {}
    for name, value in pairs:
        found.setdefault(name, []).append(value)
    rows = max((len(values) for values in found.values()), default=0)
    for name, values in found.items():
        if len(values) not in (1, rows):
            raise UsageError(f"{what} {name} is given {len(values)} times, another one {rows} times")
        found[name] = values * (rows // len(values))
    return found
