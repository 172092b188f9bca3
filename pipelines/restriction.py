"""The restriction of the reader: the vector of all lanes with the next offset of each."""

from __future__ import annotations

from typing import Any

import apache_beam as beam
from apache_beam.io.iobase import RestrictionProgress, RestrictionTracker
from apache_beam.transforms.core import RestrictionProvider

Vector = tuple[tuple[str, int], ...]


class VectorTracker(RestrictionTracker):
    """Tracks a vector of (lane, next offset); `None` is a restriction that is done.

    It splits only into what was read and all the rest (a checkpoint), never into halves: lanes stay together.
    """

    def __init__(self, vector: Vector | None, bounded: bool) -> None:
        self._vector = vector
        self._positions = dict(vector or ())
        self._bounded = bounded
        self._done = vector is None

    def current_restriction(self) -> Vector | None:
        return self._vector

    def try_claim(self, position: tuple[str, int] | None) -> bool:
        """Claims a lane up to an offset, or (None) that nothing is left to be read."""
        if self._done:
            return False
        if position is None:
            self._done, self._vector = True, None
        else:
            self._positions[position[0]] = position[1]
        return True

    def try_split(self, fraction_of_remainder: float) -> tuple[None, Vector] | None:
        if self._done or fraction_of_remainder != 0:
            return None
        self._done = True
        return None, tuple(self._positions.items())

    def check_done(self) -> bool:
        if not self._done:
            raise ValueError("the reader returned without a checkpoint")
        return True

    def current_progress(self) -> Any:
        return RestrictionProgress(fraction=1.0 if self._done else 0.5)

    def is_bounded(self) -> bool:
        return self._bounded


class VectorProvider(RestrictionProvider):
    """Restrictions of the one element of a run: the vector itself."""

    def __init__(self, bounded: bool) -> None:
        self._bounded = bounded

    def initial_restriction(self, element: Vector) -> Vector:
        return tuple(element)

    def create_tracker(self, restriction: Vector | None) -> VectorTracker:
        return VectorTracker(restriction, self._bounded)

    def restriction_size(self, element: Vector, restriction: Vector | None) -> int:
        return 0 if restriction is None else 1

    def restriction_coder(self) -> Any:
        return beam.coders.PickleCoder()

    def truncate(self, element: Vector, restriction: Vector | None) -> None:
        """On a drain nothing more is read."""
        return None
