"""Structural mistakes of all definitions: everything that can be told without an engine."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from schemas.checks_address import names_of
from schemas.checks_encoding import encoding_mistakes
from schemas.checks_entity import entity_mistakes
from schemas.checks_service import alias_mistakes, on_demand_mistakes, service_mistakes
from schemas.checks_source import source_mistakes
from schemas.checks_view import view_mistakes
from schemas.encoding import Encoding
from schemas.entity import Entity
from schemas.errors import Mistake
from schemas.feature_view import AliasedView, FeatureView
from schemas.names import column_name
from schemas.on_demand import OnDemand
from schemas.service import FeatureService
from schemas.source import Source

if TYPE_CHECKING:
    from schemas.registry import Registry

LEGAL = "Entity, Source, FeatureView, FeatureService, view.alias(...), @on_demand functions and Encoding"


def structural_mistakes(registry: Registry) -> list[Mistake]:
    """Mistakes of names, values and references; types of columns, SQL and functions are checked when compiled."""
    kinds = (Entity, Source, FeatureView, AliasedView, FeatureService, OnDemand, Encoding)
    found = [
        Mistake("registry", repr(item), f"is no definition: legal are {LEGAL}")
        for item in registry.objects
        if not isinstance(item, kinds)
    ]
    for entity in registry.every(Entity):
        found += entity_mistakes(entity)
    for source in registry.every(Source):
        found += source_mistakes(source)
    for view in registry.every(FeatureView):
        found += view_mistakes(view)
    for alias in registry.every(AliasedView):
        found += alias_mistakes(alias, registry)
    for function in registry.every(OnDemand):
        found += on_demand_mistakes(function, registry)
    for encoding in registry.every(Encoding):
        found += encoding_mistakes(encoding, registry)
    for service in registry.every(FeatureService):
        found += service_mistakes(service, registry)
    return found + _twins(registry) + _columns(registry)


def _twins(registry: Registry) -> list[Mistake]:
    """Definitions of one kind whose names differ at most by case; views, functions and encodings share addresses."""
    found = _same("entity", registry.every(Entity))
    found += _same("source", registry.every(Source))
    found += _same("feature view, on-demand function or encoding", _heads(registry))
    found += _same("feature service", registry.every(FeatureService))
    return found + _roles(registry)


def _heads(registry: Registry) -> list[Any]:
    """Definitions whose names are the first halves of addresses, roles apart."""
    return [*registry.every(FeatureView), *registry.every(OnDemand), *registry.every(Encoding)]


def _same(what: str, items: Iterable[Any]) -> list[Mistake]:
    first: dict[str, Any] = {}
    found = []
    for item in items:
        other = first.setdefault(str(item.name).lower(), item)
        if other is not item:
            message = f"another {what} at {other.place} is named {other.name!r}: names differ by more than case"
            found.append(Mistake(item.place, str(item.name), message))
    return found


def _roles(registry: Registry) -> list[Mistake]:
    """Roles that are also the name of something else, or that stand for two different things."""
    found = []
    taken: dict[str, Any] = {str(item.name).lower(): item for item in _heads(registry)}
    for alias in registry.every(AliasedView):
        other = taken.setdefault(str(alias.role).lower(), alias)
        same = isinstance(other, AliasedView) and (other.view, other.renamed) == (alias.view, alias.renamed)
        if other is not alias and not same:
            message = f"the role is taken at {other.place}: legal is a role that nothing else has"
            found.append(Mistake(alias.place, str(alias.role), message))
    return found


def _columns(registry: Registry) -> list[Mistake]:
    """Features of different definitions whose columns in frames and files would have one name."""
    found = []
    taken: dict[str, tuple[str, str]] = {}
    for item in _heads(registry):
        for feature in names_of(item):
            column = column_name(str(item.name), feature)
            other = taken.setdefault(column.lower(), (str(item.name), feature))
            if other[0] != item.name:
                message = f"the column {column!r} of {feature!r} is also that of {other[0]}:{other[1]}: rename one"
                found.append(Mistake(item.place, str(item.name), message))
    return found
