"""Values of answers: from what JSON brings to Python's own types, by the types that the server tells."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Callable, Sequence
from datetime import date, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any

from schemas.type_texts import family, members

Read = Callable[[Any], Any]


def typed(kind: str, values: list[Any]) -> list[Any]:
    """Values of a type, None for null.

    Args:
        kind: text of the type.
        values: as JSON brought them.
    """
    read = _reader(kind)
    return values if read is None else [None if value is None else read(value) for value in values]


def moments(texts: Sequence[str | None]) -> list[datetime | None]:
    """Instants (UTC) of RFC 3339 texts."""
    return [None if text is None else datetime.fromisoformat(text) for text in texts]


@lru_cache(maxsize=4096)
def _reader(kind: str) -> Read | None:
    """Reads a value of a type that is not null; None where JSON's value is the value."""
    known = family(kind)
    if known in _PLAIN:
        return _PLAIN[known]
    inner = [(name, _reader(text)) for name, text in members(kind)]
    if all(read is None for _, read in inner):
        return None
    if known == "struct":
        return _struct(dict(inner))
    element = inner[0][1]
    return _list(element) if known == "list" else _map(element)


def _read(read: Read | None, value: Any) -> Any:
    return value if read is None or value is None else read(value)


def _list(read: Read | None) -> Read:
    return lambda value: [_read(read, item) for item in value]


def _map(read: Read | None) -> Read:
    return lambda value: {name: _read(read, item) for name, item in value.items()}


def _struct(reads: dict[str, Read | None]) -> Read:
    return lambda value: {name: _read(reads.get(name), item) for name, item in value.items()}


_PLAIN: dict[str, Read] = {
    "float32": float,  # NaN and the infinities come as texts
    "float64": float,
    "bytes": b64decode,
    "timestamp": datetime.fromisoformat,
    "date": date.fromisoformat,
    "decimal": Decimal,
}
