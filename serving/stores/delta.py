"""One Delta table as a log of commits: opened, advanced, its application transactions listed, its errors explained."""

from __future__ import annotations

import errno
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl
import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, Field, Transaction, WriterProperties, write_deltalake
from deltalake.exceptions import CommitFailedError, DeltaError
from deltalake.transaction import AddAction, RemoveAction
from polars.exceptions import PanicException, PolarsError

from schemas.errors import StoreError
from serving.stores.damage import (
    broken_log,
    emptied,
    file_damage,
    log_lost,
    lost_versions,
    stale_checkpoint,
    way_back,
    witness,
    witnessed,
)
from serving.stores.delta_schema import plain_schema
from serving.stores.parquet import sync_file, sync_folder

_RACES = ("Concurrent transaction failed", "Metadata changed", "concurrent transaction")
_LEFT_BEHIND = ("Invalid table version", "File not found")
_ERRNO = re.compile(r"os error (\d+)|errno (\d+)", re.IGNORECASE)
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_FORBIDDEN = (errno.EROFS, errno.EACCES, errno.EPERM)
_COMMIT = {"commitInfo": pl.Struct({"operation": pl.String})}
_TRANSACTIONS = {"txn": pl.Struct({"appId": pl.String, "version": pl.Int64})}


class Conflict(StoreError):
    """Another writer committed to the same lanes first: read the positions again, trim the rows, repeat."""


