"""Columns of text, as CSV has them, made into declared types."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from schemas.types import Field
from transforms.encodings.arrow_columns import arrow_column, true
from transforms.encodings.decoded import Column
from transforms.encodings.json_values import JSON, Number, parse_json
from transforms.encodings.ranges import expected
from transforms.encodings.values import Unfit, floating, kind, whole_number

Bools = npt.NDArray[np.bool_]

_INTEGER = "^-?[0-9]+$"
_FLOAT = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$"
_SPECIAL = "^[+-]?(nan|inf|infinity)$"
_BOOLEANS = {"true": True, "false": False, "1": True, "0": False}
_LONGEST_INTEGER = 40


def text_column(field: Field, texts: pa.StringArray) -> Column:
    """Column of n texts; null stays null, and an empty text is null for every type but string.

    Integers are decimal digits, floats as Python writes them (nan and inf in any case), booleans true, false, 1 or 0
    in any case; times, dates and decimals as in JSON, and digits alone count the unit that a timestamp declares; bytes
    are base64; lists, maps and structs are JSON.
    """
    name = kind(field.type)
    if name == "string":
        return Column(texts, {})
    filled: Any = pc.if_else(pc.equal(texts, ""), pa.scalar(None, pa.string()), texts)
    if name == "int":
        return _cast(field, filled, true(pc.match_substring_regex(filled, _INTEGER)), pa.int64(), _integer)
    if name == "float":
        fits = true(pc.match_substring_regex(filled, _FLOAT))
        fits |= true(pc.match_substring_regex(filled, _SPECIAL, ignore_case=True))
        return _cast(field, filled, fits, pa.float64(), _float)
    if name == "bool":
        return _singles(field, filled, _boolean)
    if name == "bytes":
        return JSON.column(field, filled.to_pylist())
    if name == "timestamp" and field.unit is not None:
        return _counts_or_times(field, filled)
    if name in ("timestamp", "date", "decimal"):
        return arrow_column(field, filled)
    return _nested(field, filled)


def _cast(field: Field, texts: Any, fits: Bools, wide: pa.DataType, single: Callable[[Field, str], Any]) -> Column:
    """Column cast by Arrow where all texts have a form that it reads as Python does; else one by one."""
    if (fits | ~true(texts.is_valid())).all():
        try:
            column = arrow_column(field, texts.cast(wide))
        except pa.ArrowInvalid:
            column = None
        if column is not None and not column.bad:
            return column
    return _singles(field, texts, single)


def _singles(field: Field, texts: Any, single: Callable[[Field, str], Any]) -> Column:
    read: list[Any] = []
    bad: dict[int, str] = {}
    for index, text in enumerate(texts.to_pylist()):
        try:
            read.append(None if text is None else single(field, text))
        except (ValueError, OverflowError):
            bad[index] = f"{field.name}: {JSON.show(text)} is no {expected(field)}"
            read.append(None)
    return Column(pa.array(read, field.type), bad)


def _integer(field: Field, text: str) -> int:
    if not re.fullmatch(_INTEGER, text, re.ASCII) or len(text) > _LONGEST_INTEGER or text.endswith("\n"):
        raise ValueError
    return whole_number(field, int(text))


def _float(field: Field, text: str) -> float:
    if not (re.fullmatch(_FLOAT, text, re.ASCII) or re.fullmatch(_SPECIAL, text, re.IGNORECASE | re.ASCII)):
        raise ValueError
    return floating(field, float(text))


def _boolean(field: Field, text: str) -> bool:
    if text.lower() not in _BOOLEANS:
        raise ValueError
    return _BOOLEANS[text.lower()]


def _counts_or_times(field: Field, texts: Any) -> Column:
    counted = true(pc.match_substring_regex(texts, _INTEGER))
    if not counted.any():
        return arrow_column(field, texts)
    values = [Number(t) if digits else t for t, digits in zip(texts.to_pylist(), counted.tolist(), strict=True)]
    return JSON.column(field, values)


def _nested(field: Field, texts: Any) -> Column:
    convert = JSON.converter(field)
    read: list[Any] = []
    bad: dict[int, str] = {}
    for index, text in enumerate(texts.to_pylist()):
        try:
            read.append(None if text is None else convert(parse_json(text)))
        except Unfit as unfit:
            reason = str(unfit)
            bad[index] = reason if reason.startswith(field.name) else f"{field.name}: {reason}"
            read.append(None)
    return Column(pa.array(read, field.type), bad)
