"""The accumulator: one operation, vectorised over groups, whose states merge in any order to the same bytes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from schemas.state import StateSpec
from transforms.order import Order

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Inputs:
    """Columns that a fold reads: n rows, in no particular order.

    Attributes:
        columns: the operation's columns, each `pa.Array[n]` (none for `count()`, several for structs).
        by: the bucket column `pa.Array[n]` when the state is kept per bucket, else None.
        order: the rows' place in the total order of rows, `len(order) == n`.
    """

    columns: tuple[pa.Array, ...]
    by: pa.Array | None
    order: Order

    def take(self, indices: Ints) -> Inputs:
        """Rows at `indices`."""
        rows = pa.array(indices)
        return Inputs(
            tuple(column.take(rows) for column in self.columns),
            None if self.by is None else self.by.take(rows),
            self.order.take(indices),
        )


@dataclass(frozen=True)
class Finished:
    """Values of n states.

    Attributes:
        values: `pa.Array[n]` of the accumulator's dtype; null where there is no value.
        overflow: bool[n], true where the exact result does not fit the dtype (the value is null there).
    """

    values: pa.Array
    overflow: Bools


class Accumulator(Protocol):
    """One operation over groups of rows.

    A *states* object holds m states of this accumulator as columns; its class belongs to the accumulator and is
    never changed in place. Laws (tested for every operation): `merge` is associative and commutative; the states of
    an empty fold are its identity; `fold` of all rows equals `merge` of folds of any split of them, in any order;
    `decode(encode(s)) == s`; equal states have equal bytes; no call changes its arguments.
    """

    spec: StateSpec
    dtype: pa.DataType

    def fold(self, inputs: Inputs, groups: Ints, n: int) -> Any:
        """States of n groups, from rows of which row i belongs to group `groups[i]` (0 <= groups[i] < n)."""

    def merge(self, states: Any, groups: Ints, n: int) -> Any:
        """n states, each the merge of the given states i with `groups[i]` equal to its number (empty: the identity)."""

    def finish(self, states: Any) -> Finished:
        """Value of each state."""

    def encode(self, states: Any) -> pa.BinaryArray:
        """Canonical bytes of each state: equal states have equal bytes."""

    def decode(self, blobs: pa.BinaryArray) -> Any:
        """States from their bytes (no nulls; an empty byte string is the empty state)."""

    def take(self, states: Any, indices: Ints) -> Any:
        """States at `indices` (repeats allowed), in that order."""

    def concat(self, parts: list[Any]) -> Any:
        """States of all parts, one after the other (at least one part)."""
