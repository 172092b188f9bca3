"""Lineage: every feature of a project with what it is made of and what is made of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from schemas.durations import duration_text
from schemas.names import address
from schemas.types import type_text
from transforms.catalog import Catalog
from transforms.computation import Computation
from transforms.feature import Feature


@dataclass(frozen=True)
class Entry:
    """One feature as people look for it.

    Attributes:
        address: `view:feature`.
        kind: aggregate, latest, derived, on_demand or encoded.
        type: text of its type.
        entity: name of the entity; of an on-demand or encoded feature, nothing.
        keys: names of the entity's keys.
        window: text of its window, "history" for all of it, or nothing.
        owner: of the view.
        tags: of the view.
        description: of the feature, or else of its view.
        default: stands for null, or None.
        fingerprint: of the feature.
        place: `file:line` of the definition.
        online: whether it is read online: no view that it is made of is offline only.
        roles: other names of its view, of aliases: `role:feature` is the same feature of another entity.
        upstream: sources, and features, that it is made of.
        downstream: features (encoded ones too), on-demand functions and services that use it.
    """

    address: str
    kind: str
    type: str
    entity: str
    keys: tuple[str, ...]
    window: str
    owner: str
    tags: Mapping[str, str]
    description: str
    default: Any
    fingerprint: str
    place: str
    online: bool
    roles: tuple[str, ...]
    upstream: tuple[str, ...]
    downstream: tuple[str, ...]

    @cached_property
    def text(self) -> str:
        """What a search looks for words in, in small letters."""
        sources = (text for text in self.upstream if text.startswith("source "))
        tags = (f"{name}={value}" for name, value in self.tags.items())
        return " ".join([self.address, self.description, self.owner, self.entity, *self.roles, *tags, *sources]).lower()


def entries(catalog: Catalog) -> list[Entry]:
    """Entries of all features, views first, in the order of the definitions."""
    users = _users(catalog)
    found = []
    for view in catalog.views.values():
        for feature in view.features:
            made_of = [address(view.name, name) for name in feature.inputs]
            found.append(
                Entry(
                    feature.address,
                    feature.kind,
                    type_text(feature.dtype),
                    view.entity.name,
                    view.key_names,
                    _window(feature),
                    feature.owner,
                    feature.tags,
                    feature.description or view.view.description,
                    feature.default,
                    feature.fingerprint,
                    view.view.place,
                    view.online,
                    tuple(role for role, alias in catalog.registry.aliases.items() if alias.view.name == view.name),
                    tuple(made_of or [f"source {source.name}" for source in view.sources]),
                    tuple(users.get(feature.address, ())),
                )
            )
    for function in catalog.on_demand.values():
        online = not catalog.select(function.name).offline_only()
        found += [_computed(feature, function, function.place, online, users) for feature in function.features]
    for encoding in catalog.encodings.values():
        for each in encoding.encoded:
            online = not catalog.select(each.feature.address).offline_only()
            found.append(_computed(each.feature, each, each.tree.spec.place, online, users))
    return found


def _computed(feature: Feature, made: Computation, place: str, online: bool, users: Mapping[str, list[str]]) -> Entry:
    """Entry of a feature that a function or an encoder computes."""
    request = [f"request column {name}" for name in made.request]
    return Entry(
        feature.address,
        feature.kind,
        type_text(feature.dtype),
        "",
        (),
        "",
        feature.owner,
        feature.tags,
        feature.description,
        feature.default,
        feature.fingerprint,
        place,
        online,
        (),
        (*made.inputs, *request),
        tuple(users.get(feature.address, ())),
    )


def _users(catalog: Catalog) -> dict[str, list[str]]:
    """Address -> what uses it."""
    users: dict[str, list[str]] = {}
    roles = {name: alias.view.name for name, alias in catalog.registry.aliases.items()}

    def note(used: str, user: str) -> None:
        role, _, name = used.partition(":")
        of = users.setdefault(address(roles.get(role, role), name), [])
        if user not in of:
            of.append(user)

    for view in catalog.views.values():
        for feature in view.features:
            for name in feature.inputs:
                note(address(view.name, name), feature.address)
    for function in catalog.on_demand.values():
        for used in function.inputs:
            note(used, f"on-demand function {function.name}")
    for encoding in catalog.encodings.values():
        for each in encoding.encoded:
            for used in each.inputs:
                note(used, each.feature.address)
    for service in catalog.registry.services.values():
        for output in catalog.select(service).outputs:
            note(output.address, f"service {service.name}")
    return users


def _window(feature: Feature) -> str:
    if feature.kind != "aggregate":
        return ""
    if feature.window is None:
        return "history"
    offset = f", {duration_text(feature.window.offset)} before" if feature.window.offset else ""
    return f"{duration_text(feature.window.length)}{offset}"