@dataclass(frozen=True)
class Place:
    """Where a table lies.

    Attributes:
        table: its name.
        address: path, or URL of an object store.
        options: of the object store, verbatim.
    """

    table: str
    address: str
    options: Mapping[str, str] = field(default_factory=dict)

    @property
    def folder(self) -> Path | None:
        """The folder of a table on a local disk; None in an object store."""
        return None if "://" in self.address else Path(self.address)

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Turns errors of the engines into a `StoreError` that names the table, or into a `Conflict`.

        Raises:
            StoreError: the table cannot be read or written.
            Conflict: a commit lost a race.
        """
        try:
            yield
        except (DeltaError, PolarsError, PanicException, pa.ArrowException, OSError) as error:
            reason = " ".join(_COLOURS.sub("", str(error)).split("\n   0:")[0].split())[:400]
            if isinstance(error, CommitFailedError) and any(race in reason for race in _RACES):
                raise Conflict(f"{self.address}: {reason}") from error
            raise self.refusal(self._told(error, reason)) from error

    def refusal(self, told: str) -> StoreError:
        """The error of a table of which something is to be told."""
        return StoreError(f"{self.address}: the table cannot be read or written: {told}")

    def damaged(self, what: str) -> StoreError:
        """The error of a table to which damage was found."""
        return self.refusal(f"{what}; {way_back(self.table, self.address)}")

    def exists(self) -> bool:
        """Whether there is a table.

        Raises:
            StoreError: there are files of a table, and its log is gone.
        """
        with self.explained():
            found = DeltaTable.is_deltatable(self.address, storage_options=dict(self.options))
        if not found and self.folder is not None and (what := log_lost(self.folder)) is not None:
            raise self.damaged(what)
        return bool(found)

    def open(self, version: int | None = None) -> DeltaTable:
        """The table as it is now, or as it was.

        Raises:
            StoreError: it cannot be read, or an entry of its log was emptied or is missing at its end.
        """
        # Read first: what others commit between the two looks is no damage.
        known = -1 if self.folder is None else witnessed(self.folder)
        with self.explained():
            handle = DeltaTable(self.address, version=version, storage_options=dict(self.options))
            if self.folder is not None and version is None:
                last = handle.version()
                first = max(self.checkpoint() or 0, 0)
                what = lost_versions(self.folder, last, known) or emptied(self.folder, range(first + 1, last + 1))
                if what is not None:
                    raise self.damaged(what)
        return handle

    def checkpoint(self) -> int | None:
        """Version of the newest checkpoint, as the log says; None if it says nothing."""
        hint, options = f"{self.address}/_delta_log/_last_checkpoint", dict(self.options) or None
        try:
            frame = pl.scan_ndjson(hint, schema={"version": pl.Int64}, storage_options=options)
            found = frame.collect()["version"].to_list()
        except (OSError, PolarsError):
            return None
        return int(found[0]) if found else None

    def check(self, files: Mapping[str, int], missing: bool = True) -> None:
        """Checks data files on a local disk: there, as large as the log says, and with the content that was written.

        Args:
            files: size in bytes by path in the table.
            missing: whether all of them must be there.

        Raises:
            StoreError: a file is missing or damaged.
        """
        if self.folder is None:
            return
        for path, size in files.items():
            with self.explained():
                what = file_damage(self.folder / path, size) if missing or (self.folder / path).exists() else None
            if what is not None:
                raise self.damaged(what)

    def files(self, handle: DeltaTable) -> dict[str, int]:
        """Size in bytes by path of the data files of a table."""
        with self.explained():
            listed = pa.table(handle.get_add_actions()).select(["path", "size_bytes"])
        return dict(zip(*(listed.column(name).to_pylist() for name in ("path", "size_bytes")), strict=True))

    def operation(self, version: int) -> str:
        """What made a version, as its log entry says ("WRITE", "OPTIMIZE", ...)."""
        entry, options = f"{self.address}/_delta_log/{version:020}.json", dict(self.options) or None
        with self.explained():
            lines = pl.scan_ndjson(entry, schema=_COMMIT, storage_options=options).drop_nulls().collect()
        return str(lines["commitInfo"].struct.field("operation").to_list()[0]) if len(lines) else ""

    def create(self, schema: pa.Schema) -> None:
        """Makes the table unless somebody has made it already."""
        try:
            with self.explained():
                DeltaTable.create(self.address, plain_schema(schema), mode="ignore", storage_options=dict(self.options))
        except StoreError:
            if not self.exists():
                raise

    def _told(self, error: BaseException, reason: str) -> str:
        """What a user is told of an engine's error: what it means, and the way back."""
        numbers = [int(number) for found in _ERRNO.findall(reason) for number in found if number]
        numbers += [error.errno] if isinstance(error, OSError) and error.errno else []
        if any(number in _FULL for number in numbers):
            return (
                f"the disk is full, or a limit is reached ({reason}); nothing of this commit was kept: free some "
                "space, then repeat"
            )
        if any(number in _FORBIDDEN for number in numbers):
            return f"{reason}: check that this user may write there and that it is not read-only, then repeat"
        if (found := self._found()) is not None:
            return found
        return (
            f"{reason}. If a file of it is missing or damaged, {way_back(self.table, self.address)}; otherwise check "
            "that this user may write there and that there is space"
        )

    def _found(self) -> str | None:
        """What the files on a local disk tell of an error that the engine raised."""
        if self.folder is None:
            return None
        with suppress(OSError):
            if (what := broken_log(self.folder)) is not None:
                return f"{what}; {way_back(self.table, self.address)}"
            try:
                handle = DeltaTable(self.address)
                listed = pa.table(handle.get_add_actions()).select(["path", "size_bytes"]).to_pylist()
            except (DeltaError, PanicException):
                return stale_checkpoint(self.folder)
            for file in listed:
                if (what := file_damage(self.folder / file["path"], file["size_bytes"])) is not None:
                    return f"{what}; {way_back(self.table, self.address)}"
        return None


