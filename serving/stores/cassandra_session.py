"""A session with a Cassandra cluster: one for all stores of a process, its errors in a user's words, and its nodes."""

from __future__ import annotations

import logging
import os
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from typing import Any
from weakref import WeakSet

from cassandra import (
    AuthenticationFailed,
    ConsistencyLevel,
    DriverException,
    InvalidRequest,
    ProtocolVersion,
    Unauthorized,
)
from cassandra.auth import PlainTextAuthProvider
from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile, NoHostAvailable
from cassandra.connection import ConnectionException
from cassandra.policies import (
    DCAwareRoundRobinPolicy,
    ExponentialReconnectionPolicy,
    RetryPolicy,
    TokenAwarePolicy,
)
from cassandra.protocol import ConfigurationException, ErrorMessage, SyntaxException
from cassandra.query import tuple_factory

from schemas.errors import SettingsError, StoreAway, StoreError, did_you_mean
from serving.fiber import aside
from serving.stores.cassandra_access import Access

MOST_RETRIES = 3
CONNECT_SECONDS = 10.0
STATEMENT_SECONDS = 60.0
RECONNECT_SECONDS = (0.2, 2.0)
GONE = -1
_BOOT = "SELECT gossip_generation FROM system.local WHERE key = 'local'"
_REFUSALS = (InvalidRequest, ConfigurationException, SyntaxException)
FAULTS = (DriverException, NoHostAvailable, AuthenticationFailed, ErrorMessage, OSError)
"""Whatever the driver raises."""

_SHUT = ("closed", "reset by peer")
_UNTRUSTED = "CERTIFICATE_VERIFY_FAILED"
Boots = Mapping[str, int]

# What the driver has to say is said by the errors that it raises, and once.
if logging.getLogger("cassandra").level == logging.NOTSET:
    logging.getLogger("cassandra").setLevel(logging.CRITICAL)


