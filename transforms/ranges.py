"""Ranges of sorted rows: the fold of any run of rows from few merges, and the newest row known at an instant."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from transforms.accumulators.base import Accumulator, Inputs

Ints = npt.NDArray[np.int64]
LEAF = 32
CHUNK = 1 << 16
BLOCK = 16
SHORT = (1, 2, 4, 8, 16)
_LEVEL_OF = np.asarray([0, *(length.bit_length() - 1 for length in range(1, BLOCK + 1))])


def expand(first: Ints, end: Ints) -> tuple[Ints, Ints]:
    """All positions of the ranges [first[i], end[i]): (number of the range, position) of each, int64 both."""
    lengths = np.maximum(end - first, 0)
    owner = np.repeat(np.arange(len(first)), lengths)
    starts = np.cumsum(lengths) - lengths
    return owner, np.arange(len(owner)) - np.repeat(starts - first, lengths)


class RangeFold:
    """Folds ranges of rows that lie side by side: a tree of merged states over leaves of 32 rows.

    A range costs at most 62 rows of direct folding and 2 log2(rows / 32) merges, however many rows it holds, so that
    an entity with most of the rows costs no more than another.
    """

    def __init__(self, accumulator: Accumulator, inputs: Inputs) -> None:
        self._accumulator = accumulator
        self._inputs = inputs
        count = len(inputs.order)
        self._levels: list[int] = []
        if count >= 2 * LEAF:
            leaves = -(-count // LEAF)
            level = accumulator.fold(inputs, np.arange(count) // LEAF, leaves)
            parts, total = [], 0
            while True:
                parts.append(level)
                self._levels.append(total)
                total += leaves
                if leaves == 1:
                    break
                halves = -(-leaves // 2)
                level = accumulator.merge(level, np.arange(leaves) // 2, halves)
                leaves = halves
            self._nodes = accumulator.concat(parts)

    def fold(self, first: Ints, end: Ints) -> Any:
        """States of the rows at [first[i], end[i]), one a range; empty ranges give the empty state."""
        parts = [
            self._fold_chunk(first[at : at + CHUNK], end[at : at + CHUNK]) for at in range(0, max(len(first), 1), CHUNK)
        ]
        return parts[0] if len(parts) == 1 else self._accumulator.concat(parts)

    def _fold_chunk(self, first: Ints, end: Ints) -> Any:
        count = len(first)
        inner_first, inner_end = -(-first // LEAF), end // LEAF
        whole = (inner_end > inner_first) & bool(self._levels)
        head_end = np.where(whole, inner_first * LEAF, end)
        owners, rows = expand(first, head_end)
        tail_owners, tail_rows = expand(np.where(whole, inner_end * LEAF, end), end)
        owners, rows = np.concatenate([owners, tail_owners]), np.concatenate([rows, tail_rows])
        edges = self._accumulator.fold(self._inputs.take(rows), owners, count)
        if not whole.any():
            return edges
        queries, nodes = self._cover(np.flatnonzero(whole), inner_first[whole], inner_end[whole])
        inner = self._accumulator.take(self._nodes, nodes)
        states = self._accumulator.concat([edges, inner])
        return self._accumulator.merge(states, np.concatenate([np.arange(count), queries]), count)

    def _cover(self, queries: Ints, left: Ints, right: Ints) -> tuple[Ints, Ints]:
        """Fewest nodes that cover the leaves [left[i], right[i]) of each query: (query, node) pairs."""
        owners, nodes = [], []
        for base in self._levels:
            odd = (left < right) & (left & 1 == 1)
            owners.append(queries[odd])
            nodes.append(base + left[odd])
            left = left + odd
            odd = (left < right) & (right & 1 == 1)
            right = right - odd
            owners.append(queries[odd])
            nodes.append(base + right[odd])
            alive = left < right
            queries, left, right = queries[alive], left[alive] >> 1, right[alive] >> 1
        return np.concatenate(owners), np.concatenate(nodes)


class BlockExtremes:
    """Least values of many ranges of a column: running extremes within blocks of 16, a sparse table over the blocks.

    Needs seven numbers a row where `Extremes` needs log2(n), and answers any range from at most four of them.
    """

    def __init__(self, values: Ints) -> None:
        count = len(values)
        blocks = -(-count // BLOCK)
        padded = np.full(blocks * BLOCK, np.iinfo(np.int64).max)
        padded[:count] = values
        falling, rising = padded.reshape(blocks, BLOCK).copy(), padded.reshape(blocks, BLOCK).copy()
        for place in range(1, BLOCK):
            np.minimum(falling[:, place - 1], falling[:, place], out=falling[:, place])
            np.minimum(rising[:, -place], rising[:, -place - 1], out=rising[:, -place - 1])
        self._from_start, self._to_end = falling.reshape(-1), rising.reshape(-1)
        self._blocks = Extremes(falling[:, -1].copy())
        self._short = np.empty((len(SHORT), len(padded)), np.int64)
        self._short[0] = padded
        for level in range(1, len(SHORT)):
            width, last = SHORT[level - 1], self._short[level - 1]
            self._short[level] = last
            np.minimum(last[:-width], last[width:], out=self._short[level, :-width])

    def least(self, first: Ints, end: Ints) -> Ints:
        """Least value at [first[i], end[i]); the greatest int64 for an empty range."""
        out = np.full(len(first), np.iinfo(np.int64).max)
        for at in range(0, len(first), CHUNK):
            self._least(first[at : at + CHUNK], end[at : at + CHUNK], out[at : at + CHUNK])
        return out

    def _least(self, first: Ints, end: Ints, out: Ints) -> None:
        left, right = first // BLOCK, (end - 1) // BLOCK
        short = np.flatnonzero((left == right) & (end > first))
        if len(short):
            begin, stop = first[short], end[short]
            level = _LEVEL_OF[stop - begin]
            table, base = self._short.reshape(-1), level * self._short.shape[1]
            out[short] = np.minimum(table[base + begin], table[base + stop - (1 << level)])
        far = np.flatnonzero(left < right)
        if len(far):
            best = np.minimum(self._to_end[first[far]], self._from_start[end[far] - 1])
            inner = np.flatnonzero(right[far] - left[far] > 1)
            if len(inner):
                some = far[inner]
                best[inner] = np.minimum(best[inner], self._blocks.least(left[some] + 1, right[some]))
            out[far] = best


class Extremes:
    """Least values of ranges of a column, by a sparse table (levels of doubled width)."""

    def __init__(self, values: Ints) -> None:
        self._levels = [values]
        width = 1
        while 2 * width <= len(values):
            last = self._levels[-1]
            self._levels.append(np.minimum(last[:-width], last[width:]))
            width *= 2

    def least(self, first: Ints, end: Ints) -> Ints:
        """Least value at [first[i], end[i]); the greatest int64 for an empty range."""
        out = np.full(len(first), np.iinfo(np.int64).max)
        for level, at in self._by_level(first, end):
            table, width = self._levels[level], 1 << level
            out[at] = np.minimum(table[first[at]], table[end[at] - width])
        return out

    def last_at_most(self, first: Ints, end: Ints, limit: Ints) -> Ints:
        """Last position in [first[i], end[i]) whose value is at most limit[i]; -1 where there is none."""
        end = end.copy()
        for level in range(len(self._levels) - 1, -1, -1):
            width, table = 1 << level, self._levels[level]
            at = np.flatnonzero(end - first >= width)
            skip = at[table[end[at] - width] > limit[at]]
            while len(skip):
                end[skip] -= width
                skip = skip[end[skip] - first[skip] >= width]
                skip = skip[table[end[skip] - width] > limit[skip]]
        return np.where(end > first, end - 1, -1)

    def first_at_most(self, first: Ints, end: Ints, limit: Ints) -> Ints:
        """First position in [first[i], end[i]) whose value is at most limit[i]; -1 where there is none."""
        first = first.copy()
        for level in range(len(self._levels) - 1, -1, -1):
            width, table = 1 << level, self._levels[level]
            at = np.flatnonzero(end - first >= width)
            skip = at[table[first[at]] > limit[at]]
            while len(skip):
                first[skip] += width
                skip = skip[end[skip] - first[skip] >= width]
                skip = skip[table[first[skip]] > limit[skip]]
        return np.where(end > first, first, -1)

    def _by_level(self, first: Ints, end: Ints) -> list[tuple[int, Ints]]:
        lengths = end - first
        levels = np.full(len(first), -1, np.int64)
        some = lengths > 0
        levels[some] = np.frexp(lengths[some].astype(np.float64))[1] - 1
        return [(int(level), np.flatnonzero(levels == level)) for level in np.unique(levels[some])]
