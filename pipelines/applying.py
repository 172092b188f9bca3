"""Applying: what of a project's definitions is not applied yet, and making the stores hold it."""

from __future__ import annotations

import getpass

from pipelines.heartbeat import ENTITY as RUNS
from pipelines.progress import Progress
from pipelines.project import Project
from serving import plan as plans
from serving.deployment import Deployment
from serving.expiry import Horizons
from serving.stores.base import SEALED, Mark


class Applying:
    """Plans and applies the definitions of a project; needs no engine that runs pipelines.

    Args:
        project: the project.
    """

    def __init__(self, project: Project) -> None:
        self._project = project

    def plan(self) -> plans.Plan:
        """What `apply` would do: per view added, changed or removed, why, and what becomes of its state."""
        project, offline = self._project, self._project.offline
        deployment = Deployment.load(offline)
        horizons = Horizons.read(project.online, deployment, project.clock.now()) if deployment.blocks else None
        return plans.plan(
            project.catalog,
            deployment,
            lambda table: offline.count(table) if offline.exists(table) else 0,
            horizons,
        )

    def apply(self, accept: str | None = None) -> plans.Plan:
        """Applies the definitions: see `Platform.apply`.

        Raises:
            RequestError: state would be given up and that was not accepted.
        """
        project, plan = self._project, self.plan()
        functions = Deployment.load(project.offline).on_demand
        if plan.changes or not plan.deployment.version - 1 or plan.deployment.on_demand != functions:
            plans.apply(plan, accept, project.clock.now(), getpass.getuser()).save(project.offline)
        for name in project.catalog.registry.sources:
            project.topic(name)
        entities = {view.entity.name for view in project.catalog.views.values() if view.online}
        project.online.prepare(sorted({RUNS, *entities}))
        self._seal(Deployment.load(project.offline))
        return plan

    def _seal(self, deployment: Deployment) -> None:
        """Seals blocks that have no history to catch up with."""
        project = self._project
        sources = project.registry.sources
        fed = project.fed_views(deployment, None, sources)
        lacking = Progress.read(project.offline, project.online, sources, fed).unsealed(fed)
        for each in fed:
            marks = [Mark(block.id, SEALED, 1, 0) for block in each.blocks if lacking.get(block.id) == {}]
            if marks:
                project.online.write(each.view.entity.name, [], marks)
