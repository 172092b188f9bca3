"""Blocks: which states of a view share cells, and which of those a store already holds."""

from __future__ import annotations

from collections.abc import Sequence

from schemas.errors import RequestError
from schemas.fingerprint import fingerprint
from schemas.state import Block, StateSpec
from schemas.types import type_text
from transforms.feature import Feature
from transforms.view import CompiledView


def assign_blocks(view: CompiledView, stored: Sequence[Block] = ()) -> tuple[Block, ...]:
    """Blocks that hold every state of a view: those stored, then new ones for what they lack.

    A stored block stays as it is, whole, while the rows that it is folded from are the same and some feature still
    reads it; states that no such block holds, or not far enough back for every feature, get one new block per hop, so
    that only they are backfilled. A view that is offline only has none.

    Args:
        view: the compiled view.
        stored: blocks applied earlier, of any view.

    Returns:
        Blocks, stored ones first and in their order.
    """
    if not view.online:
        return ()
    fitting = [
        block
        for block in stored
        if block.view == view.name
        and block.rows_fingerprint == view.rows_fingerprint
        and (block.kind != "latest" or block.ties == view.ties)
    ]
    read = {next((block.id for block in fitting if answers(block, feature)), "") for feature in view.features}
    kept = [block for block in fitting if block.id in read]
    lacking = {
        feature.state.fingerprint
        for feature in view.features
        if feature.state is not None and not any(answers(block, feature) for block in kept)
    }
    by_hop: dict[int | None, list[StateSpec]] = {}
    for state in view.states:
        if state.fingerprint in lacking:
            by_hop.setdefault(state.hop, []).append(state)
    new = [_tiles_block(view, hop, states) for hop, states in by_hop.items()]
    latest = [feature for feature in view.features if feature.kind == "latest"]
    missing = {name for f in latest if not any(answers(block, f) for block in kept) for name in _columns_of(f)}
    if missing:
        columns = tuple((name, view.columns.field(name).type) for name in sorted(missing))
        names = [f"{name}:{type_text(kind)}" for name, kind in columns]
        identity = fingerprint("latest", view.rows_fingerprint, view.ties, names)
        new.append(
            Block(identity, view.name, view.entity.name, "latest", None, (), columns, view.rows_fingerprint, view.ties)
        )
    return (*kept, *new)


def _tiles_block(view: CompiledView, hop: int | None, states: Sequence[StateSpec]) -> Block:
    ordered = tuple(sorted(states, key=lambda state: state.fingerprint))
    identity = fingerprint("tiles", view.rows_fingerprint, hop, [state.fingerprint for state in ordered])
    return Block(identity, view.name, view.entity.name, "tiles", hop, ordered, (), view.rows_fingerprint, view.ties)


def _columns_of(feature: Feature) -> set[str]:
    """Columns that a latest feature is answered from."""
    return {name for name in (feature.column, feature.expires) if name is not None}


def answers(block: Block, feature: Feature) -> bool:
    """Whether a feature can be answered from a block: it holds what the feature needs, and far enough back."""
    if feature.state is None:
        return block.kind == "latest" and _columns_of(feature) <= {name for name, _ in block.columns}
    near = block.reach is None or (feature.window is not None and feature.window.reach <= block.reach)
    return near and any(state.fingerprint == feature.state.fingerprint for state in block.states)


def holder(feature: Feature, blocks: Sequence[Block]) -> Block:
    """The block that holds what a stored feature is answered from.

    Raises:
        RequestError: no block does: the definition has not been applied.
    """
    for block in blocks:
        if answers(block, feature):
            return block
    raise RequestError(f"{feature.view}:{feature.name}: not applied yet; run twinbeam apply")
