"""Structural mistakes of feature views."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pyarrow as pa

from schemas.checks_feature import feature_mistakes
from schemas.code import function_problem
from schemas.entity import Entity
from schemas.errors import Mistake, did_you_mean
from schemas.feature import Aggregation, Latest
from schemas.feature_view import TIES, FeatureView
from schemas.findings import Findings
from schemas.source import Source
from schemas.types import parse_type


def view_mistakes(view: FeatureView) -> list[Mistake]:
    """What is wrong with a view and with its features."""
    findings = Findings(view.place, str(view.name))
    findings.names("feature view", [view.name], dashed=True)
    findings.people(view)
    sources = _sources(view, findings)
    _rules(view, findings)
    entity: Any = view.entity
    if isinstance(entity, Entity):
        _keys(view, entity, sources, findings)
    else:
        findings.add(f"entity must be an Entity, not {entity!r}")
    features = _features(view, findings)
    for source in sources:
        columns = view_columns(view, source)
        before = (*(field.name for field in source.resolved_fields), *_names_of(view.returns))
        _columns(view.explode, "explode", before, source, findings, view.place)
        _columns(view.expires, "expires", columns, source, findings, view.place)
        for feature in features:
            _feature_columns(feature, columns, source, findings, view.place)
    _derived(view, features, findings)
    _ages(view, features, findings)
    return findings.mistakes


def view_columns(view: FeatureView, source: Source) -> tuple[str, ...]:
    """Names of the columns of a view's rows.

    The source's fields and what `transform` adds (the fields of its structs in place of a list that is exploded), then
    what `select` adds, then computed keys.
    """
    kinds: dict[str, pa.DataType] = {field.name: field.type for field in source.resolved_fields}
    for name in _names_of(view.returns):
        kinds[name] = _type(view.returns.get(name))
    names: list[str] = []
    for name, kind in kinds.items():
        exploded = name == view.explode and pa.types.is_list(kind) and pa.types.is_struct(kind.value_type)
        members = [kind.value_type.field(index).name for index in range(kind.value_type.num_fields)] if exploded else []
        names += members or [name]
    added = (view.select, getattr(view.entity, "key_from", {}))
    return tuple(dict.fromkeys((*names, *(name for part in added for name in _names_of(part)))))


def _type(text: object) -> pa.DataType:
    """Arrow type of a type's text; null for a text that is none, which is a mistake of its own."""
    try:
        return parse_type(str(text))
    except ValueError:
        return pa.null()


def feature_names(view: FeatureView) -> tuple[str, ...]:
    """Names of a view's features, as far as they are features."""
    listed = view.features if isinstance(view.features, (list, tuple)) else ()
    right = [item for item in listed if isinstance(item, (str, Aggregation, Latest))]
    return tuple(
        map(str, replace(view, features=right, derive=dict.fromkeys(_names_of(view.derive), "")).feature_names)
    )


def _names_of(part: object) -> tuple[str, ...]:
    return tuple(map(str, part)) if isinstance(part, Mapping) else ()


def _sources(view: FeatureView, findings: Findings) -> list[Source]:
    """Sources whose fields are known."""
    given: list[Any] = list(view.sources)
    if not given:
        findings.add("source must be a Source or a list of them, not an empty list")
    for source in given:
        if not isinstance(source, Source):
            findings.add(f"source must be a Source or a list of them, not {source!r}")
    sources = [source for source in given if isinstance(source, Source)]
    names = [source.name for source in sources]
    for name in sorted({str(name) for name in names if names.count(name) > 1}):
        findings.add(f"source {name!r} is there twice: each source is listed once")
    return [source for source in sources if source.resolved_fields]


def _rules(view: FeatureView, findings: Findings) -> None:
    """What makes rows of events."""
    findings.sql("where", view.where)
    findings.expressions("select", view.select, '{"price_eur": "price * 0.92"}')
    findings.types("returns", view.returns, '{"score": "float64"}')
    if view.transform is not None:
        problem = function_problem(view.transform)
        if problem:
            findings.add(f"transform: {problem}")
    elif view.returns:
        findings.add("returns= says what transform= adds, and there is none: leave it out, or add transform=")
    if view.explode is not None:
        findings.text("explode", view.explode)
    findings.one_of("ties", view.ties, TIES)
    findings.flag("online", view.online)


