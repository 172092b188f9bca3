"""Names that a user of Twinbeam imports; each is loaded when it is first asked for."""

from __future__ import annotations

import importlib
import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipelines.platform import Platform
    from schemas.encoding import Encoding, encode
    from schemas.entity import Entity
    from schemas.errors import (
        DefinitionChanged,
        DefinitionError,
        EventError,
        LaneError,
        RequestError,
        SettingsError,
        StoreError,
        TwinbeamError,
    )
    from schemas.feature import agg, latest
    from schemas.feature_view import FeatureView
    from schemas.on_demand import on_demand
    from schemas.registry import Registry
    from schemas.service import FeatureService
    from schemas.source import Source
    from transforms.evaluate import evaluate, fit

__all__ = [
    "DefinitionChanged",
    "DefinitionError",
    "Encoding",
    "Entity",
    "EventError",
    "FeatureService",
    "FeatureView",
    "LaneError",
    "Platform",
    "Registry",
    "RequestError",
    "SettingsError",
    "Source",
    "StoreError",
    "TwinbeamError",
    "agg",
    "encode",
    "evaluate",
    "fit",
    "latest",
    "on_demand",
]
__version__ = "0.1.0"

_HOMES = {
    "DefinitionChanged": "schemas.errors",
    "DefinitionError": "schemas.errors",
    "Encoding": "schemas.encoding",
    "Entity": "schemas.entity",
    "EventError": "schemas.errors",
    "FeatureService": "schemas.service",
    "FeatureView": "schemas.feature_view",
    "LaneError": "schemas.errors",
    "Platform": "pipelines.platform",
    "Registry": "schemas.registry",
    "RequestError": "schemas.errors",
    "SettingsError": "schemas.errors",
    "Source": "schemas.source",
    "StoreError": "schemas.errors",
    "TwinbeamError": "schemas.errors",
    "agg": "schemas.feature",
    "encode": "schemas.encoding",
    "evaluate": "transforms.evaluate",
    "fit": "transforms.evaluate",
    "latest": "schemas.feature",
    "on_demand": "schemas.on_demand",
}
_EXTRAS = {"schemas": "define", "transforms": "define", "serving": "pipeline", "pipelines": "pipeline"}


def _check_packages() -> None:
    """Refuses to go on where a folder of the user hides one of Twinbeam's packages.

    Raises:
        ImportError: names the folder in the way.
    """
    home = Path(__file__).resolve().parent.parent
    for package in _EXTRAS:
        found = importlib.util.find_spec(package)
        places = [Path(place).resolve() for place in (found.submodule_search_locations or ())] if found else []
        if home / package in places[:1]:
            continue
        if not places and found is None:
            raise ImportError(f"twinbeam is damaged: its package {package!r} is missing from {home}; install it again")
        obstacle = places[0] if places else Path(str(found.origin if found else package))
        raise ImportError(
            f"{obstacle} is in the way: twinbeam has a package of its own named {package!r} (in {home}); "
            "rename it or run from another folder"
        )


def __getattr__(name: str) -> Any:
    """Loads a name of the public surface (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module 'twinbeam' has no attribute {name!r}; it has {', '.join(__all__)}")
    home = _HOMES[name]
    try:
        value = getattr(importlib.import_module(home), name)
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if not missing or missing in _EXTRAS:
            raise
        extra = _EXTRAS[home.partition(".")[0]]
        raise ModuleNotFoundError(
            f"twinbeam.{name} needs the package {missing!r}: pip install 'twinbeam[{extra}]'", name=missing
        ) from error
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """Public names."""
    return sorted(__all__)


_check_packages()
