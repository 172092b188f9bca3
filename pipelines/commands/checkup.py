"""Check-ups of a project: what each looks at, what it found, and how to mend it."""

from __future__ import annotations

import glob
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from pipelines.commands.checkup_files import online_file, topics_file
from pipelines.commands.checkup_servers import cassandra, flink, kafka, schema_registry
from pipelines.commands.finding import BAD, GOOD, WARNING, Finding, lines
from pipelines.commands.tables import counted
from pipelines.runner import mend_embedded_runner
from pipelines.settings import Settings
from pipelines.stores import Stores
from schemas.errors import TwinbeamError
from schemas.registry import Registry
from serving.deployment import Deployment
from serving.plan import plan
from serving.stores.base import SEALED
from serving.stores.offline import OfflineStore
from serving.tables import dead_table
from transforms.catalog import Catalog

PACKAGES = ("apache-beam", "deltalake", "polars", "pyarrow", "numpy", "fastavro", "sqlglot")
NEWEST_PYTHON = (3, 15)
LOW_DISK = 1 << 30


def findings(folder: Path, env: str | None) -> Iterator[Finding]:
    """Findings of all checks, in the order in which they build on each other; stops where nothing more can be seen."""
    yield _python()
    yield from _packages()
    try:
        settings = Settings.load(folder, env)
    except TwinbeamError as error:
        yield from lines("settings", error, "mend twinbeam.toml, or name the folder with --project")
        return
    yield Finding("settings", GOOD, f"project {settings.project}, {settings.folder / 'twinbeam.toml'}")
    yield _disk(settings)
    try:
        catalog = Catalog.compile(Registry.load(settings.definitions))
        settings.check_sources(catalog.registry.sources)
    except TwinbeamError as error:
        yield from lines("definitions", error, "mend the definitions, or the settings of sources")
        return
    features = sum(len(view.features) for view in catalog.views.values())
    yield Finding("definitions", GOOD, f"{counted(len(catalog.views), 'view')}, {counted(features, 'feature')}")
    yield from _files(settings, catalog)
    yield from _offline(settings, catalog)
    yield from (cassandra(settings) if settings.online.store == "cassandra" else online_file(settings))
    yield from (kafka(settings, catalog) if settings.stream.broker == "kafka" else topics_file(settings, catalog))
    yield from schema_registry(settings)
    yield from flink(settings)
    yield from _state(settings, catalog)


def _python() -> Finding:
    text = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info >= NEWEST_PYTHON:
        return Finding("python", WARNING, f"{text}: Beam is not tested with it", "use Python 3.11 to 3.14")
    return Finding("python", GOOD, text)


def _packages() -> Iterator[Finding]:
    found, missing = [], []
    for name in PACKAGES:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            missing.append(name)
    if missing:
        yield Finding("packages", BAD, f"missing: {', '.join(missing)}", "pip install 'twinbeam[pipeline]'")
    else:
        yield Finding("packages", GOOD, ", ".join(found))
    unmended = {"leak", "state cache"} - set(mend_embedded_runner())
    if unmended:
        mend = "install the minor release of Beam that setup.py names"
        yield Finding("runner", WARNING, f"this Beam is not mended for: {', '.join(sorted(unmended))}", mend)


def _disk(settings: Settings) -> Finding:
    free = shutil.disk_usage(settings.folder).free
    text = f"{free / (1 << 30):,.1f} GiB free at {settings.folder}"
    return Finding("disk", WARNING, text, "free some space") if free < LOW_DISK else Finding("disk", GOOD, text)


def _files(settings: Settings, catalog: Catalog) -> Iterator[Finding]:
    for source in catalog.registry.sources.values():
        for pattern in settings.files(source):
            if "://" in pattern:
                yield Finding("files", GOOD, f"source {source.name}: {pattern} (not looked at)")
            elif count := len(glob.glob(pattern, recursive=True)):  # noqa: PTH207 (the pattern may be absolute)
                yield Finding("files", GOOD, f"source {source.name}: {count} match {pattern}")
            else:
                mend = f"put files there, or set [sources.{source.name}] files"
                yield Finding("files", WARNING, f"source {source.name}: none match {pattern}", mend)


def _offline(settings: Settings, catalog: Catalog) -> Iterator[Finding]:
    root = settings.offline.root
    if "://" not in root:
        there = next(folder for folder in (Path(root), *Path(root).parents) if folder.exists())
        try:
            with tempfile.NamedTemporaryFile(dir=there):
                pass
        except OSError as error:
            mend = "make the folder writable, or set [offline] root"
            yield Finding("offline store", BAD, f"{root}: cannot be written ({error.strerror})", mend)
            return
    try:
        store = OfflineStore(root, settings.offline.options)
        tables = store.tables()
        yield Finding("offline store", GOOD, f"{root}: {counted(len(tables), 'table')}")
        for name in catalog.registry.sources:
            count = store.count(dead_table(name))
            if count:
                mend = f"twinbeam dead-letters list {name}"
                yield Finding("dead letters", WARNING, f"source {name}: {count:,}", mend)
    except TwinbeamError as error:
        yield from lines("offline store", error, "check [offline] root and its options")


def _state(settings: Settings, catalog: Catalog) -> Iterator[Finding]:
    """Whether the definitions are applied, unchanged in meaning, and their blocks filled."""
    try:
        deployment = Deployment.load(OfflineStore(settings.offline.root, settings.offline.options))
        deployment.check_engine(catalog)
        changed = [row.view for row in plan(catalog, deployment, None).views]
    except TwinbeamError as error:
        yield from lines("plan", error, "")
        return
    if changed:
        yield Finding("plan", WARNING, f"not applied: {', '.join(changed)}", "twinbeam plan, then twinbeam apply")
    else:
        yield Finding("plan", GOOD, "the definitions are applied")
    blocks = {block.id: name for name, held in deployment.blocks.items() for block in held}
    if not blocks or (settings.online.store == "sqlite" and not settings.online.path.exists()):
        return
    try:
        with closing(Stores.of(settings).online()) as store:
            sealed = {mark.log for mark in store.marks(list(blocks)) if mark.lane == SEALED}
    except TwinbeamError:
        return
    unsealed = sorted({name for block, name in blocks.items() if block not in sealed})
    if unsealed:
        mend = "twinbeam run batch, or twinbeam run stream"
        yield Finding("blocks", WARNING, f"not filled from history yet: {', '.join(unsealed)}", mend)
    else:
        yield Finding("blocks", GOOD, f"all {len(blocks)} are filled")
