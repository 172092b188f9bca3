"""What a user types or names on the command line, as tables in the types of the definitions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa

from pipelines.commands.arguments import UsageError
from schemas.errors import RequestError, did_you_mean
from schemas.types import type_text
from transforms.columns import whole
from transforms.encodings.times import instants
from transforms.frames import plain

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
TIME = pa.timestamp("us", "UTC")
READERS = (".parquet", ".csv", ".jsonl")


def typed(columns: Mapping[str, Sequence[str | None]], types: Mapping[str, pa.DataType], what: str) -> pa.Table:
    """Columns of texts in the types that the definitions give them.

    Raises:
        RequestError: a column is not one of `types`, or a text does not fit its type.
    """
    for name in columns:
        if name not in types:
            legal = ", ".join(types) or "none"
            raise RequestError(f"{what} {name!r} is not asked for: legal is {legal}.{did_you_mean(name, types)}")
    return pa.table({name: _cast(texts, types[name], f"{what} {name}") for name, texts in columns.items()})


def read_table(path: str, types: Mapping[str, pa.DataType]) -> pa.Table:
    """Table of a Parquet, CSV or JSON lines file; CSV columns named in `types` are read as those.

    Raises:
        RequestError: the file is missing, of another kind, or does not fit.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in READERS:
        raise RequestError(f"{path}: is of no kind that can be read: legal are {', '.join(READERS)}")
    if not Path(path).is_file():
        raise RequestError(f"{path}: there is no such file")
    try:
        if suffix == ".parquet":
            return _arrow(pl.read_parquet(path))
        if suffix == ".jsonl":
            return _timed(_arrow(pl.read_ndjson(path, infer_schema_length=None)), types)
        texts = {name: pl.String for name in pl.read_csv(path, n_rows=0).columns if name in types}
        frame = pl.read_csv(path, schema_overrides=texts, infer_schema_length=None, null_values=[""])
    except (pl.exceptions.PolarsError, OSError) as error:
        raise RequestError(f"{path}: cannot be read: {str(error).splitlines()[0]}") from None
    table = _timed(_arrow(frame), types)
    for name in texts:
        cast = _cast(table.column(name).to_pylist(), types[name], f"{path}: column {name}")
        table = table.set_column(table.column_names.index(name), name, cast)
    return table


def instant(text: str) -> datetime:
    """Instant of a text in ISO 8601; without a zone it is UTC.

    Raises:
        UsageError: the text is none.
    """
    found, wrong = instants(pa.array([text]))
    if wrong[0]:
        raise UsageError(f"{text!r} is no time: legal is ISO 8601 as in 2025-03-15T12:00:00Z")
    return EPOCH + timedelta(microseconds=int(found[0]))


def _timed(table: pa.Table, types: Mapping[str, pa.DataType]) -> pa.Table:
    """The table with its columns of ISO 8601 times as instants (naive times are UTC), those in `types` aside."""
    for number, field in enumerate(table.schema):
        if field.name not in types and pa.types.is_string(field.type):
            texts = whole(table.column(number))
            found, wrong = instants(texts)
            if texts.null_count < len(texts) and not wrong.any():
                moments = pa.array(found, mask=texts.is_null().to_numpy(zero_copy_only=False)).cast(TIME)
                table = table.set_column(number, field.name, moments)
    return table


def _cast(texts: Sequence[str | None], kind: pa.DataType, what: str) -> pa.Array:
    column = pa.array(texts, pa.string())
    if pa.types.is_timestamp(kind):
        found, wrong = instants(column)
        bad = next(iter(np.flatnonzero(wrong).tolist()), None)
        if bad is None:
            return pa.array(found, mask=column.is_null().to_numpy(zero_copy_only=False)).cast(kind)
        raise RequestError(f"{what}: {texts[bad]!r} is no time: legal is ISO 8601 as in 2025-03-15T12:00:00Z")
    try:
        return column.cast(kind)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        wrong_text = next(text for text in texts if text is not None and not _fits(text, kind))
        raise RequestError(f"{what}: {wrong_text!r} is no {type_text(kind)}") from None


def _fits(text: str, kind: pa.DataType) -> bool:
    try:
        pa.array([text], pa.string()).cast(kind)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return False
    return True


def _arrow(frame: pl.DataFrame) -> pa.Table:
    return plain(frame.to_arrow())
