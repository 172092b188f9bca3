"""Compilation of feature views: row rules, states and features of known types, or the mistakes in them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

import pyarrow as pa

from schemas.checks_feature import feature_mistakes
from schemas.durations import parse_duration
from schemas.errors import DefinitionError, Mistake, did_you_mean
from schemas.feature import Aggregation, Latest
from schemas.feature_view import FeatureView
from schemas.fingerprint import fingerprint, sql_tokens
from schemas.types import TIME, type_text
from transforms.aggregates import aggregate_features, checked_default, default_text
from transforms.entity_keys import EntityKeys
from transforms.feature import Feature
from transforms.proof import NotRowLocal, expression_outcomes, prove
from transforms.rows_fingerprint import rows_fingerprint
from transforms.rules import SYSTEM_FIELDS
from transforms.rules_compiler import CompiledRules, compile_rules
from transforms.sql import Expression, compile_sql
from transforms.view import CompiledView

Made = TypeVar("Made")
UNKNOWN = pa.null()


class ViewCompiler:
    """Compiles one view, and gathers every mistake in it on the way.

    What has a structural mistake, or reads a column whose rule has one, is passed over: its mistake is told already.

    Args:
        view: the view.
        keys: of its entity.
    """

    def __init__(self, view: FeatureView, keys: EntityKeys) -> None:
        self._view, self._keys = view, keys
        self._probe: list[str] = []
        self.mistakes: list[Mistake] = []

    def compile(self) -> CompiledView | None:
        """The compiled view; None if there are mistakes."""
        view = self._view
        compiled = {source.name: compile_rules(view, source, self._keys) for source in view.sources}
        for one in compiled.values():
            self.mistakes += one.mistakes
        columns = self._columns(list(compiled.values()))
        identity = "" if self.mistakes else rows_fingerprint(view, self._keys, columns)
        self._check_expires(columns)
        features = self._features(columns, identity)
        rules = {name: one.rules.onto(columns) for name, one in compiled.items() if one.rules is not None}
        if self.mistakes or len(rules) < len(compiled):
            return None
        states = {feature.state.fingerprint: feature.state.kept for feature in features if feature.state is not None}
        return CompiledView(
            view.name,
            view,
            view.entity,
            self._keys,
            view.sources,
            columns,
            pa.schema([*columns, *SYSTEM_FIELDS]),
            rules,
            identity,
            tuple(states.values()),
            tuple(features),
            parse_duration(view.ttl) if view.ttl else None,
            view.ties,
            parse_duration(view.late) if view.late else None,
            fingerprint("probe", [rule.probe for rule in rules.values()], self._probe),
        )

    def _columns(self, compiled: list[CompiledRules]) -> pa.Schema:
        """Columns that the rows of all sources share, alike in name and type (or unknown, where a rule failed)."""
        first, *others = (one.columns for one in compiled)
        fields = []
        for field in first:
            kinds = [field.type, *(other.field(field.name).type for other in others if field.name in other.names)]
            known = {kind for kind in kinds if kind != UNKNOWN}
            if len(kinds) == len(compiled) and len(known) <= 1:
                fields.append(pa.field(field.name, UNKNOWN if UNKNOWN in kinds else field.type))
        return pa.schema(fields)

    def _features(self, columns: pa.Schema, identity: str) -> list[Feature]:
        view = self._view
        features: list[Feature] = []
        for item in view.features:
            one = Latest(item, place=view.place) if isinstance(item, str) else item
            if not feature_mistakes(one, view.name) and self._readable(one, columns):
                features += self._try(self._stored, one, columns, identity) or []
        names = {feature.name for feature in features}
        missing = [pa.field(name, UNKNOWN) for name in view.feature_names if name not in names | set(view.derive)]
        stored = pa.schema([*(pa.field(f.name, f.dtype) for f in features), *missing, pa.field("now", TIME)])
        for name, text in view.derive.items():
            derived = self._try(self._derived, name, text, stored, features)
            features += [] if derived is None else [derived]
        return [replace(feature, owner=view.owner, tags=view.tags) for feature in features]

    def _check_expires(self, columns: pa.Schema) -> None:
        """Whether the column that says when rows expire has a type that can."""
        view = self._view
        if view.expires is None:
            return
        if view.expires not in columns.names:
            self._differing(view.expires, columns, view.place)
        elif columns.field(view.expires).type not in (TIME, pa.int64(), UNKNOWN):
            kind = type_text(columns.field(view.expires).type)
            message = f"expires: column {view.expires!r} is {kind}: legal are timestamp, and int64 (µs since the epoch)"
            self.mistakes.append(Mistake(view.place, view.name, message))

    def _readable(self, item: Aggregation | Latest, columns: pa.Schema) -> bool:
        """Whether all columns that a feature reads are there and of known type; tells those that sources differ in."""
        reads = (item.column,) if isinstance(item, Latest) else (*item.columns, *([item.by] if item.by else []))
        for name in reads:
            if name not in columns.names:
                self._differing(name, columns, item.place)
        return all(name in columns.names and columns.field(name).type != UNKNOWN for name in reads)

    def _differing(self, name: str, columns: pa.Schema, place: str) -> None:
        sources = ", ".join(source.name for source in self._view.sources)
        if len(self._view.sources) > 1:
            message = (
                f"column {name!r} is not of one type in the rows of all of {sources}: cast it by select=."
                f"{did_you_mean(name, columns.names)} Columns that they share are {', '.join(columns.names)}"
            )
            self.mistakes.append(Mistake(place, self._view.name, message))

    def _stored(self, item: Aggregation | Latest, columns: pa.Schema, identity: str) -> list[Feature]:
        view = self._view
        if isinstance(item, Aggregation):
            if item.where is not None:
                self._prove({"where": self._where(item, item.where, columns)}, columns, item.place)
            return list(aggregate_features(view.name, item, columns, identity))
        dtype = columns.field(item.column).type
        default = checked_default(item.default, dtype, f"{view.name}:{item.feature_name}", item.place)
        ttl = parse_duration(view.ttl) if view.ttl else None
        parts = ["latest", identity, item.column, view.ties, ttl, default_text(default)]
        parts += [] if view.expires is None else [view.expires]
        feature = Feature(
            view.name,
            item.feature_name,
            "latest",
            dtype,
            default,
            column=item.column,
            expires=view.expires,
            fingerprint=fingerprint(parts),
            description=item.description,
        )
        return [feature]

    def _where(self, item: Aggregation, text: str, columns: pa.Schema) -> Expression:
        what = f"{self._view.name}:{item.expand()[0][0]}: where"
        where = compile_sql(text, columns, what, item.place)
        if where.dtype != pa.bool_():
            message = f"must be bool, as in price > 500; {text!r} is {type_text(where.dtype)}"
            raise DefinitionError([Mistake(item.place, what, message)])
        return where

    def _derived(self, name: str, text: str, stored: pa.Schema, features: list[Feature]) -> Feature:
        what, place = f"{self._view.name}:{name}: derive", self._view.place
        sql = compile_sql(text, stored, what, place)
        self._prove({"derive": sql}, stored, place)
        used = sorted(feature.fingerprint for feature in features if feature.name in sql.columns)
        identity = fingerprint("derived", list(sql_tokens(text)), used)
        return Feature(self._view.name, name, "derived", sql.dtype, sql=sql, fingerprint=identity)

    def _prove(self, expressions: dict[str, Expression], schema: pa.Schema, place: str) -> None:
        """Proves expressions on the columns that they read; their results become part of the view's probe."""
        read = frozenset().union(*(expression.columns for expression in expressions.values()))
        known = [field for field in schema if field.type != UNKNOWN]
        fields = [field for field in known if field.name in read]
        if len(fields) < len(read) or not known:
            return
        try:
            self._probe += prove(expression_outcomes(expressions), pa.schema(fields or known[:1]))
        except NotRowLocal as error:
            raise DefinitionError([Mistake(place, self._view.name, str(error))]) from None

    def _try(self, make: Callable[..., Made], *arguments: object) -> Made | None:
        try:
            return make(*arguments)
        except DefinitionError as error:
            self.mistakes += error.mistakes
            return None
