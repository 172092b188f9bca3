"""Rows that Feast's clients write: columns of a view or of a source, made into events of the source."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from schemas.source import Source
from schemas.types import Field
from serving.feast_rows import renamed, written_whole
from serving.server.feast.errors import failure, malformed
from serving.server.feast.values import converted
from transforms.catalog import Catalog
from transforms.encodings.objects import object_column
from transforms.view import CompiledView

EVENT_TIME, CREATED = "event_timestamp", "created"


class EventRows:
    """Makes events of one source of columns.

    Args:
        source: of the events.
        names: field by column, of columns that go by another name.
        needed: fields that must be given.
        what: is written, for errors.
    """

    def __init__(self, source: Source, names: Mapping[str, str], needed: frozenset[str], what: str) -> None:
        self._source, self._names, self._needed, self._what = source, names, needed, what

    @staticmethod
    def of_source(source: Source) -> EventRows:
        """Rows of all fields of a source."""
        return EventRows(source, {}, _fields(source), f"source {source.name}")

    @staticmethod
    def of_view(catalog: Catalog, view: CompiledView, source: Source) -> EventRows:
        """Rows of a view's keys and features; of all fields of its source, if those are not all it is read for."""
        names = renamed(view)
        needed = _fields(source)
        if written_whole(catalog, view, source):
            needed = frozenset({*view.key_names, *names.values(), source.event_time or ""})
        return EventRows(source, names, needed, f"feature view {view.name}")

    def events(self, df: Mapping[str, list[Any]], most: int) -> pa.Table:
        """Events of the columns of a request.

        Args:
            df: the columns.
            most: rows of one request.

        Raises:
            Problem: a column is missing, or a value does not fit.
        """
        rows = _length(df)
        if rows > most:
            raise failure("FeastError", 413, f"a write has at most {most} rows, this one has {rows}")
        given = self._given(df, rows)
        missing = sorted(self._needed - given.keys())
        if missing:
            raise failure(
                "FeastError",
                422,
                f"{self._what}: columns {', '.join(missing)} are missing: a row is an event of source "
                f"{self._source.name!r}, whose fields are {', '.join(sorted(_fields(self._source)))}",
            )
        return pa.table(
            {field.name: self._column(field, given[field.name]) for field in self._fields() if field.name in given}
        )

    def _given(self, df: Mapping[str, list[Any]], rows: int) -> dict[str, list[Any]]:
        """Columns by the field that they are of; a field's own name goes before another's."""
        fields = {field.name for field in self._fields()}
        given = {self._names[name]: column for name, column in df.items() if name in self._names}
        given |= {name: column for name, column in df.items() if name in fields}
        time, arrival = self._source.event_time, self._source.arrival_time
        if time is not None and time not in given and EVENT_TIME in df:
            given[time] = df[EVENT_TIME]
        if arrival is not None and arrival not in given:
            now = datetime.now(UTC)
            created = df.get(CREATED) or [None] * rows
            given[arrival] = [now if value is None else value for value in created]
        return given

    def _column(self, field: Field, values: list[Any]) -> pa.Array:
        try:
            found = object_column(field, converted(field.type, values))
        except ValueError as error:
            raise malformed(f"{self._what}: column {field.name}: {error}", ["df", field.name]) from None
        if found.bad:
            row, reason = sorted(found.bad.items())[0]
            raise failure("FeastError", 422, f"{self._what}: row {row}: {reason}")
        return found.values

    def _fields(self) -> tuple[Field, ...]:
        return self._source.resolved_fields


def _fields(source: Source) -> frozenset[str]:
    """Names of the fields that have to be given."""
    return frozenset(field.name for field in source.resolved_fields if field.name != source.arrival_time)


def _length(df: Mapping[str, list[Any]]) -> int:
    lengths = {len(column) for column in df.values()}
    if len(lengths) > 1:
        raise malformed("All arrays must be of the same length", ["df"])
    return lengths.pop() if lengths else 0
