"""Refusals of bodies: what was given, where, and what would be legal there."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Annotated, Any, Literal, get_args, get_origin

import msgspec
from msgspec import Meta

_PLACE = re.compile(r" - at `\$\.?([^`]*)`$")
_STEP = re.compile(r"[^.\[\]]+|\[[^\]]*\]")
_SHOWN = 200


def refusal(error: msgspec.ValidationError, body: bytes, kind: type[msgspec.Struct]) -> str:
    """What a client is told of a body that is not legal.

    Args:
        error: that decoding it gave, which names the place, save the numbers of elements, and no value.
        body: the body.
        kind: of the body.
    """
    match = _PLACE.search(str(error))
    plain = _PLACE.sub("", str(error)).replace("`", "")
    steps = _STEP.findall(match[1]) if match is not None else []
    for place, value, legal in _given(_whole(body), kind, steps, ""):
        said = _said(value, legal)
        if said is not None:
            told = plain if plain.startswith("Object missing") else _told(value, legal, said)
            return f"{place}: {told}" if place else told
    return f"{match[1]}: {plain}" if match is not None and match[1] else plain


def _whole(body: bytes) -> Any:
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return None  # What comes after the mistake is no JSON.


def _given(value: Any, kind: Any, steps: list[str], place: str) -> Iterator[tuple[str, Any, Any]]:
    """Values at a place, each with its own place and with the type that it should be of."""
    if not steps:
        yield place, value, kind
        return
    step, *rest = steps
    bare = _bare(kind)
    if step.startswith("[") and isinstance(value, list) and get_origin(bare) is list:
        for number, element in enumerate(value):
            yield from _given(element, get_args(bare)[0], rest, f"{place}[{number}]")
    elif isinstance(value, dict) and isinstance(bare, type) and issubclass(bare, msgspec.Struct) and step in value:
        for field in msgspec.structs.fields(bare):
            if field.encode_name == step:
                yield from _given(value[step], field.type, rest, f"{place}.{step}".lstrip("."))


def _bare(kind: Any) -> Any:
    """A type without what limits it, and without None."""
    if get_origin(kind) is Annotated:
        return _bare(get_args(kind)[0])
    others = [one for one in get_args(kind) if one is not type(None)]
    return _bare(others[0]) if type(None) in get_args(kind) and len(others) == 1 else kind


def _said(value: Any, kind: Any) -> str | None:
    """What is wrong with a value itself; None if nothing is."""
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        return str(error)
    return None


def _told(value: Any, kind: Any, said: str) -> str:
    shown = repr(value) if isinstance(value, str) else json.dumps(value)
    shown = shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}..."
    bare = _bare(kind)
    if get_origin(bare) is Literal:
        legal = ", ".join(get_args(bare))
    else:
        described = next((meta.description for meta in _metas(kind) if meta.description), None)
        legal = described or said.replace("`", "").removeprefix("Expected ").partition(", got")[0]
    return f"{shown} is not legal: legal {'are' if get_origin(bare) is Literal else 'is'} {legal}"


def _metas(kind: Any) -> list[Meta]:
    if get_origin(kind) is Annotated:
        return [meta for meta in kind.__metadata__ if isinstance(meta, Meta)]
    return [meta for one in get_args(kind) for meta in _metas(one)] if type(None) in get_args(kind) else []
