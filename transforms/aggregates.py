"""Aggregations resolved: which states and features an `agg....(...)` stands for, over columns of known types."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from schemas.durations import parse_duration
from schemas.errors import DefinitionError, Mistake
from schemas.feature import Aggregation
from schemas.fingerprint import fingerprint, sql_tokens
from schemas.state import KEPT_AS, StateSpec
from schemas.types import type_text
from schemas.window import Window, hop_for
from transforms.accumulators.build import accumulator
from transforms.feature import Feature

NUMBERS = "integers, floats or decimals"
SCALARS = "integers, floats, decimals, bool, string, bytes, date or timestamp"
LIMITED = ("unique_count", "histogram")
DEFAULT_LIMIT = 10_000


def aggregate_features(
    view: str, aggregation: Aggregation, columns: pa.Schema, rows_fingerprint: str
) -> Iterator[Feature]:
    """Features of an aggregation, one a window, each with the state that it is finished from.

    Args:
        view: name of the view.
        aggregation: without structural mistakes.
        columns: the view's columns.
        rows_fingerprint: of its rows.

    Raises:
        DefinitionError: a column has a type that the operation does not take, or `default` does not fit.
    """
    what = f"{view}:{aggregation.expand()[0][0]}"
    types = tuple(columns.field(name).type for name in aggregation.columns)
    for name, kind in zip(aggregation.columns, types, strict=True):
        legal = _legal(aggregation.operation)
        if legal is not None and not _fits(kind, legal, aggregation.operation):
            _refuse(
                aggregation, what, f"agg.{aggregation.operation} takes {legal}; column {name!r} is {type_text(kind)}"
            )
    by_type = None if aggregation.by is None else columns.field(aggregation.by).type
    if by_type is not None and pa.types.is_nested(by_type):
        _refuse(aggregation, what, f"by takes {SCALARS}; column {aggregation.by!r} is {type_text(by_type)}")
    offset = parse_duration(aggregation.offset) if aggregation.offset else 0
    for name, text in aggregation.expand():
        length = parse_duration(text) if text else None
        hop = (parse_duration(aggregation.hop) if aggregation.hop else hop_for(length)) if length else None
        spec = _spec(aggregation, types, by_type, hop, rows_fingerprint)
        window = None if length is None or hop is None else Window(length, hop, offset)
        dtype = accumulator(spec).dtype
        default = checked_default(aggregation.default, dtype, f"{view}:{name}", aggregation.place)
        parts = [window.length, window.offset] if window else []
        yield Feature(
            view,
            name,
            "aggregate",
            dtype,
            default,
            spec,
            window,
            fingerprint=fingerprint("feature", spec.fingerprint, spec.operation, parts, default_text(default)),
            description=aggregation.description,
        )


def checked_default(default: Any, dtype: pa.DataType, what: str, place: str) -> Any:
    """The default as a value of the type; a naive time is UTC.

    Raises:
        DefinitionError: it is none.
    """
    if default is None:
        return None
    given = list(default.items()) if isinstance(default, dict) and pa.types.is_map(dtype) else default
    if isinstance(given, datetime) and given.tzinfo is None:
        given = given.replace(tzinfo=UTC)
    try:
        value = pa.scalar(given, dtype).as_py()
    except (pa.ArrowException, ValueError, TypeError, OverflowError):
        value = None
    if value is None or not _same(value, given):
        message = f"default {default!r} is no {type_text(dtype)}, which is the type of the feature"
        raise DefinitionError([Mistake(place, what, message)])
    return value


def _same(value: Any, given: Any) -> bool:
    """Whether a value means what was given: not cut off, and no number for a bool."""
    if isinstance(value, list | tuple):
        return len(value) == len(given) and all(_same(*pair) for pair in zip(value, given, strict=True))
    if isinstance(value, bool) or isinstance(given, bool):
        return value is given
    return isinstance(value, float) or bool(value == given)


def default_text(default: Any) -> str | None:
    """A default as a fingerprint takes it."""
    return None if default is None else repr(default)


def _spec(
    aggregation: Aggregation,
    types: tuple[pa.DataType, ...],
    by_type: pa.DataType | None,
    hop: int | None,
    rows_fingerprint: str,
) -> StateSpec:
    params = dict(aggregation.params)
    if aggregation.keep_null and len(types) == 1:
        params["keep_null"] = True
    if aggregation.operation in LIMITED or aggregation.by is not None:
        params["limit"] = DEFAULT_LIMIT if aggregation.limit is None else aggregation.limit
    given = tuple(sorted(params.items()))
    where = None if aggregation.where is None else list(sql_tokens(aggregation.where))
    identity = fingerprint(
        "state",
        rows_fingerprint,
        KEPT_AS.get(aggregation.operation, aggregation.operation),
        list(aggregation.columns),
        [type_text(kind) for kind in types],
        [[name, value] for name, value in given],
        aggregation.by,
        where,
        hop,
    )
    return StateSpec(
        aggregation.operation,
        aggregation.columns,
        types,
        given,
        aggregation.by,
        by_type,
        aggregation.where,
        hop,
        identity,
    )


def _legal(operation: str) -> str | None:
    """Types that an operation takes, in words; None for any."""
    if operation in ("sum", "mean"):
        return "integers, floats, decimals or bool"
    if operation in ("variance", "stddev", "skew", "kurtosis", "approx_percentile"):
        return NUMBERS
    return None if operation in ("count", "first", "last", "first_k", "last_k") else SCALARS


def _fits(kind: pa.DataType, legal: str, operation: str) -> bool:
    if legal == SCALARS:
        return not pa.types.is_nested(kind)
    number = bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))
    return number or (pa.types.is_boolean(kind) and operation in ("sum", "mean"))


def _refuse(aggregation: Aggregation, what: str, message: str) -> None:
    raise DefinitionError([Mistake(aggregation.place, what, message)])
