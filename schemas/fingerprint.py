"""Fingerprints: short hashes of everything that changes a feature's numbers, and of nothing else."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from typing import Any

import pyarrow as pa

from schemas.code import code_of, function_problem

LENGTH = 16
KEYWORDS = frozenset(
    (
        *("and", "or", "not", "is", "null", "true", "false", "case", "when", "then", "else", "end"),
        *("in", "between", "like", "ilike", "rlike", "escape", "as", "distinct"),
    )
)

_TOKEN = re.compile(
    r"""
    (?P<skip> \s+ | --[^\n]* | /\*.*?\*/ )
    | (?P<text> '(?:[^']|'')*' | "(?:[^"]|"")*" | `[^`]*` )
    | (?P<number> (?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)? )
    | (?P<word> [^\W\d]\w* )
    | (?P<sign> <=>|<=|>=|<>|!=|\|\||::|->>|->|=>|==|//|\*\*|. )
    """,
    re.VERBOSE | re.DOTALL,
)


def fingerprint(*parts: Any) -> str:
    """16 hex characters (the head of a SHA-256) over the canonical JSON of values.

    Args:
        parts: None, bools, numbers, text, bytes, Arrow types, and lists, tuples, sets and dicts of them; lists and
            tuples are alike, the order of dicts and sets does not count.

    Raises:
        ValueError: a part is something else.
    """
    text = json.dumps([_plain(part) for part in parts], separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:LENGTH]


def sql_tokens(text: str) -> tuple[str, ...]:
    """Tokens of an SQL expression: no comments, no blanks, keywords and names of functions in capitals."""
    found = [(str(match.lastgroup), match[0]) for match in _TOKEN.finditer(text) if match.lastgroup != "skip"]
    following = [token for _, token in found[1:]] + [""]
    return tuple(
        token.upper() if kind == "word" and (token.lower() in KEYWORDS or after == "(") else token
        for (kind, token), after in zip(found, following, strict=True)
    )


def function_fingerprint(function: Callable[..., Any]) -> str:
    """Fingerprint of a function: of its code, and of the constants and project functions that it reaches.

    Raises:
        ValueError: it is a lambda or a closure, has no text, or reads a value whose meaning cannot be told.
    """
    problem = function_problem(function)
    if problem:
        raise ValueError(problem)
    return fingerprint(code_of(function))  # type: ignore[arg-type]


def _plain(value: Any) -> Any:
    """JSON value of a part; what JSON does not know is tagged."""
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return {"float": repr(value)}
    if isinstance(value, bytes):
        return {"bytes": value.hex()}
    if isinstance(value, pa.DataType):
        return {"type": str(value)}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, (set, frozenset)):
        return {"set": sorted((_plain(item) for item in value), key=json.dumps)}
    if isinstance(value, Mapping):
        return {"map": sorted(([_plain(key), _plain(item)] for key, item in value.items()), key=json.dumps)}
    raise ValueError(f"{type(value).__name__} has no fingerprint: {value!r}")
