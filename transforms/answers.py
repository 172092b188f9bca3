"""Answers: the value and the status of one feature for many requests, by the same rules whoever asks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from transforms.accumulators.base import Finished
from transforms.columns import flags, integers
from transforms.feature import Feature

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Codes = npt.NDArray[np.uint8]

STATUSES = ("PRESENT", "NULL_VALUE", "NOT_FOUND", "OUTSIDE_MAX_AGE", "OVERFLOW")
PRESENT, NULL_VALUE, NOT_FOUND, OUTSIDE_MAX_AGE, OVERFLOW = range(5)
NO_TIME, NEVER = np.iinfo(np.int64).min, np.iinfo(np.int64).max

COUNTS = frozenset({"count", "unique_count", "bounded_unique_count", "approx_count_distinct"})


@dataclass(frozen=True)
class Answer:
    """One feature for n requests.

    Attributes:
        values: `pa.Array[n]` of the feature's dtype.
        statuses: uint8[n], numbers of `STATUSES`.
        times: int64[n], µs: newest event time that counted, `NO_TIME` where there is none.
    """

    values: pa.Array
    statuses: Codes
    times: Ints

    def take(self, indices: Ints) -> Answer:
        """Answers of the requests at `indices`."""
        return Answer(self.values.take(pa.array(indices)), self.statuses[indices], self.times[indices])


def aggregate_answer(feature: Feature, finished: Finished, newest: Ints, null_key: Bools) -> Answer:
    """Answer of an aggregate from the finished states of its window.

    Args:
        feature: the aggregate feature.
        finished: values of n states.
        newest: int64[n], newest event time in the window, `NO_TIME` where the entity has no row in it.
        null_key: bool[n], requests whose key is null.
    """
    values = finished.values
    null = flags(values.is_null())
    statuses = np.where(null, NULL_VALUE, PRESENT).astype(np.uint8)
    statuses[finished.overflow] = OVERFLOW
    state = feature.state
    is_count = state is not None and state.operation in COUNTS and state.by is None
    if feature.window is None and not is_count:
        statuses[newest == NO_TIME] = NOT_FOUND
    if null_key.any():
        statuses[null_key] = NOT_FOUND
        values = pc.if_else(pa.array(~null_key), values, pa.scalar(None, values.type))
        newest = np.where(null_key, NO_TIME, newest)
    return Answer(values, statuses, newest)


def latest_answer(
    values: pa.Array, times: Ints, deleted: Bools, instants: Ints, ttl: int | None, expiries: pa.Array | None
) -> Answer:
    """Answer of a latest feature from the newest row of each request.

    Args:
        values: `pa.Array[n]`, the newest row's value; whatever where there is no row.
        times: int64[n], the newest row's event time in µs, `NO_TIME` where there is no row.
        deleted: bool[n], whether the newest row is a tombstone.
        instants: int64[n], instant of each answer.
        ttl: greatest legal age in µs (inclusive), or None.
        expiries: `pa.Array[n]`, when the newest row expires (a time, or µs), null for never; None where no row does.
    """
    found = (times != NO_TIME) & ~deleted
    if not found.all():
        times = np.where(found, times, NO_TIME)
    null = flags(values.is_null())
    statuses = np.where(null, NULL_VALUE, PRESENT).astype(np.uint8)
    if ttl is not None:
        statuses[found & (instants - np.where(found, times, instants) > ttl)] = OUTSIDE_MAX_AGE
    if expiries is not None:
        ends = integers(pc.fill_null(expiries.cast(pa.int64()), NEVER))
        statuses[found & (ends <= instants)] = OUTSIDE_MAX_AGE
    statuses[~found] = NOT_FOUND
    shown = statuses == PRESENT
    if not shown.all():
        values = pc.if_else(pa.array(shown), values, pa.scalar(None, values.type))
    return Answer(values, statuses, times)


def with_default(answer: Answer, feature: Feature) -> Answer:
    """The answer with the feature's default in place of nulls; statuses still tell."""
    if feature.default is None:
        return answer
    default = pa.scalar(feature.default, answer.values.type)
    filled = pc.if_else(answer.values.is_valid(), answer.values, default)
    return Answer(filled, answer.statuses, answer.times)
