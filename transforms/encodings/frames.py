"""Events as columns: Arrow tables, frames of polars and pandas."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from schemas.errors import EventError, did_you_mean
from schemas.source import Source
from schemas.types import Field
from transforms.columns import whole
from transforms.encodings.arrow_columns import WrongType, arrow_column
from transforms.encodings.decoded import Column, Decoded, gather
from transforms.encodings.objects import object_column
from transforms.encodings.values import kind


def column_events(
    source: Source, columns: Mapping[str, Any], count: int, place: str, bad: Mapping[int, str] | None = None
) -> Decoded:
    """Events of columns, checked row by row; a field without a column is null, a column without a field is ignored.

    Args:
        source: of the events.
        columns: name -> Arrow array of `count` values.
        count: of the events.
        place: what the columns are of, for errors.
        bad: event -> reason of those that are known to be bad.

    Raises:
        EventError: there is no column for the event time, or a column's type never holds its field's type.
    """
    need_time(source, columns, place)
    try:
        found = [
            arrow_column(field, columns[field.name])
            if field.name in columns
            else Column(pa.nulls(count, field.type), {})
            for field in source.resolved_fields
        ]
    except WrongType as wrong:
        raise EventError(f"{place}: {wrong}") from None
    return gather(source.schema, found, bad or {}, source.event_time)


def need_time(source: Source, columns: Mapping[str, Any], place: str) -> None:
    """Refuses columns without the event time, if that is a field of the source."""
    name = source.event_time
    if name is not None and name in source.schema.names and name not in columns:
        listed = ", ".join(map(str, columns)) or "none"
        hint = did_you_mean(name, map(str, columns))
        raise EventError(f"{place}: there is no column {name!r}, the event time; columns are {listed}.{hint}")


def fields_there(source: Source, columns: Sequence[str], place: str) -> list[str]:
    """The source's fields that are among the columns of a file.

    Raises:
        EventError: none is, or the event time is not, or one is there twice.
    """
    need_time(source, dict.fromkeys(columns), place)
    names = [field.name for field in source.resolved_fields if field.name in columns]
    twice = [name for name in names if columns.count(name) > 1]
    if twice:
        raise EventError(f"{place}: there are {columns.count(twice[0])} columns {twice[0]!r}, legal is one of a name")
    if not names:
        fields = ", ".join(source.schema.names)
        raise EventError(f"{place}: no column is a field of {source.name}; fields are {fields}")
    return names


def arrow_columns(table: pa.Table | pa.RecordBatch) -> dict[str, Any]:
    """Columns of a table by name."""
    return {name: whole(table.column(index)) for index, name in enumerate(table.schema.names)}


def pandas_events(source: Source, frame: Any, place: str) -> Decoded:
    """Events of a pandas frame, as `column_events`.

    A missing value (NaN, NaT, NA, None) is null. Whole numbers that pandas keeps as floats, because one of them is
    missing, are integers again where the field is one. Columns of Python objects are read object by object.
    """
    need_time(source, {str(name): None for name in frame.columns}, place)
    columns: dict[str, Any] = {}
    objects: dict[str, Column] = {}
    for field in source.resolved_fields:
        if field.name in frame.columns:
            series = frame[field.name]
            if series.dtype == object:
                objects[field.name] = object_column(field, [_missing(value) for value in series.tolist()])
                columns[field.name] = pa.nulls(len(series))
            else:
                columns[field.name] = _whole_numbers(field, _arrow(series))
    if not objects:
        return column_events(source, columns, len(frame), place)
    try:
        found = [
            objects[field.name]
            if field.name in objects
            else arrow_column(field, columns.get(field.name, pa.nulls(len(frame))))
            for field in source.resolved_fields
        ]
    except WrongType as wrong:
        raise EventError(f"{place}: {wrong}") from None
    return gather(source.schema, found, {}, source.event_time)


def _arrow(series: Any) -> Any:
    """A series as Arrow, in UTC if it has a zone: pyarrow 25 reads zones in a way that pandas deprecates."""
    if getattr(series.dtype, "tz", None) is not None:
        series = series.dt.tz_convert(None)
    return whole(pa.Array.from_pandas(series))


def _missing(value: Any) -> Any:
    return None if isinstance(value, float) and np.isnan(value) else value


def _whole_numbers(field: Field, array: Any) -> Any:
    if kind(field.type) != "int" or not pa.types.is_floating(array.type):
        return array
    try:
        return array.cast(pa.int64())
    except pa.ArrowInvalid:
        return array
