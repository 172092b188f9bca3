"""Secured servers let in who has the secret, and nobody else: else tests of secured clients prove nothing."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import pytest
from cassandra import Unauthorized
from cassandra.cluster import Cluster, NoHostAvailable
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from pipelines.dev.cassandra import Cassandra
from tests.secure_servers import MECHANISMS, Access, SecureCassandra, SecureKafka

pytestmark = [pytest.mark.xdist_group("servers"), pytest.mark.long]

SECONDS = 60.0
REFUSED_SECONDS = 3.0


def brokers(servers: str, seconds: float, **settings: Any) -> int:
    admin = AdminClient({"bootstrap.servers": servers, "log_level": 0, **settings})
    return len(admin.list_topics(timeout=seconds).brokers)


def sasl(access: Access, mechanism: str, password: str) -> dict[str, Any]:
    return {
        "security.protocol": "SASL_SSL",
        "sasl.mechanism": mechanism,
        "sasl.username": access.user,
        "sasl.password": password,
        "ssl.ca.location": access.ca,
    }


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_kafka_lets_in_by_password_alone(secure_kafka: SecureKafka, mechanism: str) -> None:
    access = secure_kafka.access
    assert brokers(secure_kafka.servers, SECONDS, **sasl(access, mechanism, access.password)) == 1
    for wrong in (sasl(access, mechanism, "x" + access.password), {}):
        with pytest.raises(KafkaException):
            brokers(secure_kafka.servers, REFUSED_SECONDS, **wrong)


def test_kafka_lets_in_by_certificate_alone(tls_kafka: SecureKafka) -> None:
    access = tls_kafka.access
    trusting = {"security.protocol": "SSL", "ssl.ca.location": access.ca}
    with_certificate = {"ssl.certificate.location": access.certificate, "ssl.key.location": access.key}
    assert brokers(tls_kafka.servers, SECONDS, **trusting, **with_certificate) == 1
    with pytest.raises(KafkaException):
        brokers(tls_kafka.servers, REFUSED_SECONDS, **trusting)


def test_cassandra_lets_in_by_password_over_tls_alone(secure_cassandra: SecureCassandra) -> None:
    access = secure_cassandra.access
    cluster = secure_cassandra.cluster(access.user, access.password)
    try:
        session = cluster.connect()
        session.default_timeout = SECONDS
        replication = "{'class': 'SimpleStrategy', 'replication_factor': 1}"
        session.execute(f"CREATE KEYSPACE mine WITH replication = {replication}")
        session.execute("DROP KEYSPACE mine")
        with pytest.raises(Unauthorized):
            session.execute(f"DROP ROLE {access.admin}")
    finally:
        cluster.shutdown()
    host, _, port = secure_cassandra.hosts.partition(":")
    for wrong in (
        secure_cassandra.cluster(access.user, "x" + access.password),
        secure_cassandra.cluster("cassandra", "cassandra"),
        Cluster([host], port=int(port), protocol_version=5),
    ):
        try:
            with pytest.raises(NoHostAvailable):
                wrong.connect()
        finally:
            wrong.shutdown()


def test_secrets_are_for_the_owner_alone(tmp_path: Path) -> None:
    server = SecureCassandra(tmp_path / "one")
    assert server.access.password != SecureCassandra(tmp_path / "two").access.password
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) == 10
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}


def test_settings_files_are_for_the_owner_alone(tmp_path: Path) -> None:
    server = Cassandra(tmp_path, settings={"no_such_setting": "secret"})
    with pytest.raises(Exception, match="no_such_setting"):
        server.start()
    assert stat.S_IMODE((tmp_path / "cassandra.yaml").stat().st_mode) == 0o600
