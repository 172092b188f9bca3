"""Rules and requests of an as-of join."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from schemas.state import StateSpec
from transforms.tiles import StateFold
from transforms.view import CompiledView

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Requests:
    """n requests of an as-of join, in the order (entity, instant).

    Attributes:
        codes: int64[n], numbers of their entities.
        instants: int64[n], µs.
        null: bool[n], whose key is null.
    """

    codes: Ints
    instants: Ints
    null: Bools


@dataclass(frozen=True)
class JoinRules:
    """How rows and requests are joined, and the folds of the view's states.

    Attributes:
        view: the view.
        strict: whether events at the instant itself are left out.
        by_arrival: whether only rows count that had arrived at the instant.
    """

    view: CompiledView
    strict: bool
    by_arrival: bool
    _folds: dict[StateSpec, StateFold] = field(default_factory=dict)

    def fold(self, spec: StateSpec) -> StateFold:
        """The fold of a state, compiled once."""
        if spec not in self._folds:
            self._folds[spec] = StateFold.of(spec, self.view)
        return self._folds[spec]
