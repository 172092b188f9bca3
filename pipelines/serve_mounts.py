"""The foreign protocols that the server speaks beside its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from pipelines.feature_groups import ProjectGroups
from pipelines.serve import ProjectBackend
from pipelines.serve_runs import StartedRuns
from serving.server.application import ForeignProtocol
from serving.server.feast import mount as feast
from serving.server.routing import Route
from serving.server.sagemaker import mount as sagemaker
from serving.server.site import Mount, Site


def _feast(site: Site) -> tuple[ForeignProtocol, Sequence[Route]]:
    return feast.mount(site, StartedRuns(cast(ProjectBackend, site.backend)))


def _sagemaker(site: Site) -> tuple[ForeignProtocol, Sequence[Route]]:
    return sagemaker.mount(site, ProjectGroups(cast(ProjectBackend, site.backend)))


MOUNTS: Sequence[Mount] = (_feast, _sagemaker)
