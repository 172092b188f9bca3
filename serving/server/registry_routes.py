"""Routes of the registry: what there is, found and shown with its lineage, as far as the caller may see it."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from schemas.types import type_text
from serving.lineage import Entry, entries
from serving.server.messages import Request, Response
from serving.server.openapi_parts import REGISTRY, SEARCH, SHOW
from serving.server.ports import Backend
from serving.server.problems import Problem
from serving.server.push_routes import pushable
from serving.server.routing import Route
from serving.server.visible import Sight, Visible
from transforms.catalog import Catalog
from transforms.requests import column_types

_MOST = 1_000


class RegistryRoutes:
    """Shows definitions.

    Args:
        backend: the project.
        sight: what callers may see.
    """

    def __init__(self, backend: Backend, sight: Sight) -> None:
        self._backend, self._sight = backend, sight
        self._catalog: Catalog | None = None
        self._entries: list[Entry] = []

    def routes(self) -> list[Route]:
        """The routes."""
        return [
            Route("GET", "/v1/registry", self.all, operation=REGISTRY),
            Route("GET", "/v1/registry/search", self.search, operation=SEARCH),
            Route("GET", "/v1/registry/features/{address}", self.show, operation=SHOW),
        ]

    def all(self, request: Request) -> Response:
        """Entities, sources, views, services and on-demand functions."""
        reads = self._backend.reads
        catalog, visible = reads.catalog, self._sight.of(reads.catalog, request.caller)
        registry = catalog.registry
        sources = visible.sources | pushable(catalog, request.caller).keys()
        body = {
            "project": self._backend.project,
            "version": reads.version,
            "views": [_view(catalog, name) for name in catalog.views if name in visible.names],
            "aliases": [
                {"name": role, "view": alias.view.name, "keys": dict(alias.keys)}
                for role, alias in registry.aliases.items()
                if role in visible.names
            ],
            "on_demand": [
                {
                    "name": name,
                    "inputs": list(function.inputs),
                    "request": {column: type_text(kind) for column, kind in function.request.items()},
                    "features": [feature.name for feature in function.features],
                }
                for name, function in catalog.on_demand.items()
                if name in visible.names
            ],
            "services": [_service(catalog, name) for name in registry.services if name in visible.names],
            "sources": [
                {
                    "name": name,
                    "fields": {field.name: field.text for field in source.resolved_fields},
                    "event_time": source.event_time,
                    "topic": self._backend.publishing.topic(name) is not None,
                }
                for name, source in registry.sources.items()
                if name in sources
            ],
        }
        return Response.json(body)

    def search(self, request: Request) -> Response:
        """Features whose address, description, owner, tags, entity or source hold every word."""
        query = request.query
        legal = ("q", "entity", "owner", "tag", "limit")
        for name in query:
            if name not in legal:
                raise Problem(400, f"unknown name {name!r}", where="query", legal=legal, given=name)
        words = [word.lower() for text in query.get("q", []) for word in text.split()]
        limit = query.get("limit", [str(_MOST)])[-1]
        if not (limit.isascii() and limit.isdigit()) or not 0 < int(limit) <= _MOST:
            raise Problem(400, f"{limit!r} is not legal: give a number from 1 to {_MOST}", where="query limit")
        tags = [tag.partition("=") for tag in query.get("tag", [])]
        visible = self._sight.of(self._backend.reads.catalog, request.caller)
        found = [
            _shown(entry, visible)
            for entry in self._known()
            if _seen(entry, visible)
            and all(word in entry.text for word in words)
            and all(entry.entity == name for name in query.get("entity", []))
            and all(entry.owner == name for name in query.get("owner", []))
            and all(entry.tags.get(name) == value for name, _, value in tags)
        ]
        return Response.json({"found": len(found), "features": found[: int(limit)]})

    def show(self, request: Request) -> Response:
        """One feature, what it is made of and what is made of it."""
        asked = request.params["address"]
        visible = self._sight.of(self._backend.reads.catalog, request.caller)
        known = {entry.address: entry for entry in self._known() if _seen(entry, visible)}
        if asked not in known:
            raise Problem(
                404, f"there is no feature {asked!r} that may be read here", "address", sorted(known), given=asked
            )
        return Response.json(_shown(known[asked], visible))

    def _known(self) -> list[Entry]:
        catalog = self._backend.reads.catalog
        if catalog is not self._catalog:
            self._catalog, self._entries = catalog, entries(catalog)
        return self._entries


def _seen(entry: Entry, visible: Visible) -> bool:
    return entry.address.partition(":")[0] in visible.names


def _shown(entry: Entry, visible: Visible) -> dict[str, Any]:
    """An entry without the names that are not to be seen."""
    found = asdict(entry)
    del found["place"]
    found["roles"] = [role for role in entry.roles if role in visible.names]
    found["downstream"] = [user for user in entry.downstream if _name(user) in visible.names]
    return found


def _name(user: str) -> str:
    """Name of the view, function or service that uses a feature, from its text in a lineage."""
    return user.rpartition(" ")[2].partition(":")[0]


def _view(catalog: Catalog, name: str) -> dict[str, Any]:
    view = catalog.views[name]
    return {
        "name": name,
        "entity": view.entity.name,
        "keys": {key: type_text(kind) for key, kind in view.keys.asked.items()},
        "sources": [source.name for source in view.sources],
        "owner": view.view.owner,
        "tags": dict(view.view.tags),
        "description": view.view.description,
        "online": view.online,
        "features": [
            {
                "address": feature.address,
                "kind": feature.kind,
                "type": type_text(feature.dtype),
                "description": feature.description,
            }
            for feature in view.features
        ],
    }


def _service(catalog: Catalog, name: str) -> dict[str, Any]:
    selection = catalog.select(name)
    asked = {column: type_text(kind) for column, kind in column_types(selection).items()}
    return {
        "name": name,
        "features": [output.address for output in selection.outputs],
        "keys": {column: text for column, text in asked.items() if column not in selection.request},
        "request": {column: text for column, text in asked.items() if column in selection.request},
        "fingerprint": selection.fingerprint,
    }