class Session:
    """A connected session.

    Args:
        access: how the cluster is reached.

    Attributes:
        access: how the cluster is reached.
        driver: the driver's session.
        cluster: the driver's cluster.

    Raises:
        StoreAway: no node answers.
        StoreError: the cluster refuses the user, or its certificate is not trusted.
        SettingsError: there is no such data centre, or a file of the settings cannot be read.
    """

    def __init__(self, access: Access) -> None:
        self.access = access
        profile = ExecutionProfile(
            load_balancing_policy=TokenAwarePolicy(DCAwareRoundRobinPolicy(access.datacenter or "")),
            retry_policy=PatientRetries(),
            consistency_level=getattr(ConsistencyLevel, access.consistency),
            request_timeout=access.timeout,
            row_factory=tuple_factory,
        )
        self.cluster = Cluster(
            [(host.rpartition(":")[0].strip("[]"), int(host.rpartition(":")[2])) for host in access.hosts],
            # Known to every Cassandra from 4.0 on; found out otherwise by connecting again and again.
            protocol_version=ProtocolVersion.V5,
            execution_profiles={EXEC_PROFILE_DEFAULT: profile},
            auth_provider=None if access.user is None else PlainTextAuthProvider(access.user, access.password or ""),
            ssl_context=_tls(access) if access.tls else None,
            # The driver leaves Nagle's algorithm on, which holds small requests back for 40 ms.
            sockopts=[(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)],
            # Of itself the driver gives a node up after 64 attempts.
            reconnection_policy=ExponentialReconnectionPolicy(*RECONNECT_SECONDS, max_attempts=None),
            connect_timeout=CONNECT_SECONDS,
            control_connection_timeout=CONNECT_SECONDS,
            idle_heartbeat_interval=10,
            idle_heartbeat_timeout=10,
        )
        try:
            with refused(access):
                try:
                    self.driver = self.cluster.connect()
                except NoHostAvailable:
                    self._check_datacenter()
                    raise
            self._check_datacenter()
        except BaseException as error:
            self.cluster.shutdown()
            if not access.tls and isinstance(error, StoreAway) and any(word in str(error) for word in _SHUT):
                raise StoreAway(f"{error}; if it wants TLS, set [online.cassandra] security") from error
            raise

    @cached_property
    def datacenter(self) -> str:
        """Name of the data centre that is asked."""
        found = self.datacenters()
        return self.access.datacenter or next(iter(sorted(found)))

    def datacenters(self) -> set[str]:
        """Names of the cluster's data centres, as far as they are known."""
        return {host.datacenter for host in self.cluster.metadata.all_hosts() if host.datacenter}

    def hosts(self) -> list[Any]:
        """Nodes of the data centre that is asked."""
        return [host for host in self.cluster.metadata.all_hosts() if host.datacenter == self.datacenter]

    def boots(self) -> Boots:
        """When each node of the data centre was started last, as a number; `GONE` for one that does not answer.

        Raises:
            StoreAway: none answers.
        """
        asked = {}
        for host in self.hosts():
            asked[str(host.endpoint)] = self.driver.execute_async(_BOOT, host=host)
        found = {}
        error: Exception | None = None
        for name, future in asked.items():
            try:
                found[name] = int(future.result().one()[0])
            except FAULTS as raised:
                error, found[name] = raised, GONE
        if error is not None and set(found.values()) == {GONE}:
            raise refusal(self.access, error) from error
        return found

    def execute(self, statement: str) -> Any:
        """Does a statement that is not one of many, such as of the schema.

        Raises:
            NoHostAvailable, DriverException: as the driver does; a node that it is just connecting to is waited for.
        """
        until = time.monotonic() + CONNECT_SECONDS
        while True:
            try:
                return self.driver.execute(statement, timeout=STATEMENT_SECONDS)
            except NoHostAvailable as error:
                # Of this very type if it has no connections to a node yet.
                connecting = all(type(each) is ConnectionException for each in error.errors.values())
                if not connecting or time.monotonic() > until:
                    raise
            time.sleep(RECONNECT_SECONDS[0])

    def close(self) -> None:
        """Ends the session."""
        self.cluster.shutdown()

    def _check_datacenter(self) -> None:
        wanted, found = self.access.datacenter, self.datacenters()
        if wanted is not None and found and wanted not in found:
            listed = ", ".join(map(repr, sorted(found)))
            raise SettingsError(
                f"online.cassandra.datacenter: {self.access.name} has no data centre {wanted!r}: legal is {listed}."
                f"{did_you_mean(wanted, found)}"
            )
        if wanted is None and len(found) > 1:
            listed = ", ".join(map(repr, sorted(found)))
            raise SettingsError(
                f"online.cassandra.datacenter: {self.access.name} has several data centres: name one of {listed}"
            )


class Link:
    """A store's hold on the session that all stores of a process with the same access share.

    Args:
        access: how the cluster is reached.

    Raises:
        StoreError: see `Session`.
    """

    _shared: dict[tuple[int, Access], tuple[Session, WeakSet[Link]]] = {}  # noqa: RUF012
    _lock = threading.RLock()

    def __init__(self, access: Access) -> None:
        self.access = access
        self._process = 0
        self._session: Session | None = None
        self._closed = False
        self._connect()

    @property
    def session(self) -> Session:
        """The session; another one after a fork."""
        if self._session is not None and self._process == os.getpid():
            return self._session
        return aside(self._connect)

    def _connect(self) -> Session:
        if self._closed:
            raise StoreError(f"{self.access.name}: this store was closed; open it again")
        with Link._lock:
            place = (os.getpid(), self.access)
            if place not in Link._shared:
                Link._shared[place] = (Session(self.access), WeakSet())
            self._session, holders = Link._shared[place]
            holders.add(self)
            self._process = os.getpid()
            return self._session

    def close(self) -> None:
        """Lets go of the session, which ends when nobody holds it."""
        with Link._lock:
            self._closed = True
            self._session = None
            place = (os.getpid(), self.access)
            if place not in Link._shared:
                return
            session, holders = Link._shared[place]
            holders.discard(self)
            if holders:
                return
            del Link._shared[place]
        session.close()


