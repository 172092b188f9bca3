"""Selections: which features are asked for, in which order, and what is needed to answer them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import pyarrow as pa

from transforms.computation import Computation
from transforms.encoding import EncodedFeature
from transforms.feature import Feature
from transforms.view import CompiledView

_RANK = {"aggregate": 0, "latest": 0, "derived": 1, "on_demand": 2, "encoded": 3}


@dataclass(frozen=True)
class Output:
    """One feature that is asked for, or needed by one that is.

    Attributes:
        address: as asked, `view:feature`, `role:feature` of an alias, `function:feature` or `encoding:feature`.
        role: what stands before the colon: the view's name, the alias' role, the function's or the encoding's name.
        view: the compiled view; None for an on-demand or encoded feature.
        feature: the feature.
        keys: (column of the entity, column of the spine or request) in the order of `Entity.asked`.
        function: what computes an on-demand or encoded feature; None for a stored or derived one.
    """

    address: str
    role: str
    view: CompiledView | None
    feature: Feature
    keys: tuple[tuple[str, str], ...] = ()
    function: Computation | None = None


@dataclass(frozen=True)
class Selection:
    """Features in the order asked, each once.

    Attributes:
        outputs: what is asked for.
        hidden: what those need besides.
        request: column -> type of everything a request gives for on-demand and encoded features.
        fingerprint: over the fingerprints of all outputs.
        strict: whether a training set leaves out events at the instant itself, by default.
        service: name of the service asked for, or "".
    """

    outputs: tuple[Output, ...]
    hidden: tuple[Output, ...]
    request: Mapping[str, pa.DataType]
    fingerprint: str
    strict: bool = False
    service: str = ""

    def needed(self) -> tuple[Output, ...]:
        """Outputs and hidden inputs, each once, inputs before the features that read them."""
        return self._needed

    def stored(self) -> dict[str, list[Output]]:
        """Aggregate and latest features needed, by role."""
        roles: dict[str, list[Output]] = {}
        for output in self.needed():
            if output.feature.kind in ("aggregate", "latest"):
                roles.setdefault(output.role, []).append(output)
        return roles

    def check(self) -> None:
        """Refuses features that cannot be computed yet.

        Raises:
            RequestError: an encoded one is not fitted.
            DefinitionChanged: one is fitted by another definition than now.
        """
        for output in self.needed():
            if isinstance(output.function, EncodedFeature):
                output.function.check()

    def offline_only(self) -> tuple[str, ...]:
        """Names of the views needed that are offline only, each once."""
        views = [output.view for output in self.needed() if output.view is not None]
        return tuple(dict.fromkeys(view.name for view in views if not view.online))

    def artefacts(self) -> dict[str, str]:
        """Version of the artefact of each encoding among the outputs, by its name."""
        return {output.role: output.feature.artefact for output in self.outputs if output.feature.artefact}

    @cached_property
    def _needed(self) -> tuple[Output, ...]:
        return tuple(sorted((*self.hidden, *self.outputs), key=lambda output: _RANK[output.feature.kind]))
