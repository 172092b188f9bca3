"""Compilation of feature views: row rules, states and features of known types, or the mistakes in them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

import pyarrow as pa

from schemas.durations import parse_duration
from schemas.entity import Entity
from schemas.errors import DefinitionError, Mistake, did_you_mean
from schemas.feature import Aggregation, Latest
from schemas.feature_view import FeatureView
from schemas.fingerprint import fingerprint, function_fingerprint, sql_tokens
from schemas.source import Source
from schemas.types import type_text
from transforms.aggregates import aggregate_features, checked_default, default_text
from transforms.entity_keys import EntityKeys
from transforms.feature import Feature
from transforms.features import TIME
from transforms.rules import SYSTEM_FIELDS, RowRules
from transforms.rules_compiler import compile_rules
from transforms.sql import Expression, compile_sql
from transforms.view import CompiledView

Made = TypeVar("Made")


class ViewCompiler:
    """Compiles one view, and gathers every mistake in it on the way.

    Args:
        view: a view without structural mistakes.
    """

    def __init__(self, view: FeatureView) -> None:
        self._view = view
        self.mistakes: list[Mistake] = []

    def compile(self) -> CompiledView | None:
        """The compiled view; None if there are mistakes."""
        view = self._view
        keys = self._try(entity_keys, view.entity)
        if keys is None:
            return None
        rules: dict[str, RowRules] = {}
        for source in view.sources:
            made = self._try(compile_rules, view, source, keys)
            if made is not None:
                rules[source.name] = made
        if len(rules) < len(view.sources):
            return None
        columns = self._columns(rules)
        identity = rows_fingerprint(view, keys, columns)
        features = self._features(columns, identity)
        if self.mistakes:
            return None
        states = {feature.state.fingerprint: feature.state for feature in features if feature.state is not None}
        row_schema = pa.schema([*columns, *SYSTEM_FIELDS])
        return CompiledView(
            view.name,
            view,
            view.entity,
            keys,
            view.sources,
            columns,
            row_schema,
            {name: rule.onto(columns) for name, rule in rules.items()},
            identity,
            tuple(states.values()),
            tuple(features),
            parse_duration(view.ttl) if view.ttl else None,
            view.ties,
            parse_duration(view.late) if view.late else None,
            fingerprint("probe", [rule.probe for rule in rules.values()]),
        )

    def _try(self, make: Callable[..., Made], *arguments: Any) -> Made | None:
        try:
            return make(*arguments)
        except DefinitionError as error:
            self.mistakes += error.mistakes
            return None

    def _columns(self, rules: dict[str, RowRules]) -> pa.Schema:
        """Columns that the rows of all sources share, alike in name and type."""
        first, *others = (rule.columns for rule in rules.values())
        return pa.schema(
            [
                field
                for field in first
                if all(field.name in other.names and other.field(field.name).type == field.type for other in others)
            ]
        )

    def _features(self, columns: pa.Schema, identity: str) -> list[Feature]:
        view = self._view
        features: list[Feature] = []
        for item in view.features:
            made = self._try(self._stored, item, columns, identity)
            features += made or []
        if not self.mistakes:
            for name, text in view.derive.items():
                derived = self._try(self._derived, name, text, features)
                features += [] if derived is None else [derived]
        return [replace(feature, owner=view.owner, tags=view.tags) for feature in features]

    def _stored(self, item: str | Aggregation | Latest, columns: pa.Schema, identity: str) -> list[Feature]:
        view = self._view
        item = Latest(item, place=view.place) if isinstance(item, str) else item
        reads = (item.column,) if isinstance(item, Latest) else (*item.columns, *([item.by] if item.by else []))
        for name in reads:
            if name not in columns.names:
                legal = ", ".join(columns.names)
                message = (
                    f"column {name!r} is no column of the rows of every source, alike in type."
                    f"{did_you_mean(name, columns.names)} Legal are {legal}"
                )
                raise DefinitionError([Mistake(item.place, view.name, message)])
        if isinstance(item, Aggregation):
            return list(aggregate_features(view.name, item, columns, identity))
        dtype = columns.field(item.column).type
        default = checked_default(item.default, dtype, f"{view.name}:{item.feature_name}", item.place)
        ttl = parse_duration(view.ttl) if view.ttl else None
        parts = ["latest", identity, item.column, view.ties, ttl, default_text(default)]
        return [
            Feature(
                view.name,
                item.feature_name,
                "latest",
                dtype,
                default,
                column=item.column,
                fingerprint=fingerprint(parts),
                description=item.description,
            )
        ]

    def _derived(self, name: str, text: str, features: list[Feature]) -> Feature:
        stored = [feature for feature in features if feature.kind != "derived"]
        schema = pa.schema([*(pa.field(feature.name, feature.dtype) for feature in stored), pa.field("now", TIME)])
        sql = compile_sql(text, schema, f"{self._view.name}:{name}: derive", self._view.place)
        used = sorted(feature.fingerprint for feature in stored if feature.name in sql.columns)
        identity = fingerprint("derived", list(sql_tokens(text)), used)
        return Feature(self._view.name, name, "derived", sql.dtype, sql=sql, fingerprint=identity)


def entity_keys(entity: Entity) -> EntityKeys:
    """Keys of an entity, the computed ones compiled.

    Raises:
        DefinitionError: an expression of `key_from` is wrong, or not of the key's type.
    """
    schema = pa.schema(list(entity.input_types.items()))
    types = entity.key_types
    computed: dict[str, Expression] = {}
    mistakes: list[Mistake] = []
    for name, text in entity.key_from.items():
        try:
            expression = compile_sql(text, schema, f"{entity.name}: key_from {name}", entity.place)
        except DefinitionError as error:
            mistakes += error.mistakes
            continue
        if expression.dtype != types[name]:
            given, wanted = type_text(expression.dtype), type_text(types[name])
            message = f"key_from {name}: is {given}, the key is {wanted}: add a CAST"
            mistakes.append(Mistake(entity.place, entity.name, message))
        computed[name] = expression
    if mistakes:
        raise DefinitionError(mistakes)
    kinds: dict[str, Any] = {**types, **entity.input_types}
    asked = {name: kinds[name] for name in entity.asked}
    return EntityKeys(tuple(entity.keys), tuple(types.values()), asked, computed)


def rows_fingerprint(view: FeatureView, keys: EntityKeys, columns: pa.Schema) -> str:
    """Fingerprint of all that changes a view's rows."""
    entity = view.entity
    return fingerprint(
        "rows",
        [[name, type_text(kind)] for name, kind in zip(keys.names, keys.types, strict=True)],
        {name: list(sql_tokens(text)) for name, text in entity.key_from.items()},
        [_source_parts(source) for source in view.sources],
        None if view.transform is None else function_fingerprint(view.transform),
        view.explode,
        {name: list(sql_tokens(text)) for name, text in view.select.items()},
        None if view.where is None else list(sql_tokens(view.where)),
        [[field.name, type_text(field.type)] for field in columns],
    )


def _source_parts(source: Source) -> list[Any]:
    deleted = None if source.deleted is None else list(sql_tokens(source.deleted))
    return [source.name, source.event_time, source.cutover_time, source.sequence, source.arrival_time, deleted]
