"""Text functions of row-local SQL; positions and lengths count characters (code points)."""

from __future__ import annotations

import re

import polars as pl
import pyarrow as pa

from transforms.sql_dialect import SqlMistake
from transforms.sql_types import (
    BOOL,
    INT,
    NULL,
    TEXT,
    Scope,
    Value,
    is_int,
    is_list,
    is_map,
    require,
    shown,
    typed,
)

_LONG = 1 << 31


def text_of(value: Value, what: str) -> pl.Expr:
    """Expression of a string value."""
    return typed(require(value, lambda kind: kind == TEXT, "a string", what), TEXT).expr


def constant(value: Value, what: str) -> str:
    """Text of a string literal.

    Raises:
        SqlMistake: it is none.
    """
    if not isinstance(value.literal, str):
        raise SqlMistake(f"{what} takes a text in quotes, not {value.text}, which may differ from row to row")
    return value.literal


def like(scope: Scope, value: Value, pattern: Value, escape: str | None, fold: bool, text: str) -> Value:
    """`LIKE` and `ILIKE`: `%` any text, `_` one character."""
    shape = constant(pattern, "ILIKE" if fold else "LIKE")
    parts, index = [], 0
    while index < len(shape):
        char = shape[index]
        if escape and char == escape:
            index += 1
            if index == len(shape):
                raise SqlMistake(f"{text}: the pattern ends in its escape character")
            parts.append(re.escape(shape[index]))
        else:
            parts.append({"%": ".*", "_": "."}.get(char) or re.escape(char))
        index += 1
    source = f"(?s{'i' if fold else ''})\\A{''.join(parts)}\\z"
    return Value(text_of(value, "LIKE").str.contains(source), BOOL, text)


def pattern_of(value: Value, what: str) -> str:
    """Regular expression of a string literal.

    Raises:
        SqlMistake: it is none, or no legal one.
    """
    pattern = constant(value, what)
    try:
        pl.select(pl.lit("").str.contains(pattern))
    except pl.exceptions.PolarsError as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip().startswith("error:")]
        reason = lines[0].removeprefix("error:").strip() if lines else "see the syntax of Rust's regex"
        raise SqlMistake(f"{what}: {value.text} is no regular expression: {reason}") from None
    return pattern


def regexp_like(scope: Scope, args: list[Value], text: str) -> Value:
    """Whether the pattern is found anywhere."""
    return Value(text_of(args[0], "REGEXP_LIKE").str.contains(pattern_of(args[1], "REGEXP_LIKE")), BOOL, text)


def regexp_extract(scope: Scope, args: list[Value], text: str) -> Value:
    """What the pattern, or a group of it, matches first; '' where it does not."""
    pattern = pattern_of(args[1], "REGEXP_EXTRACT")
    group = 0 if len(args) < 3 else args[2].literal
    groups = re.sub(r"\\.|\[[^\]]*\]", "", pattern).count("(")
    if not isinstance(group, int) or not 0 <= group <= groups:
        raise SqlMistake(f"{text}: group {args[2].text} is none of the pattern's groups 0 to {groups}")
    whole = text_of(args[0], "REGEXP_EXTRACT")
    found = whole.str.extract(f"({pattern})" if group == 0 else pattern, max(group, 1))
    return Value(pl.when(whole.is_not_null()).then(found.fill_null("")).otherwise(None), TEXT, text)


def lower(scope: Scope, args: list[Value], text: str) -> Value:
    """Small letters."""
    return Value(text_of(args[0], "LOWER").str.to_lowercase(), TEXT, text)


def upper(scope: Scope, args: list[Value], text: str) -> Value:
    """Capital letters."""
    return Value(text_of(args[0], "UPPER").str.to_uppercase(), TEXT, text)


def trim(scope: Scope, args: list[Value], text: str) -> Value:
    """Without blanks, or the given characters, at both ends."""
    return Value(text_of(args[0], "TRIM").str.strip_chars(_characters(args)), TEXT, text)


def ltrim(scope: Scope, args: list[Value], text: str) -> Value:
    """Without blanks, or the given characters, at the start."""
    return Value(text_of(args[0], "LTRIM").str.strip_chars_start(_characters(args)), TEXT, text)


def rtrim(scope: Scope, args: list[Value], text: str) -> Value:
    """Without blanks, or the given characters, at the end."""
    return Value(text_of(args[0], "RTRIM").str.strip_chars_end(_characters(args)), TEXT, text)


def length(scope: Scope, args: list[Value], text: str) -> Value:
    """Characters of a string, bytes of bytes, elements of a list or map."""
    value = args[0]
    if value.dtype in (TEXT, NULL):
        return Value(text_of(value, "LENGTH").str.len_chars().cast(pl.Int64), INT, text)
    if value.dtype == pa.binary():
        return Value(value.expr.bin.size("b").cast(pl.Int64), INT, text)
    if is_list(value.dtype):
        return Value(value.expr.list.len().cast(pl.Int64), INT, text)
    if is_map(value.dtype):
        return Value(value.expr.map.len().cast(pl.Int64), INT, text)
    raise SqlMistake(f"LENGTH takes a string, bytes, list or map, {value.text} is {shown(value.dtype)}")


