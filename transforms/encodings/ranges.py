"""Bounds of the integer types that a field may declare."""

from __future__ import annotations

from schemas.types import Field

INTEGERS = {
    "int8": (-(1 << 7), (1 << 7) - 1),
    "int16": (-(1 << 15), (1 << 15) - 1),
    "int32": (-(1 << 31), (1 << 31) - 1),
    "int64": (-(1 << 63), (1 << 63) - 1),
    "uint8": (0, (1 << 8) - 1),
    "uint16": (0, (1 << 16) - 1),
    "uint32": (0, (1 << 32) - 1),
}


def expected(field: Field) -> str:
    """What a field wants, for reasons: its type, and its bounds where they are not plain."""
    if field.text in INTEGERS and field.text != "int64":
        low, high = INTEGERS[field.text]
        return f"{field.text} ({low} to {high})"
    return field.text
