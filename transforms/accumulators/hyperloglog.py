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
RANK_MASK = (1 << RANK_BITS) - 1
MOST_REGISTERS = 1 << 22
MOST_STATES = 1 << 14
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
        counts, ranks = np.diff(states.bounds), states.filled & RANK_MASK
        estimates = np.zeros(len(counts), np.int64)
        for at in range(0, len(counts), MOST_STATES):
            end = min(at + MOST_STATES, len(counts))
            own = ranks[states.bounds[at] : states.bounds[end]]
            estimates[at:end] = np.rint(self._estimate(counts[at:end], own))
        return Finished(pa.array(estimates), np.zeros(len(counts), np.bool_))

    def encode(self, states: Registers) -> pa.BinaryArray:
        """See `Accumulator`."""
        counts = np.diff(states.bounds)
        dense = counts * 4 >= self._registers
        at, bounds = entries(states.bounds, np.flatnonzero(~dense))
        steps = np.diff(states.filled[at], prepend=0)
        first = bounds[:-1][np.diff(bounds) > 0]
        steps[first] = states.filled[at][first]
        sparse = from_varints(steps, np.where(dense, 0, counts))
        chosen = np.flatnonzero(dense)
        packed = [fixed(self._packed(states, chosen[rows])) for rows in self._lots(len(chosen))]
        return pack([sparse, placed(pa.concat_arrays(packed) if packed else fixed(chosen), dense)])

    def decode(self, blobs: pa.BinaryArray) -> Registers:
        """See `Accumulator`."""
        sparse, packed = unpack(blobs, 2)
        steps, counts = to_varints(sparse)
        bounds = starts(counts)
        total = starts(steps)
        filled = total[1:] - np.repeat(total[bounds[:-1]], counts)
        owner = owners(bounds)
        dense = np.flatnonzero(np.diff(split(packed)[0]))
        owned, found = [owner], [filled]
        for rows in self._lots(len(dense)):
            ranks = self._unpacked(packed.take(pa.array(dense[rows])))
            state, register = np.nonzero(ranks)
            owned.append(dense[rows][state])
            found.append((register << RANK_BITS) | ranks[state, register])
        if len(dense):
            owner, filled = np.concatenate(owned), np.concatenate(found)
            order = np.argsort(owner, kind="stable")
            owner, filled = owner[order], filled[order]
        rank = filled & RANK_MASK
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
        ranks[owners(bounds), states.filled[at] >> RANK_BITS] = states.filled[at] & RANK_MASK
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

    def _lots(self, m: int) -> list[slice]:
        """Slices of m states, few enough in each to have all their registers at hand."""
        most = max(MOST_REGISTERS >> self._p, 1)
        return [slice(at, at + most) for at in range(0, m, most)]

    def _estimate(self, counts: Ints, ranks: Ints) -> Floats:
        """Ertl's estimate of states that have the next `counts[i]` ranks, by operations that IEEE 754 rounds alike."""
        size, width = float(self._registers), self._ranks + 1
        cells = np.bincount(owners(starts(counts)) * width + ranks, minlength=len(counts) * width)
        tally = cells.reshape(len(counts), width).astype(np.float64)
        z = size * _tau(1 - tally[:, self._ranks] / size)
        for at in range(self._ranks - 1, 0, -1):
            z = 0.5 * (z + tally[:, at])
        z += size * _sigma(1 - counts / size)
        return np.asarray(ALPHA * size * size / z, np.float64)


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
