"""`twinbeam export`: what a project has, as other systems' clients read it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pipelines.clock import SystemClock
from pipelines.commands.arguments import Parser, UsageError, project_folder
from pipelines.settings import Settings
from pipelines.stores import Stores
from schemas.errors import RequestError, did_you_mean
from schemas.registry import Registry
from serving.feast_registry import FeastRegistry
from serving.feature_group_export import export as export_group
from transforms.catalog import Catalog

ACTIONS = {
    "feast": "Write a Feast repository whose clients ask the feature server (`twinbeam serve`).",
    "sagemaker": "Write the offline store of a feature group as SageMaker lays it out: Parquet by the hour.",
}
GROUP_EXAMPLE = "twinbeam export sagemaker --group orders --out offline"
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
            "usage: twinbeam export ACTION --out DIR\n\n"
            + "\n".join(f"  {each:9}  {ACTIONS[each]}" for each in ACTIONS)
        )
        print(f"\nexample:\n  twinbeam export feast --out feast_repo\n  {GROUP_EXAMPLE}")
        return 0
    if action not in ACTIONS:
        said = f"{action!r} is not legal" if action else "what to export is missing"
        raise UsageError(f"twinbeam export: {said}: one of {', '.join(ACTIONS)}.{did_you_mean(action, ACTIONS)}")
    return _sagemaker(words[1:]) if action == "sagemaker" else _feast(words[1:])


def _sagemaker(words: Sequence[str]) -> int:
    parser = Parser("export sagemaker", ACTIONS["sagemaker"], GROUP_EXAMPLE)
    parser.add_argument("--group", required=True, metavar="NAME", help="name of a feature group (docs/sagemaker.md)")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to write to; it is made")
    parser.project_options()
    given = parser.parse(words)
    settings = Settings.load(project_folder(given.project), given.env)
    groups = {group.name: group for group in Registry.load(settings.definitions).groups}
    if given.group not in groups:
        raise RequestError(
            f"there is no feature group {given.group!r}: legal is {', '.join(sorted(groups)) or 'none'}."
            f"{did_you_mean(given.group, groups)}"
        )
    data, rows = export_group(Stores.of(settings).offline(), groups[given.group], given.out)
    print(f"{data}: {rows} rows")
    return 0


def _feast(words: Sequence[str]) -> int:
    parser = Parser("export feast", ACTIONS["feast"], EXAMPLE)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to write to; it is made")
    parser.add_argument("--url", help="of the server (default: by server.host and server.port)")
    parser.project_options()
    given = parser.parse(words)
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
