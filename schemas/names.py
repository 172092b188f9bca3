"""Names of definitions, and the addresses made of them."""

from __future__ import annotations

import re

RESERVED = ("now",)
LONGEST = 64
RULE = "a letter, then up to 63 letters, digits or _"
DASHED_RULE = "a letter, then up to 63 letters, digits, _ or -"

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")
_DASHED = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}")


def name_problem(name: object, dashed: bool = False) -> str | None:
    """What is wrong with a name, or None.

    Args:
        name: as the user wrote it.
        dashed: whether a `-` is legal in it: in names of views and services.
    """
    rule, pattern = (DASHED_RULE, _DASHED) if dashed else (RULE, _NAME)
    if not isinstance(name, str):
        return f"a name is text, not {name!r}: {rule}"
    if name.lower() in RESERVED:
        return f"the name {name!r} is reserved: legal is {rule}, but not {', '.join(RESERVED)}"
    if name.startswith("_"):
        return f"the name {name!r} begins with _, which is reserved: legal is {rule}"
    if not pattern.fullmatch(name):
        return f"{name!r} ({len(name)} characters) is no legal name: legal is {rule}"
    return None


def address(view: str, feature: str) -> str:
    """Address of a feature, `view:feature`, as requests, services and answers spell it."""
    return f"{view}:{feature}"


def split_address(text: str) -> tuple[str, str]:
    """View (or role, or on-demand function) and feature of an address.

    Raises:
        ValueError: the text is no address.
    """
    view, colon, feature = text.partition(":")
    if not colon or not view or not feature or ":" in feature:
        raise ValueError(f"{text!r} is no address of a feature: expected view:feature")
    return view, feature


def column_name(view: str, feature: str) -> str:
    """Name of a feature's column in frames and files, `view__feature`."""
    return f"{view}__{feature}"