def _keys(view: FeatureView, entity: Entity, sources: list[Source], findings: Findings) -> None:
    """Every key, and every input of a computed key, must be a column of the rows; no column a twin by case."""
    computed = entity.key_from if isinstance(entity.key_from, Mapping) else {}
    keys = [name for name in entity.keys if name not in computed] if isinstance(entity.keys, Mapping) else []
    inputs = list(entity.inputs) if isinstance(entity.inputs, Mapping) else []
    for source in sources:
        columns = view_columns(view, source)
        for name in (*keys, *inputs):
            if name not in columns:
                findings.add(
                    f"key column {name!r} of entity {entity.name!r} is no column of source {source.name!r}."
                    f"{did_you_mean(str(name), columns)} Legal are {', '.join(columns)}, "
                    f'or compute it, as in select={{"{name}": "..."}}'
                )
        lower: dict[str, str] = {}
        for name in columns:
            other = lower.setdefault(str(name).lower(), name)
            if other != name and name not in {field.name for field in source.resolved_fields}:
                findings.add(
                    f"column {name!r} differs from {other!r} by case alone: legal is the same name, or another"
                )


def _features(view: FeatureView, findings: Findings) -> list[Aggregation | Latest]:
    """Features that are features; a bare column is the latest of it."""
    found: list[Aggregation | Latest] = []
    for item in findings.sequence("features", view.features, '[agg.count(over="24h"), "country"]'):
        if isinstance(item, str):
            found.append(Latest(item, place=view.place))
        elif isinstance(item, (Aggregation, Latest)):
            found.append(item)
        else:
            findings.add(f"a feature is a column's name, agg....(...) or latest(...), not {item!r}")
    for feature in found:
        findings.mistakes += feature_mistakes(feature, findings.name)
    return found


def _feature_columns(
    feature: Aggregation | Latest, columns: tuple[str, ...], source: Source, findings: Findings, place: str
) -> None:
    """Columns that a feature reads."""
    where = feature.place or place
    if isinstance(feature, Latest):
        _columns(feature.column, "latest", columns, source, findings, where)
        return
    for column in feature.columns:
        _columns(column, f"agg.{feature.operation}", columns, source, findings, where)
    _columns(feature.by, "by", columns, source, findings, where)


def _columns(column: Any, what: str, columns: tuple[str, ...], source: Source, findings: Findings, place: str) -> None:
    if isinstance(column, str) and column not in columns:
        hint = did_you_mean(column, columns)
        legal = ", ".join(columns)
        findings.add(f"{what}: unknown column {column!r} of source {source.name!r}.{hint} Legal are {legal}", place)


def _derived(view: FeatureView, features: list[Aggregation | Latest], findings: Findings) -> None:
    """Derived features, and names that two features of the view would share."""
    findings.expressions("derive", view.derive, '{"trend": "count_1h / count_24h"}')
    taken: dict[str, str] = {}
    for feature in features:
        if isinstance(feature, Latest):
            _taken(taken, feature.feature_name, feature.place, findings)
            continue
        several = len(feature.over) > 1 and isinstance(feature.name, str) and "{window}" not in feature.name
        for name, _ in feature.expand()[:1] if several else feature.expand():
            _taken(taken, name, feature.place, findings)
    for name in view.derive if isinstance(view.derive, Mapping) else ():
        _taken(taken, name, view.place, findings)


def _taken(taken: dict[str, str], name: object, place: str, findings: Findings) -> None:
    lower = str(name).lower()
    if lower in taken:
        findings.add(f"two features have the name {name!r}, the other at {taken[lower]}: give one another name=", place)
    taken.setdefault(lower, place)


def _ages(view: FeatureView, features: list[Aggregation | Latest], findings: Findings) -> None:
    findings.duration("ttl", view.ttl)
    findings.duration("late", view.late)
    if view.expires is not None:
        findings.text("expires", view.expires)
    for name, given in (("ttl", view.ttl), ("expires", view.expires)):
        if given is not None and not any(isinstance(feature, Latest) for feature in features):
            findings.add(
                f"{name} limits the age of latest features, and there are none: give the aggregates a window, over="
            )
