"""Encoders of categories: vocabulary (of one column, or of a cross), one-hot, target mean, hashed cross.

Null, and any null in a cross, gives null; one-hot has no place for it, as for a value that is not kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import pyarrow as pa

from schemas.errors import RequestError
from transforms.columns import flags
from transforms.encoders.base import Arrays, Document, Transform, Unfit
from transforms.encoders.categories import FEW, Combinations, Value, plain, plain_rows, restored, stored
from transforms.encoders.numbers import exact, floats, is_number
from transforms.exact import power_sums
from transforms.hashing import hash_value, hashes, mix, mixed

MOST_PLACES = (1 << 31) - 1
_NOTHING = "has no value in the rows given: there is nothing to fit it on"


class Vocabulary:
    """Number of a combination of categories: kept ones by frequency from `unknown + 1` on, others `unknown`."""

    dtype = pa.int64()

    def __init__(self, kinds: Sequence[pa.DataType], size: int, min_count: int, unknown: int) -> None:
        self._kinds, self._size, self._min_count, self._unknown = tuple(kinds), size, min_count, unknown

    def fit(self, inputs: Arrays, target: pa.Array | None) -> Document:
        """Values kept, by frequency."""
        found = Combinations(inputs)
        return {"values": stored([found.values[at] for at in most_frequent(found, self._size, self._min_count)])}

    def bound(self, document: Document) -> Transform:
        """The transform."""
        known, unknown = restored(document["values"], self._kinds), self._unknown

        def transform(inputs: Arrays) -> pa.Array:
            found = Combinations(inputs).numbers(known)
            return pa.array(np.where(found >= 0, found + (unknown + 1), unknown), mask=found == -2)

        return transform


class OneHot:
    """A place for each value kept, 1 at the row's own."""

    dtype = pa.list_(pa.int8())

    def __init__(self, kind: pa.DataType, size: int, min_count: int) -> None:
        self._kinds, self._size, self._min_count = (kind,), size, min_count

    def fit(self, inputs: Arrays, target: pa.Array | None) -> Document:
        """Values kept, in the order of values."""
        found = Combinations(inputs)
        return {"values": stored(sorted(found.values[at] for at in most_frequent(found, self._size, self._min_count)))}

    def bound(self, document: Document) -> Transform:
        """The transform."""
        known = restored(document["values"], self._kinds)

        def transform(inputs: Arrays) -> pa.Array:
            found = Combinations(inputs).numbers(known)
            if len(found) * len(known) > MOST_PLACES:
                raise RequestError(
                    f"one_hot: {len(found):,} rows of {len(known):,} places are more than a column holds; "
                    "ask for fewer rows at once, or fit it with a smaller size="
                )
            places = np.zeros((len(found), len(known)), np.int8)
            rows = np.flatnonzero(found >= 0)
            places[rows, found[rows]] = 1
            bounds = np.arange(len(found) + 1, dtype=np.int64) * len(known)
            return pa.ListArray.from_arrays(pa.array(bounds.astype(np.int32)), pa.array(places.ravel()))

        return transform


class TargetMean:
    """(sum + smoothing * prior) / (count + smoothing) of a value's targets; the prior of a value that is not kept."""

    dtype = pa.float64()

    def __init__(self, kind: pa.DataType, smoothing: float, size: int, min_count: int) -> None:
        self._kinds, self._smoothing, self._size, self._min_count = (kind,), smoothing, size, min_count

    def fit(self, inputs: Arrays, target: pa.Array | None) -> Document:
        """Values kept with their means, each an exact quotient rounded once, and the mean of all rows."""
        assert target is not None
        if not (is_number(target.type) or pa.types.is_boolean(target.type)):
            raise Unfit(f"its target is {target.type}: legal are bool and numbers")
        labels, valid = floats(target)
        valid &= np.isfinite(labels)
        if not valid.any():
            raise Unfit("its target has no finite value in the rows given: there is nothing to fit it on")
        found = Combinations(inputs)
        some = valid & (found.codes >= 0)
        counts = found.counts(some)
        kept = found.kept(counts, self._size, self._min_count)
        total = exact(power_sums(labels[valid], np.zeros(int(valid.sum()), np.int64), 1)[0])[0]
        prior, weight = total / int(valid.sum()), Fraction(self._smoothing)
        sums = exact(power_sums(labels[some], found.codes[some], max(len(found.values), 1))[0])
        means = [float((sums[at] + weight * prior) / (int(counts[at]) + weight)) for at in kept]
        return {"values": stored([found.values[at] for at in kept]), "means": means, "prior": float(prior)}

    def bound(self, document: Document) -> Transform:
        """The transform."""
        known = restored(document["values"], self._kinds)
        means = np.asarray([*document["means"], 0.0, document["prior"]], np.float64)

        def transform(inputs: Arrays) -> pa.Array:
            found = Combinations(inputs).numbers(known)
            return pa.array(means[found], mask=found == -2, from_pandas=False)

        return transform


class HashedCross:
    """A bucket of a combination: h = mix(h ^ hash of the next column) from h = 0 on, modulo the buckets."""

    dtype = pa.int64()

    def __init__(self, buckets: int) -> None:
        self._buckets = np.uint64(buckets)

    def fit(self, inputs: Arrays, target: pa.Array | None) -> Document:
        """Nothing."""
        return {}

    def bound(self, document: Document) -> Transform:
        """The transform; few rows by plain integers, many by columns."""
        buckets = int(self._buckets)

        def transform(inputs: Arrays) -> pa.Array:
            if len(inputs[0]) <= FEW:
                rows = plain_rows([plain(column) for column in inputs])
                return pa.array([None if None in row else _combined(row) % buckets for row in rows], pa.int64())
            valid = np.logical_and.reduce([flags(column.is_valid()) for column in inputs])
            some = pa.array(valid)
            combined = np.zeros(int(valid.sum()), np.uint64)
            for column in inputs:
                combined = mix(combined ^ hashes(column.filter(some)))
            out = np.zeros(len(valid), np.int64)
            out[valid] = (combined % self._buckets).astype(np.int64)
            return pa.array(out, mask=~valid)

        return transform


def _combined(row: Sequence[Value]) -> int:
    hashed = 0
    for value in row:
        hashed = mixed(hashed ^ hash_value(value))
    return hashed


def most_frequent(found: Combinations, size: int, min_count: int) -> list[int]:
    """Places of the values kept, by frequency; at least one.

    Raises:
        Unfit: there is none.
    """
    kept = found.kept(found.counts(), size, min_count)
    if not kept:
        raise Unfit(_NOTHING if min_count == 1 else f"no value is there {min_count} times in the rows given")
    return kept
