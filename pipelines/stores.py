"""Stores of a project, and its broker: where they are and how they are opened, in any process."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from pipelines.brokers.base import Broker
from pipelines.brokers.embedded import EmbeddedBroker
from pipelines.engine_settings import CassandraSettings, KafkaSettings, RegistrySettings
from pipelines.settings import Settings
from schemas.errors import StoreError, TwinbeamError
from serving.stores.base import OnlineStore
from serving.stores.cassandra_access import REFILL as REFILL_KEYSPACE
from serving.stores.cassandra_access import Access, keyspace_of
from serving.stores.offline import OfflineStore
from serving.stores.sqlite import SqliteStore
from serving.stores.sqlite_file import REFILL

if TYPE_CHECKING:
    from pipelines.brokers.schema_registry import SchemaRegistry


@dataclass(frozen=True)
class Stores:
    """Places of the stores and the broker; picklable, so that workers open them for themselves.

    Attributes:
        offline_root: folder or object-store URL.
        offline_options: of the object store.
        online_path: file of the online store.
        topics_path: file of the embedded broker.
        online_timeout: seconds that a writer of the online store waits for another one.
        topics_timeout: seconds that a publisher waits for another one.
        cassandra: how the cluster is reached that holds the online store, or None.
        kafka: how the cluster is reached that holds the topics, or None.
        registry: how the schema registry is reached, or None.
    """

    offline_root: str
    offline_options: Mapping[str, str] = field(repr=False)
    online_path: str
    topics_path: str
    online_timeout: float = 30.0
    topics_timeout: float = 60.0
    cassandra: Access | None = None
    kafka: KafkaSettings | None = None
    registry: RegistrySettings | None = None

    @staticmethod
    def of(settings: Settings) -> Stores:
        """Stores that the settings name."""
        return Stores(
            settings.offline.root,
            dict(settings.offline.options),
            str(settings.online.path),
            str(settings.stream.path),
            settings.online.timeout / 1e6,
            settings.stream.timeout / 1e6,
            _access(settings.online.cassandra, settings.project) if settings.online.store == "cassandra" else None,
            _kafka(settings) if settings.stream.broker == "kafka" else None,
            settings.stream.registry if settings.stream.registry.url is not None else None,
        )

    @property
    def online_place(self) -> str:
        """Where the online store is, for messages."""
        if self.cassandra is None:
            return self.online_path
        return f"{self.cassandra.name}, keyspace {self.cassandra.keyspace}"

    def offline(self) -> OfflineStore:
        """Opens the offline store."""
        return OfflineStore(self.offline_root, self.offline_options)

    def online(self) -> OnlineStore:
        """Opens the online store.

        Raises:
            StoreError: it cannot be opened.
            StoreAway: its cluster does not answer.
        """
        if self.cassandra is not None:
            try:
                from serving.stores.cassandra import CassandraStore  # noqa: PLC0415
            except ModuleNotFoundError as error:
                raise StoreError(f"no driver for Cassandra ({error}): pip install 'twinbeam[cassandra]'") from error
            return CassandraStore(self.cassandra)
        return SqliteStore(self.online_path, timeout=self.online_timeout)

    def named(self, error: TwinbeamError) -> TwinbeamError:
        """An error of the stores; that of a cell or state, which knows no file, with the file and the way back."""
        if isinstance(error, StoreError) and str(error).startswith(("a cell ", "a state ")):
            return StoreError(f"{self.online_place}: {error}; if no later release wrote it, {self._refill}")
        return error

    @property
    def _refill(self) -> str:
        return REFILL if self.cassandra is None else REFILL_KEYSPACE

    def schemas(self) -> SchemaRegistry | None:
        """Opens the schema registry, if there is one."""
        if self.registry is None:
            return None
        try:
            from pipelines.brokers.schema_registry import SchemaRegistry  # noqa: PLC0415
        except ModuleNotFoundError as error:
            raise StoreError(f"no client for a schema registry ({error}): pip install 'twinbeam[kafka]'") from error
        return SchemaRegistry(self.registry)

    def broker(self, seconds: float | None = None) -> Broker:
        """Opens the broker.

        Args:
            seconds: to wait for an answer of a cluster, if less than the settings say.

        Raises:
            StoreError: its client is not installed.
        """
        if self.kafka is None:
            return EmbeddedBroker(self.topics_path, self.topics_timeout)
        try:
            from pipelines.brokers.kafka import KafkaBroker  # noqa: PLC0415
        except ModuleNotFoundError as error:
            raise StoreError(f"no client for Kafka ({error}): pip install 'twinbeam[kafka]'") from error
        patience = self.kafka.timeout if seconds is None else min(self.kafka.timeout, int(seconds * 1e6))
        return KafkaBroker(replace(self.kafka, timeout=patience))


def _access(settings: CassandraSettings, project: str) -> Access:
    return Access(
        settings.hosts,
        settings.keyspace or keyspace_of(project),
        settings.datacenter,
        tuple(sorted(settings.replication.items())),
        settings.consistency,
        settings.in_flight,
        settings.batch,
        settings.timeout / 1e6,
        settings.commit_log_window / 1e6,
        settings.security == "tls",
        settings.user,
        settings.secrets.get("password"),
        None if settings.ca is None else str(settings.ca),
        None if settings.certificate is None else str(settings.certificate),
        None if settings.key is None else str(settings.key),
    )


def _kafka(settings: Settings) -> KafkaSettings:
    kafka = settings.stream.kafka
    return replace(kafka, group=kafka.group or f"twinbeam-{settings.project}")
