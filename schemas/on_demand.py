"""On-demand features: functions of other features and of the request."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from schemas.place import caller_place

Function = Callable[[Any], Any]


@dataclass(frozen=True)
class OnDemand:
    """Function that computes features of a request when they are asked for; stored nowhere.

    Attributes:
        name: of the function; the first half of its features' addresses.
        function: of a polars frame (inputs, request columns and `now`) that gives a frame.
        inputs: addresses of the features that it reads.
        request: column -> type text of what the request or spine gives.
        returns: feature -> type text of what it computes.
        description: for people.
        place: `file:line` of the definition.
    """

    name: str
    function: Function
    inputs: Sequence[str]
    request: Mapping[str, str]
    returns: Mapping[str, str]
    description: str = ""
    place: str = field(default_factory=caller_place, compare=False, repr=False)

    def __call__(self, frame: Any) -> Any:
        """Result of the function itself, for tests of it."""
        return self.function(frame)


def on_demand(
    *, inputs: Sequence[str] = (), request: Mapping[str, str] | None = None, returns: Mapping[str, str]
) -> Callable[[Function], OnDemand]:
    """Make an on-demand feature of a function, in serving and training alike.

    Args:
        inputs: addresses `view:feature` of the features that it reads.
        request: column -> type text of what the request or spine gives.
        returns: feature -> type text of what it computes.
    """
    place = caller_place()

    def decorate(function: Function) -> OnDemand:
        name = str(getattr(function, "__name__", function))
        description = (getattr(function, "__doc__", None) or "").strip()
        return OnDemand(name, function, inputs, request or {}, returns, description, place)

    return decorate
