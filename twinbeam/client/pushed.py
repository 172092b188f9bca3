"""What a push has done."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Pushed:
    """Events that are durable in their topic.

    Attributes:
        events: how many.
        lanes: last offset in each lane that got some.
        served: whether it was waited for that they can be read.
    """

    events: int = 0
    lanes: Mapping[str, int] = field(default_factory=dict)
    served: bool = False

    def followed_by(self, others: Pushed) -> Pushed:
        """These events, and others that were pushed after them."""
        return Pushed(self.events + others.events, {**self.lanes, **others.lanes}, others.served)
