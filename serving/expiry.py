"""Expiry: tiles that no window can read any more leave the online store; no answer changes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from schemas.state import Block
from serving.stores.base import CellWriter
from transforms.catalog import Catalog
from transforms.cells import cell_start
from transforms.view import CompiledView
from transforms.windows import bounds


def expire(catalog: Catalog, blocks: Mapping[str, Sequence[Block]], store: CellWriter, now: int) -> int:
    """Removes tiles that lie before every window of their block for longer than their view's `late`.

    Views without `late=` keep their tiles.

    Args:
        catalog: compiled definitions.
        blocks: applied blocks of every view.
        store: the online store.
        now: µs.

    Returns:
        How many cells were removed.
    """
    removed = 0
    for name, view in catalog.views.items():
        for block in blocks.get(name, ()):
            before = _before(view, block, now)
            if before is not None:
                removed += store.expire(block.entity, block.id, before)
    return removed


def _before(view: CompiledView, block: Block, now: int) -> int | None:
    """Start of the oldest cell to keep; None to keep all."""
    if view.late is None or block.kind != "tiles" or block.hop is None:
        return None
    held = {state.fingerprint for state in block.states}
    windows = [f.window for f in view.features if f.state is not None and f.state.fingerprint in held]
    firsts = [int(bounds(window, np.asarray([now - view.late]))[0][0]) for window in windows if window is not None]
    return int(cell_start(np.asarray(min(firsts)), block.hop)) if firsts else None
