"""Reports of runs: what a run took in, in numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

AGES = (("under 1m", 60_000_000), ("under 1h", 3_600_000_000), ("under 1d", 86_400_000_000), ("1d and more", 1 << 62))


@dataclass(frozen=True)
class ViewReport:
    """What a run did for one view.

    Attributes:
        rows: rows taken into its tables or tiles.
        skipped: events of which it makes no row because a key is null.
        dead_letters: events that failed in its rules.
    """

    rows: int = 0
    skipped: int = 0
    dead_letters: int = 0


@dataclass(frozen=True)
class RunReport:
    """What a run did.

    Attributes:
        events: events taken in that `events` did not hold yet.
        rows: rows of all views taken into their tables or tiles.
        skipped: events passed over: on the other side of a cutover, or of a null key for a view.
        dead_letters: dead letters of the decoding and of all views.
        late: events older than one that their lane had brought before.
        seconds: of the run, by the clock.
        views: per view.
        late_by_age: late events by how much older they were.
    """

    events: int
    rows: int
    skipped: int
    dead_letters: int
    late: int
    seconds: float
    views: Mapping[str, ViewReport]
    late_by_age: Mapping[str, int] = field(default_factory=dict)

    def __str__(self) -> str:
        rate = self.events / self.seconds if self.seconds else 0.0
        head = (
            f"{self.events:,} events, {self.rows:,} rows, {self.dead_letters:,} dead letters, {self.skipped:,} skipped,"
            f" {self.late:,} late, {self.seconds:.1f} s ({rate:,.0f} events/s)"
        )
        lines = [
            f"  {name}: {view.rows:,} rows, {view.dead_letters:,} dead letters, {view.skipped:,} skipped"
            for name, view in self.views.items()
        ]
        return "\n".join([head, *lines])
