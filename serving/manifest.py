"""The manifest of a source's files: each gets a number before it is read, so that its rows have offsets for good."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pyarrow as pa
from pyarrow import fs

from schemas.errors import LaneError, StoreError
from schemas.lane import Lane
from schemas.types import TIME
from serving.stores.delta import Conflict
from serving.stores.offline import OfflineStore

TABLE = "manifests"
ROW_BITS = 40
_ATTEMPTS = 50
_SCHEMA = pa.schema(
    [
        pa.field("source", pa.string()),
        pa.field("generation", pa.int64()),
        pa.field("number", pa.int64()),
        pa.field("path", pa.string()),
        pa.field("lanes", pa.int64()),
        pa.field("size", pa.int64()),
        pa.field("modified", pa.int64()),
        pa.field("hash", pa.string()),
        pa.field("arrival", TIME),
    ]
)


@dataclass(frozen=True)
class FileEntry:
    """One file of a source, as it was when it got its number.

    Attributes:
        source: name of the source.
        number: of the file, from 0 on.
        path: absolute path or URL.
        lanes: number of lanes that the source's files are dealt to.
        size: bytes.
        hash: of its content.
        arrival: µs, start of the run that found it: the arrival of all its rows.
        generation: which numbering of the source's files this is, from 1 on.
        modified: ns, its time of modification when it was found.
    """

    source: str
    number: int
    path: str
    lanes: int
    size: int
    hash: str
    arrival: int
    generation: int
    modified: int

    @property
    def lane_number(self) -> int:
        """Number of the lane that the file belongs to."""
        return self.number % self.lanes

    @property
    def lane(self) -> Lane:
        """The lane that the file belongs to."""
        return Lane(self.source, "files", str(self.generation), self.lane_number)

    @property
    def start(self) -> int:
        """Offset of its first row in the lane; row r has offset `start + r`."""
        return self.number << ROW_BITS

    @property
    def end(self) -> int:
        """Offset behind all offsets of the file; the lane's position is at least this once it was read whole."""
        return (self.number + 1) << ROW_BITS


