"""Keys and request values of a read, as columns that can be cut into pieces."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from schemas.errors import RequestError
from twinbeam.client.written import listed

LEGAL = "a mapping of columns (a scalar is repeated), rows as dicts, or a frame"


@dataclass(frozen=True)
class Given:
    """n rows of keys, with their request values.

    Attributes:
        keys: columns; a list has n values, anything else stands for all rows.
        request: likewise, or None.
        rows: n.
    """

    keys: Mapping[str, Any]
    request: Mapping[str, Any] | None
    rows: int

    @staticmethod
    def of(keys: Any, request: Mapping[str, Any] | None) -> Given:
        """What a user hands in.

        Raises:
            RequestError: it is none of what is legal, or columns differ in length.
        """
        columns = _columns(keys, "keys")
        lengths = {name: len(column) for name, column in columns.items() if isinstance(column, list)}
        if len(set(lengths.values())) > 1:
            told = ", ".join(f"{name}: {length}" for name, length in lengths.items())
            raise RequestError(f"keys: columns have different lengths: {told}")
        rows = next(iter(lengths.values()), 1)
        return Given(columns, None if request is None else _columns(request, "request"), rows)

    def pieces(self, most: int) -> Iterator[Given]:
        """The rows in their order, so many at a time; one piece without any if there are none."""
        if self.rows <= most:
            yield self
            return
        for start in range(0, self.rows, most):
            part = slice(start, start + most)
            request = None if self.request is None else self._cut(self.request, part)
            yield Given(self._cut(self.keys, part), request, min(most, self.rows - start))

    def _cut(self, columns: Mapping[str, Any], part: slice) -> dict[str, Any]:
        return {
            name: column[part] if isinstance(column, list) and len(column) == self.rows else column
            for name, column in columns.items()
        }


def _columns(given: Any, what: str) -> dict[str, Any]:
    if hasattr(given, "to_pydict"):
        given = given.to_pydict()
    elif hasattr(given, "columns") and hasattr(given, "__getitem__"):
        given = {name: given[name] for name in given.columns}
    if isinstance(given, Mapping):
        columns = {str(name): (column, listed(column)) for name, column in given.items()}
        return {name: column if found is None else found for name, (column, found) in columns.items()}
    if isinstance(given, Sequence) and not isinstance(given, str | bytes):
        if not all(isinstance(row, Mapping) for row in given):
            raise RequestError(f"{what}: a row is no dict; give {LEGAL}")
        names = dict.fromkeys(name for row in given for name in row)
        return {str(name): [row.get(name) for row in given] for name in names}
    raise RequestError(f"{what}: is a {type(given).__name__}; give {LEGAL}")
