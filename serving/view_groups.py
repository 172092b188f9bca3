"""Views that are feature groups as they are: plain latest values of one source with a topic, known by one key."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from schemas.feature_group import FRACTIONAL, INTEGRAL, RESERVED, STRING, FeatureGroup
from schemas.feature_view import FeatureView
from transforms.view import CompiledView

NAME = re.compile(r"[a-zA-Z0-9](?:[-_]*[a-zA-Z0-9]){0,63}")


@dataclass(frozen=True)
class ViewGroup(FeatureGroup):
    """A view of the definitions as a feature group.

    Attributes:
        compiled: the view.
    """

    compiled: CompiledView

    @property
    def registered(self) -> bool:
        """See `FeatureGroup`."""
        return False

    @property
    def source(self) -> str:
        """See `FeatureGroup`."""
        return self.compiled.sources[0].name

    @property
    def view_name(self) -> str:
        """See `FeatureGroup`."""
        return self.compiled.name

    @property
    def view(self) -> FeatureView:
        """See `FeatureGroup`."""
        return self.compiled.view


def view_group(compiled: CompiledView, topic: str | None, applied_at: int) -> ViewGroup | None:
    """The view as a feature group; None if it is none.

    Args:
        compiled: the view.
        topic: of its first source, or None.
        applied_at: when the definitions were applied, ms.
    """
    view, source = compiled.view, compiled.sources[0]
    keys = compiled.entity.key_types
    ruled = view.where or view.select or view.transform or view.explode or view.derive or compiled.entity.key_from
    plain = all(
        feature.kind == "latest" and feature.column == feature.name and feature.default is None
        for feature in compiled.features
    )
    if topic is None or len(compiled.sources) > 1 or len(keys) > 1 or ruled or not plain or not compiled.features:
        return None
    (key, key_type), time = next(iter(keys.items())), source.event_time or ""
    kinds: Mapping[str, pa.DataType] = {key: key_type} | {
        feature.name: feature.dtype for feature in compiled.features if feature.name not in (key, time)
    }
    definitions = [{"FeatureName": time, "FeatureType": STRING}]
    definitions += [found for name, kind in kinds.items() if (found := _definition(name, kind)) is not None]
    named = [compiled.name, time, *kinds]
    if len(definitions) < len(kinds) + 1 or len(kinds) < 2 or pa.types.is_floating(key_type):
        return None
    if not all(NAME.fullmatch(name) and name not in RESERVED for name in named):
        return None
    document: dict[str, Any] = {
        "FeatureGroupName": compiled.name,
        "RecordIdentifierFeatureName": key,
        "EventTimeFeatureName": time,
        "FeatureDefinitions": [definitions[1], definitions[0], *definitions[2:]],
        "OnlineStoreConfig": {"EnableOnlineStore": view.online},
        "OfflineStoreConfig": {"S3StorageConfig": {"S3Uri": f"s3://twinbeam/{compiled.name}"}},
        "Description": view.description[:128],
        "Created": applied_at,
    }
    return ViewGroup(document, Path(view.place.rpartition(":")[0]), compiled)


def _definition(name: str, kind: pa.DataType) -> dict[str, str] | None:
    if pa.types.is_list(kind):
        element = _definition(name, kind.value_type)
        return None if element is None or "CollectionType" in element else element | {"CollectionType": "List"}
    if pa.types.is_integer(kind):
        return {"FeatureName": name, "FeatureType": INTEGRAL}
    if pa.types.is_floating(kind):
        return {"FeatureName": name, "FeatureType": FRACTIONAL}
    return {"FeatureName": name, "FeatureType": STRING} if pa.types.is_string(kind) else None