class Manifest:
    """Numbers of files, kept in the offline store's table `manifests`.

    Args:
        offline: the offline store.
        folder: the project's folder; files in it are known by their path from there, so that it may be moved.
    """

    def __init__(self, offline: OfflineStore, folder: Path | str | None = None) -> None:
        self._offline = offline
        self._folder = None if folder is None else Path(folder).absolute()

    def discover(
        self,
        source: str,
        paths: Iterable[str],
        now: int,
        lanes: int = 1,
        progress: Mapping[int, int] | None = None,
        rebuild: bool = False,
        above: int = 0,
    ) -> list[FileEntry]:
        """Numbers the files that are new and checks those that are known.

        Several processes may discover at once: they agree on every number.

        Args:
            source: name of the source.
            paths: all files that it has now, absolute or from the project's folder, or URLs.
            now: µs, the arrival of new files.
            lanes: number of lanes to deal the files to; fixed once files have numbers.
            progress: next offset by lane number; tells whether a file that has vanished was read whole.
            rebuild: number all files anew, in a new generation.
            above: a generation that the new one is to come after, for a manifest that was lost.

        Returns:
            Files of the current generation by number, also those that were read and have vanished.

        Raises:
            LaneError: a file has changed, vanished before it was read or is still being written, or `lanes` differs.
            StoreError: the offline store cannot be read or written.
        """
        found = {self._short(path): self._absolute(path) for path in paths}
        target = max(self.generation(source), above) + 1 if rebuild else 0
        for _ in range(_ATTEMPTS):
            self._offline.positions(TABLE)
            known = self.entries(source)
            generation = known[0].generation if known else 1
            if generation < target:
                known, generation = [], target
            self._check(known, found, lanes, progress or {})
            numbered = {self._short(entry.path) for entry in known}
            names = sorted(found.keys() - numbered)
            new = [
                self._entry(source, len(known) + place, found[name], lanes, now, generation)
                for place, name in enumerate(names)
            ]
            entries = [*known, *new]
            if not new:
                return entries
            try:
                self._offline.append(TABLE, [self._batch(new)], {(source, f"files-{generation}"): len(entries)})
            except Conflict:
                continue
            return entries
        raise StoreError(f"manifest of {source!r}: other processes did not leave it alone in {_ATTEMPTS} attempts")

    def entries(self, source: str) -> list[FileEntry]:
        """Files of the source's current generation by number."""
        rows = self._offline.read(TABLE, filter=pl.col("source") == source, schema=_SCHEMA).to_pylist()
        newest = max((row["generation"] for row in rows), default=0)
        entries = [
            FileEntry(
                source,
                row["number"],
                self._absolute(row["path"]),
                row["lanes"],
                row["size"],
                row["hash"],
                _micros(row["arrival"]),
                newest,
                row["modified"],
            )
            for row in rows
            if row["generation"] == newest
        ]
        return sorted(entries, key=lambda entry: entry.number)

    def generation(self, source: str) -> int:
        """Current generation of a source's files; 0 before the first."""
        known = self.entries(source)
        return known[0].generation if known else 0

    def _check(
        self, known: Sequence[FileEntry], found: Mapping[str, str], lanes: int, progress: Mapping[int, int]
    ) -> None:
        for entry in known:
            if entry.lanes != lanes:
                raise LaneError(
                    f"source {entry.source!r}: its files are dealt to {entry.lanes} lanes, the settings say {lanes}; "
                    f"set lanes = {entry.lanes}, or run with --rebuild to number all its files anew"
                )
            if self._short(entry.path) in found:
                _check_unchanged(entry)
            elif progress.get(entry.lane_number, 0) < entry.end:
                raise LaneError(
                    f"{entry.path}: has vanished, but source {entry.source!r} has not read it to its end; put it back, "
                    "or run with --rebuild to read all files that there are anew"
                )

    def _entry(self, source: str, number: int, path: str, lanes: int, now: int, generation: int) -> FileEntry:
        before = _stamp(path)
        content = _hash(path)
        if before is None or _stamp(path) != before:
            raise LaneError(f"{path}: is still being written; give files their final name when they are complete")
        return FileEntry(source, number, path, lanes, before[0], content, now, generation, before[1])

    def _batch(self, entries: Sequence[FileEntry]) -> pa.RecordBatch:
        columns = [
            [entry.source for entry in entries],
            [entry.generation for entry in entries],
            [entry.number for entry in entries],
            [self._short(entry.path) for entry in entries],
            [entry.lanes for entry in entries],
            [entry.size for entry in entries],
            [entry.modified for entry in entries],
            [entry.hash for entry in entries],
            [entry.arrival for entry in entries],
        ]
        arrays = [pa.array(column, field.type) for column, field in zip(columns, _SCHEMA, strict=True)]
        return pa.RecordBatch.from_arrays(arrays, schema=_SCHEMA)

    def _short(self, path: str) -> str:
        """A file's name in the manifest: its path from the project's folder if it lies there."""
        if "://" in path or self._folder is None:
            return path
        whole = Path(self._absolute(path))
        return whole.relative_to(self._folder).as_posix() if whole.is_relative_to(self._folder) else str(whole)

    def _absolute(self, path: str) -> str:
        return path if "://" in path else str((self._folder or Path()).absolute() / path)


def _check_unchanged(entry: FileEntry) -> None:
    """A file of the same size and time of modification is taken for unchanged; else its content decides."""
    stamp = _stamp(entry.path)
    if stamp == (entry.size, entry.modified):
        return
    if stamp is None or stamp[0] != entry.size or _hash(entry.path) != entry.hash:
        what = "is not there" if stamp is None else f"has {stamp[0]} bytes, not {entry.size}"
        if stamp is not None and stamp[0] == entry.size:
            what = "has other content"
        raise LaneError(
            f"{entry.path}: {what} since source {entry.source!r} numbered it; files must not change: give new content "
            "a new name, or run with --rebuild to read all files of the source anew"
        )


def _stamp(path: str) -> tuple[int, int] | None:
    """Size (bytes) and time of modification (ns) of a file, None if there is none."""
    system, name = _system(path)
    try:
        info = system.get_file_info(name)
    except OSError as error:
        raise StoreError(f"{path}: cannot be looked at: {error}") from error
    return (info.size, info.mtime_ns or 0) if info.type == fs.FileType.File else None


def _hash(path: str) -> str:
    """Hash of a file's content."""
    system, name = _system(path)
    digest = hashlib.blake2b(digest_size=16)
    try:
        with system.open_input_stream(name) as stream:
            while part := stream.read(1 << 22):
                digest.update(part)
    except FileNotFoundError as error:
        raise LaneError(f"{path}: there is no such file") from error
    except OSError as error:
        raise StoreError(f"{path}: cannot be read: {error}; it must be a file that this user may read") from error
    return digest.hexdigest()


def _system(path: str) -> tuple[fs.FileSystem, str]:
    if "://" not in path:
        return fs.LocalFileSystem(), path
    try:
        found: tuple[fs.FileSystem, str] = fs.FileSystem.from_uri(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise StoreError(f"{path}: no such kind of file store: {error}") from error
    return found


def _micros(time: object) -> int:
    return int(pa.scalar(time, TIME).cast(pa.int64()).as_py())
