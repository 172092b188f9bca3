"""Port of feature groups: where they are kept, wired above the server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from schemas.feature_group import FeatureGroup


class GroupStore(Protocol):
    """Feature groups of a project, as data beside its definitions."""

    @property
    def max_skew(self) -> int:
        """µs by which an event's time may lie after its arrival."""

    def names(self) -> Sequence[str]:
        """Names of all groups that are kept, as of now, whether they are served yet or not."""

    def find(self, name: str) -> FeatureGroup | None:
        """Group of a name, as it is kept now."""

    def served(self, name: str) -> FeatureGroup | None:
        """Group of a name as this process serves it."""

    def stale(self, name: str) -> bool:
        """Whether what is kept of a group has other features than those that this process serves."""

    def take_up(self) -> None:
        """Serves what is applied now, at once."""

    def recover(self) -> None:
        """Finishes a change of a group whose process has died, or undoes it if it was not applied yet."""

    def create(self, document: dict[str, Any]) -> FeatureGroup:
        """Keeps a new group, and applies it.

        Raises:
            GroupExists: there is one of that name.
            RequestError: the definitions at hand are not applied, or do not go with it.
        """

    def change(self, name: str, document: dict[str, Any]) -> FeatureGroup:
        """Keeps another document of a group, and applies what is new in it.

        Raises:
            RequestError: as of `create`, or there is no such group.
        """

    def remove(self, name: str) -> None:
        """Forgets a group; its events stay.

        Raises:
            RequestError: as of `change`.
        """

    def followed(self, group: FeatureGroup) -> bool:
        """Whether a stream is alive that serves what is put, or will as soon as it has taken up the group."""

    def taken_up(self, group: FeatureGroup) -> bool:
        """Whether every stream that may take up the group has done so."""

    def ends(self, group: FeatureGroup) -> Mapping[str, int]:
        """Offset behind the last event of each lane of a group, as of now."""

    def stored(self, group: FeatureGroup, ends: Mapping[str, int]) -> bool:
        """Whether the offline store holds all events below these offsets."""

    def identifiers(self, group: FeatureGroup) -> Sequence[int | str]:
        """Identifiers that the offline store knows of records put or deleted online, in order."""
