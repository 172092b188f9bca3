"""Bodies of answers: features as JSON, by the column or by the row, or as an Arrow IPC stream."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import cached_property, lru_cache
from itertools import chain
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa

from schemas.types import type_text
from serving.server.messages import encode_json
from transforms.answer_columns import AnswerColumn
from transforms.answers import NO_TIME, PRESENT, STATUSES
from transforms.features import Features
from transforms.requests import column_types
from transforms.selection import Selection

PARTS = ("statuses", "event_times")
TYPES = "types"
_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - a suffix says that it is UTC.
_FEW = 128
_MOST_PATTERNS = 1_024
_TIME = pa.timestamp("us", "UTC")

Writer = Callable[[Sequence[Any]], Sequence[Any]]
Columns = Mapping[str, AnswerColumn]


class AnswerBodies:
    """Writes answers of one selection.

    Args:
        selection: the features.
    """

    def __init__(self, selection: Selection) -> None:
        self._selection = selection
        self.addresses = [output.address for output in selection.outputs]
        writers = [(output.address, _writer(output.feature.dtype)) for output in selection.outputs]
        self._writers = {address: writer for address, writer in writers if writer is not None and writer is not _floats}
        self._floats = [address for address, writer in writers if writer is _floats]
        self._given_writers = {name: _writer(kind) for name, kind in column_types(selection).items()}
        self._known_statuses: dict[tuple[Any, ...], msgspec.Raw] = {}

    def by_column(self, features: Features, columns: Columns, parts: Iterable[str]) -> bytes:
        """JSON of a list a feature.

        Args:
            features: the answer.
            columns: its columns.
            parts: some of `PARTS`, and `TYPES`.
        """
        values, codes, times = self._read(features, columns)
        body: dict[str, Any] = {"values": values}
        if "statuses" in parts:
            body["statuses"] = self._statuses(codes, len(features))
        if "event_times" in parts:
            body["event_times"] = times
        body["as_of"] = _moments(features.moments)
        body["fingerprint"] = features.fingerprint
        if TYPES in parts:
            body[TYPES] = self._types
        return encode_json(body)

    def by_row(self, features: Features, columns: Columns, parts: Iterable[str]) -> bytes:
        """JSON of an object a row; arguments as those of `by_column`."""
        values, codes, times = self._read(features, columns)
        count = len(features)
        body: dict[str, Any] = {"rows": _turned(values, count)}
        if "statuses" in parts:
            body["statuses"] = _turned({name: _words(of_name, count) for name, of_name in codes.items()}, count)
        if "event_times" in parts:
            body["event_times"] = _turned(times, count)
        body["as_of"] = _moments(features.moments)
        body["fingerprint"] = features.fingerprint
        if TYPES in parts:
            body[TYPES] = self._types
        return encode_json(body)

    def arrow(self, features: Features, columns: Columns, parts: Iterable[str]) -> bytes:
        """Arrow IPC stream: the columns of `Features.to_arrow`, `_as_of`, and what is asked for beside each feature."""
        table = features.to_arrow()
        given, count = features.given.num_columns, len(features)
        names = table.column_names[given:]
        for name, column in zip(names, columns.values(), strict=True):
            if "statuses" in parts:
                table = table.append_column(f"{name}__status", pa.array(_words(column.codes, count), pa.string()))
            if "event_times" in parts:
                times = np.array(column.times, np.int64)
                table = table.append_column(f"{name}__event_time", pa.array(times, _TIME, mask=times == NO_TIME))
        instants = np.asarray(features.instants, np.int64)
        table = table.append_column("_as_of", pa.array(instants, _TIME, mask=instants == NO_TIME))
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
        return bytes(sink.getvalue())

    @cached_property
    def _types(self) -> msgspec.Raw:
        """Texts of the types of keys, request values and features, by name."""
        asked = {name: type_text(kind) for name, kind in column_types(self._selection).items()}
        features = {output.address: type_text(output.feature.dtype) for output in self._selection.outputs}
        return msgspec.Raw(encode_json(asked | features))

    def _read(self, features: Features, columns: Columns) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        """Values (the given ones first), codes and times as texts, by name."""
        values: dict[str, Any] = features.given_values()
        for name, written in self._given_writers.items():
            if written is not None and name in values:
                values[name] = written(values[name])
        moments = {id(column.times): column.times for column in columns.values()}
        texts = {number: _texts(of_number) for number, of_number in moments.items()}
        codes, times = {}, {}
        for address, column in columns.items():
            values[address] = column.values
            codes[address] = column.codes
            times[address] = texts[id(column.times)]
        if self._floats and not _all_finite(chain.from_iterable([values[address] for address in self._floats])):
            for address in self._floats:
                values[address] = _floats(values[address])
        for address, writer in self._writers.items():
            values[address] = writer(values[address])
        return values, codes, times

    def _statuses(self, codes: dict[str, Sequence[int] | None], count: int) -> Any:
        told = list(codes.values())
        if not any(told):
            if count > _FEW:
                return {address: _words(None, count) for address in codes}
            pattern: tuple[Any, ...] = (count,)
        elif count == 1:
            pattern = tuple([None if of_address is None else of_address[0] for of_address in told])
        else:
            return {address: _words(of_address, count) for address, of_address in codes.items()}
        found = self._known_statuses.get(pattern)
        if found is None:
            whole = {address: _words(of_address, count) for address, of_address in codes.items()}
            if len(self._known_statuses) >= _MOST_PATTERNS:
                self._known_statuses = {}
            found = self._known_statuses[pattern] = msgspec.Raw(encode_json(whole))
        return found


def json_values(dtype: pa.DataType, values: Sequence[Any]) -> Sequence[Any]:
    """Values of a type as JSON has them: numbers beyond the finite as the texts NaN, Infinity and -Infinity."""
    writer = _writer(dtype)
    return values if writer is None else writer(values)


@lru_cache(maxsize=16_384)
def time_text(time: int) -> str | None:
    """An instant (µs) in RFC 3339; None where there is none."""
    if time == NO_TIME:
        return None
    try:
        return f"{(_EPOCH + timedelta(microseconds=time)).isoformat()}Z"
    except OverflowError:
        seconds, rest = divmod(time, 1_000_000)
        shown = np.datetime64(seconds, "s")
        return f"{shown}.{rest:06d}Z" if rest else f"{shown}Z"


def _texts(times: Sequence[int]) -> list[str | None]:
    return list(map(time_text, times))


def _moments(times: Sequence[int]) -> list[str | None]:
    """Texts of instants that are all about now, mostly one."""
    if not times or times[0] == NO_TIME or times.count(times[0]) < len(times):
        return _texts(times)
    second, rest = divmod(times[0], 1_000_000)
    text = time_text(second * 1_000_000)
    return [text if text is None or not rest else f"{text[:-1]}.{rest:06d}Z"] * len(times)


def _words(codes: Sequence[int] | None, count: int) -> list[str]:
    return [STATUSES[PRESENT]] * count if codes is None else [STATUSES[code] for code in codes]


def _turned(columns: dict[str, Sequence[Any]], count: int) -> list[dict[str, Any]]:
    names = list(columns)
    if not names:
        return [{} for _ in range(count)]
    return [dict(zip(names, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _writer(dtype: pa.DataType) -> Writer | None:
    if pa.types.is_floating(dtype):
        return _floats
    return _nested if _has_floats(dtype) else None


def _has_floats(dtype: pa.DataType) -> bool:
    if pa.types.is_floating(dtype):
        return True
    return any(_has_floats(dtype.field(number).type) for number in range(dtype.num_fields))


def _floats(values: Sequence[Any]) -> Sequence[Any]:
    return values if _all_finite(values) else [_finite(value) for value in values]


def _all_finite(values: Iterable[float | None]) -> bool:
    """Whether all numbers are finite; it may say no where only their sum is not."""
    return math.isfinite(sum(filter(None, values)))


def _nested(values: Sequence[Any]) -> Sequence[Any]:
    return [_finite(value) for value in values]


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        if math.isfinite(value):
            return value
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, list):
        return [_finite(item) for item in value]
    if isinstance(value, dict):
        return {name: _finite(item) for name, item in value.items()}
    return value
