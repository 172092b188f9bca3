"""Translation of a parsed SQL expression: an allow-list of constructs, each row-local by construction."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal, InvalidOperation
from functools import partial

import polars as pl
import pyarrow as pa
from sqlglot import exp

from transforms import sql_branches, sql_columns, sql_operators, sql_texts, sql_times
from transforms.sql_casts import cast, cast_target
from transforms.sql_dialect import SqlMistake, spelled
from transforms.sql_functions import FUNCTIONS, LEGAL, call
from transforms.sql_refusals import LEGAL_CONSTRUCTS, NOT_ROW_LOCAL, refusal
from transforms.sql_types import (
    BOOL,
    FLOAT,
    INT,
    NULL,
    TEXT,
    Scope,
    Value,
    fits,
    literal,
    shown,
)

_COMPARISONS: dict[type[exp.Expr], str] = {
    exp.EQ: "=",
    exp.NEQ: "<>",
    exp.LT: "<",
    exp.LTE: "<=",
    exp.GT: ">",
    exp.GTE: ">=",
    exp.NullSafeEQ: "IS NOT DISTINCT FROM",
    exp.NullSafeNEQ: "IS DISTINCT FROM",
}
_ARITHMETIC: dict[type[exp.Expr], str] = {exp.Add: "+", exp.Sub: "-", exp.Mul: "*"}
_DIVISIONS: dict[type[exp.Expr], Callable[[Scope, Value, Value, str], Value]] = {
    exp.Div: sql_operators.divide,
    exp.IntDiv: sql_operators.divide_whole,
    exp.Mod: sql_operators.remainder,
}


class Translator:
    """Translates the nodes of one expression.

    Args:
        scope: the columns; takes the faults.
    """

    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self._handlers: dict[type[exp.Expr], tuple[Callable[[exp.Expr, str], Value], frozenset[str]]] = {
            kind: (handler, frozenset(parts.split()))
            for kinds, handler, parts in (
                ((exp.Paren,), self._paren, "this"),
                ((exp.Column,), self._column, "this table db catalog"),
                ((exp.Dot,), self._dot, "this expression"),
                ((exp.Bracket,), self._bracket, "this expressions"),
                ((exp.Literal,), self._literal, "this is_string"),
                ((exp.Boolean,), self._boolean, "this"),
                ((exp.Null,), self._null, ""),
                ((exp.Neg,), self._negative, "this"),
                ((exp.Not,), self._not, "this"),
                ((exp.And,), self._and, "this expression"),
                ((exp.Or,), self._or, "this expression"),
                (tuple(_COMPARISONS), self._comparison, "this expression"),
                ((exp.Is,), self._is, "this expression"),
                ((exp.In,), self._in, "this expressions"),
                ((exp.Between,), self._between, "this low high"),
                ((exp.Like, exp.ILike, exp.Escape), self._like, "this expression negate"),
                ((exp.Case,), self._case, "this ifs default"),
                ((exp.If,), self._if, "this true false"),
                ((exp.Cast, exp.TryCast), self._cast, "this to safe"),
                ((*_ARITHMETIC, *_DIVISIONS), self._arithmetic, "this expression"),
                ((exp.DPipe,), self._joined, "this expression safe"),
                ((exp.Anonymous,), self._call, "this expressions"),
                ((exp.Trim,), self._trim, "this expression position"),
                ((exp.Substring,), self._named("SUBSTRING", "this", "start", "length"), "this start length"),
                ((exp.StrPosition,), self._named("STRPOS", "this", "substr"), "this substr"),
                ((exp.Floor,), self._named("FLOOR", "this"), "this"),
                ((exp.Ceil,), self._named("CEIL", "this"), "this"),
                ((exp.Extract,), self._extract, "this expression"),
                ((exp.Interval,), self._interval, "this unit"),
            )
            for kind in kinds
        }

    def value(self, node: exp.Expr) -> Value:
        """Value of a part of the expression.

        Raises:
            SqlMistake: the part is not legal.
        """
        text = spelled(node)
        for kind, reason in NOT_ROW_LOCAL.items():
            if isinstance(node, kind):
                raise SqlMistake(reason)
        handler, parts = self._handlers.get(type(node), (None, frozenset()))
        if handler is None:
            raise SqlMistake(f"{text!r} ({type(node).__name__}) is not possible here; legal are {LEGAL_CONSTRUCTS}")
        given = [name for name, part in node.args.items() if part and name not in parts]
        if given:
            raise SqlMistake(self._extra(node, given[0], text))
        return handler(node, text)

    def _extra(self, node: exp.Expr, name: str, text: str) -> str:
        for part in (node.args.get("query"), node.args.get("unnest")):
            if part is not None:
                return NOT_ROW_LOCAL[exp.Subquery if name == "query" else exp.Unnest]
        return f"{text!r}: {name} is not possible here"

    def _paren(self, node: exp.Expr, text: str) -> Value:
        return replace(self.value(node.this), text=text)

    def _column(self, node: exp.Expr, text: str) -> Value:
        parts = [node.args[key] for key in ("catalog", "db", "table") if node.args.get(key)] + [node.this]
        if isinstance(node.this, exp.Star):
            raise SqlMistake(NOT_ROW_LOCAL[exp.Star])
        value = sql_columns.column(self._scope, str(parts[0].name), bool(parts[0].args.get("quoted")))
        for part in parts[1:]:
            value = sql_columns.member(value, str(part.name))
        return value

    def _dot(self, node: exp.Expr, text: str) -> Value:
        if not isinstance(node.expression, exp.Identifier):
            raise SqlMistake(f"{text!r} is not possible here; legal are {LEGAL_CONSTRUCTS}")
        return sql_columns.member(self.value(node.this), str(node.expression.name))

    def _bracket(self, node: exp.Expr, text: str) -> Value:
        keys = node.expressions
        if len(keys) != 1 or isinstance(keys[0], exp.Slice):
            raise SqlMistake(f"{text!r}: give one position or key")
        return sql_columns.element(self.value(node.this), self.value(keys[0]), text)

    def _literal(self, node: exp.Expr, text: str) -> Value:
        return self._number(str(node.this), text) if not node.args.get("is_string") else literal(node.this, TEXT, text)

    def _number(self, digits: str, text: str) -> Value:
        if digits.isdigit():
            if not fits(int(digits), INT):
                raise SqlMistake(f"{text} is beyond int64; write it with a point for float64")
            return literal(int(digits), INT, text)
        try:
            point = Decimal(digits) if "e" not in digits.lower() else float(digits)
        except (InvalidOperation, ValueError):
            raise SqlMistake(f"{text!r} is no number") from None
        return literal(point, FLOAT, text)

    def _negative(self, node: exp.Expr, text: str) -> Value:
        inner = node.this
        if isinstance(inner, exp.Literal) and not inner.args.get("is_string"):
            if str(inner.this).isdigit() and int(inner.this) == 2**63:
                return literal(-(2**63), INT, text)
            positive = self._number(str(inner.this), text).literal
            if isinstance(positive, int | float | Decimal):
                return literal(-positive, INT if isinstance(positive, int) else FLOAT, text)
        return sql_operators.negate(self._scope, self.value(inner), text)

    def _boolean(self, node: exp.Expr, text: str) -> Value:
        return Value(pl.lit(bool(node.this), dtype=pl.Boolean), BOOL, text)

    def _null(self, node: exp.Expr, text: str) -> Value:
        return Value(pl.lit(None), NULL, text)

    def _not(self, node: exp.Expr, text: str) -> Value:
        return Value(~sql_operators.truth(self.value(node.this), "NOT"), BOOL, text)

    def _and(self, node: exp.Expr, text: str) -> Value:
        return sql_branches.conjunction(self._scope, self._later(node.this), self._later(node.expression), text)

    def _or(self, node: exp.Expr, text: str) -> Value:
        return sql_branches.disjunction(self._scope, self._later(node.this), self._later(node.expression), text)

    def _later(self, node: exp.Expr) -> sql_branches.Later:
        return partial(self.value, node)

    def _comparison(self, node: exp.Expr, text: str) -> Value:
        symbol = _COMPARISONS[type(node)]
        return sql_operators.compare(self._scope, symbol, self.value(node.this), self.value(node.expression), text)

    def _is(self, node: exp.Expr, text: str) -> Value:
        value, other = self.value(node.this), node.expression
        if isinstance(other, exp.Null):
            return Value(value.expr.is_null(), BOOL, text)
        if not isinstance(other, exp.Boolean):
            raise SqlMistake(f"{text!r}: IS takes NULL, TRUE, FALSE or DISTINCT FROM")
        expr = sql_operators.truth(value, "IS").eq_missing(pl.lit(bool(other.this)))
        return Value(expr, BOOL, text)

    def _in(self, node: exp.Expr, text: str) -> Value:
        items = [self.value(item) for item in node.expressions]
        return sql_operators.contained(self._scope, self.value(node.this), items, text)

    def _between(self, node: exp.Expr, text: str) -> Value:
        value, low, high = (self.value(node.args[key]) for key in ("this", "low", "high"))
        least = sql_operators.compare(self._scope, ">=", value, low, text)
        return replace(least, expr=least.expr & sql_operators.compare(self._scope, "<=", value, high, text).expr)

    def _like(self, node: exp.Expr, text: str) -> Value:
        escape = None
        if isinstance(node, exp.Escape):
            escape = sql_texts.constant(self.value(node.expression), "ESCAPE")
            node = node.this
            if len(escape) != 1 or not isinstance(node, exp.Like | exp.ILike):
                raise SqlMistake(f"{text!r}: ESCAPE takes one character, after LIKE or ILIKE")
        value, pattern = self.value(node.this), self.value(node.expression)
        found = sql_texts.like(self._scope, value, pattern, escape, isinstance(node, exp.ILike), text)
        return replace(found, expr=~found.expr) if node.args.get("negate") else found

    def _case(self, node: exp.Expr, text: str) -> Value:
        subject = self.value(node.this) if node.this else None
        pairs = []
        for branch in node.args["ifs"]:
            condition = self.value(branch.this)
            if subject is not None:
                condition = sql_operators.compare(self._scope, "=", subject, condition, text)
            pairs.append((sql_operators.truth(condition, "WHEN"), self._later(branch.args["true"])))
        return sql_branches.choice(self._scope, pairs, self._default(node.args.get("default")), text)

    def _if(self, node: exp.Expr, text: str) -> Value:
        pair = (sql_operators.truth(self.value(node.this), "IF"), self._later(node.args["true"]))
        return sql_branches.choice(self._scope, [pair], self._default(node.args.get("false")), text)

    def _default(self, node: exp.Expr | None) -> sql_branches.Later:
        return self._later(exp.Null() if node is None else node)

    def _cast(self, node: exp.Expr, text: str) -> Value:
        target = cast_target(str(node.args["to"].args.get("kind") or node.args["to"].sql()))
        value = self.value(node.this)
        result = cast(self._scope, value, target, strict=not isinstance(node, exp.TryCast))
        if isinstance(value.literal, str) and pl.select(result.expr.is_null()).item():
            raise SqlMistake(f"{value.text} is no {shown(target)}")
        return replace(result, text=text)

    def _arithmetic(self, node: exp.Expr, text: str) -> Value:
        for time, length, symbol in ((node.this, node.expression, ""), (node.expression, node.this, "+")):
            if isinstance(length, exp.Interval) and isinstance(node, exp.Add | exp.Sub):
                if symbol and isinstance(node, exp.Sub):
                    raise SqlMistake(f"{text!r}: an interval can be taken from a time, not a time from an interval")
                amount = self._length(length)
                amount = -amount if isinstance(node, exp.Sub) else amount
                return sql_times.shift(self._scope, self.value(time), amount, text)
        left, right = self.value(node.this), self.value(node.expression)
        division = _DIVISIONS.get(type(node))
        if division is not None:
            return division(self._scope, left, right, text)
        symbol = _ARITHMETIC[type(node)]
        moved = sql_operators.days(self._scope, symbol, left, right, text)
        return moved or sql_operators.arithmetic(self._scope, symbol, left, right, text)

    def _length(self, node: exp.Expr) -> sql_times.Interval:
        amount, unit = node.this, node.args.get("unit")
        if not isinstance(amount, exp.Literal):
            raise SqlMistake(f"{spelled(node)!r}: the length of an INTERVAL is a literal, as in INTERVAL '1 day'")
        return sql_times.interval(str(amount.this), None if unit is None else str(unit.name))

    def _interval(self, node: exp.Expr, text: str) -> Value:
        raise SqlMistake(f"{text!r} stands alone: an INTERVAL is added to, or taken from, a time")

    def _joined(self, node: exp.Expr, text: str) -> Value:
        return sql_operators.joined(self._scope, self.value(node.this), self.value(node.expression), text)

    def _call(self, node: exp.Expr, text: str) -> Value:
        name = str(node.this)
        if name.upper() in ("COALESCE", "IFNULL"):
            return sql_branches.coalesce(self._scope, [self._later(part) for part in node.expressions], text)
        if name.upper() not in FUNCTIONS:
            raise SqlMistake(refusal(name, LEGAL))
        return call(self._scope, name, [self.value(item) for item in node.expressions], text)

    def _named(self, name: str, *parts: str) -> Callable[[exp.Expr, str], Value]:
        def handler(node: exp.Expr, text: str) -> Value:
            given = [node.args[part] for part in parts if node.args.get(part) is not None]
            return call(self._scope, name, [self.value(item) for item in given], text)

        return handler

    def _trim(self, node: exp.Expr, text: str) -> Value:
        name = {"LEADING": "LTRIM", "TRAILING": "RTRIM"}.get(str(node.args.get("position")), "TRIM")
        given = [node.this, *([node.expression] if node.args.get("expression") else [])]
        return call(self._scope, name, [self.value(item) for item in given], text)

    def _extract(self, node: exp.Expr, text: str) -> Value:
        return sql_times.part(self._scope, str(node.this.name), self.value(node.expression), text)


def translate(root: exp.Expr, schema: pa.Schema) -> tuple[Value, Scope]:
    """Value of an expression over columns, and the scope that holds its columns and faults.

    Raises:
        SqlMistake: a part is not legal.
    """
    scope = Scope(schema)
    value = Translator(scope).value(root)
    if value.dtype == NULL:
        raise SqlMistake("NULL has no type; write CAST(NULL AS float64)")
    return value, scope
