"""Ragged columns: the entries of many states side by side, and the bounds of each state among them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


def starts(counts: Ints) -> Ints:
    """Bounds int64[m + 1] of states that have `counts[i]` entries each: state i has entries `[i]` to `[i + 1]`."""
    bounds = np.zeros(len(counts) + 1, np.int64)
    np.cumsum(counts, out=bounds[1:])
    return bounds


def owners(bounds: Ints) -> Ints:
    """State of each entry."""
    return np.repeat(np.arange(len(bounds) - 1), np.diff(bounds))


def segment_sums(numbers: Ints, counts: Ints) -> Ints:
    """Sum of the next `counts[i]` numbers, for each i."""
    totals = starts(numbers)
    bounds = starts(counts)
    return totals[bounds[1:]] - totals[bounds[:-1]]


def entries(bounds: Ints, states: Ints) -> tuple[Ints, Ints]:
    """Where the entries of the given states are, one state after the other, and the bounds of those states."""
    counts = np.diff(bounds)[states]
    taken = starts(counts)
    return np.arange(taken[-1]) + np.repeat(bounds[:-1][states] - taken[:-1], counts), taken


def places(groups: Ints, n: int) -> tuple[Ints, Ints]:
    """Place of each entry within its group, for ascending `groups`, and the size of each of the n groups."""
    counts = np.bincount(groups, minlength=n)
    return np.arange(len(groups)) - starts(counts)[groups], counts


def joined(parts: list[Ints]) -> Ints:
    """Bounds of the states of all parts, one after the other."""
    return starts(np.concatenate([np.diff(part) for part in parts]))


def lists(bounds: Ints, values: pa.Array) -> pa.Array:
    """List of each state's entries; null for a state that has none."""
    return _ragged(pa.ListArray, bounds, [values])


def maps(bounds: Ints, keys: pa.Array, items: pa.Array) -> pa.Array:
    """Map of each state's entries; null for a state that has none."""
    return _ragged(pa.MapArray, bounds, [keys, items])


def _ragged(kind: Any, bounds: Ints, columns: list[pa.Array]) -> pa.Array:
    empty = pa.array(bounds[1:] == bounds[:-1])
    return kind.from_arrays(pa.array(bounds, pa.int32()), *columns, mask=empty)