class Log:
    """The commits of one table as one writer follows them; not for use by two threads at once.

    Args:
        place: where the table lies; it must exist.
    """

    def __init__(self, place: Place) -> None:
        self._place = place
        self.handle = place.open()
        self._ids: set[str] = set()
        self._listed = -1
        self._synced = self.handle.version()

    def refresh(self) -> None:
        """Takes in what others have committed."""
        try:
            with self._place.explained():
                self.handle.update_incremental()
        except StoreError:
            self.handle = self._place.open()

    def schema(self) -> pa.Schema:
        """Plain schema of the table, as far as it was taken in."""
        return plain_schema(pa.schema(self.handle.schema().to_arrow()))

    def transactions(self) -> dict[str, int]:
        """Version by application id of all transactions taken in."""
        version = self.handle.version()
        with self._place.explained():
            if version > self._listed:
                self._ids |= self._ids_between(self._listed + 1, version)
                self._listed = version
        return {name: number for name, number in self.versions(self._ids).items() if number is not None}

    def versions(self, names: Iterable[str]) -> dict[str, int | None]:
        """Versions of application transactions, as far as they were taken in, all at one moment."""
        wanted = list(names)
        try:
            return {name: self.handle.transaction_version(name) for name in wanted}
        except DeltaError:
            # The engine reads them when they are asked for, and the log may have been trimmed since.
            self.handle = self._place.open()
            with self._place.explained():
                return {name: self.handle.transaction_version(name) for name in wanted}

    def add_columns(self, columns: Sequence[pa.Field]) -> None:
        """Adds nullable columns.

        Raises:
            Conflict: another writer changed the schema first.
        """
        with self._place.explained():
            self.handle.alter.add_columns([Field.from_arrow(column) for column in columns])
        self.refresh()

    def commit(self, files: Sequence[AddAction | RemoveAction], transactions: Mapping[str, int]) -> None:
        """One commit of files that are in place already.

        Raises:
            Conflict: another writer committed one of the transactions since this log was last taken in.
        """
        with self._committing():
            self.handle.create_write_transaction(
                list(files), "append", self.handle.schema(), [], commit_properties=_properties(transactions)
            )
        self.refresh()
        self._sync()

    def write(self, rows: pa.Table, transactions: Mapping[str, int]) -> None:
        """One commit of rows, whose files deltalake writes: the way into object stores.

        Raises:
            Conflict: another writer committed one of the transactions since this log was last taken in.
        """
        with self._committing():
            write_deltalake(
                self.handle,
                rows,
                mode="append",
                writer_properties=WriterProperties(compression="ZSTD"),
                commit_properties=_properties(transactions),
            )
        self.refresh()

    @contextmanager
    def _committing(self) -> Iterator[None]:
        """Takes a commit on a version whose log entry has been trimmed since for a lost race."""
        try:
            with self._place.explained():
                yield
        except StoreError as error:
            if any(sign in str(error) for sign in _LEFT_BEHIND):
                raise Conflict(str(error)) from error
            raise

    def _ids_between(self, first: int, last: int) -> set[str]:
        """Application ids in the log's entries; up to the newest checkpoint it stands for the entries."""
        log = f"{self._place.address}/_delta_log"
        options = dict(self._place.options) or None
        ids: set[str] = set()
        checkpoint = None if self._has_entry(first) else self._place.checkpoint()
        if checkpoint is not None and first <= checkpoint <= last:
            frame = pl.scan_parquet(f"{log}/{checkpoint:020}.checkpoint*.parquet", storage_options=options)
            ids |= set(frame.select(pl.col("txn").struct.field("appId")).drop_nulls().collect().to_series())
            first = checkpoint + 1
        entries = [f"{log}/{version:020}.json" for version in range(first, last + 1)]
        if self._place.folder is not None and (what := emptied(self._place.folder, range(first, last + 1))) is not None:
            raise self._place.damaged(what)
        if entries:
            lines = pl.scan_ndjson(entries, schema=_TRANSACTIONS, storage_options=options)
            ids |= set(lines.select(pl.col("txn").struct.field("appId")).drop_nulls().collect().to_series())
        return ids

    def _has_entry(self, version: int) -> bool:
        """Whether the log certainly has the entry of a version; those before a checkpoint go with time."""
        folder = self._place.folder
        return version > 0 and folder is not None and (folder / "_delta_log" / f"{version:020}.json").exists()

    def _sync(self) -> None:
        """Makes the commits taken in durable (a local disk keeps new files in memory for seconds)."""
        folder = self._place.folder
        if folder is None:
            return
        for version in range(self._synced + 1, self.handle.version() + 1):
            with suppress(FileNotFoundError):  # trimmed long ago by others
                sync_file(folder / "_delta_log" / f"{version:020}.json")
        sync_folder(folder / "_delta_log")
        self._synced = self.handle.version()
        witness(folder, self._synced)


def _properties(transactions: Mapping[str, int]) -> CommitProperties:
    return CommitProperties(app_transactions=[Transaction(name, version) for name, version in transactions.items()])
