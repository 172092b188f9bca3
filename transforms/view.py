"""Compiled views: a feature view with everything resolved that its definition leaves to be found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa

from schemas.entity import Entity
from schemas.feature_view import FeatureView
from schemas.source import Source
from schemas.state import StateSpec
from transforms.entity_keys import EntityKeys
from transforms.feature import Feature
from transforms.rules import RowRules


@dataclass(frozen=True)
class CompiledView:
    """Feature view, resolved and checked.

    Attributes:
        name: of the view.
        view: its definition.
        entity: what its features are about.
        keys: how a spine or request gives the entity's keys.
        sources: where its events come from.
        columns: schema of the view's columns, without system columns.
        row_schema: schema of its row batches: `columns`, then the system columns.
        rules: row rules by the name of the source.
        rows_fingerprint: 16 hex characters over all that changes its rows.
        states: its distinct accumulators.
        features: aggregate, latest and derived features in the order of the definition.
        ttl: greatest age of a latest feature in µs, both ends inclusive, or None.
        ties: which of two rows of equal event time wins, "last" or "first".
        late: µs after which a tile may expire physically, or None for the default.
        probe: 16 hex characters over what its rules give for generated rows.
    """

    name: str
    view: FeatureView
    entity: Entity
    keys: EntityKeys
    sources: tuple[Source, ...]
    columns: pa.Schema
    row_schema: pa.Schema
    rules: Mapping[str, RowRules]
    rows_fingerprint: str
    states: tuple[StateSpec, ...]
    features: tuple[Feature, ...]
    ttl: int | None
    ties: str
    late: int | None
    probe: str

    @property
    def online(self) -> bool:
        """Whether its features are kept and read online."""
        return self.view.online

    @property
    def key_names(self) -> tuple[str, ...]:
        """Names of the key columns in its rows."""
        return self.keys.names

    @property
    def key_types(self) -> tuple[pa.DataType, ...]:
        """Types of the key columns."""
        return self.keys.types

    def feature(self, name: str) -> Feature | None:
        """Feature of a name, or None."""
        return next((feature for feature in self.features if feature.name == name), None)
