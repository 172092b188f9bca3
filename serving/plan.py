"""Plans: what applying the definitions would do to the stored state, and the deployment that it leads to."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace

from schemas.errors import RequestError, did_you_mean
from schemas.fingerprint import fingerprint
from schemas.state import Block
from serving.definition import feature_differences, feature_parts, row_differences, view_parts
from serving.deployment import AppliedView, Deployment, engine_versions
from serving.expiry import Horizons
from serving.tables import events_table, rows_table
from transforms.blocks import assign_blocks
from transforms.catalog import Catalog
from transforms.view import CompiledView

ADDED, CHANGED, REMOVED = "added", "changed", "removed"
KEPT, NEW_BLOCK, NEW, DISCARDED = "kept", "new block", "new", "discarded"
ACCEPT = ("state",)
Uses = Mapping[str, tuple[tuple[str, str, str], ...]]


@dataclass(frozen=True)
class PlannedView:
    """What becomes of one view.

    Attributes:
        view: its name.
        change: "added", "changed" or "removed".
        causes: the parts of its definition that say so.
        state: "kept", "new block" (kept, and what is new is filled from history), "new" (all of it) or "discarded" (all
            that was online; rows offline stay).
        backfill: rows (of a new view: events) to fold again; None if unknown.
        services: feature services that give other features or other numbers from then on, or none at all online.
        lost: ids of blocks whose state would be given up.
    """

    view: str
    change: str
    causes: tuple[str, ...]
    state: str
    backfill: int | None
    services: tuple[str, ...]
    lost: tuple[str, ...] = ()


@dataclass(frozen=True)
class Plan:
    """What applying the definitions would do.

    Attributes:
        views: those that something becomes of, in the order of the definitions, removed ones last.
        deployment: what would be applied; its time and author are still to be filled in.
    """

    views: tuple[PlannedView, ...]
    deployment: Deployment

    @property
    def changes(self) -> bool:
        """Whether there is anything to apply."""
        return bool(self.views)

    @property
    def exit_code(self) -> int:
        """Of `twinbeam plan`: 0 nothing to do, 2 changes."""
        return 2 if self.changes else 0

    @property
    def discards(self) -> tuple[str, ...]:
        """Views whose stored state, or some of it, would be given up."""
        return tuple(planned.view for planned in self.views if planned.lost)

    def to_json(self) -> str:
        """JSON text: `changes`, and per view the attributes of `PlannedView`."""
        views = [
            {
                "view": planned.view,
                "change": planned.change,
                "causes": list(planned.causes),
                "state": planned.state,
                "backfill": planned.backfill,
                "services": list(planned.services),
                "discards": bool(planned.lost),
            }
            for planned in self.views
        ]
        return json.dumps({"changes": self.changes, "views": views}, indent=2, ensure_ascii=False)

    def to_markdown(self) -> str:
        """A table, for a comment on a pull request."""
        if not self.views:
            return "Nothing to apply: the stores hold the state of these definitions."
        lines = ["| view | change | cause | state | rows to backfill | services |", "|---|---|---|---|--:|---|"]
        for row in self.views:
            causes = "<br>".join(cause.replace("|", "\\|") for cause in row.causes)
            cells = [f"`{row.view}`", row.change, causes, _state(row), _count(row.backfill), ", ".join(row.services)]
            lines.append(f"| {' | '.join(cells)} |")
        return "\n".join(lines)

    def to_text(self) -> str:
        """Lines for a terminal."""
        if not self.views:
            return "Nothing to apply: the stores hold the state of these definitions."
        lines = []
        for row in self.views:
            lines.append(f"{row.view}: {row.change}, state {_state(row)}")
            lines += [f"    {cause}" for cause in row.causes]
            if row.backfill != 0:
                lines.append(f"    rows to backfill: {_count(row.backfill)}")
            if row.services:
                lines.append(f"    services hit: {', '.join(row.services)}")
        return "\n".join(lines)


def plan(
    catalog: Catalog,
    deployment: Deployment,
    stored_rows: Callable[[str], int] | None,
    horizons: Horizons | None = None,
) -> Plan:
    """What applying the definitions would do.

    Args:
        catalog: compiled definitions.
        deployment: what is applied now.
        stored_rows: rows of an offline table by its name; None without a store.
        horizons: what has expired from the online store; None if nothing, or without a store.
    """
    services = service_uses(catalog)
    applied: dict[str, AppliedView] = {}
    planned: list[PlannedView] = []
    given_out = deployment.retired | {block.id for blocks in deployment.blocks.values() for block in blocks}
    for name, view in catalog.views.items():
        before = deployment.views.get(name)
        after = _applied(view, before, given_out, horizons or Horizons())
        applied[name] = after
        switched = before is not None and before.online != after.online
        hit = (_users if switched else _hit)(name, deployment.services, services)
        row = _added(after, hit, stored_rows) if before is None else _changed(before, after, hit, stored_rows)
        if row is not None:
            planned.append(row)
    for name, before in deployment.views.items():
        if name not in applied:
            lost = tuple(block.id for block in before.blocks)
            hit = _hit(name, deployment.services, services)
            planned.append(PlannedView(name, REMOVED, ("view removed",), DISCARDED, 0, hit, lost))
    now = {block.id for after in applied.values() for block in after.blocks}
    functions = {
        name: (function.fingerprint, _probe(deployment.on_demand.get(name), function.fingerprint, function.probe))
        for name, function in catalog.on_demand.items()
    }
    retired = given_out - now
    version = deployment.version + 1
    upgraded = any(applied[name].probe != view.probe for name, view in catalog.views.items())
    engines = deployment.engines if upgraded else engine_versions()
    target = Deployment(version, 0, "", applied, services, functions, retired, engines, deployment.encoders)
    return Plan(tuple(planned), target)


def apply(plan: Plan, accept: str | None, now: int, who: str) -> Deployment:
    """The deployment of a plan, to be saved.

    Args:
        plan: what to apply.
        accept: "state" agrees to giving up state that was stored.
        now: µs.
        who: who applies it.

    Raises:
        RequestError: state would be given up and that was not accepted, or `accept` has no legal value.
    """
    if accept is not None and accept not in ACCEPT:
        raise RequestError(
            f"accept={accept!r}: legal is {', '.join(map(repr, ACCEPT))}, or nothing.{did_you_mean(accept, ACCEPT)}"
        )
    if plan.discards and accept != "state":
        raise RequestError(
            f"{', '.join(plan.discards)}: applying this gives up stored state, which would have to be filled again "
            'from history; look at the plan, and accept that with accept="state" (--accept state)'
        )
    return replace(plan.deployment, applied_at=now, applied_by=who)


def anew(catalog: Catalog, deployment: Deployment, views: Collection[str], now: int, who: str) -> Deployment:
    """The deployment with new blocks, under ids that no store has seen, for some views; to be saved.

    Args:
        catalog: compiled definitions, applied as they are.
        deployment: what is applied now.
        views: names of the views whose state is to be filled again.
        now: µs.
        who: who wants it.
    """
    given_out = deployment.retired | {block.id for blocks in deployment.blocks.values() for block in blocks}
    renewed = {
        name: _applied(catalog.views[name], replace(before, blocks=()), given_out, Horizons())
        if name in views
        else before
        for name, before in deployment.views.items()
    }
    held = {block.id for view in renewed.values() for block in view.blocks}
    return replace(
        deployment,
        version=deployment.version + 1,
        applied_at=now,
        applied_by=who,
        views=renewed,
        retired=given_out - held,
    )


def service_uses(catalog: Catalog) -> dict[str, tuple[tuple[str, str, str], ...]]:
    """Address, view and fingerprint of every stored or derived feature that each feature service needs."""
    return {
        name: tuple(
            (output.address, output.feature.view, output.feature.fingerprint)
            for output in catalog.select(name).needed()
            if output.view is not None
        )
        for name in catalog.registry.services
    }


def _applied(
    view: CompiledView, before: AppliedView | None, given_out: frozenset[str], horizons: Horizons
) -> AppliedView:
    """The view as it would be applied; blocks that are new get ids that no store has ever seen."""
    found = () if before is None else before.blocks
    stored = [horizons.limit(block, view) for block in found if block.entity == view.entity.name]
    blocks = tuple(block if block in stored else _renamed(block, given_out) for block in assign_blocks(view, stored))
    known = None if before is None else (before.rows_fingerprint, before.probe)
    return AppliedView(
        view.name,
        view.entity.name,
        tuple(source.name for source in view.sources),
        view.rows_fingerprint,
        _probe(known, view.rows_fingerprint, view.probe),
        blocks,
        view_parts(view),
        feature_parts(view),
        {feature.name: feature.fingerprint for feature in view.features},
    )


def _probe(before: tuple[str, str] | None, fingerprint: str, probe: str) -> str:
    """The probe of a definition when it was first applied: an upgraded engine must not slip in with another change."""
    return before[1] if before is not None and before[0] == fingerprint else probe


def _renamed(block: Block, given_out: frozenset[str]) -> Block:
    """The block under an id that was never given out: marks and cells of a block that was given up stay its own."""
    again = 1
    identity = block.id
    while identity in given_out:
        again += 1
        identity = fingerprint(block.id, again)
    return replace(block, id=identity)


def _added(after: AppliedView, hit: tuple[str, ...], stored_rows: Callable[[str], int] | None) -> PlannedView:
    causes = ("view added",) if after.online else ("view added", "offline only: online=False")
    return PlannedView(after.name, ADDED, causes, NEW, _events(after, stored_rows), hit)


def _changed(
    before: AppliedView, after: AppliedView, hit: tuple[str, ...], stored_rows: Callable[[str], int] | None
) -> PlannedView | None:
    old, new = {block.id for block in before.blocks}, {block.id for block in after.blocks}
    rules = row_differences(before.parts, after.parts)
    same_rows = before.rows_fingerprint == after.rows_fingerprint
    causes = [*rules, *feature_differences(before.features, after.features, same_rows)]
    if not same_rows and not rules:
        causes.insert(0, "definition of the rows changed")
    if not causes and old == new:
        return None
    lost = tuple(block.id for block in before.blocks if block.id not in new)
    if same_rows and old and not new:
        return PlannedView(after.name, CHANGED, tuple(causes), DISCARDED, 0, hit, lost)
    if not same_rows or (old and not old & new):
        return PlannedView(after.name, CHANGED, tuple(causes), NEW, _events(after, stored_rows), hit, lost)
    if new <= old:
        return PlannedView(after.name, CHANGED, tuple(causes), KEPT, 0, hit, lost)
    table = rows_table(after.name, after.rows_fingerprint)
    backfill = None if stored_rows is None else stored_rows(table)
    return PlannedView(after.name, CHANGED, tuple(causes), NEW_BLOCK, backfill, hit, lost)


def _hit(view: str, before: Uses, after: Uses) -> tuple[str, ...]:
    """Services, of before or after, to which a view's features are not the same."""
    names = [*after, *(name for name in before if name not in after)]
    return tuple(name for name in names if _of(view, before.get(name, ())) != _of(view, after.get(name, ())))


def _users(view: str, before: Uses, after: Uses) -> tuple[str, ...]:
    """Services, of before or after, that use a view's features."""
    names = [*after, *(name for name in before if name not in after)]
    return tuple(name for name in names if _of(view, (*before.get(name, ()), *after.get(name, ()))))


def _of(view: str, uses: Iterable[tuple[str, str, str]]) -> set[tuple[str, str, str]]:
    return {use for use in uses if use[1] == view}


def _events(view: AppliedView, stored_rows: Callable[[str], int] | None) -> int | None:
    return None if stored_rows is None else sum(stored_rows(events_table(source)) for source in view.sources)


def _state(row: PlannedView) -> str:
    return f"{row.state}, in part discarded" if row.lost and row.state in (KEPT, NEW_BLOCK) else row.state


def _count(rows: int | None) -> str:
    return "unknown" if rows is None else f"{rows:,}"
