"""Results of reads as pandas frames; needs pandas."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

if TYPE_CHECKING:
    from twinbeam.client.feature_table import FeatureTable

_NULLABLE = {"bool": "boolean", "int8": "Int8", "int16": "Int16", "int32": "Int32", "int64": "Int64"}
_DTYPES = {**{name: name for name in (*_NULLABLE, "float32", "float64")}, "timestamp": "datetime64[us, UTC]"}


def pandas_frame(table: FeatureTable) -> pd.DataFrame:
    """Pandas frame in the nearest dtypes that lose nothing but the difference of null and NaN in floats."""
    columns = {
        name: pd.Series(table.values[old], dtype=_dtype(table.types.get(old, ""), table.values[old]))
        for old, name in table.frame_names().items()
    }
    return pd.DataFrame(columns)


def _dtype(kind: str, values: list[Any]) -> str:
    if kind in _NULLABLE and None in values:
        return _NULLABLE[kind]
    return _DTYPES.get(kind, "object")
