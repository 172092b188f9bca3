"""Definitions as they are applied: their parts as text, so that two of them can be compared in a user's words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from schemas.durations import duration_text
from schemas.fingerprint import function_fingerprint, sql_tokens
from schemas.types import type_text
from transforms.feature import Feature
from transforms.view import CompiledView

Parts = Mapping[str, str]
_SECRET = ("transform",)
_UNSAID = {"online": "True"}


def view_parts(view: CompiledView) -> dict[str, str]:
    """Parts of a view that its numbers depend on, features apart, by the name a user knows them by."""
    definition = view.view
    parts = {"entity": view.entity.name}
    for name, kind in zip(view.key_names, view.key_types, strict=True):
        parts[f"key {name}"] = type_text(kind)
    for name, text in view.entity.key_from.items():
        parts[f"key_from {name}"] = _sql(text)
    for source in view.sources:
        prefix = f"source {source.name}"
        parts[prefix] = source.name
        for name in ("event_time", "cutover", "sequence", "arrival_time"):
            value = getattr(source, f"{name}_time" if name == "cutover" else name)
            if value is not None:
                parts[f"{prefix} {name}"] = str(value)
        if source.deleted is not None:
            parts[f"{prefix} deleted"] = _sql(source.deleted)
    if definition.transform is not None:
        parts["transform"] = function_fingerprint(definition.transform)
    if definition.explode is not None:
        parts["explode"] = definition.explode
    for name, text in definition.select.items():
        parts[f"select {name}"] = _sql(text)
    if definition.where is not None:
        parts["where"] = _sql(definition.where)
    for field in view.columns:
        if field.name not in definition.select:
            parts[f"column {field.name}"] = type_text(field.type)
    if view.ttl is not None:
        parts["ttl"] = duration_text(view.ttl)
    if definition.expires is not None:
        parts["expires"] = definition.expires
    if view.late is not None:
        parts["late"] = duration_text(view.late)
    parts["ties"] = view.ties
    if not view.online:
        parts["online"] = "False"
    return parts


def feature_parts(view: CompiledView) -> dict[str, dict[str, str]]:
    """Parts of every feature that its numbers depend on, those of its view apart, by name."""
    return {feature.name: _feature_parts(feature, view.view.derive.get(feature.name)) for feature in view.features}


def _feature_parts(feature: Feature, derive: str | None) -> dict[str, str]:
    parts = {"kind": feature.kind}
    if feature.state is not None:
        state = feature.state
        parts["operation"] = f"{state.operation}({', '.join(state.columns)})"
        parts.update((name, repr(value)) for name, value in state.params)
        if state.by is not None:
            parts["by"] = state.by
        if state.where is not None:
            parts["where"] = _sql(state.where)
    if feature.window is not None:
        parts["window"] = duration_text(feature.window.length)
        parts["hop"] = duration_text(feature.window.hop)
        if feature.window.offset:
            parts["offset"] = duration_text(feature.window.offset)
    if feature.column is not None:
        parts["column"] = feature.column
    if feature.kind == "derived" and derive is not None:
        parts["derive"] = _sql(derive)
    if feature.default is not None:
        parts["default"] = repr(feature.default)
    return parts


def row_differences(before: Parts, after: Parts) -> list[str]:
    """Differences between the parts of two views; a column that either of them selects is told by that alone."""
    selected = {name.removeprefix("select ") for name in (*before, *after) if name.startswith("select ")}
    told = {f"column {name}" for name in selected}
    both = ({**_UNSAID, **parts} for parts in (before, after))
    old, new = ({name: text for name, text in parts.items() if name not in told} for parts in both)
    return list(differences(old, new))


def feature_differences(before: Mapping[str, Parts], after: Mapping[str, Parts], same_rows: bool) -> list[str]:
    """What became of the features of a view, by name, apart from what became of their rows."""
    removed = [name for name in before if name not in after]
    found = []
    for name, parts in after.items():
        twin = next((old for old in removed if before[old] == parts), None)
        if name in before:
            changes = list(differences(before[name], parts))
            found += [f"feature changed: {name} ({'; '.join(changes)})"] if changes else []
        elif twin is not None:
            removed.remove(twin)
            found.append(f"feature renamed: {twin} -> {name}")
        elif parts["kind"] == "derived":
            found.append(f"feature added: {name} (derived: stored nowhere)")
        elif same_rows and any(_state(parts) == _state(old) for old in before.values()):
            found.append(f"{'window' if 'window' in parts else 'feature'} added: {name} (state kept)")
        else:
            found.append(f"feature added: {name}")
    return found + [f"feature removed: {name}" for name in removed]


def _state(parts: Parts) -> Parts:
    """Parts of a feature on which its stored state depends."""
    return {name: text for name, text in parts.items() if name not in ("window", "offset", "default")}


def differences(before: Parts, after: Parts) -> Iterator[str]:
    """What became of each part, as "where changed: a -> b", "select x added: b" or "explode removed"."""
    for name in (*before, *(name for name in after if name not in before)):
        if name not in after:
            yield f"{name} removed"
        elif name not in before:
            yield f"{name} added" if _shown(name, after[name]) is None else f"{name} added: {after[name]}"
        elif before[name] != after[name]:
            shown = _shown(name, before[name])
            yield f"{name} changed" if shown is None else f"{name} changed: {shown} -> {after[name]}"


def _shown(name: str, text: str) -> str | None:
    """A part's text, if it says something to a reader."""
    return None if name in _SECRET or name == f"source {text}" else text


def _sql(text: str) -> str:
    """An expression without its looks."""
    return " ".join(sql_tokens(text))
