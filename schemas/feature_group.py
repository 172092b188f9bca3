"""Feature groups: latest-value views that are kept as data, a JSON document each, in the shape that SageMaker has.

A group is an entity, a source with a topic, and a view of the latest values. Names that definitions cannot have
(a feature `order-id`, a group `2024`) stand under another one, which no feature of a group can have; so do the columns
that the platform adds: their names end in `_`, or are reserved by SageMaker.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from schemas.entity import Entity
from schemas.errors import Mistake
from schemas.feature_view import FeatureView
from schemas.names import name_problem
from schemas.source import Source

FOLDER = "feature_groups"
INTEGRAL, FRACTIONAL, STRING = "Integral", "Fractional", "String"
DELETED, INVOKED, WRITTEN = "is_deleted", "api_invocation_time", "write_time"
RESERVED = (DELETED, INVOKED, WRITTEN)
ONLINE, OFFLINE, HARD = "online_", "offline_", "hard_"
EXPIRES, SEQUENCE, TEXTS = "expires_at_", "sequence_", "texts_"
SYSTEM: Mapping[str, str] = {
    DELETED: "bool",
    INVOKED: "timestamp",
    ONLINE: "bool",
    OFFLINE: "bool",
    HARD: "bool",
    EXPIRES: "int64",
    SEQUENCE: "int64",
    TEXTS: "string",
}
_TYPES = {INTEGRAL: "int64", FRACTIONAL: "float64", STRING: "string"}
_LONGEST = 50


@dataclass(frozen=True)
class GroupFeature:
    """One feature of a group.

    Attributes:
        name: as clients have it.
        kind: "Integral", "Fractional" or "String": of the value, or of each element.
        collection: "List", "Set" or "Vector", or None for a single value.
        dimension: elements of a vector, or None.
        column: name of its column.
    """

    name: str
    kind: str
    collection: str | None
    dimension: int | None
    column: str

    @staticmethod
    def of(definition: Mapping[str, Any]) -> GroupFeature:
        """Feature of its definition in a document."""
        vector = (definition.get("CollectionConfig") or {}).get("VectorConfig") or {}
        name = str(definition["FeatureName"])
        kind, collection = definition["FeatureType"], definition.get("CollectionType")
        if kind not in _TYPES:
            raise ValueError(f"{name}: FeatureType {kind!r} is not legal: legal are {', '.join(_TYPES)}")
        return GroupFeature(name, kind, collection, vector.get("Dimension"), identifier(name))

    @property
    def type(self) -> str:
        """Text of its column's type."""
        plain = _TYPES[self.kind]
        return plain if self.collection is None else f"list<{plain}>"


