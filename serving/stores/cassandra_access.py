"""How a Cassandra cluster is reached: all that a store needs to be opened, known without the driver."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field

from schemas.errors import SettingsError

LONGEST = 48
REFILL = "name another keyspace, run twinbeam apply and twinbeam run batch: it is filled anew from the offline store"
_KEYSPACE = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,47}")


@dataclass(frozen=True)
class Access:
    """How a cluster is reached; pickled, and opened in any process.

    Attributes:
        hosts: "host:port" of some nodes.
        keyspace: of the store.
        datacenter: the one that is asked; None if the cluster has a single one.
        replication: (data centre, copies) pairs of a keyspace that is made; empty for one copy.
        consistency: of reads and writes.
        in_flight: most requests under way at once.
        batch: bytes up to which cells of several entities go in one request.
        timeout: seconds to wait for an answer.
        window: seconds within which a killed node may forget what it acknowledged.
        tls: whether connections are encrypted.
        user: or None.
        password: of the user.
        ca: file of the certificates that are trusted, or None for the system's.
        certificate: file of the client's certificate, or None.
        key: file of its key, or None.
    """

    hosts: tuple[str, ...]
    keyspace: str
    datacenter: str | None = None
    replication: tuple[tuple[str, int], ...] = ()
    consistency: str = "LOCAL_QUORUM"
    in_flight: int = 128
    batch: int = 4096
    timeout: float = 10.0
    window: float = 10.0
    tls: bool = False
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    ca: str | None = None
    certificate: str | None = None
    key: str | None = None

    @property
    def name(self) -> str:
        """The store, for messages."""
        return f"Cassandra at {', '.join(self.hosts)}"


def keyspace_of(project: str) -> str:
    """The usual keyspace of a project."""
    text = f"twinbeam_{project.lower().replace('-', '_')}"
    return text if len(text) <= LONGEST else f"{text[:31]}_{hashlib.sha256(project.encode()).hexdigest()[:16]}"


def check_keyspace(keyspace: str) -> None:
    """Refuses what Cassandra would not take for a keyspace's name."""
    if not _KEYSPACE.fullmatch(keyspace):
        raise SettingsError(
            f"online.cassandra.keyspace: {keyspace!r} is no keyspace: legal are a letter, then letters, digits and _ "
            f"(at most {LONGEST} in all)"
        )
