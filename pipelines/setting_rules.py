"""Legal settings: the tables of twinbeam.toml, and the rule that each value keeps."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from pipelines.server_settings import SERVER_DEFAULTS, flag, grants
from schemas.durations import parse_duration
from schemas.errors import did_you_mean

Rule = Callable[[Any, Path], Any]
"""Reads a value, with the project's folder at hand; raises ValueError that says what is legal."""

MOST_LANES = 1_000
STARTS = ("stores", "earliest", "latest")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
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


def duration_or_none(value: Any, folder: Path) -> int:
    """Duration (µs), or 0 for none."""
    return 0 if value == 0 or value == "0" else parse_duration(value)


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


def number(least: int, most: int) -> Rule:
    """Rule: a whole number between two, both included."""

    def within(value: Any, folder: Path) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise ValueError(f"{value!r} is not legal: legal is a whole number from {least} to {most}")
        return value

    return within


def addresses(value: Any, folder: Path) -> tuple[str, ...]:
    """Addresses of servers: a list of "host:port", or one text with commas."""
    items = value if isinstance(value, list) else str(value).split(",")
    found = tuple(str(item).strip() for item in items)
    for each in found:
        host, colon, port = each.rpartition(":")
        if not host or not colon or not port.isdigit() or not 0 < int(port) < 65536:
            raise ValueError(f'{each!r} is no address: legal is "host:port", or several in a list')
    return found


def door(value: Any, folder: Path) -> tuple[str, int] | None:
    """Host and port to serve at (port 0: a free one), or "off" (None)."""
    if value == "off":
        return None
    host, _, port = str(value).rpartition(":")
    if not host or not port.isdigit() or int(port) >= 65536:
        raise ValueError(f'{value!r} is not legal: legal is "host:port" (port 0 for a free one) or "off"')
    return host, int(port)


def url(value: Any, folder: Path) -> str:
    """URL of a server that speaks HTTP."""
    where = text(value, folder)
    if not where.startswith(("http://", "https://")):
        raise ValueError(f"{value!r} is no URL: legal is http://host:port or https://host:port")
    return where.rstrip("/")


def stay(value: Any, folder: Path) -> int | None:
    """Duration (µs), or "forever" (None)."""
    return None if value == "forever" else parse_duration(value)


def beginning(value: Any, folder: Path) -> str | int:
    """One of the named beginnings of a log, or a time (µs)."""
    if value in STARTS:
        return str(value)
    try:
        moment = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    except ValueError:
        raise ValueError(
            f"{value!r} is not legal: legal is {listed(STARTS)} or a time as in 2026-12-01T00:00Z"
        ) from None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return (moment - _EPOCH) // timedelta(microseconds=1)


def optional(rule: Rule) -> Rule:
    """Rule that holds for a value that is given; left out, it is None."""
    return lambda value, folder: None if value is None else rule(value, folder)


def choice(*legal: str) -> Rule:
    """Rule: one of the legal words."""

    def one_of(value: Any, folder: Path) -> str:
        if value not in legal:
            raise ValueError(f"{value!r} is not legal: legal is {listed(legal)}.{did_you_mean(str(value), legal)}")
        return str(value)

    return one_of


def words(*legal: str) -> Rule:
    """Rule: a list of some of the legal words."""

    def some_of(value: Any, folder: Path) -> tuple[str, ...]:
        return tuple(str(choice(*legal)(item, folder)) for item in _some(value))

    return some_of


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


