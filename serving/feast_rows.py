"""Which rows of Feast's feature views are events of our sources."""

from __future__ import annotations

from schemas.source import Source
from transforms.catalog import Catalog
from transforms.view import CompiledView


def renamed(view: CompiledView) -> dict[str, str]:
    """Field of the source by feature, of those features of a view that are a field's latest value as it is."""
    definition = view.view
    computed = {*definition.select, *definition.returns}
    return {
        feature.name: feature.column
        for feature in view.features
        if feature.kind == "latest" and feature.column is not None and feature.column not in computed
    }


def written_whole(catalog: Catalog, view: CompiledView, source: Source) -> bool:
    """Whether the keys and features of a view are all that its source is read for: so its rows are the source's."""
    definition = view.view
    others = [each.name for each in catalog.views.values() if source.name in each.rules and each.name != view.name]
    plain = not (definition.where or definition.transform or definition.explode or view.entity.key_from)
    stored = [feature.name for feature in view.features if feature.kind in ("latest", "aggregate")]
    return bool(plain and not others and renamed(view).keys() >= set(stored))
