"""Fingerprint of the rows of a view: of all that changes them, and nothing else."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from schemas.feature_view import FeatureView
from schemas.fingerprint import fingerprint, function_fingerprint, sql_tokens
from schemas.source import Source
from schemas.types import type_text
from transforms.entity_keys import EntityKeys


def rows_fingerprint(view: FeatureView, keys: EntityKeys, columns: pa.Schema) -> str:
    """16 hex characters over entity keys, sources, row rules and resolved types.

    Args:
        view: without mistakes.
        keys: of its entity.
        columns: of its rows.
    """
    return fingerprint(
        "rows",
        [[name, type_text(kind)] for name, kind in zip(keys.names, keys.types, strict=True)],
        {name: sql_tokens(expression.text) for name, expression in keys.computed.items()},
        sorted((_source(source) for source in view.sources), key=lambda parts: str(parts[0])),
        None if view.transform is None else function_fingerprint(view.transform),
        view.explode,
        {name: sql_tokens(text) for name, text in view.select.items()},
        None if view.where is None else sql_tokens(view.where),
        {field.name: type_text(field.type) for field in columns},
    )


def _source(source: Source) -> list[Any]:
    deleted = None if source.deleted is None else sql_tokens(source.deleted)
    types = {field.name: type_text(field.type) for field in source.resolved_fields}
    times = [source.event_time, source.cutover_time, source.sequence, source.arrival_time]
    return [source.name, *times, deleted, types]
