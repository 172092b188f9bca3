"""Damage to a Delta table on a local disk: what is missing or was changed, by name, and the way back."""

from __future__ import annotations

import contextlib
import re
import zlib
from collections.abc import Iterable
from pathlib import Path

NEWEST = "_newest_version"
CHECKSUMS = "_checksums"
_LOG = "_delta_log"
_CHECKPOINT = "_last_checkpoint"
_NAMED = re.compile(r"-([0-9a-f]{8})\.zstd\.parquet$")
_READ = 1 << 22


def witness(folder: Path, version: int) -> None:
    """Notes beside a table's log that a version was committed, so that it is missed should its entry vanish.

    The note is an aid: where it cannot be written, the commit stands all the same.
    """
    with contextlib.suppress(OSError), (folder / NEWEST).open("w", encoding="utf-8") as file:
        file.write(f"{version:020}\n")


def witnessed(folder: Path) -> int:
    """The version noted last; -1 if there is no note (or none that can be read)."""
    try:
        return int((folder / NEWEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return -1


def log_lost(folder: Path) -> str | None:
    """What to say of a folder that has a table's files and no log; None of one that has neither."""
    if (folder / NEWEST).exists() or next(folder.glob("*.parquet"), None) is not None:
        return f"its log {folder / _LOG} is missing"
    return None


def lost_versions(folder: Path, version: int, known: int) -> str | None:
    """What to say if versions after the newest one that there is were committed once.

    Args:
        folder: of the table.
        version: the newest one that there is.
        known: the version noted last, read before `version` was: others may commit between the two looks.
    """
    if known <= version:
        return None
    return f"version {known} was committed, but the log ends at version {version}: {_entry(folder, known)} is missing"


def emptied(folder: Path, versions: Iterable[int]) -> str | None:
    """What to say of the first of these versions whose log entry has no content: readers pass over it silently."""
    for version in versions:
        entry = _entry(folder, version)
        with contextlib.suppress(FileNotFoundError):
            if not entry.stat().st_size:
                return f"log entry {entry} is empty"
    return None


def broken_log(folder: Path) -> str | None:
    """What is wrong with a log that could not be read, as far as its files tell by their names and sizes."""
    log, known = folder / _LOG, witnessed(folder)
    if not log.is_dir():
        return log_lost(folder)
    versions = sorted(int(path.stem) for path in log.glob("*.json") if path.stem.isdigit())
    checkpoints = [path for path in log.glob("*.checkpoint*.parquet") if path.stat().st_size]
    first = max((int(path.name[:20]) + 1 for path in checkpoints), default=0)
    later = [version for version in versions if version >= first]
    if not checkpoints and later and later[0] and (log / _CHECKPOINT).exists():
        return (
            f"the checkpoint that {log / _CHECKPOINT} names is missing, and so are the entries of its log before "
            f"{_entry(folder, later[0])}"
        )
    for expected, version in zip(range(first, first + len(later)), later, strict=True):
        if version != expected:
            return f"there is a gap in its log: {_entry(folder, expected)} is missing"
    return emptied(folder, later) or lost_versions(folder, max(later, default=first - 1), known)


def stale_checkpoint(folder: Path) -> str | None:
    """How to do without a checkpoint that cannot be read, if the log's entries hold everything; else None."""
    log, known = folder / _LOG, witnessed(folder)
    versions = sorted(int(path.stem) for path in log.glob("*.json") if path.stem.isdigit())
    checkpoints = sorted(log.glob("*.checkpoint*.parquet"))
    if not versions or versions != list(range(versions[-1] + 1)) or not (log / _CHECKPOINT).exists():
        return None
    if emptied(folder, versions) or lost_versions(folder, versions[-1], known):
        return None
    what = ", ".join(map(str, checkpoints)) if checkpoints else f"the one that {log / _CHECKPOINT} names"
    remove = " and ".join(map(str, [log / _CHECKPOINT, *checkpoints]))
    return (
        f"a checkpoint of its log is missing or damaged ({what}), while the log's entries are all there: "
        f"remove {remove}, then repeat"
    )


def checksum(path: Path) -> str:
    """CRC-32 of a file's content, 8 hexadecimal digits."""
    found = 0
    with path.open("rb") as file:
        while part := file.read(_READ):
            found = zlib.crc32(part, found)
    return f"{found:08x}"


def note_checksum(path: Path) -> None:
    """Notes the checksum of a data file whose name does not tell it."""
    notes = path.parent / CHECKSUMS
    notes.mkdir(exist_ok=True)
    (notes / path.name).write_text(checksum(path), encoding="utf-8")


def file_damage(path: Path, size: int) -> str | None:
    """What is wrong with a data file: it is missing, has another size than its table says, or another content.

    Args:
        path: the file.
        size: bytes that the table's log says it has.
    """
    try:
        found = path.stat().st_size
        if found != size:
            return f"data file {path} is damaged: it has {found} bytes, not {size}"
        known = _known_checksum(path)
        if known is not None and checksum(path) != known:
            return f"data file {path} is damaged: its content is not what was written"
    except FileNotFoundError:
        return f"data file {path} is missing"
    return None


def way_back(table: str, folder: str) -> str:
    """How a table gets right again, by what it holds.

    Args:
        table: name of the table.
        folder: where it lies.
    """
    kind, _, name = table.partition("/")
    if kind == "events":
        return (
            f"put it back from a copy, or move the folder {folder} away and run twinbeam run batch (and twinbeam run "
            "stream, for what came by topic): it is read anew from the files and topics"
        )
    if kind == "rows":
        return (
            f"put it back from a copy, or move the folder {folder} away and run twinbeam run batch: it is filled anew "
            "from the events of the offline store"
        )
    if kind == "dead_letters":
        return (
            f"put it back from a copy, or move the folder {folder} away, together with events/{name} and rows/ of the "
            "views that it feeds, and run twinbeam run batch (and twinbeam run stream): all three are made anew from "
            "the files and topics"
        )
    if kind == "manifests":
        return (
            f"put it back from a copy, or move the folder {folder} away and run twinbeam run batch --rebuild: all "
            "files are numbered and read anew"
        )
    if kind == "registry":
        return (
            f"put it back from a copy, or move the folder {folder} away, together with the online store, and run "
            "twinbeam apply, then twinbeam run batch: the online store is filled anew from the offline store"
        )
    return f"put it back from a copy, or move the folder {folder} away: what it logged cannot be made anew"


def _known_checksum(path: Path) -> str | None:
    named = _NAMED.search(path.name)
    if named is not None:
        return named[1]
    try:
        return (path.parent / CHECKSUMS / path.name).read_text(encoding="utf-8")
    except OSError:
        return None


def _entry(folder: Path, version: int) -> Path:
    return folder / _LOG / f"{version:020}.json"
