"""Texts of types taken apart: what they are made of, without Arrow."""

from __future__ import annotations

_DEPTHS = {"<": 1, "(": 1, ">": -1, ")": -1}


def bare(text: str) -> str:
    """A type's text without blanks."""
    return "".join(text.split())


def family(text: str) -> str:
    """What a type is, without its parameters: `list` of `list<int64>`."""
    return text.partition("<")[0].partition("(")[0]


def members(text: str) -> list[tuple[str, str]]:
    """Names and texts of the types inside a nested type: the `element` of a list, the `value` of a map, a struct's own.

    Args:
        text: of a legal type, without blanks.
    """
    head, _, rest = text.partition("<")
    inside = rest[:-1]
    if head == "list":
        return [("element", inside)]
    if head == "map":
        return [("value", inside.partition(",")[2])]
    if head == "struct":
        return [(name, kind) for name, _, kind in (member.partition(":") for member in split(inside))]
    return []


def split(text: str) -> list[str]:
    """Parts of a text at the commas outside all brackets."""
    parts, depth = [""], 0
    for char in text:
        depth += _DEPTHS.get(char, 0)
        if char == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += char
    return parts
