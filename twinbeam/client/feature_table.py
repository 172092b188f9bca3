"""The result of a read: values in Python's own types, statuses, event times, and the instants they are as of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from schemas.errors import RequestError, did_you_mean
from schemas.names import column_name
from twinbeam.client.values import moments, typed

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa


@dataclass(frozen=True)
class FeatureTable:
    """Features for n requests, in the order of the requests.

    Attributes:
        values: keys and request values by their names, then features by their addresses, n values each; None for null.
        statuses: by address: PRESENT, NULL_VALUE, NOT_FOUND, OUTSIDE_MAX_AGE or OVERFLOW of each value.
        types: texts of the types of the columns, as definitions spell them.
        fingerprint: of the definitions of all the features.
    """

    values: Mapping[str, list[Any]]
    statuses: Mapping[str, list[str]]
    types: Mapping[str, str]
    fingerprint: str
    _times: Mapping[str, list[str | None]]
    _instants: list[str | None]

    @staticmethod
    def of(answer: Mapping[str, Any]) -> FeatureTable:
        """The table of one answer by the column.

        Raises:
            KeyError, TypeError, ValueError: it is no such answer.
        """
        types = answer["types"]
        values = {
            name: typed(types[name], column) if name in types else column for name, column in answer["values"].items()
        }
        return FeatureTable(
            values, answer["statuses"], types, answer["fingerprint"], answer["event_times"], answer["as_of"]
        )

    @staticmethod
    def joined(parts: Sequence[FeatureTable]) -> FeatureTable:
        """Tables of the same features as one, in their order."""
        first = parts[0]
        if len(parts) == 1:
            return first
        return FeatureTable(
            _joined([part.values for part in parts]),
            _joined([part.statuses for part in parts]),
            first.types,
            first.fingerprint,
            _joined([part._times for part in parts]),
            [instant for part in parts for instant in part._instants],
        )

    def __len__(self) -> int:
        return len(self._instants)

    def __getitem__(self, name: str) -> list[Any]:
        """Values of one column."""
        return self.values[_known(name, self.values)]

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Rows, as of `rows`."""
        return iter(self.rows())

    def __repr__(self) -> str:
        return f"<FeatureTable of {len(self)} rows: {', '.join(self.values)}>"

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of all columns: the given ones, then the features."""
        return tuple(self.values)

    @property
    def features(self) -> tuple[str, ...]:
        """Addresses of the features, in the order asked."""
        return tuple(self.statuses)

    @property
    def event_times(self) -> dict[str, list[datetime | None]]:
        """Newest event time (UTC) that counted in every value, by address; None where no event did."""
        return {name: moments(texts) for name, texts in self._times.items()}

    @property
    def as_of(self) -> list[datetime | None]:
        """Instant (UTC) that each row's values are as of; rows of several requests differ in it."""
        return moments(self._instants)

    def status(self, name: str) -> list[str]:
        """Statuses of one feature's values.

        Raises:
            RequestError: there is no such feature in the table.
        """
        return self.statuses[_known(name, self.statuses)]

    def event_time(self, name: str) -> list[datetime | None]:
        """Event times of one feature's values.

        Raises:
            RequestError: there is no such feature in the table.
        """
        return moments(self._times[_known(name, self._times)])

    def to_dict(self) -> dict[str, list[Any]]:
        """Columns as lists, by name."""
        return {name: list(column) for name, column in self.values.items()}

    def rows(self) -> list[dict[str, Any]]:
        """Rows as dicts."""
        names = list(self.values)
        return [dict(zip(names, row, strict=True)) for row in zip(*self.values.values(), strict=True)]

    def frame_names(self) -> dict[str, str]:
        """Names of the columns in frames, `view__feature`, by their names here."""
        return {name: column_name(*name.split(":", 1)) if name in self.statuses else name for name in self.values}

    def to_arrow(self) -> pa.Table:
        """Arrow table in the types of the definitions; columns are named `view__feature`.

        Raises:
            RequestError: pyarrow is not installed.
        """
        try:
            from twinbeam.client.arrow_table import arrow_table  # noqa: PLC0415
        except ImportError:
            raise RequestError("to_arrow: pyarrow is not installed; pip install pyarrow, or use to_dict()") from None
        return arrow_table(self)

    def to_pandas(self) -> pd.DataFrame:
        """Pandas frame; columns are named `view__feature`.

        Numbers are in numpy's types, integers and booleans with nulls among them in pandas' nullable ones, timestamps
        in datetime64[us, UTC]; all else are Python's objects.

        Raises:
            RequestError: pandas is not installed.
        """
        try:
            from twinbeam.client.pandas_frame import pandas_frame  # noqa: PLC0415
        except ImportError:
            raise RequestError("to_pandas: pandas is not installed; pip install pandas, or use to_dict()") from None
        return pandas_frame(self)


def _known(name: str, legal: Mapping[str, Any]) -> str:
    if name not in legal:
        raise RequestError(f"{name!r} is not in the answer, which has {', '.join(legal)}.{did_you_mean(name, legal)}")
    return name


def _joined(parts: Sequence[Mapping[str, list[Any]]]) -> dict[str, list[Any]]:
    return {name: [value for part in parts for value in part[name]] for name in parts[0]}
