"""Expiry: cells that no window can read any more leave the online store; no answer changes.

What leaves is remembered: before a block's cells are removed, its seal in the store says before which instant. A reader
that would need an older cell is refused, never answered wrongly, and a plan gives a longer window a block of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from schemas.errors import RequestError
from schemas.state import Block
from schemas.window import Window
from serving.deployment import Deployment
from serving.stores.base import SEALED, CellReader, Mark, OnlineStore
from transforms.answers import NO_TIME
from transforms.blocks import answers, holder
from transforms.catalog import Catalog
from transforms.cells import cell_start
from transforms.feature import Feature
from transforms.view import CompiledView
from transforms.windows import bounds

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Horizons:
    """What has left the online store, as it matters now.

    Attributes:
        before: id of a sealed block -> µs before which its cells may be gone.
        now: µs.
    """

    before: Mapping[str, int] = field(default_factory=dict)
    now: int = 0

    @staticmethod
    def read(store: CellReader, deployment: Deployment, now: int) -> Horizons:
        """Horizons of all applied blocks."""
        ids = [block.id for blocks in deployment.blocks.values() for block in blocks]
        return Horizons({mark.log: mark.offset for mark in store.marks(ids) if mark.lane == SEALED}, now)

    def limit(self, block: Block, view: CompiledView) -> Block:
        """The block, told how far back it answers if a feature of the view would look further than what is left."""
        horizon = self.before.get(block.id)
        if horizon is None:
            return block
        windows = [f.window for f in view.features if f.window is not None and answers(block, f)]
        there = [window.reach for window in windows if _first(window, self.now) >= horizon]
        return block if len(there) == len(windows) else replace(block, reach=max(there, default=0))


def expire(catalog: Catalog, deployment: Deployment, store: OnlineStore, now: int) -> int:
    """Removes cells that lie before every window of their block for longer than their view's `late`.

    Views without `late=`, those that are not applied as they are defined here, and blocks that are still being filled
    keep their cells.

    Args:
        catalog: compiled definitions.
        deployment: what is applied.
        store: the online store.
        now: µs.

    Returns:
        How many cells were removed.
    """
    removed, sealed = 0, Horizons.read(store, deployment, now).before
    for name, view in catalog.views.items():
        applied = deployment.views.get(name)
        if applied is None or applied.fingerprints != {f.name: f.fingerprint for f in view.features}:
            continue
        for block in applied.blocks:
            before = _before(view, applied.blocks, block, now)
            if before is not None and before > 1 and block.id in sealed:
                store.write(block.entity, [], [Mark(block.id, SEALED, before, 0)])
                removed += store.expire(block.entity, block.id, before)
    return removed


def check_reach(features: Iterable[Feature], instants: Ints, horizon: int) -> None:
    """Refuses answers for which cells may be gone.

    Args:
        features: those asked for of one block.
        instants: int64[n], µs, of the answers; `NO_TIME` where there is none.
        horizon: µs before which its cells may be gone; 1 if none is.

    Raises:
        RequestError: a window reaches back beyond the horizon.
    """
    for feature in features:
        if horizon <= 1 or feature.window is None or not len(instants):
            continue
        if (instants == NO_TIME).any() or int(bounds(feature.window, instants)[0].min()) < horizon:
            limit = np.datetime64(horizon, "us").item().isoformat()
            raise RequestError(
                f"{feature.address}: its window reaches back before {limit}Z, and older state has expired; for a time "
                "in the past use training_set, for a longer window run twinbeam plan, then twinbeam apply"
            )


def _before(view: CompiledView, blocks: Sequence[Block], block: Block, now: int) -> int | None:
    """Start of the oldest cell to keep; None to keep all."""
    if view.late is None or block.kind != "tiles" or block.hop is None:
        return None
    held = {state.fingerprint for state in block.states}
    readers = [f for f in view.features if f.state is not None and f.state.fingerprint in held]
    windows = [f.window for f in readers if holder(f, blocks) is block]
    firsts = [_first(window, now - view.late) for window in windows if window is not None]
    return int(cell_start(np.asarray(min(firsts)), block.hop)) if firsts else None


def _first(window: Window, instant: int) -> int:
    return int(bounds(window, np.asarray([instant]))[0][0])
