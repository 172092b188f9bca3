"""Output of the commands: tidy tables for people, JSON for scripts."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any

GAP = "  "
WIDEST = 60


def table(headers: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Text of a table: columns aligned, numbers to the right, long cells cut."""
    shown = [[_cut(cell(value)) for value in row] for row in rows]
    right = [bool(rows) and all(isinstance(row[at], int | float | None) for row in rows) for at in range(len(headers))]
    widths = [max([len(header), *(len(row[at]) for row in shown)]) for at, header in enumerate(headers)]
    return "\n".join(
        GAP.join(
            text.rjust(width) if to_right else text.ljust(width)
            for text, width, to_right in zip(line, widths, right, strict=True)
        ).rstrip()
        for line in ([header.upper() for header in headers], *shown)
    )


def cell(value: Any) -> str:
    """Text of one value: nothing for None, ISO times, thousands kept together, JSON for what has parts."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return instant(value)
    if isinstance(value, Mapping | list | tuple):
        return json_text(value)
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    return str(value)


def instant(value: datetime) -> str:
    """ISO 8601 with Z, no digits that say nothing."""
    return value.isoformat(timespec="auto").replace("+00:00", "Z")


def json_text(value: Any, indent: int | None = None) -> str:
    """JSON of a value: times as ISO 8601, bytes as base64, decimals as text."""
    return json.dumps(value, default=_plain, ensure_ascii=False, indent=indent)


def counted(count: int, what: str) -> str:
    """Count of things, with thousands apart: `1 event`, `2,000 events`."""
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return instant(value)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} has no JSON")


def _cut(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= WIDEST else line[: WIDEST - 1] + "…"
