"""Served features: `Features` as plain Python values, which turn into Arrow only when that is asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import pyarrow as pa

from transforms.answer_columns import AnswerColumn, copied
from transforms.answers import NO_TIME, PRESENT, STATUSES, Answer
from transforms.columns import whole
from transforms.features import Features, Ints
from transforms.requests import column_array

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ALL = STATUSES[PRESENT]


class ServedFeatures(Features):
    """`Features` of few requests; the same to its reader in everything but the time it takes.

    Args:
        rows: columns of the request as given, plain values.
        types: type of each of them.
        columns: answers by address, defaults filled in.
        moments: n instants, µs.
        fingerprint: of the selection.
        artefacts: see `Features`.
    """

    _rows: Mapping[str, list[Any]]
    _types: Mapping[str, pa.DataType]
    _columns: Mapping[str, AnswerColumn | Answer]

    def __init__(
        self,
        rows: Mapping[str, list[Any]],
        types: Mapping[str, pa.DataType],
        columns: Mapping[str, AnswerColumn | Answer],
        moments: Sequence[int],
        fingerprint: str,
        artefacts: Mapping[str, str],
    ) -> None:
        self.__dict__.update(
            _rows=rows,
            _types=types,
            _columns=columns,
            moments=moments,
            fingerprint=fingerprint,
            names="full",
            report={},
            artefacts=artefacts,
        )

    @cached_property
    def given(self) -> pa.Table:
        """See `Features`."""
        return pa.table({name: column_array(values, self._types[name]) for name, values in self._rows.items()})

    @cached_property
    def answers(self) -> Mapping[str, Answer]:
        """See `Features`."""
        return {
            address: column if isinstance(column, Answer) else column.answer()
            for address, column in self._columns.items()
        }

    def arrays(self) -> dict[str, pa.Array]:
        """Values by address."""
        return {
            address: whole(column.values) if isinstance(column, Answer) else column.array()
            for address, column in self._columns.items()
        }

    def status_arrays(self) -> dict[str, pa.Array]:
        """Statuses by address, as texts."""
        found = {}
        for address, column in self._columns.items():
            codes = column.statuses.tolist() if isinstance(column, Answer) else column.codes
            found[address] = _status_array((PRESENT,) * len(self) if codes is None else tuple(codes))
        return found

    @cached_property
    def instants(self) -> Ints:
        """See `Features`."""
        return np.array(self.moments, np.int64)

    def __len__(self) -> int:
        return len(self.moments)

    def __reduce__(self) -> tuple[Any, ...]:
        parts = (self.given, self.answers, self.instants, self.fingerprint, self.names, self.report, self.artefacts)
        return Features, parts

    @property
    def statuses(self) -> dict[str, list[str]]:
        """See `Features`."""
        found: dict[str, list[str]] = {}
        for address, column in self._columns.items():
            codes = column.statuses.tolist() if isinstance(column, Answer) else column.codes
            found[address] = [_ALL] * len(self) if codes is None else [STATUSES[code] for code in codes]
        return found

    @property
    def event_times(self) -> dict[str, list[datetime | None]]:
        """See `Features`."""
        return {
            address: _datetimes(column.times.tolist() if isinstance(column, Answer) else column.times)
            for address, column in self._columns.items()
        }

    @property
    def as_of(self) -> list[datetime | None]:
        """See `Features`."""
        return _datetimes(self.moments)

    def given_values(self) -> dict[str, list[Any]]:
        """See `Features`."""
        return {name: list(values) for name, values in self._rows.items()}

    def columns(self) -> Mapping[str, AnswerColumn]:
        """See `Features`."""
        return {
            address: AnswerColumn.of(column) if isinstance(column, Answer) else column
            for address, column in self._columns.items()
        }

    def to_dict(self) -> dict[str, list[Any]]:
        """See `Features`."""
        found: dict[str, list[Any]] = {name: list(values) for name, values in self._rows.items()}
        for address, column in self._columns.items():
            if isinstance(column, Answer):
                found[address] = column.values.to_pylist(maps_as_pydicts="strict")
            else:
                found[address] = copied(column.values)
        return found


@lru_cache(maxsize=1024)
def _status_array(codes: tuple[int, ...]) -> pa.Array:
    return pa.array([STATUSES[code] for code in codes], pa.string())


def _datetimes(times: Sequence[int]) -> list[datetime | None]:
    return [None if time == NO_TIME else _EPOCH + timedelta(microseconds=time) for time in times]
