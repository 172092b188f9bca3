"""Online reads: features of entities now, from the cells of the online store."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from schemas.errors import DefinitionChanged, RequestError
from schemas.state import Block
from serving.stores.base import SEALED, CellReader, OnlineStore, Slice
from transforms.answers import NO_TIME, Answer
from transforms.assembly import assemble
from transforms.block_answers import BlockAnswers, BlockCells, first_cell
from transforms.blocks import holder
from transforms.columns import integers
from transforms.features import Features
from transforms.requests import Request, role_keys
from transforms.selection import Output, Selection
from transforms.view import CompiledView

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class OnlineAnswer:
    """Features read online, and what the store had folded when they were read.

    Attributes:
        features: the answer.
        marks: per block, per lane, the offset below which every row was in the cells read.
    """

    features: Features
    marks: Mapping[str, Mapping[str, int]]


@dataclass(frozen=True)
class _Place:
    """Where an answer's cells were read: a block, for the entities that some columns of the request name."""

    entity: str
    keys: tuple[tuple[str, str], ...]
    block: str


class OnlineReader:
    """Reads features of many entities in one snapshot of an online store.

    Args:
        blocks: the applied blocks of every view.
        store: the online store.
    """

    def __init__(self, blocks: Mapping[str, Sequence[Block]], store: OnlineStore) -> None:
        self._blocks, self._store = blocks, store

    def get(self, selection: Selection, request: Request, now: int | str | None, clock: int) -> OnlineAnswer:
        """Features as of now.

        The instant of a row's answer is the greater of now and the newest event time in the cells read for it, since
        a head tile may already hold an event later than the reader's clock.

        Args:
            selection: the features asked for.
            request: keys and request values, n rows.
            now: µs; None for the clock; "latest" for the newest event of each row's entities.
            clock: µs, the reader's clock.

        Raises:
            RequestError: `now` is older than an event in the cells read, a feature is not applied yet or still being
                backfilled, or a key column is missing or of another type.
        """
        roles = selection.stored()
        instant = None if now == "latest" else clock if now is None else now
        if isinstance(instant, str):
            raise RequestError(f"now={now!r}: give a time, or 'latest'")
        with self._store.snapshot() as snapshot:
            answers = self._read(snapshot, roles, request, instant)
            marks = self._marks(snapshot, roles)
        instants = self._instants(answers.values(), request, instant, now)
        for place, cells in answers.items():
            known = marks[place.block]
            for lane, offset in cells.seen().items():
                known[lane] = max(known.get(lane, 0), offset)
        stored: dict[tuple[str, str], Answer] = {}
        for role, outputs in roles.items():
            for output in outputs:
                cells = answers[_Place(*_entity_keys(output), self._holder(output).id)]
                stored[role, output.feature.name] = cells.answer(output.feature, instants)
        table = assemble(selection, stored, request, instants)
        return OnlineAnswer(Features(request.given, table, instants, selection.fingerprint), marks)

    def _holder(self, output: Output) -> Block:
        return holder(output.feature, self._blocks.get(_view(output).name, ()))

    def _read(
        self, snapshot: CellReader, roles: Mapping[str, list[Output]], request: Request, instant: int | None
    ) -> dict[_Place, BlockAnswers]:
        """Cells of every block, in one store read for all roles that mean the same entity by the same columns."""
        answers: dict[_Place, BlockAnswers] = {}
        for (entity, columns), outputs in _by_keys(roles).items():
            codes = role_keys(outputs[0], request).dictionary_encode()
            keys: list[bytes] = codes.dictionary.to_pylist()
            numbers = integers(codes.indices.fill_null(-1))
            wanted: dict[str, list[Output]] = {}
            blocks: dict[str, Block] = {}
            for output in outputs:
                block = self._holder(output)
                blocks[block.id] = block
                wanted.setdefault(block.id, []).append(output)
            slices = [Slice(name, _first(blocks[name], readers, instant)) for name, readers in wanted.items()]
            found = snapshot.read(entity, keys, slices)
            for number, (name, readers) in enumerate(wanted.items()):
                at = np.flatnonzero(found.slice == number)
                lane, blob = [found.lane[i] for i in at], [found.blob[i] for i in at]
                cells = BlockCells(blocks[name], found.key[at], found.tile[at], lane, found.version[at], blob)
                place = _Place(entity, columns, name)
                answers[place] = BlockAnswers(_view(readers[0]), cells, numbers, len(keys))
        return answers

    def _marks(self, snapshot: CellReader, roles: Mapping[str, list[Output]]) -> dict[str, dict[str, int]]:
        """Marks of the blocks read; refuses blocks that have not caught up with history."""
        owners = {self._holder(output).id: output for outputs in roles.values() for output in outputs}
        marks: dict[str, dict[str, int]] = {block: {} for block in owners}
        for mark in snapshot.marks(list(owners)):
            marks[mark.log][mark.lane] = mark.offset
        for block, output in owners.items():
            if not marks[block].pop(SEALED, 0):
                raise RequestError(
                    f"{output.address}: is still being filled from history; run twinbeam run batch (or run stream) "
                    "until it has caught up"
                )
        return marks

    def _instants(
        self, answers: Iterable[BlockAnswers], request: Request, instant: int | None, now: int | str | None
    ) -> Ints:
        newest = np.full(request.rows, NO_TIME)
        for cells in answers:
            newest = np.maximum(newest, cells.newest(), dtype=np.int64)
        if instant is None:
            return newest
        late = np.flatnonzero(newest > instant)
        if now is not None and len(late):
            rows = "; ".join(request.describe(int(i)) for i in late[:5])
            raise RequestError(
                f"now is older than events that have been folded already, for {len(late)} of {request.rows} rows "
                f"({rows}); for a time in the past use training_set"
            )
        return np.asarray(np.maximum(newest, instant), np.int64)


def check_fingerprint(selection: Selection, fingerprint: str | None) -> None:
    """Refuses an answer by other definitions than a model was trained with.

    Raises:
        DefinitionChanged: the fingerprint is not the selection's.
    """
    if fingerprint is None or fingerprint == selection.fingerprint:
        return
    addresses = [output.address for output in selection.outputs]
    before, now = fingerprint.partition("-")[2], selection.fingerprint.partition("-")[2]
    changed = addresses
    if len(before) == len(now):
        parts = [(before[at : at + 4], now[at : at + 4]) for at in range(0, len(now), 4)]
        changed = [name for name, (old, new) in zip(addresses, parts, strict=True) if old != new] or addresses
    raise DefinitionChanged(
        f"fingerprint {fingerprint} was asked for, these features have {selection.fingerprint}; changed since: "
        f"{', '.join(changed)}"
    )


def _entity_keys(output: Output) -> tuple[str, tuple[tuple[str, str], ...]]:
    return _view(output).entity.name, output.keys


def _by_keys(roles: Mapping[str, list[Output]]) -> dict[tuple[str, tuple[tuple[str, str], ...]], list[Output]]:
    groups: dict[tuple[str, tuple[tuple[str, str], ...]], list[Output]] = {}
    for outputs in roles.values():
        for output in outputs:
            groups.setdefault(_entity_keys(output), []).append(output)
    return groups


def _first(block: Block, outputs: Sequence[Output], instant: int | None) -> int:
    if block.kind == "latest" or block.hop is None:
        return 0
    return first_cell(block, [output.feature.window for output in outputs], instant)


def _view(output: Output) -> CompiledView:
    assert output.view is not None
    return output.view
