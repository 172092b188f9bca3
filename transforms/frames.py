"""Frames that users hand in: dicts, Arrow, polars, pandas or a Parquet file, as one Arrow table."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from schemas.errors import RequestError
from transforms.columns import whole

LEGAL = "dicts, a mapping of columns, an Arrow table, a polars or pandas frame, or the path of a Parquet file"


def table_of(given: Any, what: str) -> pa.Table:
    """Arrow table of whatever a user hands in.

    Args:
        given: rows as dicts, columns as a mapping (a scalar is repeated), `pa.Table`, `pa.RecordBatch`, polars
            `DataFrame` or `LazyFrame`, pandas `DataFrame`, or the path of a Parquet file.
        what: what it is to the user, for errors ("spine", "keys").

    Raises:
        RequestError: it is none of these, columns differ in length, or a column mixes types.
    """
    try:
        table = _convert(given)
    except (pa.ArrowException, OSError, OverflowError, ValueError, TypeError) as error:
        raise RequestError(f"{what}: cannot be read as a table: {error}") from None
    if table is None:
        raise RequestError(f"{what}: is a {type(given).__name__}; give {LEGAL}")
    return table


def _convert(given: Any) -> pa.Table | None:
    if isinstance(given, pa.Table):
        return given
    if isinstance(given, pa.RecordBatch):
        return pa.Table.from_batches([given])
    if isinstance(given, pl.LazyFrame):
        given = given.collect()
    if isinstance(given, pl.DataFrame):
        return plain(given.to_arrow())
    if isinstance(given, str | Path):
        return pq.read_table(given)
    if isinstance(given, Mapping):
        return _columns(given)
    if type(given).__module__.split(".")[0] == "pandas":
        with warnings.catch_warnings():  # Arrow reads zoned times in a way that pandas 3.1 warns of
            warnings.simplefilter("ignore", DeprecationWarning)
            table = pa.Table.from_pandas(given, preserve_index=False)
        return plain(table.replace_schema_metadata(None))
    if isinstance(given, Sequence):
        return _rows(given)
    return None


def _columns(given: Mapping[str, Any]) -> pa.Table:
    lists = {name: _values(column) for name, column in given.items()}
    lengths = {len(values) for values in lists.values() if values is not None}
    if len(lengths) > 1:
        raise ValueError(f"columns have different lengths: {', '.join(map(str, sorted(lengths)))}")
    length = lengths.pop() if lengths else 1
    return plain(
        pa.table({name: [given[name]] * length if values is None else values for name, values in lists.items()})
    )


def _values(column: Any) -> Any:
    if isinstance(column, str | bytes) or not hasattr(column, "__len__"):
        return None
    return column.to_arrow() if isinstance(column, pl.Series) else column


def _rows(given: Sequence[Any]) -> pa.Table:
    names: dict[str, None] = {}
    for row in given:
        if not isinstance(row, Mapping):
            raise TypeError(f"a row is a {type(row).__name__}, expected a dict")
        names.update(dict.fromkeys(row))
    return pa.table({name: [row.get(name) for row in given] for name in names})


def plain_column(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    """The column as one array, with large and view types as their plain ones."""
    single = whole(column)
    return single.cast(_plain_type(single.type))


def plain(table: pa.Table) -> pa.Table:
    """The table with large and view strings, bytes and lists, and categories, as their plain types."""
    fields = [field.with_type(_plain_type(field.type)) for field in table.schema]
    return table.cast(pa.schema(fields))


def _plain_type(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return pa.string()
    if pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind):
        return pa.binary()
    if pa.types.is_dictionary(kind):
        return _plain_type(kind.value_type)
    if pa.types.is_large_list(kind) or pa.types.is_list(kind):
        return pa.list_(_plain_type(kind.value_type))
    if pa.types.is_struct(kind):
        return pa.struct([field.with_type(_plain_type(field.type)) for field in kind])
    return kind
