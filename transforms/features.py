"""Features: what every read returns, offline and online alike."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from schemas.errors import RequestError
from schemas.names import column_name
from transforms.answer_columns import AnswerColumn
from transforms.answers import NO_TIME, STATUSES, Answer

if TYPE_CHECKING:
    import pandas as pd

Ints = npt.NDArray[np.int64]
TIME = pa.timestamp("us", "UTC")


@dataclass(frozen=True)
class Features:
    """Feature values for n requests, in the order of the requests, features in the order asked.

    Attributes:
        given: the request's own columns (keys, request values, and whatever else a spine holds), n rows.
        answers: answer of each feature by its address.
        instants: int64[n], µs: the instant that each row's values are as of.
        fingerprint: 16 hex characters over the definitions of all the features.
        names: "full" (`view__feature` columns) or "short" (`feature`).
        report: counts that a training set states: rows, `coincident`, and what `strict` left out.
        artefacts: version of the artefact that each encoding among them is fitted by, by the encoding's name.
    """

    given: pa.Table
    answers: Mapping[str, Answer]
    instants: Ints
    fingerprint: str
    names: str = "full"
    report: Mapping[str, int] = field(default_factory=dict)
    artefacts: Mapping[str, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return int(self.given.num_rows)

    @property
    def statuses(self) -> dict[str, list[str]]:
        """Status of every value, by address: one of PRESENT, NULL_VALUE, NOT_FOUND, OUTSIDE_MAX_AGE, OVERFLOW."""
        return {
            address: [STATUSES[code] for code in answer.statuses.tolist()] for address, answer in self.answers.items()
        }

    @property
    def event_times(self) -> dict[str, list[datetime | None]]:
        """Newest event time (UTC) that counted in every value, by address; None where no event did."""
        return {address: _datetimes(answer.times) for address, answer in self.answers.items()}

    @property
    def as_of(self) -> list[datetime | None]:
        """Instant (UTC) that each row's values are as of."""
        return _datetimes(self.instants)

    @cached_property
    def moments(self) -> Sequence[int]:
        """The instants as Python's numbers."""
        moments: list[int] = self.instants.tolist()
        return moments

    def given_values(self) -> dict[str, list[Any]]:
        """The given columns as lists."""
        return {name: self.given.column(name).to_pylist(maps_as_pydicts="strict") for name in self.given.column_names}

    def columns(self) -> Mapping[str, AnswerColumn]:
        """Every feature in plain values, by address."""
        return {address: AnswerColumn.of(answer) for address, answer in self.answers.items()}

    def to_dict(self) -> dict[str, list[Any]]:
        """Columns as lists: the given ones, then one a feature by its address; maps are dicts."""
        given = {name: self.given.column(name).to_pylist() for name in self.given.column_names}
        values = {
            address: answer.values.to_pylist(maps_as_pydicts="strict") for address, answer in self.answers.items()
        }
        return given | values

    def to_arrow(self) -> pa.Table:
        """Arrow table: the given columns, then one a feature; the schema's metadata say what they are of."""
        columns = [*self.given.columns, *(answer.values for answer in self.answers.values())]
        names = [*self.given.column_names, *(self._column(address) for address in self.answers)]
        twice = {name for name in names if names.count(name) > 1}
        if twice:
            raise RequestError(
                f"names={self.names!r}: columns would share the name {sorted(twice)[0]!r}; use names='full'"
            )
        metadata = {"twinbeam.fingerprint": self.fingerprint, "twinbeam.report": json.dumps(dict(self.report))}
        metadata |= {"twinbeam.artefacts": json.dumps(dict(self.artefacts))} if self.artefacts else {}
        return pa.table(columns, names=names).replace_schema_metadata(metadata)

    def to_polars(self) -> pl.DataFrame:
        """Polars frame with the columns of `to_arrow`."""
        return pl.DataFrame(pl.from_arrow(self.to_arrow().replace_schema_metadata(None)))

    def to_pandas(self) -> pd.DataFrame:
        """Pandas frame with the columns of `to_arrow`.

        Raises:
            RequestError: pandas is not installed.
        """
        try:
            return self.to_arrow().replace_schema_metadata(None).to_pandas()
        except ImportError:
            raise RequestError("to_pandas: pandas is not installed; pip install pandas, or use to_polars()") from None

    def to_parquet(self, path: str | Path) -> None:
        """Writes the table of `to_arrow` as a Parquet file, metadata included."""
        pq.write_table(self.to_arrow(), path, compression="zstd")

    def _column(self, address: str) -> str:
        role, name = address.split(":", 1)
        return column_name(role, name) if self.names == "full" else name


def _datetimes(times: Ints) -> list[datetime | None]:
    values: list[datetime | None] = pa.array(times, TIME, mask=times == NO_TIME).to_pylist()
    return values