_FILE = optional(path)
_TEXT = optional(text)
_KAFKA: Mapping[str, Any] = {
    "servers": addresses,
    "group": _TEXT,
    "start": beginning,
    "replication": number(1, 100),
    "retention": stay,
    "timeout": duration,
    "security": choice("plaintext", "tls", "sasl", "sasl_tls"),
    "mechanism": choice("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"),
    "user": _TEXT,
    "ca": _FILE,
    "certificate": _FILE,
    "key": _FILE,
    "secrets": Each(secret),
}
_REGISTRY: Mapping[str, Any] = {
    "url": optional(url),
    "timeout": duration,
    "user": _TEXT,
    "ca": _FILE,
    "secrets": Each(secret),
}
_CASSANDRA: Mapping[str, Any] = {
    "hosts": addresses,
    "keyspace": _TEXT,
    "datacenter": _TEXT,
    "replication": Each(number(1, 100)),
    "consistency": choice("LOCAL_QUORUM", "QUORUM", "LOCAL_ONE", "ONE", "ALL", "EACH_QUORUM"),
    "in_flight": number(1, 10_000),
    "batch": number(1024, 1 << 20),
    "timeout": duration,
    "commit_log_window": duration_or_none,
    "security": choice("plaintext", "tls"),
    "user": _TEXT,
    "ca": _FILE,
    "certificate": _FILE,
    "key": _FILE,
    "secrets": Each(secret),
}
_FLINK: Mapping[str, Any] = {
    "jobmanager": url,
    "parallelism": number(1, 1_000),
    "checkpoint": duration,
    "savepoints": location,
    "worker": _TEXT,
}
_SERVER: Mapping[str, Any] = {
    "host": text,
    "port": number(0, 65_535),
    "workers": number(0, 1_024),
    "certificate": _FILE,
    "key": _FILE,
    "open": flag,
    "queue": number(1, 100_000),
    "patience": duration,
    "threads": number(1, 1_024),
    "connections": number(1, 1_000_000),
    "body": number(1, 1 << 30),
    "rows": number(1, 1_000_000),
    "events": number(1, 1_000_000),
    "wait": duration,
    "headers": duration,
    "upload": duration,
    "download": duration,
    "idle": duration,
    "drain": duration,
    "linger": duration_or_none,
    "cache": duration_or_none,
    "log": choice("json", "text", "off"),
    "traces": optional(url),
    "callers": Each({"grants": grants}),
    "tokens": {
        "keys": _FILE,
        "issuer": _TEXT,
        "audience": _TEXT,
        "algorithms": words("HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "ES256", "ES384", "PS256", "EdDSA"),
        "claim": text,
    },
    "secrets": Each(secret),
}
SHAPE: Mapping[str, Any] = {
    "project": name,
    "definitions": paths,
    "offline": {"root": location, "options": Each(text), "secrets": Each(secret)},
    "online": {
        "store": choice("sqlite", "cassandra"),
        "sqlite": {"path": path, "timeout": duration},
        "cassandra": _CASSANDRA,
    },
    "stream": {
        "broker": choice("sqlite", "kafka"),
        "sqlite": {"path": path, "timeout": duration},
        "kafka": _KAFKA,
        "registry": _REGISTRY,
    },
    "run": {
        "runner": choice("local", "flink"),
        "max_skew": duration,
        "flush": duration,
        "upkeep": duration,
        "keep": duration,
        "metrics": door,
        "flink": _FLINK,
    },
    "serving": {"log_sample": share},
    "server": _SERVER,
    "sources": Each({"topic": text, "files": locations, "lanes": lanes, "partitions": lanes}),
}
_PLAIN: Mapping[str, Any] = {"user": None, "ca": None, "secrets": {}}
_OPEN: Mapping[str, Any] = {**_PLAIN, "security": "plaintext", "certificate": None, "key": None}
DEFAULTS: Mapping[str, Any] = {
    "definitions": "features.py",
    "offline": {"root": "store/offline", "options": {}, "secrets": {}},
    "online": {
        "store": "sqlite",
        "sqlite": {"path": "store/online.db", "timeout": "30s"},
        "cassandra": {
            "hosts": "127.0.0.1:9042",
            "keyspace": None,
            "datacenter": None,
            "replication": {},
            "consistency": "LOCAL_QUORUM",
            "in_flight": 128,
            "batch": 4096,
            "timeout": "10s",
            "commit_log_window": "10s",
            **_OPEN,
        },
    },
    "stream": {
        "broker": "sqlite",
        "sqlite": {"path": "store/topics.db", "timeout": "60s"},
        "kafka": {
            "servers": "127.0.0.1:9092",
            "group": None,
            "start": "stores",
            "replication": 1,
            "retention": "7d",
            "timeout": "30s",
            "mechanism": "PLAIN",
            **_OPEN,
        },
        "registry": {"url": None, "timeout": "10s", **_PLAIN},
    },
    "run": {
        "runner": "local",
        "max_skew": "1m",
        "flush": "5s",
        "upkeep": "5m",
        "keep": "1h",
        "metrics": "127.0.0.1:0",
        "flink": {
            "jobmanager": "http://127.0.0.1:8081",
            "parallelism": 1,
            "checkpoint": "10s",
            "savepoints": "store/savepoints",
            "worker": None,
        },
    },
    "serving": {"log_sample": 1.0},
    "server": SERVER_DEFAULTS,
    "sources": {},
}


def _some(value: Any) -> list[Any]:
    items = value if isinstance(value, list) else [value]
    if not items:
        raise ValueError("[] is empty: legal is a text or a list of texts")
    return items
