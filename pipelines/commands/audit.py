"""`twinbeam audit`: logged answers replayed against the offline store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta

from pipelines.commands.arguments import Parser, project_folder, share
from pipelines.commands.tables import counted, json_text, table
from pipelines.platform import Platform

SHOWN = 20
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def run(name: str, words: Sequence[str]) -> int:
    """Audits; exit code 1 if a value differs."""
    parser = Parser(
        "audit",
        "Replay what was served against the offline store; every value must be equal. Exit code 1 if one differs.",
        "twinbeam audit --sample 0.1",
    )
    parser.add_argument(
        "--sample", type=share, default=1.0, metavar="SHARE", help="of the answers, 0 to 1 (default: 1)"
    )
    parser.json_option()
    parser.project_options()
    given = parser.parse(words)
    with Platform.open(project_folder(given.project), given.env) as platform:
        report = platform.audit(sample=given.sample)
    if given.json:
        print(json_text(asdict(report), 2))
    else:
        print(
            f"{counted(report.answers, 'answer')} replayed, {counted(report.values, 'value')} compared: "
            f"{len(report.mismatches):,} differ"
        )
        if report.waiting:
            print(
                f"waiting for rows that the stream has not committed offline yet: {counted(report.waiting, 'answer')}"
            )
        if report.skipped:
            print(f"{counted(report.skipped, 'answer')} of definitions that are no longer applied passed over")
        if report.mismatches:
            rows = [
                (each.address, each.keys, _EPOCH + timedelta(microseconds=each.as_of), each.served, each.replayed)
                for each in report.mismatches[:SHOWN]
            ]
            print(table(("feature", "keys", "as of", "served", "replayed"), rows))
    return 1 if report.mismatches else 0
