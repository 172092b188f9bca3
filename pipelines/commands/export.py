"""`twinbeam export`: the definitions of a project as other systems' clients read them; needs no store."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pipelines.clock import SystemClock
from pipelines.commands.arguments import Parser, UsageError, project_folder
from pipelines.settings import Settings
from schemas.errors import did_you_mean
from schemas.registry import Registry
from serving.feast_registry import FeastRegistry
from transforms.catalog import Catalog

ACTIONS = {"feast": "Write a Feast repository whose clients ask the feature server (`twinbeam serve`)."}
EXAMPLE = "twinbeam export feast --out feast_repo\ntwinbeam export feast --out feast_repo --url http://features:6570"
REPOSITORY = """\
# Written by `twinbeam export feast`; write it anew after each `twinbeam apply`.
# from feast import FeatureStore; store = FeatureStore("{folder}")
project: {project}
provider: local
registry: registry.db
online_store:
  type: remote
  path: {url}
entity_key_serialization_version: 3
"""
KEY = """\
auth:  # A key or token of the server, from this variable of the environment.
  type: oidc
  token_env_var: TWINBEAM_KEY
"""


def run(name: str, words: Sequence[str]) -> int:
    """Writes definitions in another system's form."""
    action = words[0] if words else ""
    if action in ("-h", "--help"):
        print(
            "usage: twinbeam export feast --out DIR\n\n" + "\n".join(f"  {each}  {ACTIONS[each]}" for each in ACTIONS)
        )
        print("\nexample:\n  twinbeam export feast --out feast_repo")
        return 0
    if action not in ACTIONS:
        said = f"{action!r} is not legal" if action else "what to export is missing"
        raise UsageError(f"twinbeam export: {said}: one of {', '.join(ACTIONS)}.{did_you_mean(action, ACTIONS)}")
    parser = Parser(f"export {action}", ACTIONS[action], EXAMPLE)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to write to; it is made")
    parser.add_argument("--url", help="of the server (default: by server.host and server.port)")
    parser.project_options()
    given = parser.parse(words[1:])
    settings = Settings.load(project_folder(given.project), given.env)
    catalog = Catalog.compile(Registry.load(settings.definitions))
    sources = catalog.registry.sources
    registry = FeastRegistry(
        settings.project,
        catalog,
        lambda source: settings.topic(sources[source]),
        lambda source: _parquet(settings.files(sources[source])),
        SystemClock().now(),
    )
    given.out.mkdir(parents=True, exist_ok=True)
    (given.out / "registry.db").write_bytes(registry.written())
    text = REPOSITORY.format(folder=given.out, project=settings.project, url=given.url or _url(settings))
    text += KEY if settings.server.guarded else ""
    (given.out / "feature_store.yaml").write_text(text, encoding="utf-8")
    print(f"{given.out}: {len(catalog.views)} feature views, {len(catalog.registry.services)} feature services")
    return 0


def _url(settings: Settings) -> str:
    server = settings.server
    host = f"[{server.host}]" if ":" in server.host else server.host
    return f"{'http' if server.certificate is None else 'https'}://{host}:{server.port}"


def _parquet(patterns: Sequence[str]) -> Path | None:
    """The Parquet file, or folder of such, that one pattern stands for; None where Feast has no word for it."""
    if len(patterns) != 1 or not patterns[0].endswith(".parquet"):
        return None
    path = Path(patterns[0])
    path = path.parent if path.name == "*.parquet" else path
    return None if "*" in str(path) else path.absolute()
