"""Servers that ask who is there: Kafka with SASL or client certificates, Cassandra with passwords, all over TLS.

Secrets and certificates are new in every run of tests and lie in the folder of the server, for its owner alone. The
fixtures give the secured server of the run, shared like the plain ones.
"""

from __future__ import annotations

import json
import secrets
import socket
import ssl
import time
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from cassandra.auth import PlainTextAuthProvider
from cassandra.cluster import Cluster, NoHostAvailable

from pipelines.dev.cassandra import Cassandra
from pipelines.dev.kafka import Kafka
from tests.certificates import Authority
from tests.servers import Servers

LOGIN_SECONDS = 120.0
MECHANISMS = ("PLAIN", "SCRAM-SHA-256")
_MODULES = "org.apache.kafka.common.security"


@dataclass(frozen=True)
class Access:
    """What a client needs to get in.

    Attributes:
        user: name of an ordinary user.
        password: of that user.
        admin: name of a user who may do anything.
        admin_password: of that one.
        ca: file of the authority that signed the server's certificate.
        certificate: file of a certificate that the server trusts.
        key: file of the key of that certificate.
        store: file of the server's own key and certificates.
        store_password: of that file.
    """

    user: str
    password: str
    admin: str
    admin_password: str
    ca: str
    certificate: str
    key: str
    store: str
    store_password: str

    @classmethod
    def of(cls, folder: Path, pem: bool) -> Access:
        """What was made for the server of a folder; made now if it is the first time."""
        where = folder / "access.json"
        if where.exists():
            return cls(**json.loads(where.read_text(encoding="utf-8")))
        authority = Authority(folder / "certificates")
        certificate, key = authority.pem("client")
        password = secrets.token_hex(16)
        store = authority.pem_store("server") if pem else authority.pkcs12("server", password)
        made = cls(
            user="app",
            password=secrets.token_hex(16),
            admin="keeper",
            admin_password=secrets.token_hex(16),
            ca=str(authority.ca),
            certificate=str(certificate),
            key=str(key),
            store=str(store),
            store_password=password,
        )
        where.touch(mode=0o600)
        where.write_text(json.dumps(asdict(made)), encoding="utf-8")
        return made


class SecureKafka:
    """Kafka whose one listener is secured.

    Args:
        folder: of the server.
        protocol: SASL_SSL or SASL_PLAINTEXT (PLAIN and SCRAM-SHA-256), or SSL, which asks for a client's certificate.
    """

    def __init__(self, folder: Path, protocol: str = "SASL_SSL") -> None:
        self._folder = folder
        self._protocol = protocol

    @property
    def access(self) -> Access:
        return Access.of(self._folder, pem=True)

    @property
    def servers(self) -> str:
        return self._kafka().servers

    @property
    def pid(self) -> int | None:
        return self._kafka().pid

    def start(self) -> None:
        self._kafka().start()

    def stop(self) -> None:
        self._kafka().stop()

    def kill(self) -> None:
        self._kafka().kill()

    def _kafka(self) -> Kafka:
        access = self.access
        users = {access.admin: access.admin_password, access.user: access.password}
        settings: dict[str, str] = {}
        options: list[str] = []
        if self._protocol.startswith("SASL"):
            listener = f"listener.name.{self._protocol.lower()}"
            plain = "".join(f' user_{name}="{password}"' for name, password in users.items())
            settings |= {
                "sasl.enabled.mechanisms": ",".join(MECHANISMS),
                "sasl.mechanism.inter.broker.protocol": "PLAIN",
                f"{listener}.plain.sasl.jaas.config": f"{_MODULES}.plain.PlainLoginModule required "
                f'username="{access.admin}" password="{access.admin_password}"{plain};',
                f"{listener}.scram-sha-256.sasl.jaas.config": f"{_MODULES}.scram.ScramLoginModule required;",
            }
            options = ["--add-scram", f"SCRAM-SHA-256=[name={access.user},password={access.password}]"]
        if self._protocol.endswith("SSL"):
            settings |= {
                "ssl.keystore.type": "PEM",
                "ssl.keystore.location": access.store,
                "ssl.truststore.type": "PEM",
                "ssl.truststore.location": access.ca,
                "ssl.client.auth": "required" if self._protocol == "SSL" else "none",
            }
        return Kafka(self._folder, protocol=self._protocol, settings=settings, format_options=options)


