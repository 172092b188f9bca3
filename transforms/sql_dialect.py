"""The dialect of row-local SQL: how an expression's text is read."""

from __future__ import annotations

from typing import Any, ClassVar

import sqlglot
import sqlglot.tokens
from sqlglot import exp, parser
from sqlglot.dialects.dialect import Dialect
from sqlglot.errors import SqlglotError
from sqlglot.tokenizer_core import TokenType

_SPECIAL = ("CAST", "TRY_CAST", "EXTRACT", "POSITION", "SUBSTRING", "TRIM")


class SqlMistake(ValueError):
    """An expression is not legal; the text says what is, and names the part at fault."""


class RowSql(Dialect):
    """SQL expressions in which every function is known by its own name alone.

    Types have the names that columns have (`int8` is one byte); functions are looked up by us, so that none is legal
    because a parser knows it.
    """

    INDEX_OFFSET = 0

    class Tokenizer(sqlglot.tokens.Tokenizer):
        """Tokens: `//` divides integers, and types are called as columns call theirs."""

        KEYWORDS: ClassVar[dict[str, TokenType]] = {
            **sqlglot.tokens.Tokenizer.KEYWORDS,
            "//": TokenType.DIV,
            "BOOL": TokenType.BOOLEAN,
            "INT8": TokenType.TINYINT,
            "INT16": TokenType.SMALLINT,
            "INT32": TokenType.INT,
            "INT64": TokenType.BIGINT,
            "FLOAT32": TokenType.FLOAT,
            "FLOAT64": TokenType.DOUBLE,
            "STRING": TokenType.TEXT,
            "BYTES": TokenType.VARBINARY,
        }

    class Parser(parser.Parser):
        """Parser without functions of its own, save those that have a syntax of their own."""

        FUNCTIONS: ClassVar[dict[str, Any]] = {}
        FUNCTION_PARSERS: ClassVar[dict[str, Any]] = {name: parser.Parser.FUNCTION_PARSERS[name] for name in _SPECIAL}


def parse(text: str) -> exp.Expr:
    """Root of a single expression.

    Raises:
        SqlMistake: the text is not one expression.
    """
    if not isinstance(text, str) or not text.strip():
        raise SqlMistake(f"expected an SQL expression, got {text!r}")
    try:
        statements = sqlglot.parse(f"SELECT {text}\n", dialect=RowSql)
    except (SqlglotError, RecursionError, IndexError) as error:
        raise SqlMistake(f"cannot be read as an SQL expression: {_reason(error)}") from None
    if len(statements) != 1:
        raise SqlMistake("expected one SQL expression, found several statements")
    select = statements[0]
    if not isinstance(select, exp.Select):
        raise SqlMistake("expected an SQL expression, found a query: only the columns of one row can be read")
    clauses = [key.strip("_").upper() for key, value in select.args.items() if value and key != "expressions"]
    if clauses:
        raise SqlMistake(f"expected an SQL expression, found a query with {clauses[0]}")
    if len(select.expressions) != 1:
        raise SqlMistake(f"expected one SQL expression, found {len(select.expressions)}")
    root: exp.Expr = select.expressions[0]
    return root


def spelled(node: exp.Expr) -> str:
    """Text of a part of an expression, for messages."""
    text = node.sql(dialect=RowSql, comments=False)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _reason(error: Exception) -> str:
    details = getattr(error, "errors", None)
    if details:
        near = f"{details[0].get('start_context', '')}{details[0].get('highlight', '')}".removeprefix("SELECT ").strip()
        message = str(details[0].get("description", "")).split("<class")[0].rstrip(" .:")
        if message.startswith("Required keyword"):
            message = "it is incomplete"
        return f"{message} (near {near[-40:]!r})" if near else message
    return str(error).splitlines()[0] if str(error) else "it is incomplete"
