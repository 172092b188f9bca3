"""Former blocks: what a feature group is read from while the block that its new features need is filled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pipelines.clock import Clock
from pipelines.project import Project
from pipelines.serving_calls import Instant, instant
from schemas.errors import StoreError
from schemas.state import Block
from serving.deployment import Deployment
from serving.online import OnlineReader, PreparedRead
from serving.stores.base import SEALED
from transforms.blocks import answers
from transforms.catalog import Catalog
from transforms.features import Features
from transforms.selection import Selection
from transforms.view import CompiledView


class FormerReader:
    """Reads features from blocks that are fed no more; such answers are not logged, for no audit knows the blocks.

    Args:
        read: the read.
        clock: tells the time.
    """

    def __init__(self, read: PreparedRead, clock: Clock) -> None:
        self._read, self._clock = read, clock

    @property
    def selection(self) -> Selection:
        """The features."""
        return self._read.selection

    def get(
        self,
        keys: Any,
        request: Mapping[str, Any] | None = None,
        now: Instant = None,
        fingerprint: str | None = None,
    ) -> Features:
        """Features of entities now, by what had been folded of them."""
        return self._read.get(keys, request, None if now is None else instant(now), self._clock.now(), 0.0).features


def former_readers(project: Project, deployment: Deployment, catalog: Catalog) -> dict[str, FormerReader]:
    """Readers of the features that feature groups had before, by view; of groups that are not filled yet alone."""
    views = [catalog.views[group.view_name] for group in project.registry.groups if group.online]
    blocks = {view.name: deployment.blocks.get(view.name, ()) for view in views}
    try:
        sealed = _sealed(project, [block for of_view in blocks.values() for block in of_view])
        filling = [view for view in views if any(block.id not in sealed for block in blocks[view.name])]
        history = Deployment.history(project.offline) if filling else []
        found = {view.name: _before(project, view, history) for view in filling}
    except StoreError:
        return {}  # It is away; reads say so.
    readers = {}
    for view in filling:
        held = [
            feature.address for feature in view.features if any(answers(block, feature) for block in found[view.name])
        ]
        if held:
            read = OnlineReader(found, project.online).prepare(catalog.select(held))
            readers[view.name] = FormerReader(read, project.clock)
    return readers


def _before(project: Project, view: CompiledView, history: Sequence[Deployment]) -> tuple[Block, ...]:
    """The newest blocks that the view ever had and that were filled."""
    for deployment in reversed(history):
        blocks = deployment.blocks.get(view.name, ())
        own = blocks and all(block.entity == view.entity.name and block.ties == view.ties for block in blocks)
        if own and len(_sealed(project, blocks)) == len(blocks):
            return blocks
    return ()


def _sealed(project: Project, blocks: Sequence[Block]) -> set[str]:
    """Ids of those of some blocks that are filled."""
    marks = project.online.marks([block.id for block in blocks]) if blocks else ()
    return {mark.log for mark in marks if mark.lane == SEALED}
