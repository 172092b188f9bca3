"""Configuration of the server: what its settings hold, without anything that serves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from serving.server.access import Grant


@dataclass(frozen=True)
class Tokens:
    """Bearer tokens (JWT) that are taken.

    Attributes:
        keys: file of the issuer's public keys (a JWK set, or PEM); None for a shared secret.
        issuer: that tokens must name, or None.
        audience: that they must name, or None.
        algorithms: that may have signed them.
        claim: that holds the grants, a list or a text with blanks.
    """

    keys: Path | None
    issuer: str | None
    audience: str | None
    algorithms: tuple[str, ...]
    claim: str


@dataclass(frozen=True)
class ServerConfiguration:
    """How the server serves.

    Attributes:
        host: address that it listens at.
        port: TCP port; 0 for a free one.
        workers: processes; 0 for one a core.
        certificate: file of the TLS certificate chain, or None for none.
        key: file of its key; None if the certificate's file holds it.
        open: whether a server that others can reach may go without callers.
        queue: requests that wait in each process, reads and writes apart; more are answered 503.
        patience: seconds that a request may wait there.
        threads: of each process, for what waits for a network or a disk.
        connections: open ones of each process.
        body: bytes of a request's body.
        rows: rows of keys of one read.
        events: events of one push.
        wait: seconds that a push may wait for its events to be readable.
        headers: seconds for a request's headers to come.
        upload: seconds for its body to come.
        download: seconds that a client may leave an answer unread.
        idle: seconds that a connection may wait for its next request.
        drain: seconds that requests have to end when the server ends.
        linger: seconds that it goes on to take connections then, while /readyz says that it will not for long.
        cache: seconds that an answer may be old, 0 for none kept.
        log: "json", "text" or "off": lines on requests.
        traces: URL of an OTLP collector, or None.
        callers: name -> grants.
        tokens: bearer tokens, or None for none.
        secrets: by caller, its keys (one a line); "jwt", the secret of tokens.
    """

    host: str = "127.0.0.1"
    port: int = 6570
    workers: int = 0
    certificate: Path | None = None
    key: Path | None = None
    open: bool = False
    queue: int = 256
    patience: float = 1.0
    threads: int = 16
    connections: int = 2_000
    body: int = 16 << 20
    rows: int = 10_000
    events: int = 20_000
    wait: float = 10.0
    headers: float = 10.0
    upload: float = 30.0
    download: float = 30.0
    idle: float = 75.0
    drain: float = 20.0
    linger: float = 0.0
    cache: float = 0.0
    log: str = "json"
    traces: str | None = None
    callers: Mapping[str, tuple[Grant, ...]] = field(default_factory=dict)
    tokens: Tokens | None = None
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def guarded(self) -> bool:
        """Whether credentials are asked for."""
        return bool(self.callers) or self.tokens is not None
