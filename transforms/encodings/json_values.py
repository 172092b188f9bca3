"""JSON values one by one: the exact reading that the columnar one must equal."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from schemas.types import Field
from transforms.encodings import times
from transforms.encodings.values import (
    Dialect,
    Unfit,
    counted,
    decimal_of_text,
    floating,
    text,
    whole_number,
)

DEEPEST = 100
_SHOWN = 60
_TOO_DEEP = f"the value is nested deeper than {DEEPEST} levels"
_INTEGER = re.compile(r"-?[0-9]{1,40}")


class Number(str):
    """Text of a number, as it was written."""

    __slots__ = ()


_PARSER = json.JSONDecoder(parse_int=Number, parse_float=Number, parse_constant=Number)


def parse_object(value: bytes | None) -> Mapping[str, Any]:
    """Names and values of a JSON object, with numbers as `Number`; of equal names the last one counts.

    Raises:
        Unfit: there is no value, or it is no JSON object in UTF-8.
    """
    if value is None:
        raise Unfit("the record has no value")
    try:
        content = value.decode()
    except UnicodeDecodeError as error:
        raise Unfit(f"the value is not UTF-8: {error.reason} at byte {error.start}") from None
    found = parse_json(content)
    if not isinstance(found, dict):
        raise Unfit(f"the value is no JSON object: {_show(found)}")
    return found


def parse_json(content: str) -> Any:
    """Value of a JSON text, with numbers as `Number`.

    Raises:
        Unfit: the text is no JSON, or nested too deeply.
    """
    try:
        found = _PARSER.decode(content)
    except json.JSONDecodeError as error:
        raise Unfit(f"the value is no JSON: {error.msg} at character {error.pos}") from None
    except RecursionError:
        raise Unfit(_TOO_DEEP) from None
    if content.count("{") + content.count("[") > DEEPEST and _depth(found) > DEEPEST:
        raise Unfit(_TOO_DEEP)
    return found


def _depth(value: Any) -> int:
    level, depth = [value] if isinstance(value, dict | list) else [], 0
    while level:
        depth += 1
        inner = (child for node in level for child in (node.values() if isinstance(node, dict) else node))
        level = [child for child in inner if isinstance(child, dict | list)]
    return depth


def _boolean(field: Field, value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError
    return value


def _integer(field: Field, value: Any) -> int:
    if not isinstance(value, Number) or not _INTEGER.fullmatch(value):
        raise ValueError
    return whole_number(field, int(value))


def _float(field: Field, value: Any) -> float:
    if not isinstance(value, Number):
        raise ValueError
    return floating(field, float(value))


def _string(field: Field, value: Any) -> str:
    if type(value) is not str:
        raise ValueError
    return text(field, value)


def _bytes(field: Field, value: Any) -> bytes:
    if type(value) is not str:
        raise ValueError
    try:
        return base64.b64decode(value, validate=True)
    except ValueError:
        raise ValueError("legal is base64 text") from None


def _timestamp(field: Field, value: Any) -> int:
    if isinstance(value, Number) and _INTEGER.fullmatch(value):
        return counted(field, int(value))
    if type(value) is not str:
        raise ValueError
    try:
        return times.instant(value)
    except ValueError:
        raise ValueError("legal is ISO 8601 text as in 2026-12-01T00:00:00Z") from None


def _date(field: Field, value: Any) -> int:
    if type(value) is not str:
        raise ValueError
    try:
        return times.day(value)
    except ValueError:
        raise ValueError("legal is ISO 8601 text as in 2026-12-01") from None


def _decimal(field: Field, value: Any) -> Any:
    if not isinstance(value, str):
        raise ValueError
    return decimal_of_text(field, value)


def _members(value: Any) -> Mapping[Any, Any] | None:
    return value if isinstance(value, dict) else None


def _items(value: Any) -> Iterable[Any] | None:
    return value if isinstance(value, list) else None


def _absent(value: Any) -> bool:
    return value is None


def _show(value: Any) -> str:
    if isinstance(value, Number):
        shown = str(value)
    elif isinstance(value, dict):
        shown = "an object"
    elif isinstance(value, list):
        shown = "a list"
    else:
        shown = json.dumps(value)
    return shown if len(shown) <= _SHOWN else shown[:_SHOWN] + "…"


JSON = Dialect(
    {
        "bool": _boolean,
        "int": _integer,
        "float": _float,
        "string": _string,
        "bytes": _bytes,
        "timestamp": _timestamp,
        "date": _date,
        "decimal": _decimal,
    },
    _members,
    _items,
    _absent,
    _show,
)
