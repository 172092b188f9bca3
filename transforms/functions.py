"""Functions of users over polars frames: called so that what a row gives does not depend on its neighbours."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import polars as pl
import pyarrow as pa

from schemas.types import type_text
from transforms.sql_types import polars_type

Function = Callable[[Any], Any]

_LONGEST = 300


class FunctionFault(Exception):
    """A call failed; the text is the reason."""


class BrokenFunction(FunctionFault):
    """What a call gave is not what the function's definition says."""


def call(function: Function, frame: pl.DataFrame) -> pl.DataFrame:
    """Frame that a function makes of a frame (of a steady one, see `transforms.sql.steady`).

    Raises:
        FunctionFault: it raised.
        BrokenFunction: it did not give a frame.
    """
    try:
        with _in_memory():
            result = function(frame)
            if isinstance(result, pl.LazyFrame):
                result = result.collect(engine="in-memory")
    except (Exception, pl.exceptions.PanicException) as error:  # noqa: BLE001 - whatever it raises is data
        raise FunctionFault(reason_of(error)) from None
    if not isinstance(result, pl.DataFrame):
        raise BrokenFunction(f"gave a {type(result).__name__}, not a polars DataFrame")
    return result


def fitted(column: pl.Series, dtype: pa.DataType) -> pl.Series:
    """The column as the declared type: itself, or widened without loss.

    Raises:
        BrokenFunction: it is of another type.
    """
    goal: Any = polars_type(dtype)
    given: Any = column.dtype
    if given == goal:
        return column
    texts = (pl.Categorical, pl.Enum)
    naive = isinstance(given, pl.Datetime) and isinstance(goal, pl.Datetime) and given.time_zone in (None, "UTC")
    wider = given.is_numeric() and goal.is_numeric() and _holds(goal, given)
    if given == pl.Null or wider or naive or (isinstance(given, texts) and goal == pl.String):
        return column.cast(pl.Datetime(given.time_unit, "UTC")).cast(goal) if naive else column.cast(goal)
    raise BrokenFunction(f"column {column.name!r} is {given}, declared is {type_text(dtype)}")


def reason_of(error: BaseException) -> str:
    """One line that says what was raised."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."


def _holds(goal: Any, given: Any) -> bool:
    """Whether a numeric type holds every value of another."""
    if goal.is_float():
        return given == pl.Float32 or given in (pl.Int8, pl.Int16, pl.UInt8, pl.UInt16, pl.Int32, pl.UInt32)
    sizes: dict[Any, int] = {
        pl.Int8: 7,
        pl.UInt8: 8,
        pl.Int16: 15,
        pl.UInt16: 16,
        pl.Int32: 31,
        pl.UInt32: 32,
        pl.Int64: 63,
    }
    smaller = sizes.get(type(given), 64) <= sizes.get(type(goal), 0)
    return bool(goal.is_integer() and given.is_integer() and smaller)


@contextmanager
def _in_memory() -> Iterator[None]:
    """While lazy frames that a user's function collects are computed whole, not in pieces."""
    before: Any = os.environ.get("POLARS_ENGINE_AFFINITY")
    pl.Config.set_engine_affinity("in-memory")
    try:
        yield
    finally:
        pl.Config.set_engine_affinity(before)
