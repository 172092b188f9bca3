"""Stores of a project, and its broker: where they are and how they are opened, in any process."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pipelines.brokers.base import Broker
from pipelines.brokers.embedded import EmbeddedBroker
from pipelines.settings import Settings
from schemas.errors import StoreError, TwinbeamError
from serving.stores.base import OnlineStore
from serving.stores.offline import OfflineStore
from serving.stores.sqlite import SqliteStore
from serving.stores.sqlite_file import REFILL


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
    """

    offline_root: str
    offline_options: Mapping[str, str] = field(repr=False)
    online_path: str
    topics_path: str
    online_timeout: float = 30.0
    topics_timeout: float = 60.0

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
        )

    def offline(self) -> OfflineStore:
        """Opens the offline store."""
        return OfflineStore(self.offline_root, self.offline_options)

    def online(self) -> OnlineStore:
        """Opens the online store.

        Raises:
            StoreError: it cannot be opened.
        """
        return SqliteStore(self.online_path, timeout=self.online_timeout)

    def named(self, error: TwinbeamError) -> TwinbeamError:
        """An error of the stores; that of a cell or state, which knows no file, with the file and the way back."""
        if isinstance(error, StoreError) and str(error).startswith(("a cell ", "a state ")):
            return StoreError(f"{self.online_path}: {error}; if no later release wrote it, {REFILL}")
        return error

    def broker(self) -> Broker:
        """Opens the broker."""
        return EmbeddedBroker(self.topics_path, self.topics_timeout)
