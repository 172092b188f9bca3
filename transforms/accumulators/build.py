"""The accumulator of a state."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from schemas.state import StateSpec
from transforms.accumulators.base import Accumulator
from transforms.accumulators.buckets import Bucketed
from transforms.accumulators.counts import Count
from transforms.accumulators.ddsketch import ApproxPercentile
from transforms.accumulators.extremes import Extreme
from transforms.accumulators.histograms import Histogram
from transforms.accumulators.hyperloglog import ApproxCountDistinct
from transforms.accumulators.moments import kurtosis_of, skew_of, stddev_of, variance_of
from transforms.accumulators.ordered import Ordered
from transforms.accumulators.ranked import Ranked
from transforms.accumulators.sets import bounded_unique_count, unique_count
from transforms.accumulators.sums import mean_of, sum_of

BY_OPERATION: Mapping[str, Callable[[StateSpec], Accumulator]] = {
    "count": Count,
    "sum": sum_of,
    "mean": mean_of,
    "min": Extreme,
    "max": Extreme,
    "variance": variance_of,
    "stddev": stddev_of,
    "skew": skew_of,
    "kurtosis": kurtosis_of,
    "first": Ordered,
    "last": Ordered,
    "first_k": Ordered,
    "last_k": Ordered,
    "top_k": Ranked,
    "bottom_k": Ranked,
    "unique_count": unique_count,
    "bounded_unique_count": bounded_unique_count,
    "histogram": Histogram,
    "approx_count_distinct": ApproxCountDistinct,
    "approx_percentile": ApproxPercentile,
}


def accumulator(spec: StateSpec) -> Accumulator:
    """Accumulator of a state; per bucket where it has a bucket column.

    Raises:
        KeyError: there is no such operation.
    """
    inner = BY_OPERATION[spec.operation](spec)
    return inner if spec.by is None else Bucketed(inner, spec)
