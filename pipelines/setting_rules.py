"""Legal settings: the tables of twinbeam.toml, and the rule that each value keeps."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from schemas.durations import parse_duration
from schemas.errors import did_you_mean

Rule = Callable[[Any, Path], Any]
"""Reads a value, with the project's folder at hand; raises ValueError that says what is legal."""

MOST_LANES = 1_000
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}")
_URL = re.compile(r"[a-z][a-z0-9+.-]*://")


@dataclass(frozen=True)
class Each:
    """Table whose names the user chooses, each a table (or value) of the same kind.

    Attributes:
        kind: what each entry is.
    """

    kind: Mapping[str, Any] | Rule


def located(text: str, folder: Path) -> str:
    """Absolute form of a path of the project; a URL stays as it is."""
    return text if _URL.match(text) else os.path.normpath(folder / Path(text).expanduser())


def name(value: Any, folder: Path) -> str:
    """Project name."""
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise ValueError(f"{value!r} is no name: legal are a letter, then letters, digits, _ and - (at most 64 in all)")
    return value


def text(value: Any, folder: Path) -> str:
    """Any text but an empty one."""
    if not isinstance(value, str) or not value:
        raise ValueError(f"{value!r} is no text: legal is a text in quotes that is not empty")
    return value


def path(value: Any, folder: Path) -> Path:
    """Local path, relative to the project's folder."""
    where = located(text(value, folder), folder)
    if _URL.match(where):
        raise ValueError(f"{value!r} is a URL: legal is a path on this machine")
    return Path(where)


def paths(value: Any, folder: Path) -> tuple[Path, ...]:
    """Path or list of paths."""
    return tuple(path(item, folder) for item in _some(value))


def location(value: Any, folder: Path) -> str:
    """Path, relative to the project's folder, or an object-store URL."""
    return located(text(value, folder), folder)


def locations(value: Any, folder: Path) -> tuple[str, ...]:
    """Location or list of locations; patterns stay patterns."""
    return tuple(location(item, folder) for item in _some(value))


def duration(value: Any, folder: Path) -> int:
    """Duration, µs."""
    return parse_duration(value)


def share(value: Any, folder: Path) -> float:
    """Number from 0 to 1."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise ValueError(f"{value!r} is no share: legal is a number from 0 to 1")
    return float(value)


def lanes(value: Any, folder: Path) -> int:
    """Number of lanes."""
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MOST_LANES:
        raise ValueError(f"{value!r} is no number of lanes: legal is a whole number from 1 to {MOST_LANES}")
    return value


def choice(*legal: str, later: tuple[str, ...] = ()) -> Rule:
    """Rule: one of the legal words; `later` are words of a coming version."""

    def one_of(value: Any, folder: Path) -> str:
        if value in later:
            raise ValueError(f"{value!r} is not in this version of Twinbeam: legal is {listed(legal)}")
        if value not in legal:
            raise ValueError(f"{value!r} is not legal: legal is {listed(legal)}.{did_you_mean(str(value), legal)}")
        return str(value)

    return one_of


def secret(value: Any, folder: Path) -> str:
    """Name of an environment variable or file; see `secrets`."""
    return text(value, folder)


def secrets(table: Mapping[str, str], folder: Path, environ: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Secrets of a table of `NAME_env` (an environment variable's name) and `NAME_file` (a file's path) entries.

    Raises:
        ValueError: an entry has neither ending, or its variable or file is not there.
    """
    for key, where in table.items():
        option, _, kind = key.rpartition("_")
        if not option or kind not in ("env", "file"):
            raise ValueError(
                f'{key}: secrets are not written here: legal is {key}_env = "NAME OF A VARIABLE" or {key}_file = "PATH"'
            )
        if kind == "env":
            if where not in environ:
                raise ValueError(f"{key}: environment variable {where} is not set")
            yield option, environ[where]
        else:
            try:
                yield option, Path(located(where, folder)).read_text(encoding="utf-8").rstrip("\r\n")
            except OSError as error:
                raise ValueError(f"{key}: file {where} cannot be read ({error.strerror})") from None


def listed(legal: tuple[str, ...] | list[str]) -> str:
    """Legal words for a message."""
    return ", ".join(map(repr, legal))


SHAPE: Mapping[str, Any] = {
    "project": name,
    "definitions": paths,
    "offline": {"root": location, "options": Each(text), "secrets": Each(secret)},
    "online": {"store": choice("sqlite", later=("cassandra",)), "sqlite": {"path": path, "timeout": duration}},
    "stream": {"broker": choice("sqlite", later=("kafka",)), "sqlite": {"path": path, "timeout": duration}},
    "run": {
        "runner": choice("local", later=("flink",)),
        "max_skew": duration,
        "flush": duration,
        "upkeep": duration,
        "keep": duration,
    },
    "serving": {"log_sample": share},
    "sources": Each({"topic": text, "files": locations, "lanes": lanes, "partitions": lanes}),
}
DEFAULTS: Mapping[str, Any] = {
    "definitions": "features.py",
    "offline": {"root": "store/offline", "options": {}, "secrets": {}},
    "online": {"store": "sqlite", "sqlite": {"path": "store/online.db", "timeout": "30s"}},
    "stream": {"broker": "sqlite", "sqlite": {"path": "store/topics.db", "timeout": "60s"}},
    "run": {"runner": "local", "max_skew": "1m", "flush": "5s", "upkeep": "5m", "keep": "1h"},
    "serving": {"log_sample": 1.0},
    "sources": {},
}


def _some(value: Any) -> list[Any]:
    items = value if isinstance(value, list) else [value]
    if not items:
        raise ValueError("[] is empty: legal is a text or a list of texts")
    return items