class SecureCassandra:
    """Cassandra that takes clients over TLS alone, by password: an admin, and a user who may make keyspaces."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @property
    def access(self) -> Access:
        return Access.of(self._folder, pem=False)

    @property
    def hosts(self) -> str:
        return self._cassandra().hosts

    @property
    def pid(self) -> int | None:
        return self._cassandra().pid

    def start(self) -> None:
        self._cassandra().start()
        if not (self._folder / "roles").exists():
            self._make_roles()
            (self._folder / "roles").touch()

    def stop(self) -> None:
        self._cassandra().stop()

    def kill(self) -> None:
        self._cassandra().kill()

    def cluster(self, user: str, password: str) -> Cluster:
        """A client of it, of a user."""
        host, _, port = self.hosts.partition(":")
        return Cluster(
            [host],
            port=int(port),
            protocol_version=5,
            connect_timeout=LOGIN_SECONDS,
            control_connection_timeout=LOGIN_SECONDS,
            auth_provider=PlainTextAuthProvider(user, password),
            ssl_context=ssl.create_default_context(cafile=self.access.ca),
            ssl_options={"server_hostname": host},
            sockopts=[(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)],
        )

    def _make_roles(self) -> None:
        access = self.access
        for role, password, powers in (
            (access.admin, access.admin_password, "SUPERUSER = true"),
            (access.user, access.password, "SUPERUSER = false"),
        ):
            made = f"CREATE ROLE IF NOT EXISTS {role} WITH PASSWORD = '{password}' AND LOGIN = true AND {powers}"
            self._as("cassandra", "cassandra", made)
        self._as(access.admin, access.admin_password, f"GRANT CREATE ON ALL KEYSPACES TO {access.user}")
        self._as(access.admin, access.admin_password, "DROP ROLE cassandra")

    def _as(self, user: str, password: str, statement: str) -> None:
        """Runs a statement; a user may be known a moment later only."""
        end = time.monotonic() + LOGIN_SECONDS
        while True:
            cluster = self.cluster(user, password)
            try:
                cluster.connect().execute(statement, timeout=LOGIN_SECONDS)
                return
            except NoHostAvailable:
                if time.monotonic() > end:
                    raise
                time.sleep(0.2)
            finally:
                cluster.shutdown()

    def _cassandra(self) -> Cassandra:
        access = self.access
        encryption: dict[str, Any] = {
            "enabled": True,
            "optional": False,
            "keystore": access.store,
            "keystore_password": access.store_password,
            "store_type": "PKCS12",
            "require_client_auth": False,
        }
        return Cassandra(
            self._folder,
            settings={
                "authenticator": "PasswordAuthenticator",
                "authorizer": "CassandraAuthorizer",
                "client_encryption_options": encryption,
            },
        )


@pytest.fixture(scope="session")
def secure_kafka(servers: Servers) -> SecureKafka:
    """The Kafka of the run that asks for SASL over TLS."""
    return servers.shared("secure-kafka", SecureKafka, ours=True)


@pytest.fixture(scope="session")
def tls_kafka(servers: Servers) -> SecureKafka:
    """The Kafka of the run that asks for a client's certificate."""
    return servers.shared("tls-kafka", partial(SecureKafka, protocol="SSL"), ours=True)


@pytest.fixture(scope="session")
def secure_cassandra(servers: Servers) -> SecureCassandra:
    """The Cassandra of the run that asks for a password, over TLS."""
    return servers.shared("secure-cassandra", SecureCassandra, ours=True)
