"""As-of join: a view's features at (key, instant) pairs, folded from its logged rows."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from schemas.state import StateSpec
from schemas.window import Window
from transforms.answers import NO_TIME, Answer, aggregate_answer, latest_answer
from transforms.columns import flags, integers, whole
from transforms.feature import Feature
from transforms.keys import encode_keys
from transforms.order import Order
from transforms.ranges import Extremes, RangeFold, expand
from transforms.tiles import StateFold
from transforms.view import CompiledView
from transforms.windows import bounds

Ints = npt.NDArray[np.int64]
PAIRS = 1 << 21

SYSTEM_COLUMNS = ("_event_time", "_sequence", "_lane", "_offset", "_part", "_arrival", "_deleted")


def needed_columns(view: CompiledView, features: Iterable[Feature]) -> tuple[str, ...]:
    """Columns of a view's rows that answering the features reads, in the order of the rows' schema."""
    names = {*view.key_names, *SYSTEM_COLUMNS}
    for feature in features:
        if feature.column is not None:
            names.add(feature.column)
        if feature.state is not None:
            names.update(feature.state.columns)
            if feature.state.by is not None:
                names.add(feature.state.by)
            names.update(StateFold.of(feature.state, view).reads)
    return tuple(name for name in view.row_schema.names if name in names)


class _Line:
    """Rows in the order (key, total order of rows), with positions of instants in it."""

    def __init__(self, rows: pa.Table, keys: Ints, order: Order) -> None:
        self.rows, self.keys, self.order = rows, keys, order
        self._times, ranks = np.unique(order.time, return_inverse=True)
        self._places = keys * (len(self._times) + 1) + ranks
        self._arrivals: tuple[Extremes, Extremes] | None = None

    def take(self, at: Ints) -> _Line:
        return _Line(self.rows.take(pa.array(at)), self.keys[at], self.order.take(at))

    def after(self, keys: Ints, instants: Ints) -> Ints:
        """Position behind the last row of each key with event time <= instant."""
        ranks = np.searchsorted(self._times, instants, "right")
        return np.searchsorted(self._places, keys * (len(self._times) + 1) + ranks, "left")

    def before(self, keys: Ints, instants: Ints) -> Ints:
        """Position of the first row of each key with event time >= instant."""
        ranks = np.searchsorted(self._times, instants, "left")
        return np.searchsorted(self._places, keys * (len(self._times) + 1) + ranks, "left")

    def arrivals(self) -> tuple[Extremes, Extremes]:
        """Least arrivals of ranges, and least negated ones."""
        if self._arrivals is None:
            self._arrivals = Extremes(self.order.arrival), Extremes(-self.order.arrival)
        return self._arrivals


class History:
    """All logged rows of a view for the keys of some requests, ready to answer its features.

    Args:
        view: the compiled view.
        rows: its rows (at least the columns that `needed_columns` names), in any order.
        keys: `pa.BinaryArray[n]`, the requests' entity keys; null for a null key.
        instants: int64[n], µs.
        strict: whether events at the instant itself are left out.
        known: "event" (all rows) or "arrival" (rows that had arrived at the instant).
    """

    def __init__(
        self, view: CompiledView, rows: pa.Table, keys: pa.BinaryArray, instants: Ints, strict: bool, known: str
    ) -> None:
        self._view, self._instants, self._strict, self._by_arrival = view, instants, strict, known == "arrival"
        self._null_key = flags(keys.is_null())
        codes = keys.dictionary_encode()
        self._keys = integers(codes.indices.fill_null(-1))
        row_keys = encode_keys([rows.column(name) for name in view.key_names])
        found = pc.index_in(row_keys, value_set=codes.dictionary)
        mine = np.flatnonzero(flags(found.is_valid()))
        rows, row_codes = rows.take(pa.array(mine)), found.take(pa.array(mine))
        order = Order.of(rows)
        by_order = order.argsort()
        row_codes = integers(row_codes)[by_order]
        by_key = np.argsort(row_codes, kind="stable")
        at = by_order[by_key]
        self._all = _Line(rows.take(pa.array(at)), row_codes[by_key], order.take(at))
        alive = ~flags(self._all.rows.column("_deleted"))
        self._alive = self._all if alive.all() else self._all.take(np.flatnonzero(alive))
        self._lines: dict[str | None, _Line] = {None: self._alive}

    def answer(self, feature: Feature) -> Answer:
        """Answer of a stored (aggregate or latest) feature for every request."""
        return self._aggregate(feature) if feature.state is not None else self._latest(feature)

    def coincident(self) -> npt.NDArray[np.bool_]:
        """Requests at whose very instant (to the µs) their key has a row."""
        return self._all.after(self._keys, self._instants) > self._all.before(self._keys, self._instants)

    def _aggregate(self, feature: Feature) -> Answer:
        assert feature.state is not None
        fold = StateFold.of(feature.state, self._view)
        first, end = self._range(self._alive, feature.window)
        last = self._last_known(self._alive, first, end)
        times = self._alive.order.time
        newest = np.where(last >= 0, times[np.maximum(last, 0)], NO_TIME) if len(times) else np.full(len(end), NO_TIME)
        line = self._line(feature.state, fold)
        states = self._fold(line, fold, *self._range(line, feature.window))
        return aggregate_answer(feature, fold.accumulator.finish(states), newest, self._null_key)

    def _line(self, spec: StateSpec, fold: StateFold) -> _Line:
        if spec.where not in self._lines:
            mask = fold.matching(self._alive.rows)
            assert mask is not None
            self._lines[spec.where] = self._alive.take(np.flatnonzero(mask))
        return self._lines[spec.where]

    def _range(self, line: _Line, window: Window | None) -> tuple[Ints, Ints]:
        first, last = bounds(window, self._instants)
        if self._strict:
            last = np.minimum(last, self._instants - 1)
        return line.before(self._keys, first), line.after(self._keys, last)

    def _fold(self, line: _Line, fold: StateFold, first: Ints, end: Ints) -> object:
        inputs = fold.inputs(line.rows, line.order)
        accumulator = fold.accumulator
        if not self._by_arrival or not len(line.order):
            return RangeFold(accumulator, inputs).fold(first, end)
        least, greatest = line.arrivals()
        all_known = -greatest.least(first, end) <= self._instants
        none_known = least.least(first, end) > self._instants
        states = RangeFold(accumulator, inputs).fold(first, np.where(all_known, end, first))
        for at in _chunks(np.flatnonzero(~all_known & ~none_known), end - first):
            owners, rows = expand(first[at], end[at])
            known = line.order.arrival[rows] <= self._instants[at][owners]
            some = accumulator.fold(inputs.take(rows[known]), at[owners[known]], len(end))
            both = np.concatenate([np.arange(len(end)), np.arange(len(end))])
            states = accumulator.merge(accumulator.concat([states, some]), both, len(end))
        return states

    def _last_known(self, line: _Line, first: Ints, end: Ints) -> Ints:
        if self._by_arrival and len(line.order):
            return line.arrivals()[0].last_at_most(first, end, self._instants)
        return np.where(end > first, end - 1, -1)

    def _latest(self, feature: Feature) -> Answer:
        line = self._all
        first, end = self._range(line, None)
        at = self._last_known(line, first, end)
        if self._view.ties == "first" and len(line.order):
            same = line.before(self._keys, line.order.time[np.maximum(at, 0)])
            earliest = line.arrivals()[0].first_at_most(same, at + 1, self._instants) if self._by_arrival else same
            at = np.where(at >= 0, earliest, -1)
        place = pa.array(np.where(at >= 0, at, 0), mask=at < 0)
        values = whole(line.rows.column(feature.column or "")).take(place)
        if not len(line.order):
            nothing = np.full(len(at), NO_TIME)
            return latest_answer(values, nothing, np.zeros(len(at), np.bool_), self._instants, None)
        deleted = flags(line.rows.column("_deleted"))[np.maximum(at, 0)]
        times = np.where(at >= 0, line.order.time[np.maximum(at, 0)], NO_TIME)
        return latest_answer(values, times, deleted, self._instants, self._view.ttl)


def _chunks(at: Ints, lengths: Ints) -> list[Ints]:
    """Splits requests so that each part has about `PAIRS` rows."""
    if not len(at):
        return []
    cuts = np.flatnonzero(np.diff(np.cumsum(lengths[at]) // PAIRS)) + 1
    return np.split(at, cuts)
