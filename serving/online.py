"""Online reads: features of entities now, from the cells of the online store."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from time import perf_counter
from typing import Any
from zlib import crc32

import numpy as np

from schemas.errors import BeingFilled, DefinitionChanged, RequestError
from schemas.state import Block
from serving.expiry import check_reach
from serving.stores.base import SEALED, OnlineStore
from serving.stores.row_reads import Asked, RowReader, Rows, Wanted, row_reader
from transforms.answer_columns import AnswerColumn
from transforms.answers import Answer
from transforms.artefact import SHOWN
from transforms.features import Features
from transforms.key_answers import EntityRows, KeyAnswers
from transforms.latest import LatestCells
from transforms.plain_keys import plain_columns
from transforms.read_plan import ReadPlan
from transforms.requests import Request, column_array, read_request, role_keys
from transforms.selection import Output, Selection
from transforms.served import ServedFeatures

Marks = dict[str, dict[str, int]]


class OnlineAnswer:
    """Features read online, and what the store had folded when they were read.

    Attributes:
        features: the answer.
        together: whether all of its rows are of one state of the store.
        sampled: rows that are sampled for the serving log, by a hash of their keys; None for all.
    """

    def __init__(
        self,
        features: Features,
        marks: Callable[[int | None], Marks],
        together: bool = True,
        sampled: Sequence[int] | None = None,
    ) -> None:
        self.features, self._marks, self.together, self.sampled = features, marks, together, sampled

    def marks(self, row: int | None = None) -> Marks:
        """Per block, per lane, the offset below which every row was in the cells read, of one request's row or all."""
        return self._marks(row)


class OnlineReader:
    """Reads features of many entities in one snapshot of an online store.

    Args:
        blocks: the applied blocks of every view.
        store: the online store.
        timed: called with the seconds that each read of the store took, or None.
    """

    def __init__(
        self,
        blocks: Mapping[str, Sequence[Block]],
        store: OnlineStore,
        timed: Callable[[float], None] | None = None,
    ) -> None:
        rows = row_reader(store)
        self._blocks, self._rows = blocks, rows if timed is None else _TimedRows(rows, timed)

    def prepare(self, selection: Selection) -> PreparedRead:
        """A read of a selection, planned once for any number of keys and times.

        Raises:
            RequestError: a feature is of a view that is offline only, not applied, or not fitted yet.
            DefinitionChanged: an encoded one is fitted by another definition.
        """
        _check_online(selection)
        selection.check()
        return PreparedRead(ReadPlan.compile(selection, self._blocks), self._rows)


class _TimedRows:
    """A row reader that says how long its reads take."""

    def __init__(self, rows: RowReader, timed: Callable[[float], None]) -> None:
        self._rows, self._timed = rows, timed

    def read(self, asked: Sequence[Asked], marks: Wanted) -> Rows:
        begun = perf_counter()
        try:
            return self._rows.read(asked, marks)
        finally:
            self._timed(perf_counter() - begun)


