"""The row pool: a view's rows taken in batch by batch, and only what some request can need kept of them.

Rows of entities that nobody asks for are dropped at once. Entities are dealt to parts, so that all that is sorted and
folded at a time has about `PART` rows. Where only latest features are asked for, of all the rows between two instants
of an entity only the newest can be an answer, so that the pool never holds many more rows than there are requests.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from transforms.answers import Answer
from transforms.asof import columns_read, joined_columns
from transforms.columns import integers
from transforms.feature import Feature
from transforms.join_rules import JoinRules, Requests
from transforms.line import Line
from transforms.sorted_history import SortedHistory
from transforms.spine import Spine, plain_keys
from transforms.view import CompiledView
from transforms.windows import BEGINNING, bounds

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

PART = 1 << 20
FLUSH = 1 << 19
_WORTH_KEEPING = 0.9
_CODE = "_code"


@dataclass(frozen=True)
class PartAnswers:
    """Answers of one part of the entities.

    Attributes:
        places: of its requests in the sorted spine.
        answers: by the feature's name; in the order of the requests already if there is but one part.
        coincident: bool[], requests at whose very instant their key has a row.
    """

    places: slice
    answers: dict[str, Answer]
    coincident: Bools


class RowPool:
    """Rows for the requests of one role, and their answers.

    Args:
        view: the compiled view.
        features: aggregate and latest features of it that are asked for.
        keys: columns of the requests' entity key, `pa.Array[n]` each.
        instants: int64[n], µs.
        strict: whether events at the instant itself are left out.
        known: "event" (all rows) or "arrival" (rows that had arrived at the instant).
        total: at most so many rows there are.
        at_once: how many of them may be held at a time.

    Attributes:
        columns: columns of the rows that are needed.
        texts: those of them that may come as dictionaries, which take less memory and are quicker to move about.
        span: first and last event time (µs, inclusive) that can matter.
        passes: how many times the rows are to be taken in, see `gather`.
    """

    def __init__(
        self,
        view: CompiledView,
        features: Sequence[Feature],
        keys: Sequence[pa.Array],
        instants: Ints,
        strict: bool,
        known: str,
        total: int,
        at_once: int,
    ) -> None:
        self._features, self._rules = features, JoinRules(view, strict, known == "arrival")
        self.columns = joined_columns(view, features, known)
        self.texts = tuple(
            name
            for name in self.columns
            if name not in view.key_names and pa.types.is_string(view.row_schema.field(name).type)
        )
        self.span = _span(features, instants)
        self._newest = known == "event" and total > 2 * len(instants) and all(one.state is None for one in features)
        self._parts = 1 if self._newest else max(1, -(-total // min(PART, at_once)))
        self.passes = 1 if self._newest else max(1, -(-total // at_once))
        self._spine = Spine(plain_keys(keys), instants, self._parts)
        read = columns_read(view, features)
        self._back: Ints | None = None
        if self._parts == 1:
            self._back = np.empty(len(instants), np.int64)
            self._back[self._spine.order] = np.arange(len(instants))
        self._dropped = [name for name in view.key_names if name not in read]
        self._empty = pa.schema([view.row_schema.field(name) for name in self.columns]).empty_table()

    def gather(self, number: int, batches: Iterable[pa.RecordBatch]) -> list[PartAnswers]:
        """Answers of a pass, part by part, from all the rows.

        Args:
            number: of the pass, 0 to `passes` - 1.
            batches: the rows (with `columns`), in any order.
        """
        mine = range(number * self._parts // self.passes, (number + 1) * self._parts // self.passes)
        held: dict[int, list[pa.Table]] = {part: [] for part in mine}
        pending: list[pa.RecordBatch] = []
        nothing = True
        for batch in batches:
            pending.append(batch)
            if sum(map(len, pending)) >= FLUSH:
                self._take_in(pa.Table.from_batches(pending), held)
                pending, nothing = [], False
        if pending or nothing:
            self._take_in(pa.Table.from_batches(pending) if pending else self._empty, held)
        return [self._answers(part, held.pop(part)) for part in mine]

    def join(self, parts: Sequence[PartAnswers]) -> tuple[dict[str, Answer], Bools]:
        """Answers of all parts in the order of the requests, and which requests coincide; empties the parts."""
        if self._back is not None:
            return parts[0].answers, parts[0].coincident
        order = np.concatenate([self._spine.order[part.places] for part in parts])
        back = np.empty(len(order), np.int64)
        back[order] = np.arange(len(order))
        joined: dict[tuple[int, ...], Ints] = {}
        seen, answers = [], {}
        for feature in self._features:
            pieces = [part.answers.pop(feature.name) for part in parts]
            times = tuple(id(piece.times) for piece in pieces)
            if times not in joined:
                seen.append([piece.times for piece in pieces])  # so that no other array gets their identity
                joined[times] = np.concatenate(seen[-1])[back]
            values = pa.concat_arrays([piece.values for piece in pieces]).take(pa.array(back))
            statuses = np.concatenate([piece.statuses for piece in pieces])[back]
            answers[feature.name] = Answer(values, statuses, joined[times])
        return answers, np.concatenate([part.coincident for part in parts])[back]

    def _take_in(self, rows: pa.Table, held: dict[int, list[pa.Table]]) -> None:
        """Adds rows of entities that are asked for to the parts of the pass."""
        codes = self._spine.find([rows.column(name) for name in self._rules.view.key_names])
        rows, asked = rows.drop_columns(self._dropped), codes != self._spine.nobody
        if np.count_nonzero(asked) < _WORTH_KEEPING * len(codes):  # a few rows that nobody asks for do no harm
            rows, codes = rows.filter(pa.array(asked)), codes[asked]
        rows = rows.append_column(_CODE, pa.array(codes))
        if self._parts == 1:
            held[0].append(rows)
        else:
            part_of = self._spine.part_of(codes)
            by_part = np.argsort(part_of.astype(np.uint16), kind="stable")
            ends = np.searchsorted(part_of[by_part], np.arange(self._parts + 1))
            for part, tables in held.items():
                tables.append(rows.take(pa.array(by_part[ends[part] : ends[part + 1]])))
        if self._newest:
            for part, tables in held.items():
                places = self._spine.part(part)
                if sum(map(len, tables)) > 2 * (places.stop - places.start) + FLUSH:
                    held[part] = [self._newest_only(_together(tables), places)]

    def _newest_only(self, rows: pa.Table, places: slice) -> pa.Table:
        """The rows that win at some request of the part; of any others beside them there are no more than requests."""
        line = Line(rows, integers(rows.column(_CODE)))
        codes, instants = self._spine.codes[places], self._spine.instants[places]
        ends = [line.after(codes, instants)]
        if self._rules.strict:
            ends.append(line.before(codes, instants))
        wins = np.zeros(len(line), np.bool_)
        for end in ends:
            last = end[end > 0] - 1
            wins[line.at[line.first_of_time(last) if self._rules.view.ties == "first" else last]] = True
        return rows.filter(pa.array(wins))

    def _answers(self, part: int, tables: list[pa.Table]) -> PartAnswers:
        places, rows = self._spine.part(part), _together(tables)
        requests = Requests(self._spine.codes[places], self._spine.instants[places], self._spine.null[places])
        rows, codes = rows.drop_columns([_CODE]), integers(rows.column(_CODE))
        history = SortedHistory(self._rules, rows, codes, requests, self._back)
        answers = {feature.name: history.answer(feature) for feature in self._features}
        return PartAnswers(places, answers, history.coincident())


def _together(tables: list[pa.Table]) -> pa.Table:
    """All rows in one table; empties the list."""
    rows = pa.concat_tables(tables)
    tables.clear()
    return rows.unify_dictionaries()


def _span(features: Sequence[Feature], instants: Ints) -> tuple[int, int]:
    """First and last event time that can matter to the features, and to what coincides with an instant."""
    if not len(instants):
        return 0, 0
    first = instants[:0]
    for feature in features:
        first = np.append(first, bounds(feature.window if feature.state else None, instants.min(keepdims=True))[0])
    return int(first.min()) if len(first) else BEGINNING, int(instants.max())
