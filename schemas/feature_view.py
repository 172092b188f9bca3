"""Feature views: the rules that make rows of events, and the features folded from them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from typing import Any

from schemas.entity import Entity
from schemas.feature import Aggregation, Latest
from schemas.place import caller_place
from schemas.source import Source

TIES = ("last", "first")


@dataclass(frozen=True)
class FeatureView:
    """Features of one entity from one source, or from several that the same rules fit.

    Attributes:
        name: of the view; the first half of its features' addresses.
        entity: that the features are about.
        source: source, or list of sources.
        where: row-local SQL; rows for which it is false or null are left out.
        select: column -> row-local SQL over the source's columns; an equal name replaces a column.
        transform: function of a polars frame that gives a frame; it may drop rows, never invent them.
        returns: column -> type text of what `transform` adds.
        explode: list column; a row per element.
        features: columns (their latest value), `latest(...)` and `agg....(...)`.
        derive: feature -> row-local SQL over finished features and `now`; stored nowhere.
        ttl: greatest age of a latest feature, both ends inclusive; None for any age.
        expires: column of the rows that says from when on a row is too old for latest features, whatever `ttl` says: a
            time, or µs since the epoch; null for never.
        late: how long after its window has passed a tile stays in the online store; None for the store's own.
        ties: which of two rows of equal event time is the latest, one of `TIES`.
        online: whether its features are kept and read online; if not, its rows are stored, for training sets alone.
        owner: for people.
        tags: for people.
        description: for people.
        place: `file:line` of the definition.
    """

    name: str
    _: KW_ONLY
    entity: Entity
    source: Source | Sequence[Source]
    where: str | None = None
    select: Mapping[str, str] = field(default_factory=dict)
    transform: Callable[[Any], Any] | None = None
    returns: Mapping[str, str] = field(default_factory=dict)
    explode: str | None = None
    features: Sequence[str | Aggregation | Latest]
    derive: Mapping[str, str] = field(default_factory=dict)
    ttl: str | None = None
    expires: str | None = None
    late: str | None = None
    ties: str = "last"
    online: bool = True
    owner: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    description: str = ""
    place: str = field(default_factory=caller_place, compare=False, repr=False)

    @property
    def sources(self) -> tuple[Source, ...]:
        """Its sources, one or several."""
        source: Any = self.source
        return tuple(source) if isinstance(source, (list, tuple)) else (source,)

    @property
    def aggregations(self) -> tuple[Aggregation, ...]:
        """Its aggregate features, in order."""
        return tuple(feature for feature in self.features if isinstance(feature, Aggregation))

    @property
    def latest_features(self) -> tuple[Latest, ...]:
        """Its latest features, in order; a bare column is one under its own name."""
        spelled = (Latest(item, place=self.place) if isinstance(item, str) else item for item in self.features)
        return tuple(feature for feature in spelled if isinstance(feature, Latest))

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Names of its features in the order of an answer: aggregate and latest as listed, then derived."""
        names: list[str] = []
        for feature in self.features:
            if isinstance(feature, Aggregation):
                names += [name for name, _ in feature.expand()]
            else:
                names.append(feature if isinstance(feature, str) else feature.feature_name)
        return (*names, *self.derive)

    def alias(self, role: str, **keys: str) -> AliasedView:
        """The same view under another role, its entity found by other columns of a spine or request.

        Args:
            role: first half of the addresses of its features.
            keys: entity key (or input of a computed key) -> column that holds it; others keep their name.
        """
        return AliasedView(self, role, keys)


@dataclass(frozen=True)
class AliasedView:
    """A feature view in another role: the same state, other key columns.

    Attributes:
        view: whose features these are.
        role: first half of their addresses.
        renamed: entity key, or input of a computed key -> column of a spine or request, as given.
        place: `file:line` of the definition.
    """

    view: FeatureView
    role: str
    renamed: Mapping[str, str]
    place: str = field(default_factory=caller_place, compare=False, repr=False)

    @property
    def keys(self) -> dict[str, str]:
        """Column of a spine or request for every key, and every input of a computed key, of the entity."""
        names = (*self.view.entity.keys, *self.view.entity.inputs)
        return {name: self.renamed.get(name, name) for name in names}
