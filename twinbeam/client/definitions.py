"""Definitions as the server shows them: what there is, and each feature with its lineage."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class FeatureEntry:
    """One feature.

    Attributes:
        address: `view:feature`.
        kind: aggregate, latest, derived, on_demand or encoded.
        type: text of its type.
        entity: name of the entity, or nothing.
        keys: names of the entity's keys.
        window: text of its window, "history" for all of it, or nothing.
        owner: of the view.
        tags: of the view.
        description: of the feature, or else of its view.
        default: stands for null, or None.
        fingerprint: of the feature.
        roles: other names of its view.
        upstream: sources, and features, that it is made of.
        downstream: features, on-demand functions and services that use it.
    """

    address: str
    kind: str
    type: str
    fingerprint: str
    entity: str = ""
    keys: tuple[str, ...] = ()
    window: str = ""
    owner: str = ""
    tags: Mapping[str, str] | None = None
    description: str = ""
    default: Any = None
    roles: tuple[str, ...] = ()
    upstream: tuple[str, ...] = ()
    downstream: tuple[str, ...] = ()


@dataclass(frozen=True)
class Definitions:
    """What is applied, as far as the caller may see it; members are as in the server's OpenAPI page.

    Attributes:
        project: name.
        version: of what is applied; every application counts one up.
        views: name, entity, keys and features of each view.
        aliases: name, view and keys of each.
        on_demand: name, inputs, request values and features of each function.
        services: name, features, keys, request values and fingerprint of each.
        sources: name, fields and event time of each.
    """

    project: str
    version: int
    views: tuple[Mapping[str, Any], ...]
    aliases: tuple[Mapping[str, Any], ...]
    on_demand: tuple[Mapping[str, Any], ...]
    services: tuple[Mapping[str, Any], ...]
    sources: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True)
class Readiness:
    """Whether a server can answer; true or false by itself.

    Attributes:
        ready: whether.
        reasons: why not, by what does not answer.
    """

    ready: bool
    reasons: Mapping[str, str]

    def __bool__(self) -> bool:
        return self.ready


def built(kind: type[T], members: Mapping[str, Any]) -> T:
    """An object of its members as JSON has them; those that a newer server adds are passed over.

    Raises:
        TypeError: a member is missing.
    """
    known = {field.name for field in fields(kind)}  # type: ignore[arg-type]
    values = {
        name: tuple(value) if isinstance(value, list) and name != "default" else value
        for name, value in members.items()
        if name in known
    }
    return kind(**values)