class PreparedRead:
    """Reads the features of one selection; threads may share it.

    Args:
        plan: how the selection is read.
        rows: the store.
    """

    def __init__(self, plan: ReadPlan, rows: RowReader) -> None:
        self._plan, self._rows = plan, rows
        self._names = tuple(plan.types)
        self._artefacts = plan.selection.artefacts()
        self._blocks = [tuple(reads.block.id for reads in entity.blocks) for entity in plan.entities]
        self._spans = [[reads.span for reads in entity.blocks] for entity in plan.entities]
        self._firsts: tuple[int, int, list[list[int]]] = (0, 0, [])

    @property
    def selection(self) -> Selection:
        """The features."""
        return self._plan.selection

    def get(
        self,
        keys: Any,
        request: Mapping[str, Any] | None,
        now: int | str | None,
        clock: int,
        share: float = 1.0,
    ) -> OnlineAnswer:
        """Features as of now.

        The instant of a row's answer is the greater of now and the newest event time in the cells read for it, since
        a head tile may already hold an event later than the reader's clock.

        Args:
            keys: as a user gives them, n rows.
            request: request values beside the keys.
            now: µs; None for the clock; "latest" for the newest event of each row's entities.
            clock: µs, the reader's clock.
            share: of all keys, of those whose answers are sampled for the log; marks are read if one of them is asked.

        Raises:
            RequestError: `now` is older than an event in the cells read, a feature is still being backfilled, or a
                key column is missing or of another type.
        """
        instant = None if now == "latest" else clock if now is None else now
        if isinstance(instant, str):
            raise RequestError(f"now={now!r}: give a time, or 'latest'")
        asked = _Asked(self._plan, self._names, keys, request)
        sampled = None if share >= 1 else asked.sampled(share)
        marked = sampled is None or bool(sampled)
        firsts = self._firsts_at(instant)
        slices = [
            Asked(entity.entity, keys, blocks, of_entity, spans)
            for entity, (keys, _), blocks, of_entity, spans in zip(
                self._plan.entities, asked.keys, self._blocks, firsts, self._spans, strict=True
            )
        ]
        # What is computed of the request alone needs no store.
        found = self._rows.read(slices, Wanted.ALL if marked else Wanted.SEALS) if slices else Rows((), {}, {})
        horizons = self._horizons(found)
        entities = [
            EntityRows(entity, keys, requests, rows, found.lanes)
            for entity, (keys, requests), rows in zip(self._plan.entities, asked.keys, found.cells, strict=True)
        ]
        answers = KeyAnswers(entities, asked.rows, instant)
        instants = _instants(answers.newest, instant, now, asked)
        self._check_reach(horizons, firsts, instants)
        columns = answers.columns(instants)
        features = self._features(asked, columns, instants)
        return OnlineAnswer(features, _MarksOf(found, entities) if marked else _no_marks, found.together, sampled)

    def _firsts_at(self, instant: int | None) -> list[list[int]]:
        """Start (µs) of the first cell wanted of each block, by entity."""
        begin, until, firsts = self._firsts
        if instant is None or not begin <= instant < until:
            begin, until, firsts = self._plan.firsts(instant)
            if instant is not None:
                self._firsts = (begin, until, firsts)
        return firsts

    def _horizons(self, found: Rows) -> list[int]:
        """Instants (µs) before which cells of each block may have expired; refuses blocks that still lack history."""
        try:
            return [found.marks[block][SEALED] for blocks in self._blocks for block in blocks]
        except KeyError:
            unfilled = [
                reads.outputs[0].address
                for entity in self._plan.entities
                for reads in entity.blocks
                if not found.marks[reads.block.id].get(SEALED)
            ]
            raise BeingFilled(
                f"{unfilled[0]}: is still being filled from history; run twinbeam run batch (or run stream) until it "
                "has caught up"
            ) from None

    def _check_reach(self, horizons: list[int], firsts: list[list[int]], instants: list[int]) -> None:
        """Refuses answers that would need cells which have expired."""
        if max(horizons, default=0) <= 1:
            return
        of_blocks = iter(horizons)
        for entity, of_entity in zip(self._plan.entities, firsts, strict=True):
            for reads, first in zip(entity.blocks, of_entity, strict=True):
                horizon = next(of_blocks)
                if first < horizon:
                    check_reach([output.feature for output in reads.outputs], np.array(instants, np.int64), horizon)

    def _features(self, asked: _Asked, columns: Sequence[AnswerColumn | Answer], instants: list[int]) -> Features:
        plan, selection, artefacts = self._plan, self._plan.selection, self._artefacts
        found: dict[str, AnswerColumn | Answer] = {address: columns[place] for address, place in plan.places}
        if plan.assembly is not None:
            inputs = {address: _arrow(columns[place]) for address, place in plan.inputs}
            times = np.array(instants, np.int64)
            computed = plan.assembly.computed(inputs, lambda: asked.request, times)
            found |= computed
            found = {output.address: found[output.address] for output in selection.outputs}
        if asked.plain is not None:
            return ServedFeatures(asked.plain, plan.types, found, instants, selection.fingerprint, artefacts)
        answers = {address: _arrow(column) for address, column in found.items()}
        times = np.array(instants, np.int64)
        return Features(asked.request.given, answers, times, selection.fingerprint, artefacts=artefacts)


class _Asked:
    """Keys that are asked for: plain where that is enough, and as Arrow when it is not, or an error tells of them.

    Attributes:
        rows: how many requests there are.
        plain: columns of plain values; None if something else was given.
        keys: of each entity, its distinct keys, and the number of the key of each request (-1: null).
    """

    def __init__(self, plan: ReadPlan, names: tuple[str, ...], given: Any, extra: Mapping[str, Any] | None) -> None:
        self._plan = plan
        self._request: Request | None = None
        self.plain = None if extra is not None or plan.selection.request else plain_columns(given, names)
        encoded = None if self.plain is None else [entity.encode(self.plain) for entity in plan.entities]
        if self.plain is None or encoded is None or None in encoded:
            self.plain = None
            self._request = read_request(given, plan.selection, "keys", extra)
            encoded = [role_keys(entity.blocks[0].outputs[0], self._request).to_pylist() for entity in plan.entities]
            self.rows = self._request.rows
        else:
            self.rows = len(next(iter(self.plain.values())))
        several = len(encoded) > 1
        self.keys = [_numbered(of_entity or [], several) for of_entity in encoded]

    def sampled(self, share: float) -> list[int]:
        """Rows of a share of all keys; a key is sampled always or never, whichever process is asked for it."""
        if share <= 0:
            return []
        least, found = share * 2**32, []
        for row in range(self.rows):
            whole = b"".join(keys[numbers[row]] if numbers[row] >= 0 else b"" for keys, numbers in self.keys)
            if crc32(whole) < least:
                found.append(row)
        return found

    @property
    def request(self) -> Request:
        """The request as Arrow has it."""
        if self._request is None:
            types, plain = self._plan.types, self.plain or {}
            columns = {name: column_array(values, types[name]) for name, values in plain.items()}
            self._request = Request.of_columns(columns, "keys")
        return self._request


