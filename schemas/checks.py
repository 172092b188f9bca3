"""Structural mistakes of all definitions: everything that can be told without an engine."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from schemas.checks_entity import entity_mistakes
from schemas.checks_service import alias_mistakes, on_demand_mistakes, service_mistakes
from schemas.checks_source import source_mistakes
from schemas.checks_view import feature_names, view_mistakes
from schemas.entity import Entity
from schemas.errors import Mistake
from schemas.feature_view import AliasedView, FeatureView
from schemas.names import column_name
from schemas.on_demand import OnDemand
from schemas.service import FeatureService
from schemas.source import Source

if TYPE_CHECKING:
    from schemas.registry import Registry

LEGAL = "Entity, Source, FeatureView, FeatureService, view.alias(...) and @on_demand functions"


def structural_mistakes(registry: Registry) -> list[Mistake]:
    """Mistakes of names, values and references; types of columns, SQL and functions are checked when compiled."""
    kinds = (Entity, Source, FeatureView, AliasedView, FeatureService, OnDemand)
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
    for service in registry.every(FeatureService):
        found += service_mistakes(service, registry)
    return found + _twins(registry) + _columns(registry)


def _twins(registry: Registry) -> list[Mistake]:
    """Definitions of one kind whose names differ at most by case; views and functions share their addresses."""
    found = _same("entity", registry.every(Entity))
    found += _same("source", registry.every(Source))
    found += _same("feature view or on-demand function", [*registry.every(FeatureView), *registry.every(OnDemand)])
    found += _same("feature service", registry.every(FeatureService))
    return found + _roles(registry)


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
    """Roles that are also the name of a view or function, or that stand for two different things."""
    found = []
    named: list[Any] = [*registry.every(FeatureView), *registry.every(OnDemand)]
    taken: dict[str, Any] = {str(item.name).lower(): item for item in named}
    for alias in registry.every(AliasedView):
        other = taken.setdefault(str(alias.role).lower(), alias)
        same = isinstance(other, AliasedView) and (other.view, other.renamed) == (alias.view, alias.renamed)
        if other is not alias and not same:
            message = f"the role is taken at {other.place}: legal is a role that no view, function or other alias has"
            found.append(Mistake(alias.place, str(alias.role), message))
    return found


def _columns(registry: Registry) -> list[Mistake]:
    """Features of different views whose columns in frames and files would have one name."""
    found = []
    taken: dict[str, tuple[str, str]] = {}
    for view in registry.every(FeatureView):
        for feature in feature_names(view):
            column = column_name(str(view.name), feature)
            other = taken.setdefault(column.lower(), (str(view.name), feature))
            if other[0] != view.name:
                message = f"the column {column!r} of {feature!r} is also that of {other[0]}:{other[1]}: rename one"
                found.append(Mistake(view.place, str(view.name), message))
    return found
