"""Features: one value each, as a compiled view, an on-demand function or an encoding offers it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from schemas.names import address
from schemas.state import StateSpec
from schemas.window import Window
from transforms.sql import Expression

KINDS = ("aggregate", "latest", "derived", "on_demand", "encoded")


@dataclass(frozen=True)
class Feature:
    """One feature, resolved.

    Attributes:
        view: name of its view; of the function or encoding, for an on-demand or encoded feature.
        name: of the feature.
        kind: one of `KINDS`.
        dtype: type of its values.
        default: takes the place of null after finish, as a value of `dtype`; None for none.
        state: accumulator that it is finished from (aggregate).
        window: window of an aggregate; None for the whole history.
        column: row column that it shows (latest).
        expires: column that says when a row's values expire (latest), or None.
        sql: expression over the view's other features, by their bare names, and `now` (derived).
        fingerprint: 16 hex characters over all that changes its numbers.
        description: for people.
        owner: of the view.
        tags: of the view.
        artefact: version of the artefact that fits it (encoded), or "".
    """

    view: str
    name: str
    kind: str
    dtype: pa.DataType
    default: Any = None
    state: StateSpec | None = None
    window: Window | None = None
    column: str | None = None
    expires: str | None = None
    sql: Expression | None = None
    fingerprint: str = ""
    description: str = ""
    owner: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    artefact: str = ""

    @property
    def address(self) -> str:
        """`view:feature`."""
        return address(self.view, self.name)

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the features of the same view that a derived feature reads, sorted (`now` is none of them)."""
        return () if self.sql is None else tuple(sorted(self.sql.columns - {"now"}))
