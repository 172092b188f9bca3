"""Compilation of row rules: a view's rules over one source, checked, typed and proven, or the mistakes in them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import polars as pl
import pyarrow as pa

from schemas.errors import DefinitionError, Mistake
from schemas.feature_view import FeatureView
from schemas.fingerprint import fingerprint, function_fingerprint
from schemas.source import Source
from schemas.types import TIME, parse_type, type_text
from transforms.entity_keys import EntityKeys
from transforms.explosion import Explosion
from transforms.functions import FunctionFault
from transforms.generated import generated_rows
from transforms.proof import NotRowLocal, prove
from transforms.rule_expressions import RuleExpressions
from transforms.rules import RowRules
from transforms.sql import Expression, compile_sql
from transforms.transformation import ROW, Transformation

Made = TypeVar("Made")
_MOST_PROVEN = 1_024
_PROVEN: dict[tuple[object, ...], tuple[str, ...]] = {}


@dataclass(frozen=True)
class CompiledRules:
    """Outcome of compiling the rules of a view for one source.

    Attributes:
        rules: the rules; None if there are mistakes.
        columns: the view's columns; those that failed have type null.
        mistakes: all of them.
    """

    rules: RowRules | None
    columns: pa.Schema
    mistakes: tuple[Mistake, ...]


def compile_rules(view: FeatureView, source: Source, keys: EntityKeys) -> CompiledRules:
    """Row rules of a view for one of its sources, or every mistake in them.

    Args:
        view: the view.
        source: one of its sources, without structural mistakes.
        keys: of its entity, likewise.
    """
    return _RulesCompiler(view, source, keys).compile()


class _RulesCompiler:
    """Compiles rule by rule; `schema` is what the columns are by then. A column that failed has type null."""

    def __init__(self, view: FeatureView, source: Source, keys: EntityKeys) -> None:
        self._view, self._source, self._keys = view, source, keys
        self._mistakes: list[Mistake] = []
        self._probe: list[str] = []
        self._schema = pa.schema([pa.field(field.name, field.type) for field in source.schema])

    def compile(self) -> CompiledRules:
        view, source = self._view, self._source
        assert source.event_time is not None
        deleted = self._deleted()
        transformation = None if view.transform is None else self._transformation(view.transform)
        explosion = None if view.explode is None else self._explosion(view.explode)
        expressions = self._expressions()
        if source.event_time not in self._schema.names:
            self._add(f"event time {source.event_time!r} of source {source.name!r} is no column any more: keep it")
        elif (kind := self._schema.field(source.event_time).type) not in (TIME, pa.null()):
            self._add(f"event time {source.event_time!r} of source {source.name!r} is {type_text(kind)}, not timestamp")
        if self._mistakes:
            return CompiledRules(None, self._schema, tuple(self._mistakes))
        rules = RowRules(
            view.name,
            source.name,
            tuple(source.schema.names),
            deleted,
            transformation,
            explosion,
            expressions,
            self._keys.names,
            source.event_time,
            source.sequence,
            source.arrival_time,
            self._schema,
            fingerprint(self._probe),
        )
        return CompiledRules(rules, self._schema, ())

    def _deleted(self) -> RuleExpressions:
        text = self._source.deleted
        if text is None:
            return RuleExpressions()
        predicate = self._predicate(text, f"{self._source.name}: deleted", self._source.place)
        rules = RuleExpressions(predicate=predicate, label="deleted")
        if predicate is not None:
            self._prove(rules, f"{self._source.name}: deleted", self._source.place, self._schema)
        return rules

    def _transformation(self, function: Callable[..., object]) -> Transformation:
        view, schema = self._view, self._schema
        returns = {name: parse_type(text) for name, text in view.returns.items()}
        for name, kind in returns.items():
            self._set(name, kind)
        transformation = Transformation(function, returns)
        what = f"{view.name}: transform"
        try:
            function_fingerprint(function)
        except ValueError as error:
            self._add(str(error), what)
            return transformation
        before = pl.DataFrame(pl.from_arrow(generated_rows(schema)))
        made = transformation.apply(before)
        if made.broken is not None:
            self._add(made.broken, what)
        elif len(made.failed) == before.height:
            try:
                transformation.rows(before.clear().with_columns(pl.lit(None, pl.Int64).alias(ROW)))
            except FunctionFault:
                self._add(f"fails on every generated row: {made.failed[0]}", what)
        problem = transformation.undeclared(before)
        if problem:
            self._add(problem, what)
        if not self._mistakes:
            self._try(what, view.place, lambda: self._probe.extend(prove(transformation.outcomes, schema)))
        return transformation

    def _explosion(self, column: str) -> Explosion | None:
        what = f"{self._view.name}: explode"
        kind = self._schema.field(column).type
        if not pa.types.is_list(kind):
            if kind != pa.null():
                lists = [field.name for field in self._schema if pa.types.is_list(field.type)]
                self._add(f"{column!r} is {type_text(kind)}, no list; lists are {', '.join(lists) or 'none'}", what)
            return None
        explosion = Explosion(column, kind.value_type)
        clash = explosion.clash(self._schema)
        if clash is not None:
            self._add(
                f"field {clash!r} of the elements of {column!r} is also a column: rename it by transform=, which comes "
                "before explode=",
                what,
            )
            return None
        self._schema = explosion.schema(self._schema)
        return explosion

    def _expressions(self) -> RuleExpressions:
        view, before = self._view, self._schema
        select: dict[str, Expression] = {}
        for name, text in view.select.items():
            made = self._compile(text, before, f"{view.name}: select {name}")
            if made is not None:
                select[name] = made
            self._set(name, pa.null() if made is None else made.dtype)
        widened = self._widened()
        for name, kind in zip(self._keys.names, self._keys.types, strict=True):
            if name in self._keys.computed:
                self._set(name, kind)
        where = None if view.where is None else self._predicate(view.where, f"{view.name}: where", view.place)
        rules = RuleExpressions(select, widened, self._keys.computed, where)
        if not self._mistakes and not rules.empty:
            self._prove(rules, view.name, view.place, before)
        return rules

    def _widened(self) -> dict[str, pa.DataType]:
        """Keys, and inputs of computed keys, that are narrower integers than the entity says."""
        widened = {}
        for name, wanted in self._keys.asked.items():
            given = self._schema.field(name).type if name in self._schema.names else pa.null()
            if given in (wanted, pa.null()):
                continue
            integers = pa.types.is_integer(given) and pa.types.is_integer(wanted)
            if integers and given.bit_width < wanted.bit_width:
                widened[name] = wanted
                self._set(name, wanted)
                continue
            said = type_text(wanted)
            self._add(
                f"key column {name!r} is {type_text(given)} in source {self._source.name!r}, entity "
                f'{self._view.entity.name!r} says {said}: cast it, as in select={{"{name}": "CAST({name} AS {said})"}}'
            )
        return widened

    def _predicate(self, text: str, what: str, place: str) -> Expression | None:
        made = self._compile(text, self._schema, what, place)
        if made is not None and made.dtype != pa.bool_():
            self._add(f"must be bool, as in price > 500; {text!r} is {type_text(made.dtype)}", what, place)
            return None
        return made

    def _compile(self, text: str, schema: pa.Schema, what: str, place: str | None = None) -> Expression | None:
        where = place or self._view.place
        return self._try(what, where, lambda: compile_sql(text, schema, what, where))

    def _prove(self, rules: RuleExpressions, what: str, place: str, before: pa.Schema) -> None:
        """Proves expressions one stage's worth of columns at a time, on the columns that they read."""
        read = pa.schema([field for field in before if field.name in rules.reads] or [before.field(0)])
        self._try(what, place, lambda: self._probe.extend(_proven(rules, read)))

    def _try(self, what: str, place: str, make: Callable[[], Made]) -> Made | None:
        try:
            return make()
        except DefinitionError as error:
            self._mistakes += error.mistakes
        except NotRowLocal as error:
            self._add(str(error), what, place)
        return None

    def _add(self, message: str, what: str | None = None, place: str | None = None) -> None:
        self._mistakes.append(Mistake(place or self._view.place, what or self._view.name, message))

    def _set(self, name: str, kind: pa.DataType) -> None:
        index = self._schema.get_field_index(name)
        field = pa.field(name, kind)
        self._schema = self._schema.append(field) if index < 0 else self._schema.set(index, field)


def _proven(rules: RuleExpressions, read: pa.Schema) -> tuple[str, ...]:
    """What the generated rows give, proven once in a process for the same SQL over the same columns."""
    key = rules.texts, tuple((field.name, str(field.type)) for field in read)
    if key not in _PROVEN:
        if len(_PROVEN) >= _MOST_PROVEN:
            _PROVEN.clear()
        _PROVEN[key] = prove(rules.outcomes, read)
    return _PROVEN[key]
