"""Feature services: what one model asks for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, field

from schemas.encoding import Encoding
from schemas.feature_view import AliasedView, FeatureView
from schemas.on_demand import OnDemand
from schemas.place import caller_place


@dataclass(frozen=True)
class FeatureService:
    """Named list of features, in the order of its answers.

    Attributes:
        name: of the service.
        features: views, views in a role, on-demand functions and encodings (all of their features), and addresses
            `view:feature`.
        strict: whether training sets leave out events at the very instant of a spine row.
        description: for people.
        place: `file:line` of the definition.
    """

    name: str
    _: KW_ONLY
    features: Sequence[FeatureView | AliasedView | OnDemand | Encoding | str]
    strict: bool = False
    description: str = ""
    place: str = field(default_factory=caller_place, compare=False, repr=False)
