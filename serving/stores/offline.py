"""The offline store: Delta tables under one root, to which every append is a join by lane."""

from __future__ import annotations

import hashlib
import os
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
from deltalake import DeltaTable
from deltalake.transaction import AddAction

from schemas.errors import StoreError
from serving.stores.compaction import compact, vacuum
from serving.stores.delta import Conflict, Log, Place
from serving.stores.delta_schema import fitted, new_columns, plain_schema
from serving.stores.leftovers import Leftovers, trim_log
from serving.stores.parquet import write_file
from serving.stores.scans import record_batches

_ATTEMPTS = 50
_SMALL = 32 << 20
_MANY = 8
Positions = Mapping[tuple[str, str], int]
Bounds = Sequence[tuple[str, Any, Any]]


class _Table:
    """What one process keeps of one table: its log, and what each thread last learnt of the positions."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.lock = threading.RLock()
        self.log: Log | None = None
        self.learnt = threading.local()
        self.leftovers = Leftovers()

    @property
    def known(self) -> dict[tuple[str, str], int]:
        """Positions as this thread last saw them."""
        if not hasattr(self.learnt, "positions"):
            self.learnt.positions = {}
        found: dict[tuple[str, str], int] = self.learnt.positions
        return found


class OfflineStore:
    """Delta tables under one root; threads and processes may share it.

    Args:
        root: folder, or URL of an object store ("s3://bucket/path").
        options: of the object store, handed on verbatim.
    """

    def __init__(self, root: str | Path, options: Mapping[str, str] | None = None) -> None:
        self.root = str(root).rstrip("/")
        self.options = dict(options or {})
        self._tables: dict[str, _Table] = {}
        self._sound: dict[str, set[str]] = {}
        self._lock = threading.Lock()
        self._process = os.getpid()

    def __reduce__(self) -> tuple[Any, ...]:
        return OfflineStore, (self.root, self.options)

    def append(self, table: str, batches: Sequence[pa.RecordBatch], positions: Positions) -> None:
        """One commit of rows and of how far their lanes are now stored; the table and new columns are made as needed.

        Positions are joins: a smaller one than stored changes nothing. Everything is durable when this returns.

        Args:
            table: name, such as "events/purchases".
            batches: rows; an empty batch makes the table of its schema. Rows with `_lane` and `_offset` must be
                trimmed to what the positions last read by this thread leave over.
            positions: next offset by (lane text, scope).

        Raises:
            Conflict: other writers have advanced one of the lanes since this thread last read its positions or
                appended; nothing was written.
            StoreError: the table cannot be written, or a column has another type than stored.
        """
        rows = pa.Table.from_batches([batch.replace_schema_metadata(None) for batch in batches]) if batches else None
        entry = self._table(table)
        for _ in range(1 if positions else _ATTEMPTS):
            try:
                return self._append(entry, rows, positions)
            except Conflict as error:
                conflict = error
            with entry.lock:
                if not positions and entry.log is not None:
                    entry.log.refresh()
        raise conflict

    def positions(self, table: str) -> dict[tuple[str, str], int]:
        """Next offset by (lane text, scope), as of now; empty for a table that does not exist."""
        entry = self._table(table)
        with entry.lock:
            log = self._log(entry)
            if log is None:
                return {}
            log.refresh()
            found = {_place(name): version for name, version in log.transactions().items() if "#" in name}
            entry.known.clear()
            entry.known.update(found)
            return found

    def exists(self, table: str) -> bool:
        """Whether the table exists."""
        entry = self._table(table)
        return entry.log is not None or entry.place.exists()

    def schema(self, table: str) -> pa.Schema:
        """Columns and plain Arrow types of a table."""
        return plain_schema(pa.schema(self._place(table).open().schema().to_arrow()))

    def count(self, table: str) -> int:
        """Rows of a table, from its statistics; 0 if it does not exist."""
        if not self.exists(table):
            return 0
        place = self._place(table)
        with place.explained():
            return int(place.open().count())

    def scan(
        self,
        table: str,
        columns: Sequence[str] | None = None,
        filter: pl.Expr | None = None,
        schema: pa.Schema | None = None,
        within: Bounds = (),
    ) -> pl.LazyFrame:
        """A table as of now, as a polars frame to be collected.

        Data files are checked against their checksums, once per object: readers do not notice a flipped bit.

        Args:
            table: name.
            columns: all by default.
            filter: pushed down to files and row groups.
            schema: stands for a table that does not exist yet (no rows); without it such a table is an error.
            within: (column, least, greatest) outside which the filter takes nothing: other files are not checked.

        Raises:
            StoreError: the table does not exist (and no schema was given) or a file of it is missing or damaged.
        """
        place = self._place(table)
        if schema is not None and not self.exists(table):
            empty = pl.from_arrow(plain_schema(schema).empty_table())
            assert isinstance(empty, pl.DataFrame)
            frame = empty.lazy()
        else:
            handle = place.open()
            self._check_files(place, handle, within, missing=filter is None)
            with place.explained():
                frame = pl.scan_delta(handle, storage_options=self.options or None)
        frame = frame if filter is None else frame.filter(filter)
        return frame if columns is None else frame.select(columns)

    def read(
        self,
        table: str,
        columns: Sequence[str] | None = None,
        filter: pl.Expr | None = None,
        schema: pa.Schema | None = None,
        within: Bounds = (),
    ) -> pa.Table:
        """Rows of a table as of now, every column of exactly the type it was written with; arguments as of `scan`.

        Raises:
            StoreError: the table does not exist (and no schema was given) or a file of it is missing or damaged.
        """
        frame = self.scan(table, columns, filter, schema, within)
        types = plain_schema(schema) if schema is not None and not self.exists(table) else self.schema(table)
        with self._place(table).explained():
            rows = frame.collect().to_arrow()
            return rows.cast(pa.schema([types.field(name) for name in rows.column_names]))

    def batches(
        self, table: str, columns: Sequence[str], texts: Sequence[str], column: str, first: int, last: int
    ) -> Iterator[pa.RecordBatch]:
        """Rows of a table as of now, batch by batch in no particular order, without holding them all.

        Args:
            table: name of a table that exists.
            columns: of its rows; types as they were written.
            texts: those of them, string columns, that may come as dictionaries.
            column: a time column by which files and row groups are passed over.
            first: least value wanted, µs; rows below it may come all the same.
            last: greatest value wanted, µs; likewise.

        Raises:
            StoreError: a file is missing or damaged.
        """
        place = self._place(table)
        handle = place.open()
        within = [(column, first, last)]
        self._check_files(place, handle, within, missing=True)
        with place.explained():
            paths = _overlapping(handle, within)
        return record_batches(place, handle, paths, columns, texts, column, first, last)

    def forget(self, table: str, lanes: Sequence[str]) -> int:
        """Deletes the rows of lanes that are given up, and says how many; their positions stay.

        Args:
            table: name; a table that does not exist has none.
            lanes: texts of the lanes.
        """
        if not lanes or not self.exists(table):
            return 0
        held = len(self.read(table, ["_lane"], pl.col("_lane").is_in(list(lanes))))
        if held:
            place = self._place(table)
            with place.explained():
                place.open().delete("_lane IN (" + ", ".join(f"'{lane}'" for lane in lanes) + ")")
        return int(held)

    def tables(self) -> list[str]:
        """Names of all tables, sorted."""
        if "://" not in self.root:
            logs = (Path(path) for path, folders, _ in os.walk(self.root) if "_delta_log" in folders)
            return sorted(str(path.relative_to(self.root)) for path in logs)
        frame = pl.scan_ndjson(
            f"{self.root}/**/_delta_log/*.json",
            schema={"commitInfo": pl.Struct({})},
            include_file_paths="path",
            storage_options=self.options or None,
        )
        with Place("", self.root).explained():
            paths = frame.select(pl.col("path").unique()).collect()["path"].to_list()
        names = {path.rpartition("/_delta_log/")[0].partition(f"{self.root}/")[2] for path in paths}
        return sorted(names)

    def compact(self, table: str) -> int:
        """Merges the small files of a table, one process at a time, and says how many files went.

        Raises:
            StoreError: another process is compacting the table, or rows were doubled (which was undone).
        """
        return compact(self._place(table), self._lock_file(table))

    def tidy(self, table: str, keep: int, now: int) -> None:
        """Joins small files once there are several, and deletes what was replaced and is not needed any more.

        An object store gets no files deleted: see `vacuum`.

        Args:
            table: name of a table that exists.
            keep: µs that data files stay after this object first saw that the table does without them, and log
                entries after a checkpoint stands for them; readers that take longer fail.
            now: µs since the epoch.

        Raises:
            StoreError: as of `compact`.
        """
        entry = self._table(table)
        place = entry.place
        files = place.files(place.open())
        if sum(size < _SMALL for size in files.values()) >= _MANY:
            compact(place, self._lock_file(table), _SMALL)
            with place.explained():
                place.open().create_checkpoint()
        if place.folder is not None:
            checkpoint = place.checkpoint()
            if checkpoint is not None:
                trim_log(place.folder, checkpoint, keep, now)
            entry.leftovers.sweep(place.folder, set(place.files(place.open())), keep, now)

    def vacuum(self, table: str, hours: int = 168, keep_versions: Sequence[int] = ()) -> list[str]:
        """Deletes files that no version since `hours` ago needs, nor any of the versions named; says which."""
        return vacuum(self._place(table), hours, keep_versions)

    def version(self, table: str) -> int:
        """Version of a table now: a later read can go back to it, see `vacuum`."""
        return int(self._place(table).open().version())

    def _append(self, entry: _Table, rows: pa.Table | None, positions: Positions) -> None:
        with entry.lock:
            log = self._log(entry)
            if log is None:
                if rows is None:
                    raise StoreError(f"{entry.place.address}: no such table; append a batch of its schema first")
                entry.place.create(rows.schema)
                log = entry.log = Log(entry.place)
            if rows is not None and (missing := new_columns(entry.place.table, log.schema(), rows.schema)):
                log.add_columns(missing)
            versions = log.versions(map(_name, positions))
            stored = {place: versions[_name(place)] for place in positions}
            self._check(entry, rows, stored)
            advanced = {_name(place): end for place, end in positions.items() if end > _least(stored[place])}
            rows = fitted(rows, log.schema()) if rows is not None and len(rows) else None
            if rows is not None:
                self._commit(log, entry.place, rows, advanced)
            elif advanced:
                log.commit([], advanced)
            entry.known.update({place: max(end, _least(stored[place])) for place, end in positions.items()})

    def _commit(self, log: Log, place: Place, rows: pa.Table, transactions: Mapping[str, int]) -> None:
        if place.folder is None:
            return log.write(rows, transactions)
        with place.explained():
            added: AddAction = write_file(place.folder, rows)
        try:
            log.commit([added], transactions)
        except Conflict:
            (place.folder / added.path).unlink(missing_ok=True)
            raise
        except StoreError:
            # A commit that failed may have happened all the same; only a file that no version names may go.
            with suppress(StoreError):
                if added.path not in place.files(place.open()):
                    (place.folder / added.path).unlink(missing_ok=True)
            raise

    def _check_files(self, place: Place, handle: DeltaTable, within: Bounds, missing: bool) -> None:
        """Checks the data files that a read may take rows from, those aside that were sound before.

        What is missing is not looked at under a filter, which may skip it: the engine tells.
        """
        if place.folder is None:
            return
        sound = self._sound.setdefault(place.table, set())
        files = {path: size for path, size in place.files(handle).items() if path not in sound}
        if within and files:
            with place.explained():
                files = {path: files[path] for path in _overlapping(handle, within) if path in files}
        place.check(files, missing)
        sound |= files.keys()

    def _check(self, entry: _Table, rows: pa.Table | None, stored: Mapping[tuple[str, str], int | None]) -> None:
        """Refuses an append whose rows were trimmed to other positions than those in the log."""
        for place, position in stored.items():
            if position is not None and entry.known.get(place) != position:
                raise Conflict(f"{entry.place.address}: lane {place[0]} is stored up to {position} already")
        if rows is None or not len(rows) or not {"_lane", "_offset"} <= set(rows.column_names):
            return
        lowest = {lane: min(_least(p) for (name, _), p in stored.items() if name == lane) for lane, _ in stored}
        firsts = rows.group_by("_lane").aggregate([("_offset", "min")])
        for lane, first in zip(*(firsts.column(name).to_pylist() for name in ("_lane", "_offset_min")), strict=True):
            if first is not None and first < lowest.get(lane, first):
                raise Conflict(f"{entry.place.address}: lane {lane} is stored up to {lowest[lane]} already")

    def _table(self, table: str) -> _Table:
        with self._lock:
            if self._process != os.getpid():
                self._process, self._tables = os.getpid(), {}
            if table not in self._tables:
                self._tables[table] = _Table(self._place(table))
            return self._tables[table]

    def _log(self, entry: _Table) -> Log | None:
        if entry.log is None and entry.place.exists():
            entry.log = Log(entry.place)
        return entry.log

    def _place(self, table: str) -> Place:
        return Place(table, f"{self.root}/{table}", self.options)

    def _lock_file(self, table: str) -> Path:
        """Within the root; for an object store, which has no locks, it keeps only this machine's processes apart."""
        name = f"{table.replace('/', '%')}.lock"
        if "://" not in self.root:
            return Path(self.root) / ".locks" / name
        return Path(tempfile.gettempdir()) / f"twinbeam-{hashlib.sha256(self.root.encode()).hexdigest()[:16]}" / name


def _overlapping(handle: DeltaTable, within: Bounds) -> list[str]:
    """Files of a table that may hold rows within bounds, by their statistics."""
    listed = pl.DataFrame(pl.from_arrow(pa.table(handle.get_add_actions(flatten=True))))
    outside = pl.lit(False)
    for name, least, greatest in within:
        if f"min.{name}" in listed.columns and f"max.{name}" in listed.columns:
            low, high = pl.col(f"min.{name}"), pl.col(f"max.{name}")
            if listed.schema[f"min.{name}"].is_temporal():
                low, high = low.dt.timestamp("us"), high.dt.timestamp("us")
            outside |= ((high < least) | (low > greatest)).fill_null(False)
    return listed.filter(outside.not_())["path"].to_list()


def _least(position: int | None) -> int:
    """Position of a lane, below every offset if it has none."""
    return -1 if position is None else position


def _name(place: tuple[str, str]) -> str:
    """Application id of a lane's position in a table."""
    return "#".join(place)


def _place(name: str) -> tuple[str, str]:
    lane, _, scope = name.partition("#")
    return lane, scope
