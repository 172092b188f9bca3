"""`twinbeam plan` and `twinbeam apply`: what the definitions would change in the stores, and doing it."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from pipelines.commands.arguments import Parser, UsageError, project_folder
from pipelines.platform import Platform
from pipelines.settings import Settings
from schemas.errors import RequestError
from schemas.registry import Registry
from serving.deployment import Deployment
from serving.plan import ACCEPT, Plan
from serving.plan import plan as planned
from transforms.catalog import Catalog

EXAMPLES = {
    "plan": "twinbeam plan\ntwinbeam plan --export registry.json   # then, where no store can be reached:\n"
    "twinbeam plan --against registry.json --markdown",
    "apply": "twinbeam apply\ntwinbeam apply --accept state",
}


def run(name: str, words: Sequence[str]) -> int:
    """Plans or applies."""
    if name == "apply":
        return _apply(words)
    parser = Parser(
        "plan",
        "Show what the definitions would change in the stores. Exit code 0: nothing, 2: changes, 1: an error.",
        EXAMPLES["plan"],
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print JSON, for scripts")
    form.add_argument("--markdown", action="store_true", help="print a table, for a comment on a pull request")
    parser.add_argument("--against", metavar="FILE", help="compare with an exported registry; needs no store")
    parser.add_argument("--export", metavar="FILE", help="write what is applied now to a file")
    parser.project_options()
    given = parser.parse(words)
    if given.against and given.export:
        raise UsageError("twinbeam plan: --export does not go with --against: it writes what the store has applied")
    folder = project_folder(given.project)
    plan = _against(folder, given.env, given.against) if given.against else _now(folder, given.env, given.export)
    print(plan.to_json() if given.json else plan.to_markdown() if given.markdown else plan.to_text())
    return plan.exit_code


def _now(folder: Path, env: str | None, export: str | None) -> Plan:
    with Platform.open(folder, env) as platform:
        if export is not None:
            Path(export).write_text(Deployment.load(platform.offline).to_json() + "\n", encoding="utf-8")
        return platform.plan()


def _against(folder: Path, env: str | None, registry: str) -> Plan:
    if not Path(registry).is_file():
        raise RequestError(f"{registry}: there is no such file; `twinbeam plan --export {registry}` writes it")
    settings = Settings.load(folder, env)
    catalog = Catalog.compile(Registry.load(settings.definitions))
    return planned(catalog, Deployment.from_json(Path(registry).read_text(encoding="utf-8")), None)


def _apply(words: Sequence[str]) -> int:
    parser = Parser(
        "apply", "Make the stores fit the definitions; stored state is given up only if you say so.", EXAMPLES["apply"]
    )
    parser.add_argument("--accept", choices=ACCEPT, help="agree to giving up stored state")
    parser.add_argument("--json", action="store_true", help="print the plan that was applied as JSON")
    parser.project_options()
    given = parser.parse(words)
    with Platform.open(project_folder(given.project), given.env) as platform:
        plan = platform.plan()
        if not given.json:
            print(plan.to_text())
        accept = given.accept
        if plan.discards and accept is None and not given.json and sys.stdin.isatty() and sys.stdout.isatty():
            accept = "state" if _agreed(plan) else None
        if plan.changes:
            platform.apply(accept=accept)
    if given.json:
        print(json.dumps({"applied": plan.changes} | json.loads(plan.to_json()), indent=2, ensure_ascii=False))
    elif plan.changes:
        print("applied; a running stream takes it up, else `twinbeam run batch` or `run stream` fills what is new")
    return 0


def _agreed(plan: Plan) -> bool:
    """Asks whether state may be given up."""
    answer = input(f"This gives up stored state of {', '.join(plan.discards)}. Go on? [y/N] ")
    return answer.strip().lower() in ("y", "yes")
