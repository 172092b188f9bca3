"""Audit: every logged answer replayed against the offline rows that the store had folded when it was given."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from schemas.errors import RequestError
from schemas.state import Block
from serving.log import LoggedAnswer
from serving.stores.offline import OfflineStore
from serving.tables import rows_table
from serving.training import read_rows
from transforms.answers import STATUSES, Answer
from transforms.asof import History, needed_columns
from transforms.assembly import assemble
from transforms.blocks import holder
from transforms.catalog import Catalog
from transforms.columns import integers, whole
from transforms.equality import same_values
from transforms.requests import read_request, role_keys
from transforms.selection import Output
from transforms.view import CompiledView


@dataclass(frozen=True)
class Mismatch:
    """One value that the offline rows do not give.

    Attributes:
        address: of the feature.
        keys: of the request, as text.
        as_of: µs.
        served: the value served, and its status.
        replayed: the value that the rows give, and its status.
    """

    address: str
    keys: str
    as_of: int
    served: str
    replayed: str


@dataclass(frozen=True)
class AuditReport:
    """What an audit found.

    Attributes:
        answers: answers (requests) replayed.
        values: values compared.
        mismatches: those that differ, in value or status; the claim is that there are none.
        skipped: answers given by definitions, or from state, that are no longer applied; not replayed.
        waiting: answers over rows that the offline store does not hold yet (a stream commits them every few seconds),
            not replayed.
    """

    answers: int
    values: int
    mismatches: tuple[Mismatch, ...] = field(default=())
    skipped: int = 0
    waiting: int = 0


class Audit:
    """Replays logged answers.

    Args:
        catalog: compiled definitions.
        blocks: applied blocks of every view.
        offline: the offline store.
    """

    def __init__(self, catalog: Catalog, blocks: Mapping[str, tuple[Block, ...]], offline: OfflineStore) -> None:
        self._catalog, self._blocks, self._offline = catalog, blocks, offline
        self._rows: dict[tuple[str, tuple[str, ...]], pa.Table] = {}
        self._positions: dict[str, dict[str, int]] = {}

    def run(self, log: Iterable[LoggedAnswer]) -> AuditReport:
        """Compares every value and status of the log with what the rows below the logged marks give."""
        answers = values = skipped = waiting = 0
        mismatches: list[Mismatch] = []
        for logged in log:
            if self._ahead(logged):
                waiting += 1
                continue
            found = self._replay(logged)
            if found is None:
                skipped += 1
                continue
            answers += 1
            values += logged.answer.num_rows * len(logged.features)
            mismatches += found
        return AuditReport(answers, values, tuple(mismatches), skipped, waiting)

    def _ahead(self, logged: LoggedAnswer) -> bool:
        """Whether an answer saw rows that are not committed offline yet."""
        for view, blocks in self._blocks.items():
            compiled = self._catalog.views.get(view)
            for block in blocks:
                if compiled is not None and block.id in logged.marks:
                    stored = self._stored(rows_table(view, compiled.rows_fingerprint))
                    if any(offset > stored.get(lane, 0) for lane, offset in logged.marks[block.id].items()):
                        return True
        return False

    def _stored(self, table: str) -> dict[str, int]:
        """Next offset of every lane of a table, as the audit first saw it."""
        if table not in self._positions:
            positions = self._offline.positions(table) if self._offline.exists(table) else {}
            self._positions[table] = {lane: offset for (lane, _), offset in positions.items()}
        return self._positions[table]

    def _replay(self, logged: LoggedAnswer) -> list[Mismatch] | None:
        try:
            selection = self._catalog.select(list(logged.features))
        except RequestError:
            return None
        if selection.fingerprint != logged.fingerprint or selection.offline_only():
            return None
        given = pa.Table.from_batches([logged.answer]).drop_columns(list(logged.features))
        request = read_request(given, selection, "keys")
        instants = np.asarray(logged.as_of, np.int64)
        stored: dict[tuple[str, str], Answer] = {}
        for role, outputs in selection.stored().items():
            view = outputs[0].view
            assert view is not None
            keys = role_keys(outputs[0], request)
            for block, of_block in self._by_block(view, outputs).items():
                if block not in logged.marks:
                    return None
                rows = self._below(view, of_block, logged.marks[block])
                history = History(view, rows, keys, instants, False, "event")
                stored.update({(role, output.feature.name): history.answer(output.feature) for output in of_block})
        replayed = assemble(selection, stored, request, instants)
        return [
            mismatch
            for address, answer in replayed.items()
            for mismatch in _compare(address, logged, answer, request.describe)
        ]

    def _by_block(self, view: CompiledView, outputs: Iterable[Output]) -> dict[str, list[Output]]:
        groups: dict[str, list[Output]] = {}
        for output in outputs:
            groups.setdefault(holder(output.feature, self._blocks[view.name]).id, []).append(output)
        return groups

    def _below(self, view: CompiledView, outputs: Iterable[Output], marks: Mapping[str, int]) -> pa.Table:
        """Rows of a view that were below the marks of their lanes."""
        columns = needed_columns(view, (output.feature for output in outputs))
        if (view.name, columns) not in self._rows:
            self._rows[view.name, columns] = read_rows(self._offline, view, columns)
        rows = self._rows[view.name, columns]
        lanes = whole(rows.column("_lane")).dictionary_encode()
        limits = np.asarray([marks.get(lane, 0) for lane in lanes.dictionary.to_pylist()], np.int64)
        if not len(limits):
            return rows
        known = integers(rows.column("_offset")) < limits[integers(lanes.indices)]
        return rows.filter(pa.array(known))


def _compare(address: str, logged: LoggedAnswer, answer: Answer, describe: Callable[[int], str]) -> list[Mismatch]:
    served, statuses = whole(logged.answer.column(address)), logged.statuses.column(address).to_pylist()
    equal = same_values(served, answer.values)
    equal &= np.asarray([STATUSES[code] for code in answer.statuses.tolist()]) == np.asarray(statuses)
    return [
        Mismatch(
            address,
            describe(int(row)),
            logged.as_of[int(row)],
            f"{served[row].as_py()!r} {statuses[row]}",
            f"{answer.values[row].as_py()!r} {STATUSES[answer.statuses[row]]}",
        )
        for row in np.flatnonzero(~equal)
    ]