def substr(scope: Scope, args: list[Value], text: str) -> Value:
    """Part from a position (1 is the first, -1 the last) of a length; all the rest without one."""
    whole = text_of(args[0], "SUBSTR")
    numbers = [typed(require(arg, is_int, "integers", "SUBSTR"), INT).expr.cast(pl.Int64) for arg in args[1:]]
    size = whole.str.len_chars().cast(pl.Int64)
    bounded = [number.clip(-_LONG, _LONG) for number in numbers]
    start = bounded[0]
    begin = pl.when(start > 0).then(start - 1).when(start < 0).then(size + start).otherwise(-1)
    end = begin + bounded[1] if len(bounded) > 1 else size
    first, last = (pl.when(begin <= end).then(begin).otherwise(end), pl.when(begin <= end).then(end).otherwise(begin))
    first, last = first.clip(0, _LONG), last.clip(0, _LONG)
    known = pl.all_horizontal(number.is_not_null() for number in numbers)
    cut = whole.str.slice(first.fill_null(0), (last - first).fill_null(0))
    return Value(pl.when(known).then(cut).otherwise(None), TEXT, text)


def left(scope: Scope, args: list[Value], text: str) -> Value:
    """The first n characters."""
    return Value(text_of(args[0], "LEFT").str.slice(0, _count(args[1], "LEFT")), TEXT, text)


def right(scope: Scope, args: list[Value], text: str) -> Value:
    """The last n characters."""
    return Value(text_of(args[0], "RIGHT").str.tail(_count(args[1], "RIGHT")), TEXT, text)


def replace(scope: Scope, args: list[Value], text: str) -> Value:
    """Every occurrence of a text by another."""
    old, new = constant(args[1], "REPLACE"), constant(args[2], "REPLACE")
    whole = text_of(args[0], "REPLACE")
    return Value(whole.str.replace_all(old, new, literal=True) if old else whole, TEXT, text)


def concat(scope: Scope, args: list[Value], text: str) -> Value:
    """Strings joined, nulls passed over."""
    return Value(pl.concat_str([text_of(arg, "CONCAT").fill_null("") for arg in args]), TEXT, text)


def starts_with(scope: Scope, args: list[Value], text: str) -> Value:
    """Whether the string begins so."""
    return Value(text_of(args[0], "STARTS_WITH").str.starts_with(text_of(args[1], "STARTS_WITH")), BOOL, text)


def ends_with(scope: Scope, args: list[Value], text: str) -> Value:
    """Whether the string ends so."""
    return Value(text_of(args[0], "ENDS_WITH").str.ends_with(text_of(args[1], "ENDS_WITH")), BOOL, text)


def contains(scope: Scope, args: list[Value], text: str) -> Value:
    """Whether the string holds the other."""
    found = text_of(args[0], "CONTAINS").str.contains(text_of(args[1], "CONTAINS"), literal=True)
    return Value(found, BOOL, text)


def strpos(scope: Scope, args: list[Value], text: str) -> Value:
    """Position of the first occurrence (1 is the first character), 0 if there is none."""
    whole, part = text_of(args[0], "STRPOS"), constant(args[1], "STRPOS")
    if not part:
        return Value(pl.when(whole.is_not_null()).then(pl.lit(1, dtype=pl.Int64)).otherwise(None), INT, text)
    before = whole.str.splitn(part, 2).struct.field("field_0").str.len_chars().cast(pl.Int64)
    found = whole.str.contains(part, literal=True)
    return Value(pl.when(found).then(before + 1).when(~found).then(0).otherwise(None).cast(pl.Int64), INT, text)


def split_part(scope: Scope, args: list[Value], text: str) -> Value:
    """The n-th part (1 is the first, -1 the last) between separators, '' if there is none."""
    whole, separator, number = text_of(args[0], "SPLIT_PART"), constant(args[1], "SPLIT_PART"), args[2].literal
    if not separator or not isinstance(number, int) or number == 0 or abs(number) > _LONG:
        raise SqlMistake(f"{text}: give a separator that is not empty, and the number of a part (1, 2, ... or -1, ...)")
    part = whole.str.split(separator).list.get(number - 1 if number > 0 else number, null_on_oob=True)
    return Value(pl.when(whole.is_not_null()).then(part.fill_null("")).otherwise(None), TEXT, text)


def _characters(args: list[Value]) -> str:
    return constant(args[1], "TRIM") if len(args) > 1 else " "


def _count(value: Value, what: str) -> int:
    if not isinstance(value.literal, int) or not 0 <= value.literal < _LONG:
        raise SqlMistake(f"{what} takes a number of characters like 3, not {value.text}")
    return value.literal
