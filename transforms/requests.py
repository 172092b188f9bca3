"""Requests: the keys, request values and instants that features are asked for, checked against the definitions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from schemas.errors import RequestError, did_you_mean
from schemas.types import type_text
from transforms.columns import integers, whole
from transforms.frames import plain_column, table_of
from transforms.keys import encode_keys
from transforms.selection import Output, Selection

Ints = npt.NDArray[np.int64]
TIME = pa.timestamp("us", "UTC")


@dataclass(frozen=True)
class Request:
    """n rows that ask for features.

    Attributes:
        given: the user's columns, n rows, key and request columns in the types of the definitions.
        what: "keys" or "spine", for errors.
    """

    given: pa.Table
    what: str

    @staticmethod
    def of_columns(columns: Mapping[str, pa.Array], what: str) -> Request:
        """Request of columns that have their types already."""
        return Request(pa.table(dict(columns)), what)

    @property
    def rows(self) -> int:
        """n."""
        return int(self.given.num_rows)

    def describe(self, row: int) -> str:
        """The keys of a row, for errors."""
        values = self.given.slice(row, 1).to_pylist()[0]
        return ", ".join(f"{name}={value!r}" for name, value in list(values.items())[:4])


def read_request(given: Any, selection: Selection, what: str, extra: Mapping[str, Any] | None = None) -> Request:
    """Request from what a user hands in.

    Args:
        given: rows or columns, see `transforms.frames.table_of`.
        selection: the features asked for: says which columns are keys and request values, and their types.
        what: "keys" or "spine", for errors.
        extra: request values beside the keys, as columns (a scalar is repeated).

    Raises:
        RequestError: a column is missing or cannot have its type.
    """
    table = table_of(given, what)
    if extra is not None:
        length = table.num_rows
        columns = {name: value if _is_column(value) else [value] * length for name, value in extra.items()}
        request = table_of(columns, "request")
        if request.num_rows != length and request.num_columns:
            raise RequestError(f"request: has {request.num_rows} rows, the keys have {length}")
        for name in request.column_names:
            if name in table.column_names:
                raise RequestError(f"request: column {name!r} is among the keys as well")
            table = table.append_column(name, request.column(name))
    for name, kind in column_types(selection).items():
        if name not in table.column_names:
            legal = ", ".join(table.column_names) or "none"
            hint = did_you_mean(name, table.column_names)
            raise RequestError(f"{what}: column {name!r} is missing; columns are {legal}.{hint}")
        number = table.column_names.index(name)
        table = table.set_column(number, name, _typed(table.column(name), kind, f"{what}: column {name!r}"))
    return Request(table, what)


def column_array(values: list[Any], kind: pa.DataType) -> pa.Array:
    """Plain values that fit a type, as `read_request` would give them."""
    return pa.array(values, kind)


def column_types(selection: Selection) -> dict[str, pa.DataType]:
    """Columns that a selection reads from a request, with their types."""
    types: dict[str, pa.DataType] = {}
    for output in selection.needed():
        if output.view is not None:
            types.update({column: output.view.keys.asked[name] for name, column in output.keys})
    return types | dict(selection.request)


def role_keys(output: Output, request: Request) -> pa.BinaryArray:
    """Entity key of every row, as bytes; null for a null key.

    Args:
        output: any output of the role.
        request: n rows.
    """
    return encode_keys(list(key_columns(output, request).values()))


def key_columns(output: Output, request: Request) -> dict[str, pa.Array]:
    """Columns of the entity's key for every row, given or computed, in the order of the entity.

    Args:
        output: any output of the role.
        request: n rows.
    """
    assert output.view is not None
    keys, columns = output.view.keys, dict(output.keys)
    computed: dict[str, pa.Array] = {}
    if keys.computed:
        asked = request.given.select(list(columns.values())).rename_columns(list(columns))
        frame = pl.DataFrame(pl.from_arrow(asked))
        computed = {
            name: plain_column(expression.evaluate(frame).to_arrow()) for name, expression in keys.computed.items()
        }
    return {
        name: computed[name] if name in computed else whole(request.given.column(columns[name])) for name in keys.names
    }


def spine_instants(request: Request, selection: Selection, time: str | None) -> tuple[Request, str, Ints]:
    """The spine with its time column in UTC, that column's name, and the instants (µs).

    Raises:
        RequestError: there is no time column, more than one, or a null in it.
    """
    table = request.given
    candidates = [
        field.name
        for field in table.schema
        if pa.types.is_timestamp(field.type) and field.name not in selection.request
    ]
    if time is None:
        keys = column_types(selection)
        candidates = [name for name in candidates if name not in keys]
        if len(candidates) != 1:
            found = ", ".join(candidates) or "none"
            raise RequestError(f"spine: needs one timestamp column, has {found}; name it with time=")
        time = candidates[0]
    elif time not in table.column_names:
        hint = did_you_mean(time, table.column_names)
        raise RequestError(
            f"spine: time column {time!r} is missing; columns are {', '.join(table.column_names)}.{hint}"
        )
    column = _instants(table.column(time), time)
    if column.null_count:
        row = int(np.flatnonzero(column.is_null().to_numpy())[0])
        raise RequestError(f"spine: time column {time!r} is null in row {row}; every row needs an instant")
    given = table.set_column(table.column_names.index(time), time, column)
    return Request(given, request.what), time, integers(column)


def _instants(column: pa.ChunkedArray, name: str) -> pa.ChunkedArray:
    kind = column.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        series = pl.Series(pl.from_arrow(column))
        try:
            parsed = series.str.to_datetime(time_unit="us", time_zone="UTC", strict=True)
        except pl.exceptions.PolarsError:
            raise RequestError(f"spine: time column {name!r} has text that is no ISO 8601 time") from None
        return pa.chunked_array([parsed.to_arrow()]).cast(TIME)
    if pa.types.is_date(kind):
        return column.cast(pa.timestamp("us")).cast(TIME)
    if not pa.types.is_timestamp(kind):
        raise RequestError(
            f"spine: time column {name!r} is {kind}; give timestamps (naive ones are UTC) or ISO 8601 text"
        )
    if kind.unit == "ns":
        column = pc.floor_temporal(column, 1, "microsecond")
    return column.cast(pa.timestamp("us", kind.tz)).cast(TIME)


def _typed(column: pa.ChunkedArray, kind: pa.DataType, what: str) -> pa.ChunkedArray:
    if column.type == kind:
        return column
    given = column.type
    numeric = (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal)
    same = any(check(given) and check(kind) for check in numeric)
    widening = pa.types.is_integer(given) and (pa.types.is_floating(kind) or pa.types.is_decimal(kind))
    whole_floats = pa.types.is_floating(given) and pa.types.is_integer(kind)
    temporal = pa.types.is_temporal(given) and pa.types.is_temporal(kind)
    texts = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view, pa.types.is_binary)
    text = any(check(given) for check in texts) and any(check(kind) for check in texts)
    nested = pa.types.is_nested(given) and pa.types.is_nested(kind)
    if pa.types.is_null(given) or same or widening or whole_floats or temporal or text or nested:
        try:
            return column.cast(kind)
        except pa.ArrowException as error:
            raise RequestError(f"{what}: does not fit {type_text(kind)}: {error}") from None
    raise RequestError(f"{what}: is {given}, the definition says {type_text(kind)}")


def _is_column(value: Any) -> bool:
    return not isinstance(value, str | bytes) and hasattr(value, "__len__")
