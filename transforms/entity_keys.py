"""Entity keys: given as columns, or computed from others by SQL, alike in rows, spines and requests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa

from transforms.sql import Expression


@dataclass(frozen=True)
class EntityKeys:
    """Key columns of an entity.

    Attributes:
        names: of the keys, in the order of the entity.
        types: their types.
        asked: column -> type of what a spine, request or row gives: plain keys, then inputs of computed ones.
        computed: key -> expression over the inputs.
    """

    names: tuple[str, ...]
    types: tuple[pa.DataType, ...]
    asked: Mapping[str, pa.DataType]
    computed: Mapping[str, Expression]
