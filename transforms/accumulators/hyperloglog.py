"""Approximate number of distinct values: HyperLogLog registers.

A value's hash h (`transforms.hashing`) falls into register h mod 2**p with rank 1 + trailing zeros of h >> p (at most
65 - p); a register keeps the greatest rank, so order cannot matter. The estimate is Ertl's improved one ("New
cardinality estimation algorithms for HyperLogLog sketches", 2017, algorithm 6), which needs no tables and no switch
between ranges; its relative standard error is about 1.04 / sqrt(2**p).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from schemas.errors import StoreError
from schemas.state import StateSpec
from transforms.accumulators.base import Finished, Inputs, Ints
from transforms.accumulators.blobs import fixed, from_varints, pack, placed, split, to_varints, unfixed, unpack
from transforms.accumulators.counts import present
from transforms.accumulators.ragged import entries, joined, owners, starts
from transforms.hashing import hashes

Floats = npt.NDArray[np.float64]

DEFAULT_P = 12
RANK_BITS = 6
ALPHA = 0.7213475204444817  # 1 / (2 ln 2)


@dataclass(frozen=True)
class Registers:
    """Registers of m states that are not zero.

    Attributes:
        bounds: int64[m + 1], state i has the entries from `bounds[i]` to `bounds[i + 1]`.
        filled: int64[bounds[-1]], register << 6 | rank, ascending within a state.
    """

    bounds: Ints
    filled: Ints


class ApproxCountDistinct:
    """Estimated number of distinct values that are not null, int64; 0 when there is none.

    Parameter `p` (4..16, default 12): 2**p registers. Bytes: the entries' differences as varints; from 2**p / 4 entries
    on all registers, 6 bits each.
    """

    def __init__(self, spec: StateSpec) -> None:
        self.spec = spec
        self.dtype: pa.DataType = pa.int64()
        self._p = int(spec.param("p", DEFAULT_P))
        self._registers = 1 << self._p
        self._ranks = 65 - self._p

    def fold(self, inputs: Inputs, groups: Ints, n: int) -> Registers:
        """See `Accumulator`."""
        values, groups = present(inputs.columns[0], groups)
        found = hashes(values)
        rest = found >> np.uint64(self._p)
        lowest = rest & (~rest + np.uint64(1))
        rank = np.where(rest == 0, self._ranks, np.frexp(lowest.astype(np.float64))[1])
        register = (found & np.uint64(self._registers - 1)).astype(np.int64)
        return self._greatest((register << RANK_BITS) | rank, groups, n)

    def merge(self, states: Registers, groups: Ints, n: int) -> Registers:
        """See `Accumulator`."""
        return self._greatest(states.filled, groups[owners(states.bounds)], n)

    def finish(self, states: Registers) -> Finished:
        """See `Accumulator`."""
        return Finished(
            pa.array(np.rint(self._estimate(states)).astype(np.int64)), np.zeros(len(states.bounds) - 1, np.bool_)
        )

    def encode(self, states: Registers) -> pa.BinaryArray:
        """See `Accumulator`."""
        counts = np.diff(states.bounds)
        dense = counts * 4 >= self._registers
        at, bounds = entries(states.bounds, np.flatnonzero(~dense))
        steps = np.diff(states.filled[at], prepend=0)
        first = bounds[:-1][np.diff(bounds) > 0]
        steps[first] = states.filled[at][first]
        sparse = from_varints(steps, np.where(dense, 0, counts))
        return pack([sparse, placed(fixed(self._packed(states, np.flatnonzero(dense))), dense)])

    def decode(self, blobs: pa.BinaryArray) -> Registers:
        """See `Accumulator`."""
        sparse, packed = unpack(blobs, 2)
        steps, counts = to_varints(sparse)
        bounds = starts(counts)
        total = starts(steps)
        filled = total[1:] - np.repeat(total[bounds[:-1]], counts)
        owner = owners(bounds)
        dense = np.flatnonzero(np.diff(split(packed)[0]))
        if len(dense):
            ranks = self._unpacked(packed.take(pa.array(dense)))
            state, register = np.nonzero(ranks)
            owner = np.concatenate([owner, dense[state]])
            filled = np.concatenate([filled, (register << RANK_BITS) | ranks[state, register]])
            order = np.argsort(owner, kind="stable")
            owner, filled = owner[order], filled[order]
        rank = filled & ((1 << RANK_BITS) - 1)
        if ((rank == 0) | (rank > self._ranks) | (filled >> RANK_BITS >= self._registers)).any():
            raise StoreError("a state is damaged: it has a register that does not exist")
        return Registers(starts(np.bincount(owner, minlength=len(blobs))), filled)

    def take(self, states: Registers, indices: Ints) -> Registers:
        """See `Accumulator`."""
        at, bounds = entries(states.bounds, indices)
        return Registers(bounds, states.filled[at])

    def concat(self, parts: list[Registers]) -> Registers:
        """See `Accumulator`."""
        return Registers(joined([part.bounds for part in parts]), np.concatenate([part.filled for part in parts]))

    def _greatest(self, filled: Ints, groups: Ints, n: int) -> Registers:
        """Greatest rank of each register of each group."""
        bits = self._p + RANK_BITS
        keys = np.sort((groups << bits) | filled)
        last = np.ones(len(keys), np.bool_)
        last[:-1] = keys[1:] >> RANK_BITS != keys[:-1] >> RANK_BITS
        keys = keys[last]
        return Registers(starts(np.bincount(keys >> bits, minlength=n)), keys & ((1 << bits) - 1))

    def _packed(self, states: Registers, chosen: Ints) -> npt.NDArray[np.uint8]:
        """All registers of the chosen states, four to three bytes (little-endian), uint8[len(chosen), 3/4 * 2**p]."""
        at, bounds = entries(states.bounds, chosen)
        ranks = np.zeros((len(chosen), self._registers), np.uint32)
        ranks[owners(bounds), states.filled[at] >> RANK_BITS] = states.filled[at] & ((1 << RANK_BITS) - 1)
        fours = ranks.reshape(len(chosen), self._registers // 4, 4)
        words = fours[:, :, 0] | fours[:, :, 1] << 6 | fours[:, :, 2] << 12 | fours[:, :, 3] << 18
        whole = np.ascontiguousarray(words.astype("<u4")).view(np.uint8).reshape(len(chosen), self._registers // 4, 4)
        return whole[:, :, :3].reshape(len(chosen), self._registers // 4 * 3)

    def _unpacked(self, packed: pa.BinaryArray) -> Ints:
        """The inverse of `_packed`: ranks int64[n, 2**p]."""
        threes = unfixed(packed, np.uint8, self._registers // 4 * 3).reshape(len(packed), self._registers // 4, 3)
        low, middle, high = (threes[:, :, place].astype(np.int64) for place in range(3))
        fours = (low | middle << 8 | high << 16)[:, :, None] >> np.array([0, 6, 12, 18])
        ranks: Ints = (fours & 0x3F).reshape(len(packed), self._registers)
        return ranks

    def _estimate(self, states: Registers) -> Floats:
        """Ertl's estimate, float64[m], by operations that IEEE 754 rounds alike everywhere."""
        counts, size = np.diff(states.bounds), float(self._registers)
        width = self._ranks + 1
        rank = states.filled & ((1 << RANK_BITS) - 1)
        cells = np.bincount(owners(states.bounds) * width + rank, minlength=len(counts) * width)
        tally = cells.reshape(len(counts), width).astype(np.float64)
        z = size * _tau(1 - tally[:, self._ranks] / size)
        for at in range(self._ranks - 1, 0, -1):
            z = 0.5 * (z + tally[:, at])
        z += size * _sigma(1 - counts / size)
        return ALPHA * size * size / z


def _sigma(x: Floats) -> Floats:
    """Sigma(x) = x + sum over k >= 1 of x**(2**k) * 2**(k - 1); infinite for x = 1."""
    below = np.where(x < 1, x, 0.0)
    z, y = below.copy(), 1.0
    while True:
        below = below * below
        last, z, y = z, z + below * y, y + y
        if (z == last).all():
            return np.where(x < 1, z, np.inf)


def _tau(x: Floats) -> Floats:
    """Tau(x) = (1 - x - sum over k >= 1 of (1 - x**(2**-k))**2 * 2**-k) / 3; 0 for x = 0."""
    root = np.where(x > 0, x, 1.0)
    z, y = 1 - root, 1.0
    while True:
        root, y = np.sqrt(root), 0.5 * y
        last, z = z, z - (1 - root) * (1 - root) * y
        if (z == last).all():
            return np.asarray(z / 3, np.float64)
