"""Results of reads as Arrow tables; needs pyarrow."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from schemas.types import parse_type

if TYPE_CHECKING:
    from twinbeam.client.feature_table import FeatureTable


def arrow_table(table: FeatureTable) -> pa.Table:
    """Arrow table in the types that the server told."""
    columns = {
        name: pa.array(table.values[old], parse_type(table.types[old]) if old in table.types else None)
        for old, name in table.frame_names().items()
    }
    return pa.table(columns).replace_schema_metadata({"twinbeam.fingerprint": table.fingerprint})