@dataclass(frozen=True)
class FeatureGroup:
    """One group.

    Attributes:
        document: what is kept of it.
        path: of the file.
    """

    document: Mapping[str, Any]
    path: Path

    @staticmethod
    def read(path: Path) -> FeatureGroup:
        """Group of a file.

        Raises:
            ValueError: it holds none.
            OSError: it cannot be read.
        """
        document = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(document, dict):
            raise ValueError("is no JSON object")
        group = FeatureGroup(document, path)
        try:
            _ = group.name, group.created, group.ttl, group.key.kind, group.time.kind, group.view
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"is no feature group: {type(error).__name__}: {error}") from None
        return group

    @property
    def name(self) -> str:
        """As clients have it."""
        return str(self.document["FeatureGroupName"])

    @property
    def registered(self) -> bool:
        """Whether it is kept as data, with the columns of `SYSTEM`; if not, it is a view of the definitions."""
        return True

    @property
    def created(self) -> int:
        """When it was made, ms since the epoch."""
        return int(self.document["Created"])

    @property
    def modified(self) -> int:
        """When it was last changed, ms since the epoch."""
        return int(self.document.get("Modified", self.created))

    @property
    def changed(self) -> int:
        """When its features were last changed, ms since the epoch."""
        return int(self.document.get("Changed", self.created))

    @property
    def online(self) -> bool:
        """Whether it has an online store."""
        return bool((self.document.get("OnlineStoreConfig") or {}).get("EnableOnlineStore"))

    @property
    def offline(self) -> bool:
        """Whether it has an offline store."""
        return self.document.get("OfflineStoreConfig") is not None

    @property
    def ttl(self) -> tuple[str, int] | None:
        """Unit and number of the time that its records live, if they do not say themselves."""
        given = (self.document.get("OnlineStoreConfig") or {}).get("TtlDuration")
        return None if given is None else (str(given["Unit"]), int(given["Value"]))

    @cached_property
    def features(self) -> tuple[GroupFeature, ...]:
        """All features, in the order of their definition."""
        return tuple(GroupFeature.of(definition) for definition in self.document["FeatureDefinitions"])

    @cached_property
    def by_name(self) -> dict[str, GroupFeature]:
        """Features by name."""
        return {feature.name: feature for feature in self.features}

    @property
    def key(self) -> GroupFeature:
        """The feature that identifies records."""
        return self.by_name[self.document["RecordIdentifierFeatureName"]]

    @property
    def example(self) -> int | str:
        """Some identifier, as its column has it."""
        return 0 if self.key.kind == INTEGRAL else "0"

    @property
    def time(self) -> GroupFeature:
        """The feature that says when."""
        return self.by_name[self.document["EventTimeFeatureName"]]

    @cached_property
    def values(self) -> tuple[GroupFeature, ...]:
        """Features but the identifier and the time."""
        return tuple(feature for feature in self.features if feature not in (self.key, self.time))

    @property
    def source(self) -> str:
        """Name of its source, its topic and its entity; a group that is made anew has others."""
        return f"{_plain(self.name)}_{self.created}"

    @property
    def view_name(self) -> str:
        """Name of its view."""
        return identifier(self.name, dashed=True)

    @cached_property
    def view(self) -> FeatureView:
        """The view, which holds its entity and its source."""
        place = f"{self.path}:1"
        key_type = "int64" if self.key.kind == INTEGRAL else "string"
        fields = {self.key.column: key_type, self.time.column: "timestamp"}
        fields |= {feature.column: feature.type for feature in self.values}
        description = str(self.document.get("Description") or "")
        entity = Entity(self.source, keys={self.key.column: key_type}, place=place)
        source = Source(
            self.source,
            fields=fields | dict(SYSTEM),
            event_time=self.time.column,
            topic=self.source,
            encoding="json",
            sequence=SEQUENCE,
            deleted=DELETED,
            description=description,
            place=place,
            folder=str(self.path.parent),
        )
        return FeatureView(
            self.view_name,
            entity=entity,
            source=source,
            where=ONLINE if self.online else None,
            features=[*(feature.column for feature in self.values), EXPIRES, SEQUENCE, TEXTS],
            ties="first",
            expires=EXPIRES,
            online=self.online,
            description=description,
            place=place,
        )


def identifier(name: str, dashed: bool = False) -> str:
    """Name of ours for a name of SageMaker's: the same, if it is legal."""
    return name if name_problem(name, dashed) is None else f"{_plain(name)}_{_digest(name)}_"


def read_groups(folders: Sequence[Path]) -> tuple[list[FeatureGroup], list[Mistake]]:
    """Groups of folders, by name, and the files that hold none."""
    groups, mistakes = [], []
    for folder in folders:
        for path in sorted(folder.glob("*.json")):
            try:
                groups.append(FeatureGroup.read(path))
            except (OSError, ValueError) as error:
                mistakes.append(Mistake(f"{path}:1", path.stem, str(error)))
    return groups, mistakes


def _plain(name: str) -> str:
    """A name with legal letters alone, and shorter."""
    plain = re.sub(r"[^A-Za-z0-9_]", "_", name)[:_LONGEST]
    return plain if plain[:1].isalpha() else f"n{plain}"[:_LONGEST]


def _digest(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()[:8]
