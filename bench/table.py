"""The table of a bench run: one figure of ours a row, beside a rival's on the same data in the same run."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

HEADINGS = ("case", "size", "twinbeam", "unit", "rival", "its figure", "times better", "MB", "rival MB")
LEFT = (0, 1, 3, 4)


@dataclass(frozen=True)
class Measured:
    """One row of the table.

    Attributes:
        case: what was done; rows of one case stand together.
        size: on how much.
        ours: Twinbeam's figure, in `unit`.
        unit: unit of both figures.
        better: which figures are better, "higher" or "lower".
        rival: who did the same.
        theirs: the rival's figure; None if there is no rival, or it could not do the case.
        ours_mb: peak resident memory of Twinbeam's processes together, MB (10**6 bytes); None if not measured.
        theirs_mb: the same of the rival's.
    """

    case: str
    size: str
    ours: float
    unit: str
    better: str
    rival: str
    theirs: float | None
    ours_mb: float | None = None
    theirs_mb: float | None = None

    @property
    def ratio(self) -> float | None:
        """How many times better Twinbeam's figure is (above 1: better); None without a rival's figure."""
        if self.theirs is None or self.ours == 0 or self.theirs == 0:
            return None
        return self.ours / self.theirs if self.better == "higher" else self.theirs / self.ours


def figure(value: float | None) -> str:
    """Three significant digits, thousands apart; a dash for None."""
    if value is None:
        return "-"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) >= 1e-3 or value == 0 else f"{value:.2e}"


def text(rows: Sequence[Measured]) -> str:
    """Aligned columns; the case is written once, above its sizes."""
    cells = [list(HEADINGS), *_cells(rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(HEADINGS))]
    lines = []
    for number, line in enumerate(cells):
        padded = [
            cell.ljust(width) if column in LEFT else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        if number == 1:
            lines.append("  ".join("-" * width for width in widths))
        lines.append("  ".join(padded).rstrip())
    return "\n".join(lines)


def markdown(rows: Sequence[Measured]) -> str:
    """The same as a Markdown table."""
    rule = ["---" if column in LEFT else "---:" for column in range(len(HEADINGS))]
    return "\n".join("| " + " | ".join(line) + " |" for line in [list(HEADINGS), rule, *_cells(rows)])


def json_text(rows: Sequence[Measured], machine: str) -> str:
    """The machine, and the rows with their ratios, as one JSON object."""
    return json.dumps({"machine": machine, "rows": [asdict(row) | {"ratio": row.ratio} for row in rows]}, indent=1)


def _cells(rows: Sequence[Measured]) -> list[list[str]]:
    cases = list(dict.fromkeys(row.case for row in rows))
    lines = []
    for case in cases:
        for number, row in enumerate(row for row in rows if row.case == case):
            lines.append(
                [
                    case if number == 0 else "",
                    row.size,
                    figure(row.ours),
                    row.unit,
                    row.rival,
                    figure(row.theirs),
                    figure(row.ratio),
                    figure(row.ours_mb),
                    figure(row.theirs_mb),
                ]
            )
    return lines
