"""Check-ups of a project: what each looks at, what it found, and how to mend it."""

from __future__ import annotations

import glob
import os
import shutil
import sqlite3
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from pipelines.brokers.embedded import EmbeddedBroker
from pipelines.commands.tables import counted
from pipelines.runner import mend_embedded_runner
from pipelines.settings import Settings
from schemas.errors import TwinbeamError
from schemas.registry import Registry
from serving.deployment import Deployment
from serving.plan import plan
from serving.stores.base import SEALED
from serving.stores.offline import OfflineStore
from serving.stores.sqlite import SqliteStore
from serving.tables import dead_table
from transforms.catalog import Catalog

GOOD, WARNING, BAD = "ok", "note", "wrong"
PACKAGES = ("apache-beam", "deltalake", "polars", "pyarrow", "numpy", "fastavro", "sqlglot")
NEWEST_PYTHON = (3, 15)
LOW_DISK = 1 << 30
LOCK_SECONDS = 0.5


@dataclass(frozen=True)
class Finding:
    """What one check found.

    Attributes:
        check: what was looked at.
        state: "ok", "note" (works, but look) or "wrong".
        found: what is so.
        mend: what to do about it, or nothing.
    """

    check: str
    state: str
    found: str
    mend: str = ""


def findings(folder: Path, env: str | None) -> Iterator[Finding]:
    """Findings of all checks, in the order in which they build on each other; stops where nothing more can be seen."""
    yield _python()
    yield from _packages()
    try:
        settings = Settings.load(folder, env)
    except TwinbeamError as error:
        yield from _lines("settings", error, "mend twinbeam.toml, or name the folder with --project")
        return
    yield Finding("settings", GOOD, f"project {settings.project}, {settings.folder / 'twinbeam.toml'}")
    yield _disk(settings)
    try:
        catalog = Catalog.compile(Registry.load(settings.definitions))
        settings.check_sources(catalog.registry.sources)
    except TwinbeamError as error:
        yield from _lines("definitions", error, "mend the definitions, or the settings of sources")
        return
    features = sum(len(view.features) for view in catalog.views.values())
    yield Finding("definitions", GOOD, f"{counted(len(catalog.views), 'view')}, {counted(features, 'feature')}")
    yield from _files(settings, catalog)
    yield from _offline(settings, catalog)
    yield from _online(settings)
    yield from _topics(settings, catalog)
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
        yield from _lines("offline store", error, "check [offline] root and its options")


def _online(settings: Settings) -> Iterator[Finding]:
    path = settings.online.path
    if not path.exists():
        yield Finding("online store", WARNING, f"{path}: not made yet", "twinbeam apply")
        return

    def look() -> str:
        with closing(SqliteStore(path)) as store:
            store.marks([])
        return f"{path}: {path.stat().st_size / (1 << 20):,.1f} MiB"

    yield _sqlite("online store", path, look)


def _topics(settings: Settings, catalog: Catalog) -> Iterator[Finding]:
    wanted = {name: settings.topic(source) for name, source in catalog.registry.sources.items()}
    if not any(wanted.values()):
        return
    path = settings.stream.path
    if not path.exists():
        yield Finding("topics", WARNING, f"{path}: not made yet", "twinbeam apply")
        return

    def look() -> str:
        with closing(EmbeddedBroker(path)) as topics:
            held = {name: sum(topics.ends(name).values()) for name in topics.names()}
        return f"{path}: " + (
            ", ".join(f"{name} {counted(count, 'record')}" for name, count in held.items()) or "no topics"
        )

    yield _sqlite("topics", path, look)
    with closing(EmbeddedBroker(path)) as topics:
        missing = sorted({topic for topic in wanted.values() if topic} - set(topics.names()))
    if missing:
        yield Finding("topics", WARNING, f"not made yet: {', '.join(missing)}", "twinbeam apply")


def _sqlite(check: str, path: Path, look: Callable[[], str]) -> Finding:
    """Whether a SQLite file can be read, written, and is not held by somebody else."""
    if not os.access(path, os.W_OK) or not os.access(path.parent, os.W_OK):
        return Finding(check, BAD, f"{path}: cannot be written", "make the file and its folder writable")
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=rw", uri=True, timeout=LOCK_SECONDS)) as database:
            database.execute("begin immediate")
            database.rollback()
        return Finding(check, GOOD, look())
    except sqlite3.OperationalError as error:
        if "locked" in str(error):
            mend = "a running stream holds it for moments only; else end the process that holds it"
            return Finding(check, WARNING, f"{path}: locked by another process", mend)
        return Finding(check, BAD, f"{path}: {error}", "bring it back from a copy, or remove it and fill it again")
    except (sqlite3.DatabaseError, TwinbeamError) as error:
        text = " ".join(str(error).split())
        text = text if str(path) in text else f"{path}: {text}"
        return Finding(check, BAD, text, "bring it back from a copy, or remove it and fill it again")


def _state(settings: Settings, catalog: Catalog) -> Iterator[Finding]:
    """Whether the definitions are applied, unchanged in meaning, and their blocks filled."""
    try:
        deployment = Deployment.load(OfflineStore(settings.offline.root, settings.offline.options))
        deployment.check_engine(catalog)
        changed = [row.view for row in plan(catalog, deployment, None).views]
    except TwinbeamError as error:
        yield from _lines("plan", error, "")
        return
    if changed:
        yield Finding("plan", WARNING, f"not applied: {', '.join(changed)}", "twinbeam plan, then twinbeam apply")
    else:
        yield Finding("plan", GOOD, "the definitions are applied")
    blocks = {block.id: name for name, held in deployment.blocks.items() for block in held}
    if not blocks or not settings.online.path.exists():
        return
    try:
        with closing(SqliteStore(settings.online.path)) as store:
            sealed = {mark.log for mark in store.marks(list(blocks)) if mark.lane == SEALED}
    except TwinbeamError:
        return
    unsealed = sorted({name for block, name in blocks.items() if block not in sealed})
    if unsealed:
        mend = "twinbeam run batch, or twinbeam run stream"
        yield Finding("blocks", WARNING, f"not filled from history yet: {', '.join(unsealed)}", mend)
    else:
        yield Finding("blocks", GOOD, f"all {len(blocks)} are filled")


def _lines(check: str, error: Exception, mend: str) -> Iterator[Finding]:
    lines = str(error).splitlines()
    for number, line in enumerate(lines):
        yield Finding(check, BAD, line, mend if number == len(lines) - 1 else "")
