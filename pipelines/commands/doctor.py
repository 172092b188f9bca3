"""`twinbeam doctor`: what is wrong with the set-up, and how to mend it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from pipelines.commands.arguments import Parser, project_folder
from pipelines.commands.checkup import findings
from pipelines.commands.finding import BAD, GOOD, WARNING
from pipelines.commands.tables import json_text

MARKS = {GOOD: "ok   ", WARNING: "note ", BAD: "WRONG"}


def run(name: str, words: Sequence[str]) -> int:
    """Checks the set-up; exit code 1 if something is wrong."""
    parser = Parser(
        "doctor",
        "Say what is wrong with the set-up and how to mend it. Changes nothing. Exit code 1 if something is wrong.",
        "twinbeam doctor --env prod",
    )
    parser.json_option()
    parser.project_options()
    given = parser.parse(words)
    found = []
    for finding in findings(project_folder(given.project), given.env):
        found.append(finding)
        if not given.json:
            print(f"{MARKS[finding.state]}  {finding.check.ljust(13)}  {finding.found}")
            if finding.mend:
                print(f"{' ' * 22}-> {finding.mend}")
    wrong = sum(finding.state == BAD for finding in found)
    notes = sum(finding.state == WARNING for finding in found)
    if given.json:
        print(json_text([asdict(finding) for finding in found], 2))
    else:
        print(f"{wrong} wrong, {notes} to look at" if wrong or notes else "all is well")
    return 1 if wrong else 0
