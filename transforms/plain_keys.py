"""Plain keys: entity keys of requests that are given as Python numbers and texts, as the bytes cells are kept under.

A shorter way to what `requests.read_request` and `keys.encode_keys` do with Arrow, for the values that need no cast and
no check beyond their Python type; whatever else is given goes the long way, which knows every error.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pyarrow as pa

from transforms.entity_keys import EntityKeys

Encoder = Callable[[list[Any]], list[bytes | None] | None]
KeyEncoder = Callable[[Mapping[str, list[Any]]], list[bytes | None] | None]

_WORD = struct.Struct(">Q").pack
_LENGTH = struct.Struct(">I").pack
_SIGN = 1 << 63


def plain_columns(given: Any, names: Sequence[str]) -> dict[str, list[Any]] | None:
    """The columns of a request, copied, if it is a dict of exactly these columns, or dicts of them; else None.

    Args:
        given: what the user handed in.
        names: of the columns that are read from it.
    """
    if type(given) is dict:
        if len(given) != len(names):
            return None
        columns: dict[str, list[Any]] = {}
        length, scalars = -1, False
        for name, column in given.items():
            if name not in names:
                return None
            if type(column) is list or type(column) is tuple:
                if length >= 0 and len(column) != length:
                    return None
                length = len(column)
                columns[name] = list(column)
            elif type(column) is int or type(column) is str:
                scalars = True
                columns[name] = [column]
            else:
                return None
        if scalars and length >= 0:
            for name, column in given.items():
                if type(column) is int or type(column) is str:
                    columns[name] = [column] * length
        return columns
    if type(given) is list and given:
        wanted = set(names)
        if all(type(row) is dict and row.keys() == wanted for row in given):
            return {name: [row[name] for row in given] for name in given[0]}
    return None


def key_encoder(keys: EntityKeys, columns: Sequence[tuple[str, str]]) -> KeyEncoder:
    """Encoder of an entity's keys: columns of a request, by name, to a key a row, None where any column is null.

    It answers None as a whole where it takes Arrow to know the keys, or what is wrong with them.

    Args:
        keys: of the entity.
        columns: (column of the entity, column of the request).
    """
    names = dict(columns)
    encoders = [(names[name], _encoder(kind)) for name, kind in keys.asked.items()]
    if keys.computed or any(encoder is None for _, encoder in encoders):
        return lambda _: None
    named = [(name, encoder) for name, encoder in encoders if encoder is not None]
    if len(named) == 1:
        name, encoder = named[0]
        return lambda given: encoder(given[name])

    def encode(given: Mapping[str, list[Any]]) -> list[bytes | None] | None:
        parts = []
        for column, encoder in named:
            part = encoder(given[column])
            if part is None:
                return None
            parts.append(part)
        return [None if None in row else b"".join(row) for row in zip(*parts, strict=True)]

    return encode


def _encoder(kind: pa.DataType) -> Encoder | None:
    if pa.types.is_integer(kind):
        least = -(1 << (kind.bit_width - 1))
        return lambda values: _integers(values, least, -least)
    if pa.types.is_string(kind):
        return _texts
    return None


def _integers(values: list[Any], least: int, end: int) -> list[bytes | None] | None:
    keys: list[bytes | None] = []
    for value in values:
        if type(value) is int:
            if not least <= value < end:
                return None
            keys.append(_WORD(value + _SIGN))
        elif value is None:
            keys.append(None)
        else:
            return None
    return keys


def _texts(values: list[Any]) -> list[bytes | None] | None:
    keys: list[bytes | None] = []
    for value in values:
        if type(value) is str:
            try:
                text = value.encode()
            except UnicodeEncodeError:
                return None
            keys.append(_LENGTH(len(text)) + text)
        elif value is None:
            keys.append(None)
        else:
            return None
    return keys
