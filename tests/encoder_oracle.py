"""Naive oracle of encoders: plain loops over plain values, exact arithmetic, nothing of the project's own.

Each encoder is a function of the values that it is fitted on and the values to encode. A category is any value that can
be told apart, a number an int, a float or a Decimal; null is None.
"""

from __future__ import annotations

import math
import struct
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from typing import Any

WORD = (1 << 64) - 1
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def kept(values: Sequence[Any], size: int, min_count: int) -> list[Any]:
    """Values by frequency, ties in the order of values."""
    counts = Counter(value for value in values if value is not None)
    frequent = [value for value, count in counts.items() if count >= min_count]
    return sorted(frequent, key=lambda value: (-counts[value], value))[:size]


def vocabulary(fitted: Sequence[Any], values: Sequence[Any], size: int, min_count: int, unknown: int) -> list[Any]:
    """Numbers of values."""
    known = kept(fitted, size, min_count)
    numbers = {value: unknown + 1 + place for place, value in enumerate(known)}
    return [None if value is None else numbers.get(value, unknown) for value in values]


def one_hot(fitted: Sequence[Any], values: Sequence[Any], size: int, min_count: int) -> list[Any]:
    """Lists of 0 and 1."""
    known = sorted(kept(fitted, size, min_count))
    return [[int(value is not None and value == each) for each in known] for value in values]


def target_mean(
    fitted: Sequence[Any], targets: Sequence[Any], values: Sequence[Any], smoothing: float, size: int, min_count: int
) -> list[Any]:
    """Means of targets."""
    rows = [
        (value, Fraction(target))
        for value, target in zip(fitted, targets, strict=True)
        if target is not None and math.isfinite(target)
    ]
    prior = sum((target for _, target in rows), Fraction()) / len(rows)
    weight = Fraction(smoothing)
    means = {}
    for each in kept([value for value, _ in rows], size, min_count):
        own = [target for value, target in rows if value == each]
        means[each] = float((sum(own, Fraction()) + weight * prior) / (len(own) + weight))
    return [None if value is None else means.get(value, float(prior)) for value in values]


def standard(fitted: Sequence[Any], values: Sequence[Any]) -> list[Any]:
    """Standard scores."""
    numbers = [Fraction(value) for value in map(to_float, fitted) if value is not None and math.isfinite(value)]
    mean = sum(numbers) / len(numbers)
    variance = sum((number - mean) ** 2 for number in numbers) / len(numbers)
    deviation = math.sqrt(float(variance)) or 1.0
    return [None if value is None else (value - float(mean)) / deviation for value in map(to_float, values)]


def min_max(fitted: Sequence[Any], values: Sequence[Any], clip: bool) -> list[Any]:
    """Shares of the span."""
    numbers = [value for value in map(to_float, fitted) if value is not None and math.isfinite(value)]
    least, span = min(numbers), (max(numbers) - min(numbers)) or 1.0
    found = [None if value is None else (value - least) / span for value in map(to_float, values)]
    if not clip:
        return found
    return [value if value is None or math.isnan(value) else min(max(value, 0.0), 1.0) for value in found]


def buckets(values: Sequence[Any], edges: Sequence[float]) -> list[Any]:
    """Number of edges at or below."""
    return [
        None if value is None or value != value else sum(edge <= value for edge in edges)
        for value in (to_float(value) if not isinstance(value, int) else value for value in values)
    ]


def quantiles(fitted: Sequence[Any], values: Sequence[Any], count: int) -> list[Any]:
    """Buckets of equal frequency."""
    numbers = [to_float(value) if not isinstance(value, int) else value for value in fitted]
    finite = sorted(value for value in numbers if value is not None and math.isfinite(value))
    edges = sorted({finite[k * len(finite) // count] for k in range(1, count)} - {finite[0]})
    return buckets(values, edges)


def cross(columns: Sequence[Sequence[Any]], count: int) -> list[Any]:
    """Hashed buckets of combinations."""
    found: list[Any] = []
    for row in zip(*columns, strict=True):
        hashed: int | None = 0
        for value in row:
            hashed = None if hashed is None or value is None else mix(hashed ^ hash_of(value))
        found.append(None if hashed is None else hashed % count)
    return found


def crossed(columns: Sequence[Sequence[Any]]) -> list[Any]:
    """Combinations as single values."""
    return [None if None in row else row for row in zip(*columns, strict=True)]


def to_float(value: Any) -> Any:
    """The nearest float64."""
    return None if value is None else float(value)


def hash_of(value: Any) -> int:
    """64 bits of a value."""
    if isinstance(value, str | bytes):
        data = value.encode() if isinstance(value, str) else value
        hashed = mix(len(data))
        for at in range(0, len(data), 8):
            hashed = mix(hashed ^ int.from_bytes(data[at : at + 8].ljust(8, b"\0"), "little"))
        return hashed
    if isinstance(value, datetime):
        return mix(int((value - EPOCH) // timedelta(microseconds=1)) & WORD)
    if isinstance(value, date):
        return mix((value - EPOCH.date()).days & WORD)
    return mix(int(value) & WORD)


def mix(number: int) -> int:
    """SplitMix64."""
    number = (number + 0x9E3779B97F4A7C15) & WORD
    number = ((number ^ (number >> 30)) * 0xBF58476D1CE4E5B9) & WORD
    number = ((number ^ (number >> 27)) * 0x94D049BB133111EB) & WORD
    return number ^ (number >> 31)


def bits(value: Any) -> Any:
    """A value that is equal for equal bits alone; NaN is NaN."""
    if isinstance(value, float):
        return "nan" if math.isnan(value) else struct.pack("<d", value)
    return [bits(item) for item in value] if isinstance(value, list) else (type(value).__name__, value)
