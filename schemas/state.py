"""What stores keep: the state of one accumulator, and the block of states that share tiles."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa

from schemas.types import parse_type, type_text

OPERATIONS = (
    "count",
    "sum",
    "mean",
    "min",
    "max",
    "variance",
    "stddev",
    "skew",
    "kurtosis",
    "first",
    "last",
    "first_k",
    "last_k",
    "top_k",
    "bottom_k",
    "unique_count",
    "bounded_unique_count",
    "histogram",
    "approx_count_distinct",
    "approx_percentile",
)


# Operations that differ in how a state is finished only, and what their state is kept as.
KEPT_AS = {"mean": "sum", "stddev": "variance"}


@dataclass(frozen=True)
class StateSpec:
    """One accumulator of a view, as its state is kept: independent of windows, names and descriptions.

    Attributes:
        operation: one of `OPERATIONS`.
        columns: names of the row columns it reads.
        types: their types.
        params: sorted (name, value) pairs of the operation (k, ddof, q, p, error, keep_null, limit).
        by: bucket column, or None.
        by_type: its type.
        where: row-local SQL predicate of the aggregation, or None.
        hop: µs of its tiles, or None when it has one tile for the whole history.
        fingerprint: 16 hex characters over all of this, as it is kept, and the rows' fingerprint.
    """

    operation: str
    columns: tuple[str, ...]
    types: tuple[pa.DataType, ...]
    params: tuple[tuple[str, Any], ...] = ()
    by: str | None = None
    by_type: pa.DataType | None = None
    where: str | None = None
    hop: int | None = None
    fingerprint: str = ""

    @property
    def kept(self) -> StateSpec:
        """The state as stores keep it: a sum and a mean of the same values are finished from one and the same."""
        return replace(self, operation=KEPT_AS.get(self.operation, self.operation))

    def param(self, name: str, default: Any = None) -> Any:
        """Value of a parameter, or the default."""
        return dict(self.params).get(name, default)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON value from which `from_json` makes an equal spec."""
        return {
            "operation": self.operation,
            "columns": list(self.columns),
            "types": [type_text(kind) for kind in self.types],
            "params": [[name, list(value) if isinstance(value, tuple) else value] for name, value in self.params],
            "by": self.by,
            "by_type": None if self.by_type is None else type_text(self.by_type),
            "where": self.where,
            "hop": self.hop,
            "fingerprint": self.fingerprint,
        }

    @staticmethod
    def from_json(value: dict[str, Any]) -> StateSpec:
        """Spec from its JSON value."""
        return StateSpec(
            value["operation"],
            tuple(value["columns"]),
            tuple(parse_type(text) for text in value["types"]),
            tuple((name, tuple(item) if isinstance(item, list) else item) for name, item in value["params"]),
            value["by"],
            None if value["by_type"] is None else parse_type(value["by_type"]),
            value["where"],
            value["hop"],
            value["fingerprint"],
        )


@dataclass(frozen=True)
class Block:
    """States of one view that live in the same cells.

    Attributes:
        id: 16 hex characters over kind, rows fingerprint, hop and states (or columns).
        view: name of the feature view.
        entity: name of its entity.
        kind: "tiles" (aggregates, cells by lane) or "latest" (newest row, cells without a lane).
        hop: µs of a tile, or None for one tile of the whole history.
        states: accumulators of a "tiles" block, in the order of their sections in a blob.
        columns: (name, type) of the columns of a "latest" block.
        rows_fingerprint: of the rows it is folded from.
        ties: which of two rows of equal event time wins in a "latest" block, "last" or "first".
        reach: how far back (µs) of an answer's instant its tiles answer for, if older ones had expired when a longer
            window came; None for any.
    """

    id: str
    view: str
    entity: str
    kind: str
    hop: int | None
    states: tuple[StateSpec, ...]
    columns: tuple[tuple[str, pa.DataType], ...]
    rows_fingerprint: str
    ties: str = "last"
    reach: int | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain JSON value from which `from_json` makes an equal block."""
        return {
            "id": self.id,
            "view": self.view,
            "entity": self.entity,
            "kind": self.kind,
            "hop": self.hop,
            "states": [state.to_json() for state in self.states],
            "columns": [[name, type_text(kind)] for name, kind in self.columns],
            "rows_fingerprint": self.rows_fingerprint,
            "ties": self.ties,
            "reach": self.reach,
        }

    @staticmethod
    def from_json(value: dict[str, Any]) -> Block:
        """Block from its JSON value."""
        return Block(
            value["id"],
            value["view"],
            value["entity"],
            value["kind"],
            value["hop"],
            tuple(StateSpec.from_json(state) for state in value["states"]),
            tuple((name, parse_type(text)) for name, text in value["columns"]),
            value["rows_fingerprint"],
            value["ties"],
            value.get("reach"),
        )
