"""Schemas of Delta tables: Arrow types as the project writes them, and batches made to fit a table."""

from __future__ import annotations

import pyarrow as pa

from schemas.errors import StoreError


def plain(kind: pa.DataType) -> pa.DataType:
    """The type as the project writes it: no 64-bit offsets, no names of list elements or map entries."""
    if pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return pa.string()
    if pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind):
        return pa.binary()
    if pa.types.is_map(kind):
        return pa.map_(plain(kind.key_type), plain(kind.item_type))
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return pa.list_(plain(kind.value_type))
    if pa.types.is_struct(kind):
        return pa.struct([pa.field(field.name, plain(field.type), field.nullable) for field in kind])
    return kind


def plain_schema(schema: pa.Schema) -> pa.Schema:
    """The schema with plain types and without metadata."""
    return pa.schema([pa.field(field.name, plain(field.type), field.nullable) for field in schema])


def new_columns(table: str, stored: pa.Schema, given: pa.Schema) -> list[pa.Field]:
    """Columns that a table lacks, nullable.

    Raises:
        StoreError: a column has another type than in the table.
    """
    added = []
    for field in plain_schema(given):
        if field.name not in stored.names:
            added.append(field.with_nullable(True))
        elif stored.field(field.name).type != field.type:
            raise StoreError(
                f"{table}: column {field.name!r} is {stored.field(field.name).type} in the offline store and "
                f"{field.type} now; give the field its old type, or another name"
            )
    return added


def fitted(rows: pa.Table, schema: pa.Schema) -> pa.Table:
    """Rows with exactly the columns of a schema, in its order; columns they lack are null."""
    columns = [
        rows.column(field.name).cast(field.type) if field.name in rows.column_names else _nulls(len(rows), field.type)
        for field in schema
    ]
    return pa.Table.from_arrays(columns, schema=schema)


def _nulls(n: int, kind: pa.DataType) -> pa.ChunkedArray:
    return pa.chunked_array([pa.nulls(n, kind)])
