"""The registry: all definitions of a project, by name, and the mistakes in them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

from schemas.checks import structural_mistakes
from schemas.encoding import Encoding
from schemas.entity import Entity
from schemas.errors import Mistake
from schemas.feature_group import FOLDER, FeatureGroup, read_groups
from schemas.feature_view import AliasedView, FeatureView
from schemas.loading import load
from schemas.on_demand import OnDemand
from schemas.service import FeatureService
from schemas.source import Source

KINDS = (Entity, Source, FeatureView, AliasedView, FeatureService, OnDemand, Encoding)
Kind = TypeVar("Kind")


@dataclass(frozen=True)
class Registry:
    """Definitions that belong together.

    Attributes:
        objects: every definition, in the order met, equal names included.
        modules: names in `sys.modules` of the packages that definition files were loaded under.
        failures: statements of definition files that failed.
        broken: names that those statements would have bound or defined.
        groups: feature groups, whose views are among the objects.
    """

    objects: tuple[Any, ...]
    modules: tuple[str, ...] = ()
    failures: tuple[Mistake, ...] = ()
    broken: frozenset[str] = frozenset()
    groups: tuple[FeatureGroup, ...] = ()

    @staticmethod
    def load(path: str | Path | Sequence[str | Path]) -> Registry:
        """Registry of a definitions file, a folder of them, or a list of both.

        Gathers what is bound at module level, alone or in a list, tuple or dict, and what that reaches. Never raises
        for what is wrong in a file: see `mistakes`. A folder `feature_groups` holds groups, as data.
        """
        paths = [Path(path)] if isinstance(path, (str, Path)) else [Path(item) for item in path]
        folders = [path for path in paths if path.name == FOLDER and path.is_dir()]
        groups, damaged = read_groups(folders)
        loading = load([path for path in paths if path not in folders])
        bound = [value for module in loading.modules for value in _bound(module)]
        bound += [group.view for group in groups]
        failures = [*loading.failed.mistakes, *damaged]
        if not bound and not failures:
            shown = ", ".join(str(item) for item in paths)
            failures.append(Mistake(shown, "definitions", "no Entity, Source, FeatureView or FeatureService in it"))
        return Registry(
            _reached(bound),
            tuple(loading.packages),
            tuple(failures),
            frozenset(loading.failed.broken),
            tuple(groups),
        )

    @staticmethod
    def of(objects: Iterable[Any]) -> Registry:
        """Registry of definitions made in code, and what they reach."""
        return Registry(_reached(objects))

    @cached_property
    def entities(self) -> dict[str, Entity]:
        """Entities by name."""
        return _by_name((item.name, item) for item in self.every(Entity))

    @cached_property
    def sources(self) -> dict[str, Source]:
        """Sources by name."""
        return _by_name((item.name, item) for item in self.every(Source))

    @cached_property
    def views(self) -> dict[str, FeatureView]:
        """Feature views by name."""
        return _by_name((item.name, item) for item in self.every(FeatureView))

    @cached_property
    def aliases(self) -> dict[str, AliasedView]:
        """Views in a role, by role."""
        return _by_name((item.role, item) for item in self.every(AliasedView))

    @cached_property
    def services(self) -> dict[str, FeatureService]:
        """Feature services by name."""
        return _by_name((item.name, item) for item in self.every(FeatureService))

    @cached_property
    def on_demand(self) -> dict[str, OnDemand]:
        """On-demand functions by name."""
        return _by_name((item.name, item) for item in self.every(OnDemand))

    @cached_property
    def encodings(self) -> dict[str, Encoding]:
        """Encodings by name."""
        return _by_name((item.name, item) for item in self.every(Encoding))

    @cached_property
    def mistakes(self) -> tuple[Mistake, ...]:
        """All that is wrong and can be told without engines, in the order of places."""
        return tuple(sorted({*self.failures, *structural_mistakes(self)}, key=_position))

    def every(self, kind: type[Kind]) -> list[Kind]:
        """All definitions of a kind, in the order met, equal names included."""
        return [item for item in self.objects if isinstance(item, kind)]


def _by_name(items: Iterable[tuple[Any, Kind]]) -> dict[str, Kind]:
    """Definitions by name, the first of equal names (a second one is a mistake)."""
    found: dict[str, Kind] = {}
    for name, item in items:
        found.setdefault(str(name), item)
    return found


def _bound(module: ModuleType) -> Iterator[Any]:
    """Definitions bound in a module, alone or in a list, tuple or dict."""
    for value in list(vars(module).values()):
        if isinstance(value, KINDS):
            yield value
        elif isinstance(value, (list, tuple, dict)):
            items = value.values() if isinstance(value, dict) else value
            yield from (item for item in items if isinstance(item, KINDS))


def _reached(objects: Iterable[Any]) -> tuple[Any, ...]:
    """Objects and the definitions that they refer to, each once, users before what they use."""
    found: list[Any] = []
    waiting = list(objects)
    while waiting:
        item = waiting.pop(0)
        # A file imported under two names is executed twice; its definitions are equal and at the same place.
        if any(item is other or (item == other and item.place == other.place) for other in found):
            continue
        found.append(item)
        waiting += [used for used in _uses(item) if isinstance(used, KINDS)]
    return tuple(found)


def _uses(item: Any) -> Sequence[Any]:
    if isinstance(item, FeatureView):
        return (item.entity, *item.sources)
    if isinstance(item, AliasedView):
        return (item.view,)
    if isinstance(item, FeatureService) and isinstance(item.features, (list, tuple)):
        return item.features
    return ()


def _position(mistake: Mistake) -> tuple[str, int, str, str]:
    file, _, line = mistake.place.rpartition(":")
    return (
        (file, int(line), mistake.name, mistake.message) if line.isdigit() else (file, 0, mistake.name, mistake.message)
    )
