"""Upkeep of Delta tables: small files merged, one process at a time and row counts checked; old files deleted."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
from deltalake import DeltaTable, WriterProperties
from deltalake.transaction import AddAction, RemoveAction

from schemas.errors import StoreError
from serving.stores.damage import CHECKSUMS, note_checksum, witness
from serving.stores.delta import Place


def compact(place: Place, lock: Path, small: int | None = None) -> int:
    """Merges the small files of a table and says how many files went.

    Appends may go on meanwhile. Two compactions at once would double every row, without an error of the engine
    (measured with deltalake 1.6.6); hence the lock, and the check of every version since.

    Files are checked before they are merged, so that damage does not spread; what they become is given a checksum.

    Args:
        place: the table.
        lock: file whose lock keeps other processes of this machine away.
        small: bytes; larger files are left as they are, and none becomes much larger. None for the engine's default.

    Raises:
        StoreError: another process holds the lock, a data file is damaged, or a compaction doubled or lost rows; that
            is undone.
    """
    with _locked(place, lock), place.explained():
        handle = place.open()
        first, before = handle.version(), place.files(handle)
        place.check({path: size for path, size in before.items() if small is None or size < small})
        metrics = handle.optimize.compact(target_size=small, writer_properties=WriterProperties(compression="ZSTD"))
        if place.folder is not None:
            for path in place.files(handle).keys() - before.keys():
                note_checksum(place.folder / path)
            witness(place.folder, handle.version())
        wrong = [version for version in range(first + 1, place.open().version() + 1) if not kept_rows(place, version)]
        for version in wrong:
            undo(place, version)
    if wrong:
        raise StoreError(
            f"{place.address}: another program compacted the table at the same time, which doubled rows; that has been "
            "undone: nothing is lost. Let one program compact at a time, then repeat"
        )
    return int(metrics["numFilesRemoved"])


def vacuum(place: Place, hours: int, keep_versions: Sequence[int]) -> list[str]:
    """Deletes files, also never committed ones, that are needed by no version since `hours` ago nor by those named."""
    with place.explained():
        gone = place.open().vacuum(
            retention_hours=hours,
            dry_run=False,
            enforce_retention_duration=False,
            full=True,
            keep_versions=list(keep_versions) or None,
        )
    if place.folder is not None:
        for note in (place.folder / CHECKSUMS).glob("*.parquet"):
            if not (place.folder / note.name).exists():
                note.unlink(missing_ok=True)
    return gone


def kept_rows(place: Place, version: int) -> bool:
    """Whether a version, if it was a compaction, left the table with as many rows as before."""
    if place.operation(version) != "OPTIMIZE":
        return True
    return _rows(_files(place.open(version - 1))) == _rows(_files(place.open(version)))


def undo(place: Place, version: int) -> None:
    """Takes back one version's exchange of files; later versions stay.

    Raises:
        StoreError: a file that it brought has been exchanged itself since.
    """
    before, after = _files(place.open(version - 1)), _files(place.open(version))
    handle = place.open()
    now = _files(handle)
    brought = {path: file for path, file in after.items() if path not in before}
    taken = {path: file for path, file in before.items() if path not in after and path not in now}
    if not brought.keys() <= now.keys():
        raise StoreError(
            f"{place.address}: version {version} changed the number of rows and cannot be undone any more; go back to "
            f"version {version - 1} with DeltaTable.restore and run again to fill in what came after it"
        )
    stamp = max((int(file["modification_time"]) for file in after.values()), default=0)
    removed = [RemoveAction(path, False, stamp, int(file["size_bytes"]), {}) for path, file in brought.items()]
    added = [
        AddAction(path, int(file["size_bytes"]), {}, stamp, False, f'{{"numRecords": {int(file["num_records"])}}}')
        for path, file in taken.items()
    ]
    with place.explained():
        handle.create_write_transaction([*removed, *added], "append", handle.schema(), [])


def _files(handle: DeltaTable) -> dict[str, Mapping[str, int]]:
    listed = pa.table(handle.get_add_actions()).select(["path", "size_bytes", "modification_time", "num_records"])
    return {file["path"]: file for file in listed.to_pylist()}


def _rows(files: Mapping[str, Mapping[str, int]]) -> int:
    return sum(file["num_records"] for file in files.values())


@contextmanager
def _locked(place: Place, lock: Path) -> Iterator[None]:
    with place.explained():
        lock.parent.mkdir(parents=True, exist_ok=True)
        held = lock.open("w")
    with held as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise StoreError(f"{place.address}: another process is compacting it; let that end, then repeat") from error
        yield
