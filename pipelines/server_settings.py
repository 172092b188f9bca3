"""Settings of the feature server: what they are by default, and the configuration that they make."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from serving.server.access import Grant
from serving.server.configuration import ServerConfiguration, Tokens

SERVER_DEFAULTS: Mapping[str, Any] = {
    "host": "127.0.0.1",
    "port": 6570,
    "workers": 0,
    "certificate": None,
    "key": None,
    "open": False,
    "queue": 256,
    "patience": "1s",
    "threads": 16,
    "connections": 2_000,
    "body": 16 << 20,
    "rows": 10_000,
    "events": 20_000,
    "wait": "10s",
    "headers": "10s",
    "upload": "30s",
    "download": "30s",
    "idle": "75s",
    "drain": "20s",
    "linger": 0,
    "cache": 0,
    "log": "json",
    "traces": None,
    "callers": {},
    "tokens": {},
    "secrets": {},
}
_TOKENS: Mapping[str, Any] = {
    "keys": None,
    "issuer": None,
    "audience": None,
    "algorithms": ("RS256",),
    "claim": "twinbeam",
}
_SPANS = ("patience", "wait", "headers", "upload", "download", "idle", "drain", "linger", "cache")


def server_configuration(read: Mapping[str, Any]) -> ServerConfiguration:
    """Configuration that the table `[server]` makes.

    Args:
        read: its values by their rules, secrets put in.
    """
    tokens = read["tokens"]
    return ServerConfiguration(
        **{
            **read,
            **{name: read[name] / 1e6 for name in _SPANS},
            "callers": {name: tuple(caller.get("grants", ())) for name, caller in read["callers"].items()},
            "tokens": Tokens(**{**_TOKENS, **tokens}) if tokens else None,
        }
    )


def flag(value: Any, folder: Path) -> bool:
    """Rule: true or false."""
    if not isinstance(value, bool):
        raise ValueError(f"{value!r} is not legal: legal is true or false")
    return value


def grants(value: Any, folder: Path) -> tuple[Grant, ...]:
    """Rule: a text of a grant, or a list of them; none at all is legal too."""
    return tuple(Grant.parse(str(item)) for item in (value if isinstance(value, list) else [value]))