class PatientRetries(RetryPolicy):  # type: ignore[misc]
    """Tries again what timed out inside the cluster: every request here may be done twice."""

    def on_read_timeout(self, query: Any, consistency: Any, *found: Any, **more: Any) -> Any:
        """Again, on the same node."""
        return self._again(consistency, _count(found, more), self.RETRY)

    def on_write_timeout(self, query: Any, consistency: Any, *found: Any, **more: Any) -> Any:
        """Again, on the same node."""
        return self._again(consistency, _count(found, more), self.RETRY)

    def on_unavailable(self, query: Any, consistency: Any, *found: Any, **more: Any) -> Any:
        """Again, on another node, which may see more of the cluster."""
        return self._again(consistency, _count(found, more), self.RETRY_NEXT_HOST)

    def on_request_error(self, query: Any, consistency: Any, error: Any, retry_num: int) -> Any:
        """Again, on another node."""
        return self._again(consistency, retry_num, self.RETRY_NEXT_HOST)

    def _again(self, consistency: Any, retries: int, how: Any) -> Any:
        return (how, consistency) if retries < MOST_RETRIES else (self.RETHROW, None)


def _count(found: tuple[Any, ...], more: Mapping[str, Any]) -> int:
    return int(more["retry_num"] if "retry_num" in more else found[-1])


@contextmanager
def refused(access: Access) -> Iterator[None]:
    """Turns errors of the driver raised inside into those of a user."""
    try:
        yield
    except FAULTS as error:
        raise refusal(access, error) from error


def refusal(access: Access, error: BaseException) -> StoreError:
    """An error of the driver in a user's words."""
    causes = list(error.errors.values()) if isinstance(error, NoHostAvailable) and error.errors else [error]
    cause = next((each for each in causes if isinstance(each, AuthenticationFailed)), causes[0])
    text = " ".join(str(cause).split())
    if isinstance(cause, AuthenticationFailed):
        who = "a user and password are asked for" if access.user is None else f"user {access.user!r} is refused"
        return StoreError(
            f"{access.name}: {who}; check [online.cassandra] user and [online.cassandra.secrets] ({text})"
        )
    if _UNTRUSTED in text:
        return StoreError(f"{access.name}: its certificate is not trusted ({text}); check [online.cassandra] ca")
    if isinstance(cause, Unauthorized):
        return StoreError(
            f"{access.name}: user {access.user!r} may not do this ({text}); let an administrator grant it"
        )
    if isinstance(cause, _REFUSALS):
        if missing(cause):
            return StoreError(
                f"{access.name}: keyspace {access.keyspace!r} has no room for this yet; run twinbeam apply ({text})"
            )
        return StoreError(f"{access.name}: refuses this ({text})")
    if not text or (isinstance(error, NoHostAvailable) and not error.errors):
        text = " ".join(str(error).split())
    return StoreAway(f"{access.name}: does not answer ({type(cause).__name__}: {text}); nothing is lost, try again")


def missing(error: BaseException) -> bool:
    """Whether a request was refused because its table, or keyspace, does not exist."""
    text = str(error)
    return isinstance(error, InvalidRequest) and any(
        phrase in text for phrase in ("unconfigured table", "does not exist", "Unknown keyspace")
    )


def _tls(access: Access) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=access.ca)
        if access.certificate is not None:
            context.load_cert_chain(access.certificate, access.key)
    except (OSError, ssl.SSLError) as error:
        files = ", ".join(path for path in (access.ca, access.certificate, access.key) if path)
        raise SettingsError(f"online.cassandra: ca, certificate or key cannot be used ({error}): {files}") from error
    return context
