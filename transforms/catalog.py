"""The catalog: every definition of a project resolved, or every mistake in them told at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from schemas.registry import Registry
from transforms.on_demand import OnDemandFunction
from transforms.view import CompiledView


@dataclass(frozen=True)
class Catalog:
    """Compiled definitions.

    Attributes:
        registry: the definitions.
        views: by name.
        on_demand: functions by name.
    """

    registry: Registry
    views: Mapping[str, CompiledView]
    on_demand: Mapping[str, OnDemandFunction]
