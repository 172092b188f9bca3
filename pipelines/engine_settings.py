"""Settings of the engines: how Kafka, a schema registry, Cassandra and Flink are reached."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class KafkaSettings:
    """How a Kafka cluster is reached, and how topics are made there.

    Attributes:
        servers: "host:port" of some brokers.
        group: consumer group whose offsets are committed, for monitoring alone; None for one named by the project.
        start: where a topic begins of which the stores hold nothing: "stores" (its earliest record), "earliest",
            "latest", or µs since the epoch.
        replication: copies of each partition of topics made here.
        retention: µs that records of topics made here stay; None for ever.
        timeout: µs to wait for an answer before the cluster counts as away.
        security: "plaintext", "tls", "sasl" or "sasl_tls".
        mechanism: of SASL: "PLAIN", "SCRAM-SHA-256" or "SCRAM-SHA-512".
        user: of SASL, or None.
        ca: file of the certificates that are trusted, or None for the system's.
        certificate: file of the client's certificate, or None.
        key: file of its key, or None.
        secrets: "password" of the user, "key_password" of the key.
    """

    servers: tuple[str, ...]
    group: str | None
    start: str | int
    replication: int
    retention: int | None
    timeout: int
    security: str
    mechanism: str
    user: str | None
    ca: Path | None
    certificate: Path | None
    key: Path | None
    secrets: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True)
class RegistrySettings:
    """How a schema registry is reached.

    Attributes:
        url: of the registry, or None if there is none.
        timeout: µs to wait for an answer.
        user: for basic authentication, or None.
        ca: file of the certificates that are trusted, or None for the system's.
        secrets: "password" of the user.
    """

    url: str | None
    timeout: int
    user: str | None
    ca: Path | None
    secrets: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True)
class CassandraSettings:
    """How a Cassandra cluster is reached, and what it promises.

    Attributes:
        hosts: "host:port" of some nodes.
        keyspace: of the online store; None for one named by the project.
        datacenter: the one that is asked; None if the cluster has a single one.
        replication: copies by data centre; empty for one copy.
        consistency: of workers' reads and writes.
        in_flight: most requests under way at once.
        batch: bytes up to which cells of several entities go in one request.
        timeout: µs to wait for an answer before the cluster counts as away.
        commit_log_window: µs within which a killed node may forget what it acknowledged; 0 if it syncs before it
            acknowledges.
        security: "plaintext" or "tls".
        user: or None.
        ca: file of the certificates that are trusted, or None for the system's.
        certificate: file of the client's certificate, or None.
        key: file of its key, or None.
        secrets: "password" of the user.
    """

    hosts: tuple[str, ...]
    keyspace: str | None
    datacenter: str | None
    replication: Mapping[str, int]
    consistency: str
    in_flight: int
    batch: int
    timeout: int
    commit_log_window: int
    security: str
    user: str | None
    ca: Path | None
    certificate: Path | None
    key: Path | None
    secrets: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True)
class FlinkSettings:
    """How jobs run on a Flink session cluster.

    Attributes:
        jobmanager: URL of its REST interface.
        parallelism: subtasks of a job.
        checkpoint: µs between checkpoints.
        savepoints: folder or URL that savepoints go to, as the cluster sees it.
        worker: command that starts a worker on a TaskManager's machine; None for this Python there.
    """

    jobmanager: str
    parallelism: int
    checkpoint: int
    savepoints: str
    worker: str | None