class _MarksOf:
    """Marks of the cells that an answer was read from: of the store, or of a cell where that had more.

    What a cell had more is true of all keys only where all were read together, else of its own.
    """

    def __init__(self, found: Rows, entities: Sequence[EntityRows]) -> None:
        self._marks, self._lanes = found.marks, found.lanes
        self._requests = [entity.requests for entity in entities]
        self._tiles: list[tuple[int, str, set[tuple[int, Any, int]]]] = []
        self._latest: list[tuple[int, Block, list[tuple[int, bytes]]]] = []
        for at, (entity, rows) in enumerate(zip(entities, found.cells, strict=True)):
            for number, reads in enumerate(entity.reads.blocks):
                of_block = [row for row in rows if row[1] == number]
                if reads.block.kind == "latest":
                    self._latest.append((at, reads.block, [(row[0], row[5]) for row in of_block]))
                elif found.together:
                    self._tiles.append((at, reads.block.id, {(0, row[3], row[4]) for row in of_block}))
                else:
                    self._tiles.append((at, reads.block.id, {(row[0], row[3], row[4]) for row in of_block}))

    def __call__(self, request: int | None) -> Marks:
        """The marks, without the seals."""
        marks = {block: {lane: at for lane, at in of.items() if lane != SEALED} for block, of in self._marks.items()}
        wanted = None if request is None else [requests[request] for requests in self._requests]
        for at, block, cells in self._tiles:
            for key, lane, version in cells:
                if wanted is None or wanted[at] == key:
                    text = self._lanes[lane]
                    marks[block][text] = max(marks[block].get(text, 0), version)
        for at, latest, contents in self._latest:
            blobs = [blob for key, blob in contents if wanted is None or wanted[at] == key]
            lanes, offsets = LatestCells(latest, blobs).sources()
            for text, offset in zip(lanes, offsets.tolist(), strict=True):
                marks[latest.id][text] = max(marks[latest.id].get(text, 0), offset)
        return marks


def _arrow(column: AnswerColumn | Answer) -> Answer:
    return column if isinstance(column, Answer) else column.answer()


def _check_online(selection: Selection) -> None:
    """Refuses features of views that are offline only, and all that is computed of them.

    Raises:
        RequestError: a view is offline only.
    """
    offline = selection.offline_only()
    if not offline:
        return
    roles = dict.fromkeys(output.role for output in selection.outputs)
    users = [f"service {selection.service!r}"] if selection.service else [role for role in roles if role not in offline]
    views = f"feature view {offline[0]!r} is" if len(offline) == 1 else f"feature views {', '.join(offline)} are"
    told = f"so that {', '.join(users)} cannot be read online" if users else "not read online"
    raise RequestError(
        f"{views} offline only (online=False), {told}; training_set reads all of it. Ask for other features, or take "
        "online=False away, run twinbeam apply, then twinbeam run batch (or run stream)"
    )


def _no_marks(row: int | None) -> Marks:
    return {}


def _numbered(keys: list[bytes | None], several: bool) -> tuple[list[bytes], list[int]]:
    """Distinct keys, and the number of each request's; with several entities, a key of its own for each request.

    An answer is as of an instant, which with several entities may be another for two requests of one key.
    """
    numbers: dict[bytes, int] = {}
    requests = [-1 if key is None else numbers.setdefault(key, len(numbers)) for key in keys]
    if several and len(numbers) < len(keys):
        known = [key for key in keys if key is not None]
        places = iter(range(len(known)))
        return known, [-1 if key is None else next(places) for key in keys]
    return list(numbers), requests


def _instants(newest: list[int], instant: int | None, now: int | str | None, asked: _Asked) -> list[int]:
    """Instant of each request's answer."""
    if instant is None:
        return newest
    latest = max(newest, default=instant)
    if latest <= instant:
        return [instant] * len(newest)
    late = [row for row, time in enumerate(newest) if time > instant]
    if now is not None:
        rows = "; ".join(asked.request.describe(row) for row in late[:5])
        raise RequestError(
            f"now is older than events that have been folded already, for {len(late)} of {asked.rows} rows "
            f"({rows}); for a time in the past use training_set"
        )
    return [max(time, instant) for time in newest]


def check_fingerprint(selection: Selection, fingerprint: str | None) -> None:
    """Refuses an answer by other definitions than a model was trained with.

    Raises:
        DefinitionChanged: the fingerprint is not the selection's.
    """
    if fingerprint is None or fingerprint == selection.fingerprint:
        return
    addresses = [_named(output) for output in selection.outputs]
    before, now = fingerprint.partition("-")[2], selection.fingerprint.partition("-")[2]
    changed = addresses
    if len(before) == len(now):
        parts = [(before[at : at + 4], now[at : at + 4]) for at in range(0, len(now), 4)]
        changed = [name for name, (old, new) in zip(addresses, parts, strict=True) if old != new] or addresses
    raise DefinitionChanged(
        f"fingerprint {fingerprint} was asked for, these features have {selection.fingerprint}; changed since: "
        f"{', '.join(changed)}"
    )


def _named(output: Output) -> str:
    """Address of a feature, with the artefact that it is fitted by now, if any."""
    artefact = output.feature.artefact
    return f"{output.address} (artefact {artefact[:SHOWN]} is applied)" if artefact else output.address
