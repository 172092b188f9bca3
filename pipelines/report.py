"""Reports of runs: what a run took in, in numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

DAY = 86_400_000_000
AGES = (("<1m", 60_000_000), ("<1h", 3_600_000_000), ("<1d", DAY), ("<7d", 7 * DAY), ("older", 1 << 62))


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

    def plus(self, other: ViewReport) -> ViewReport:
        """Both together."""
        return ViewReport(self.rows + other.rows, self.skipped + other.skipped, self.dead_letters + other.dead_letters)


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
        late_by_age: late events by how much older they were than the newest that their lane had brought: "<1m", "<1h",
            "<1d", "<7d" and "older", each without those before it.
    """

    events: int
    rows: int
    skipped: int
    dead_letters: int
    late: int
    seconds: float
    views: Mapping[str, ViewReport]
    late_by_age: Mapping[str, int] = field(default_factory=dict)

    @staticmethod
    def joined(reports: Sequence[RunReport], seconds: float) -> RunReport:
        """One report of a run that went on in several pipelines.

        Args:
            reports: of the pipelines.
            seconds: of the whole run.
        """
        views: dict[str, ViewReport] = {}
        ages: Counter[str] = Counter(dict.fromkeys((name for name, _ in AGES), 0))
        for report in reports:
            views |= {name: views.get(name, ViewReport()).plus(view) for name, view in report.views.items()}
            ages.update(report.late_by_age)
        return RunReport(
            sum(report.events for report in reports),
            sum(report.rows for report in reports),
            sum(report.skipped for report in reports),
            sum(report.dead_letters for report in reports),
            sum(report.late for report in reports),
            seconds,
            views,
            dict(ages),
        )

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
