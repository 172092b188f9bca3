"""Check-ups of the files of the embedded platform: the online store and the topics."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

from pipelines.brokers.embedded import EmbeddedBroker
from pipelines.commands.finding import BAD, GOOD, WARNING, Finding
from pipelines.commands.tables import counted
from pipelines.settings import Settings
from schemas.errors import TwinbeamError
from serving.stores.sqlite import SqliteStore
from transforms.catalog import Catalog

LOCK_SECONDS = 0.5


def online_file(settings: Settings) -> Iterator[Finding]:
    """Whether the file of the online store is there and can be used."""
    path = settings.online.path
    if not path.exists():
        yield Finding("online store", WARNING, f"{path}: not made yet", "twinbeam apply")
        return

    def look() -> str:
        with closing(SqliteStore(path)) as store:
            store.marks([])
        return f"{path}: {path.stat().st_size / (1 << 20):,.1f} MiB"

    yield _sqlite("online store", path, look)


def topics_file(settings: Settings, catalog: Catalog) -> Iterator[Finding]:
    """Whether the file of the topics is there, can be used, and has all topics."""
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
