"""Columns of row-local SQL, and what lies in them: fields of structs, elements of lists, values of maps."""

from __future__ import annotations

import polars as pl

from schemas.errors import did_you_mean
from transforms.sql_dialect import SqlMistake
from transforms.sql_types import TEXT, Scope, Value, is_int, is_list, is_map, is_struct, shown


def column(scope: Scope, name: str, quoted: bool) -> Value:
    """Column of the row, by its exact name.

    Raises:
        SqlMistake: there is none.
    """
    index = scope.schema.get_field_index(name)
    if index < 0:
        names = scope.schema.names
        quotes = f" (a text stands in single quotes: '{name}')" if quoted else ""
        hint = did_you_mean(name, names)
        raise SqlMistake(f"unknown column {name!r}{quotes}.{hint} Columns are {', '.join(names) or 'none'}")
    scope.columns.add(name)
    return Value(pl.col(name), scope.schema.field(index).type, name)


def member(value: Value, name: str) -> Value:
    """Field of a struct; null where the struct is.

    Raises:
        SqlMistake: the value is no struct, or has no such field.
    """
    if not is_struct(value.dtype):
        raise SqlMistake(f"{value.text} is {shown(value.dtype)}, which has no field {name!r}")
    index = value.dtype.get_field_index(name)
    if index < 0:
        fields = [value.dtype.field(number).name for number in range(value.dtype.num_fields)]
        hint = did_you_mean(name, fields)
        raise SqlMistake(f"{value.text} has no field {name!r}.{hint} Fields are {', '.join(fields)}")
    return Value(value.expr.struct.field(name), value.dtype.field(index).type, f"{value.text}.{name}")


def element(whole: Value, key: Value, text: str) -> Value:
    """Element of a list by its position (1 is the first, -1 the last), or value of a map by its key; null if none.

    Raises:
        SqlMistake: the value is neither, or the key does not fit.
    """
    if is_map(whole.dtype):
        if key.dtype != TEXT:
            raise SqlMistake(f"{text}: the key of a map is a string, {key.text} is {shown(key.dtype)}")
        return Value(whole.expr.map.get(key.expr), whole.dtype.item_type, text)
    if not is_list(whole.dtype):
        raise SqlMistake(f"{whole.text} is {shown(whole.dtype)}: only lists and maps have elements")
    if not is_int(key.dtype):
        raise SqlMistake(f"{text}: the position in a list is an integer (1 is the first), {key.text} is not")
    place = key.expr.cast(pl.Int64)
    index = pl.when(place > 0).then(place - 1).when(place < 0).then(place).otherwise(None)
    return Value(whole.expr.list.get(index, null_on_oob=True), whole.dtype.value_type, text)
