"""On-demand features: a user's function over finished features and the request, computed when asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import polars as pl
import pyarrow as pa

from transforms.feature import Feature


@dataclass(frozen=True)
class OnDemandFunction:
    """On-demand function, resolved.

    Attributes:
        name: of the function, the `view` of its features.
        function: polars frame in and out, as many rows, row by row.
        inputs: address of each input -> its type, in the order of the definition.
        request: request column -> type.
        features: what it returns, in the order of `returns`.
        fingerprint: 16 hex characters over the function, its inputs, request and returns.
        probe: 16 hex characters over its results on generated rows.
        place: `file:line` of its definition.
    """

    name: str
    function: Callable[[pl.DataFrame], pl.DataFrame]
    inputs: Mapping[str, pa.DataType]
    request: Mapping[str, pa.DataType]
    features: tuple[Feature, ...]
    fingerprint: str
    probe: str
    place: str
