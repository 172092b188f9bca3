"""What a caller may see of the definitions; whatever else there is, for them it does not exist."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property

from schemas.errors import RequestError
from serving.server.access import Caller
from serving.server.problems import Problem
from transforms.catalog import Catalog
from transforms.selection import Output

_MOST_SCOPES = 1_024
_THINGS = "view, alias, on-demand function, encoding or service"


class Visible:
    """The part of a catalog that callers of the same rights may read.

    Args:
        catalog: the definitions.
        caller: one of the callers.

    Attributes:
        views: names of the views.
        names: of views, aliases, on-demand functions, encodings and services.
    """

    def __init__(self, catalog: Catalog, caller: Caller) -> None:
        self._catalog = catalog
        self._features: dict[str, Mapping[str, Output]] = {}
        self.views = frozenset(name for name in catalog.views if caller.everything or caller.may("read", name))
        registry = catalog.registry
        names = (*catalog.views, *registry.aliases, *catalog.on_demand, *catalog.encodings, *registry.services)
        self.names = frozenset(name for name in names if caller.everything or self._used(name) <= self.views)

    @cached_property
    def sources(self) -> frozenset[str]:
        """Names of the sources of the views."""
        return frozenset(source.name for name in self.views for source in self._catalog.views[name].sources)

    def check(self, features: Iterable[str]) -> None:
        """Refuses what is not to be seen, as if it did not exist.

        Raises:
            Problem: something asked for does not exist, for all that the caller may know.
        """
        for item in features:
            role, colon, name = item.partition(":")
            if role not in self.names:
                raise Problem(
                    404,
                    f"there is no {_THINGS} {role!r} that may be read here",
                    where="features",
                    legal=sorted(self.names),
                    given=role,
                )
            if colon:
                found = self.features(role)
                if name not in found:
                    raise Problem(
                        404, f"{role} has no feature {name!r}", where="features", legal=sorted(found), given=name
                    )

    def features(self, role: str) -> Mapping[str, Output]:
        """Features of anything but a service by their names; a service has none of its own."""
        found = self._features.get(role)
        if found is None:
            service = role in self._catalog.registry.services
            outputs = () if service else self._catalog.select(role).outputs
            found = {output.feature.name: output for output in outputs}
            if role in self.names:
                self._features[role] = found
        return found

    def _used(self, name: str) -> set[str]:
        """Names of the views that something is made of; of what cannot be read yet, one that no view has."""
        try:
            needed = self._catalog.select(name).needed()
        except RequestError:
            return {""}
        return {output.view.name for output in needed if output.view is not None}


class Sight:
    """What is visible to whom, worked out once for callers of the same rights."""

    def __init__(self) -> None:
        self._catalog: Catalog | None = None
        self._known: dict[object, Visible] = {}

    def of(self, catalog: Catalog, caller: Caller) -> Visible:
        """What a caller may see."""
        if catalog is not self._catalog or len(self._known) >= _MOST_SCOPES:
            self._catalog, self._known = catalog, {}
        found = self._known.get(caller.scope)
        if found is None:
            found = self._known[caller.scope] = Visible(catalog, caller)
        return found
