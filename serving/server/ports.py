"""Ports of the server: what it asks of a project, wired above it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

from transforms.catalog import Catalog
from transforms.features import Features
from transforms.selection import Selection


class Reader(Protocol):
    """Reads some features, planned once; threads may share it."""

    @property
    def selection(self) -> Selection:
        """The features."""

    def get(
        self, keys: Any, request: Mapping[str, Any] | None, now: datetime | str | int | None, fingerprint: str | None
    ) -> Features:
        """Features of entities now: as `Platform.get`."""


class Reads(Protocol):
    """Reads by what is applied; another object once something else is."""

    @property
    def catalog(self) -> Catalog:
        """The definitions."""

    @property
    def version(self) -> int:
        """Of what is applied; every application counts one up."""

    @property
    def waits(self) -> bool:
        """Whether a read waits for a network, so that it is better done in a fiber."""

    def reader(self, features: str | tuple[str, ...]) -> Reader:
        """Reader of some features: a service, a view, or addresses.

        Raises:
            RequestError: something asked for does not exist or is not applied.
        """

    def former(self, view: str) -> Reader | None:
        """Reader of what a feature group's view had before features were added to it; None if it is filled by now."""


class Publishing(Protocol):
    """Appends events to the topics of sources."""

    def publish(self, source: str, events: Any) -> dict[str, int]:
        """Appends events; returns the last offset in each lane once they are durable.

        Args:
            source: name of a source that has a topic.
            events: dicts, Arrow, polars or pandas, or decoded ones; or `bytes` values, sent as they are.

        Raises:
            EventError: an event does not fit; nothing was sent.
            RequestError: there is no such source, or it has no topic.
        """

    def topic(self, source: str) -> str | None:
        """Topic of a source of the catalog, or None if it has none."""

    def readable(self, source: str, lanes: Mapping[str, int]) -> bool:
        """Whether the events up to these offsets are in the online store, in every view that the source feeds."""


class Backend(Protocol):
    """A project as the server sees it."""

    @property
    def project(self) -> str:
        """Its name."""

    @property
    def reads(self) -> Reads:
        """Reads by what is applied now."""

    @property
    def publishing(self) -> Publishing:
        """Publishing by what is applied now."""

    def ailments(self) -> dict[str, str]:
        """What does not answer, by name, with the reason; empty if all does. May take a while."""

    def unlogged(self) -> tuple[int, float]:
        """Rows of answers that the serving log has not written yet, and for how many seconds the oldest waits."""

    def close(self) -> None:
        """Writes what is held of the serving log, and closes the stores."""


class Runs(Protocol):
    """Runs that fill the online store from what sources hold; for Feast's materialize."""

    def fill(self, views: Sequence[str]) -> None:
        """Brings all that is new in the sources of some views into both stores; returns when it is there.

        Raises:
            StoreError: the run failed; says why.
        """

    def filling(self) -> set[str]:
        """Names of the views that such runs feed now, whoever started them."""
