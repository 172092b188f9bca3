"""Conditions of Search, on what a description says."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from serving.server.sagemaker.control_bodies import Filter, SearchExpression
from serving.server.sagemaker.errors import invalid

TIMES = ("CreationTime", "LastModifiedTime")
_ORDERS: Mapping[str, Callable[[float, float], bool]] = {
    "GreaterThan": operator.gt,
    "GreaterThanOrEqualTo": operator.ge,
    "LessThan": operator.lt,
    "LessThanOrEqualTo": operator.le,
}


def matches(expression: SearchExpression | None, told: Mapping[str, Any]) -> bool:
    """Whether a description meets the conditions.

    Raises:
        Problem: a condition is not legal.
    """
    if expression is None:
        return True
    found = [_meets(each, told) for each in expression.filters]
    found += [matches(each, told) for each in expression.sub_expressions]
    return not found or (all(found) if expression.operator == "And" else any(found))


def _meets(condition: Filter, told: Mapping[str, Any]) -> bool:
    if condition.operator in _ORDERS:
        return _ORDERS[condition.operator](_time_of(condition, told), _time_asked(condition))
    texts, wanted = _texts(condition.name, told), (condition.value or "").lower()
    if condition.operator == "Exists":
        return bool(texts)
    if condition.operator == "NotExists":
        return not texts
    if condition.operator == "Contains":
        return any(wanted in text for text in texts)
    if condition.operator == "In":
        return any(text in wanted.split(",") for text in texts)
    return (wanted in texts) == (condition.operator == "Equals")


def _time_of(condition: Filter, told: Mapping[str, Any]) -> float:
    if condition.name not in TIMES:
        raise invalid(f"{condition.operator} goes with {' and '.join(TIMES)}, not with {condition.name[:100]!r}")
    return float(told[condition.name])


def _time_asked(condition: Filter) -> float:
    """The time that a property is compared with; UTC if it does not say otherwise."""
    try:
        moment = datetime.fromisoformat(condition.value or "")
    except ValueError:
        given = (condition.value or "")[:100]
        raise invalid(f"{condition.name}: {given!r} is no time; legal is as in 2026-12-01T12:00:00") from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _texts(name: str, told: Mapping[str, Any]) -> list[str]:
    """Values of a property in small letters, as `Tags.KEY` and `FeatureDefinitions.FeatureName` are."""
    head, _, rest = name.partition(".")
    if head == "AllParameters":
        return [str(each["Value"]).lower() for each in told.get("Parameters", ())]
    if head in ("Tags", "Parameters"):
        return [str(each["Value"]).lower() for each in told.get(head, ()) if each["Key"] == rest]
    value: Any = told.get(head)
    for part in filter(None, rest.split(".")):
        value = [each.get(part) for each in value] if isinstance(value, list) else (value or {}).get(part)
    values = value if isinstance(value, list) else [value]
    return [str(each).lower() for each in values if each is not None]
