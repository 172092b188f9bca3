"""The deployment: which definitions were applied to the stores, which blocks hold their state, and since when."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import polars as pl
import pyarrow as pa

from schemas.errors import DefinitionChanged, RequestError, StoreError
from schemas.state import Block
from schemas.types import TIME
from serving.stores.delta import Conflict
from serving.stores.offline import OfflineStore
from transforms.blocks import assign_blocks
from transforms.catalog import Catalog

TABLE = "registry"
FORMAT = 1
ENGINES = ("polars", "pyarrow", "numpy", "sqlglot")
_PLACE = ("registry", "")
_SCHEMA = pa.schema(
    [
        pa.field("version", pa.int64()),
        pa.field("applied_at", TIME),
        pa.field("applied_by", pa.string()),
        pa.field("document", pa.string()),
    ]
)


@dataclass(frozen=True)
class AppliedView:
    """One view as it was applied.

    Attributes:
        name: of the view.
        entity: name of its entity.
        sources: names of its sources.
        rows_fingerprint: of its rows.
        probe: hash of what its rules gave for generated rows when it was applied.
        blocks: where its state lies.
        parts: its definition, see `serving.definition`.
        features: name -> parts of each feature.
        fingerprints: name -> fingerprint of each feature.
    """

    name: str
    entity: str
    sources: tuple[str, ...]
    rows_fingerprint: str
    probe: str
    blocks: tuple[Block, ...]
    parts: Mapping[str, str]
    features: Mapping[str, Mapping[str, str]]
    fingerprints: Mapping[str, str]

    @property
    def online(self) -> bool:
        """Whether it is applied with features online."""
        return self.parts.get("online") != "False"

    def to_json(self) -> dict[str, Any]:
        """Plain JSON value from which `from_json` makes an equal one."""
        return {
            "name": self.name,
            "entity": self.entity,
            "sources": list(self.sources),
            "rows_fingerprint": self.rows_fingerprint,
            "probe": self.probe,
            "blocks": [block.to_json() for block in self.blocks],
            "parts": dict(self.parts),
            "features": {name: dict(parts) for name, parts in self.features.items()},
            "fingerprints": dict(self.fingerprints),
        }

    @staticmethod
    def from_json(value: dict[str, Any]) -> AppliedView:
        """Applied view from its JSON value."""
        blocks = tuple(Block.from_json(block) for block in value["blocks"])
        return AppliedView(**{**value, "sources": tuple(value["sources"]), "blocks": blocks})


@dataclass(frozen=True)
class Deployment:
    """All that is applied.

    Attributes:
        version: counts the applications, from 1 on; 0: nothing was applied yet.
        applied_at: µs.
        applied_by: who did it.
        views: by name.
        services: name -> [address, view, fingerprint] of every feature that it needs.
        on_demand: name -> (fingerprint, probe).
        retired: ids of blocks that were given up; never given out again, since stores may still hold their cells.
        engines: package -> version of what computed the probes.
        encoders: encoding -> version of the artefact that it is applied by.
    """

    version: int = 0
    applied_at: int = 0
    applied_by: str = ""
    views: Mapping[str, AppliedView] = field(default_factory=dict)
    services: Mapping[str, tuple[tuple[str, str, str], ...]] = field(default_factory=dict)
    on_demand: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    retired: frozenset[str] = frozenset()
    engines: Mapping[str, str] = field(default_factory=dict)
    encoders: Mapping[str, str] = field(default_factory=dict)

    @property
    def blocks(self) -> dict[str, tuple[Block, ...]]:
        """Blocks by the name of their view."""
        return {name: view.blocks for name, view in self.views.items()}

    @staticmethod
    def load(offline: OfflineStore) -> Deployment:
        """What was applied last; an empty deployment if nothing was.

        Raises:
            StoreError: the registry cannot be read.
        """
        versions = offline.read(TABLE, ["version"], schema=_SCHEMA).column(0).to_pylist()
        if not versions:
            return Deployment()
        newest = max(versions)
        found = offline.read(TABLE, ["document"], pl.col("version") == newest)
        return Deployment.from_json(found.column(0)[0].as_py())

    @staticmethod
    def newest(offline: OfflineStore) -> int:
        """Version of what was applied last, 0 if nothing was; cheap enough to be asked every few seconds."""
        return offline.positions(TABLE).get(_PLACE, 0)

    @staticmethod
    def history(offline: OfflineStore) -> list[Deployment]:
        """Everything that was ever applied, oldest first."""
        rows = offline.read(TABLE, schema=_SCHEMA).sort_by("version")
        return [Deployment.from_json(text) for text in rows.column("document").to_pylist()]

    def save(self, offline: OfflineStore) -> None:
        """Makes this the deployment; earlier ones stay in the history.

        Raises:
            StoreError: the registry cannot be written, or somebody else has applied something since this was planned.
        """
        late = f"{offline.root}/{TABLE}: something else was applied meanwhile; run twinbeam plan again, then apply"
        if offline.positions(TABLE).get(_PLACE, 0) != self.version - 1:
            raise StoreError(late)
        columns = [[self.version], [self.applied_at], [self.applied_by], [self.to_json()]]
        arrays = [pa.array(column, field.type) for column, field in zip(columns, _SCHEMA, strict=True)]
        try:
            offline.append(TABLE, [pa.RecordBatch.from_arrays(arrays, schema=_SCHEMA)], {_PLACE: self.version})
        except Conflict as error:
            raise StoreError(late) from error

    def check_engine(self, catalog: Catalog) -> None:
        """Refuses definitions that are unchanged and still give other results than when they were applied.

        Raises:
            DefinitionChanged: an engine was upgraded, and computes something else now.
        """
        wrong = [
            name
            for name, view in catalog.views.items()
            if name in self.views
            and self.views[name].rows_fingerprint == view.rows_fingerprint
            and self.views[name].probe != view.probe
        ]
        wrong += [
            name
            for name, function in catalog.on_demand.items()
            if self.on_demand.get(name, ("", ""))[0] == function.fingerprint
            and self.on_demand[name][1] != function.probe
        ]
        if wrong:
            now = engine_versions()
            changed = [f"{name} {was} -> {now.get(name)}" for name, was in self.engines.items() if now.get(name) != was]
            raise DefinitionChanged(
                f"{', '.join(sorted(wrong))}: unchanged, but gives other results for the same rows than when it was "
                f"applied: an engine was upgraded ({', '.join(changed) or 'no package version tells which'}). Go back "
                "to the earlier version, or give it rows of its own by a column that says so, as in "
                """select={"engine": "2"}, and apply that"""
            )

    def check_applied(self, catalog: Catalog) -> None:
        """Refuses to run definitions that were not applied as they are.

        Raises:
            RequestError: a view is new or its rows or states have changed since.
        """
        wrong = []
        for name, view in catalog.views.items():
            applied = self.views.get(name)
            blocks = [block for block in self.blocks.get(name, ()) if block.entity == view.entity.name]
            same_rows = applied is not None and applied.rows_fingerprint == view.rows_fingerprint
            if not same_rows or any(block not in blocks for block in assign_blocks(view, blocks)):
                wrong.append(name)
        if wrong:
            raise RequestError(
                f"{', '.join(wrong)}: not applied as defined now; run twinbeam plan, then twinbeam apply"
            )

    def to_json(self) -> str:
        """JSON text from which `from_json` makes an equal deployment."""
        value = {
            "format": FORMAT,
            "version": self.version,
            "applied_at": self.applied_at,
            "applied_by": self.applied_by,
            "views": [view.to_json() for view in self.views.values()],
            "services": {name: [list(use) for use in uses] for name, uses in self.services.items()},
            "on_demand": {name: list(prints) for name, prints in self.on_demand.items()},
            "retired": sorted(self.retired),
            "engines": dict(self.engines),
            "encoders": dict(self.encoders),
        }
        return json.dumps(value, indent=1, ensure_ascii=False)

    @staticmethod
    def from_json(text: str) -> Deployment:
        """Deployment from its JSON text.

        Raises:
            StoreError: it is no deployment, or one of another version.
        """
        try:
            value = json.loads(text)
            if value["format"] != FORMAT:
                raise StoreError(f"registry: format {value['format']}, this version reads {FORMAT}; upgrade twinbeam")
            views = [AppliedView.from_json(view) for view in value["views"]]
            return Deployment(
                value["version"],
                value["applied_at"],
                value["applied_by"],
                {view.name: view for view in views},
                {name: tuple((use[0], use[1], use[2]) for use in uses) for name, uses in value["services"].items()},
                {name: (prints[0], prints[1]) for name, prints in value["on_demand"].items()},
                frozenset(value["retired"]),
                value["engines"],
                value.get("encoders", {}),
            )
        except (ValueError, KeyError, TypeError, IndexError) as error:
            raise StoreError(
                f"registry: this is no export of a registry ({type(error).__name__}: {error}); "
                "expected the JSON text of a Deployment"
            ) from error


def engine_versions() -> dict[str, str]:
    """Versions of the packages that compute."""
    found = {}
    for name in ENGINES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
