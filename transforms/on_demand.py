"""On-demand features: a user's function over finished features and the request, computed when asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import polars as pl
import pyarrow as pa

from schemas.errors import DefinitionError, Mistake, RequestError
from schemas.fingerprint import fingerprint, function_fingerprint
from schemas.names import column_name
from schemas.on_demand import OnDemand
from schemas.types import TIME, parse_type, type_text
from transforms.feature import Feature
from transforms.frames import plain_column
from transforms.functions import BrokenFunction, Function, FunctionFault, call, fitted
from transforms.generated import generated_rows
from transforms.proof import FAILS, NotRowLocal, prove, row_texts
from transforms.sql import steady

NOW = "now"


@dataclass(frozen=True)
class OnDemandFunction:
    """On-demand function, resolved; a `Computation`.

    Attributes:
        name: of the function, the `view` of its features.
        function: of a polars frame, gives a polars frame of as many rows, row by row.
        inputs: address of each input -> its type, in the order of the definition.
        request: request column -> type.
        features: what it returns, in the order of `returns`.
        fingerprint: 16 hex characters over the function, its inputs, request and returns.
        probe: 16 hex characters over its results on generated rows.
        place: `file:line` of its definition.
    """

    name: str
    function: Function
    inputs: Mapping[str, pa.DataType]
    request: Mapping[str, pa.DataType]
    features: tuple[Feature, ...]
    fingerprint: str
    probe: str
    place: str

    @property
    def schema(self) -> pa.Schema:
        """Columns that it is evaluated on: the inputs by their addresses, the request's columns, `now`."""
        return pa.schema([*self.inputs.items(), *self.request.items(), (NOW, TIME)])

    def compute(self, columns: Mapping[str, pa.Array]) -> dict[str, pa.Array]:
        """Its features for n requests, from the columns of `schema`.

        Raises:
            RequestError: the function failed.
        """
        frame = pl.DataFrame(pl.from_arrow(pa.table({name: columns[name] for name in self.schema.names})))
        return {column.name: plain_column(column.to_arrow()) for column in self.evaluate(frame).get_columns()}

    def evaluate(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Its features for n requests.

        The function sees inputs as `view__feature` columns, the columns of the request by their names, and `now`.

        Args:
            frame: n rows with the columns of `schema`.

        Returns:
            n rows with a column a feature, of its type.

        Raises:
            RequestError: the function failed.
        """
        try:
            return self.result(frame)
        except FunctionFault as fault:
            raise RequestError(f"{self.name}: {fault}") from None

    def result(self, frame: pl.DataFrame) -> pl.DataFrame:
        """The same.

        Raises:
            FunctionFault: the function failed.
            BrokenFunction: its result is not what `returns` says.
        """
        seen = {name: _seen(name) for name in self.schema.names}
        given = steady(frame.select(list(seen)).rename(seen))
        result = call(self.function, given)
        if result.height != given.height:
            raise BrokenFunction(f"gave {result.height} rows for {given.height}: it gives a row for each row, in order")
        columns = []
        for feature in self.features:
            if feature.name not in result.columns:
                raise BrokenFunction(f"gives no column {feature.name!r}, which returns= declares")
            columns.append(fitted(result[feature.name], feature.dtype))
        return pl.DataFrame(columns).head(frame.height)

    def outcomes(self, frame: pl.DataFrame) -> list[str]:
        """One text a row, equal for equal results; the rows are halved until the bad ones stand alone."""
        try:
            return row_texts(self.result(frame))
        except FunctionFault:
            if frame.height == 1:
                return [FAILS]
            middle = frame.height // 2
            return [*self.outcomes(frame.head(middle)), *self.outcomes(frame.slice(middle))]


def compile_on_demand(definition: OnDemand, inputs: Mapping[str, Feature]) -> OnDemandFunction:
    """On-demand function, checked and proven on generated rows.

    Args:
        definition: without structural mistakes.
        inputs: the features that it reads, by address, in the order of the definition.

    Raises:
        DefinitionError: it fails on every generated row, does not give what it declares, or is not row-local.
    """
    name, place = definition.name, definition.place
    request = {column: parse_type(text) for column, text in definition.request.items()}
    returns = {column: parse_type(text) for column, text in definition.returns.items()}
    seen = [_seen(address) for address in inputs]
    twice = next((column for column in request if column in seen), None)
    if twice is not None:
        raise DefinitionError([Mistake(place, name, f"request column {twice!r} has the name of an input's column")])
    try:
        code = function_fingerprint(definition.function)
    except ValueError as error:
        raise DefinitionError([Mistake(place, name, str(error))]) from None
    identity = fingerprint(
        "on_demand",
        code,
        [[address, feature.fingerprint] for address, feature in inputs.items()],
        {column: type_text(kind) for column, kind in request.items()},
        {column: type_text(kind) for column, kind in returns.items()},
    )
    features = tuple(
        Feature(
            name,
            column,
            "on_demand",
            kind,
            fingerprint=fingerprint("on_demand", identity, column),
            description=definition.description,
        )
        for column, kind in returns.items()
    )
    types = {address: feature.dtype for address, feature in inputs.items()}
    made = OnDemandFunction(name, definition.function, types, request, features, identity, "", place)
    problem = _problem(made)
    if problem is not None:
        raise DefinitionError([Mistake(place, name, problem)])
    try:
        texts = prove(made.outcomes, made.schema)
    except NotRowLocal as error:
        raise DefinitionError([Mistake(place, name, str(error))]) from None
    return replace(made, probe=fingerprint(list(texts)))


def _problem(made: OnDemandFunction) -> str | None:
    """How a function breaks its definition, or why it fails for whatever rows; None if it does neither."""
    frame = pl.DataFrame(pl.from_arrow(generated_rows(made.schema)))
    failures = []
    for rows in (frame, frame.tail(1), frame.clear()):
        try:
            made.result(rows)
        except BrokenFunction as fault:
            return str(fault)
        except FunctionFault as fault:
            failures.append(str(fault))
    return f"fails on every generated row: {failures[1]}" if len(failures) == 3 else None


def _seen(name: str) -> str:
    """Name by which the function knows a column: that of an input's address, or its own."""
    view, colon, feature = name.partition(":")
    return column_name(view, feature) if colon else name
