"""SageMaker Feature Store's protocols at our server: the runtime, and the control plane of feature groups."""

from __future__ import annotations

from collections.abc import Sequence

from serving.server.application import ForeignProtocol
from serving.server.routing import Route
from serving.server.sagemaker.control import SageMakerControl
from serving.server.sagemaker.errors import render
from serving.server.sagemaker.ports import GroupStore
from serving.server.sagemaker.runtime import SageMakerRuntime
from serving.server.sagemaker.signature import Signatures
from serving.server.site import Site


def mount(site: Site, store: GroupStore) -> tuple[ForeignProtocol, Sequence[Route]]:
    """Routes of SageMaker's protocols.

    Args:
        site: what is served.
        store: where feature groups are kept.
    """
    signatures = Signatures(site.credentials, site.configuration.guarded)
    routes = [*SageMakerRuntime(site, store).routes(), *SageMakerControl(site, store).routes()]
    return ForeignProtocol("sagemaker", render, signatures.caller), routes
