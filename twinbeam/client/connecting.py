"""Connecting: where a server is, with which credentials, and how long and often it is tried."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import httpx

from schemas.errors import SettingsError
from twinbeam.client.retries import Retries

KEPT_SECONDS = 30.0


@dataclass(frozen=True)
class Connecting:
    """How a client reaches its server.

    Attributes:
        url: of the server, with the path before `/v1` if there is one.
        key: a caller's key, or None.
        token: a bearer token, or what gives the one of now, or None.
        ca: file of the authorities that the server's certificate may be signed by, or a context; None: the usual ones.
        deadline: seconds that a call may take, all its tries and pauses together.
        timeout: seconds that one try may take.
        retries: tries after the first, at most.
        connections: that are open at once, at most; they are kept.
        chunk: rows of one read and events of one push, at most.

    Raises:
        SettingsError: one of them is not legal.
    """

    url: str
    key: str | None
    token: str | Callable[[], str] | None
    ca: str | Path | ssl.SSLContext | None
    deadline: float
    timeout: float
    retries: int
    connections: int
    chunk: int

    def __post_init__(self) -> None:
        try:
            parts = httpx.URL(self.url)
        except (httpx.InvalidURL, TypeError) as error:
            raise SettingsError(f"url: {error}; legal is as in http://127.0.0.1:6570") from None
        if parts.scheme not in ("http", "https") or not parts.host or parts.userinfo or parts.query or parts.fragment:
            shown = parts.copy_with(username=None, password=None, query=None, fragment=None)
            raise SettingsError(
                f"url: {shown} is not legal: http or https, a host and perhaps a path, as in http://127.0.0.1:6570; "
                "credentials go into key= or token="
            )
        if self.key is not None and self.token is not None:
            raise SettingsError("key and token: give one of them")
        for name in ("deadline", "timeout", "connections", "chunk"):
            if not getattr(self, name) > 0:
                raise SettingsError(f"{name}: {getattr(self, name)!r} is not legal: give a number above 0")
        if self.retries < 0:
            raise SettingsError(f"retries: {self.retries!r} is not legal: give 0 or more")
        for name in ("key", "token"):
            given = getattr(self, name)
            if isinstance(given, str):
                _check_secret(name, given)

    @property
    def policy(self) -> Retries:
        """When calls are tried again."""
        return Retries(self.retries)

    def credentials(self) -> dict[str, str]:
        """Headers that say who asks now."""
        if self.key is not None:
            return {"x-api-key": self.key}
        if self.token is None:
            return {}
        token = self.token
        if not isinstance(token, str):
            token = token()
            _check_secret("token", token)
        return {"authorization": f"Bearer {token}"}

    def options(self) -> dict[str, Any]:
        """Arguments of httpx's clients."""
        limits = httpx.Limits(
            max_connections=self.connections,
            max_keepalive_connections=self.connections,
            keepalive_expiry=KEPT_SECONDS,
        )
        headers: Mapping[str, str] = {"user-agent": f"twinbeam/{_version()}", "accept": "application/json"}
        return {"base_url": self.url, "headers": headers, "limits": limits, "verify": self._context()}

    def __repr__(self) -> str:
        return f"<{self.url}>"

    def _context(self) -> ssl.SSLContext | bool:
        if self.ca is None or isinstance(self.ca, ssl.SSLContext):
            return self.ca or True
        try:
            return ssl.create_default_context(cafile=str(self.ca))
        except (OSError, ssl.SSLError) as error:
            raise SettingsError(
                f"ca: {self.ca} cannot be used: {error}; legal is a file of certificates (PEM)"
            ) from None


def _check_secret(name: str, text: str) -> None:
    """Refuses what no header can carry, without showing it."""
    if not text or not text.isascii() or not text.isprintable() or " " in text:
        raise SettingsError(f"{name}: is empty, or holds blanks or characters beyond ASCII")


def _version() -> str:
    try:
        return version("twinbeam")
    except PackageNotFoundError:
        return "unknown"
