"""Sorted history: rows and requests in one order, so that each window of each request is a range of rows."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from schemas.state import StateSpec
from schemas.window import Window
from transforms.accumulators.base import Finished, Inputs
from transforms.answers import NO_TIME, Answer, aggregate_answer, latest_answer
from transforms.feature import Feature
from transforms.join_rules import JoinRules, Requests
from transforms.line import Line
from transforms.range_values import (
    ENDS,
    POWERS,
    RangeCounts,
    RangeEnds,
    RangeExtremes,
    RangePowers,
    RangeStates,
    RangeTotals,
    RangeValues,
    finish_all,
    has_short_sums,
)
from transforms.ranges import Extremes, expand
from transforms.tiles import StateFold
from transforms.windows import bounds

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
PAIRS = 1 << 21


@dataclass
class _Kept:
    """Rows of the line that an aggregation takes, and what has been found out about them.

    `before` says how many of them stand before each row of the line; both are None if it takes all.
    """

    at: Ints | None
    before: Ints | None
    columns: dict[str, pa.Array] = field(default_factory=dict)
    ranges: dict[Window | None, tuple[Ints, Ints]] = field(default_factory=dict)
    totals: dict[tuple[str, int], RangeTotals] = field(default_factory=dict)
    arrivals: tuple[Extremes, Extremes] | None = None


@dataclass(frozen=True)
class _Winners:
    """The newest row of each request: its place in the line (-1: none), time, whether it is a tombstone; instants."""

    at: Ints
    times: Ints
    deleted: Bools
    instants: Ints


class SortedHistory:
    """Answers of a view's stored features for sorted requests.

    Args:
        rules: of the join.
        rows: rows of the requests' entities, in any order.
        codes: int64[len(rows)], numbers of their entities.
        requests: n requests.
        back: int64[m], places of the requests to be answered, in that order; None for all of them as they stand.
    """

    def __init__(
        self, rules: JoinRules, rows: pa.Table, codes: Ints, requests: Requests, back: Ints | None = None
    ) -> None:
        self._rules, self._requests, self._back = rules, requests, back
        self._line = Line(rows, codes)
        self._ranges: dict[Window | None, tuple[Ints, Ints]] = {}
        self._newest: dict[Window | None, Ints] = {}
        self._kept: dict[str | None, _Kept] = {}
        self._values: dict[StateSpec, RangeValues] = {}
        self._times_back: dict[int, tuple[Ints, Ints]] = {}
        self._winners: _Winners | None = None

    def answer(self, feature: Feature) -> Answer:
        """Answer of a stored (aggregate or latest) feature for every request."""
        if feature.state is None:
            return self._latest(feature)
        answer, back = self._aggregate(feature), self._back
        if back is None:
            return answer
        key = id(answer.times)
        if key not in self._times_back:
            self._times_back[key] = answer.times, answer.times[back]
        return Answer(answer.values.take(pa.array(back)), answer.statuses[back], self._times_back[key][1])

    def coincident(self) -> Bools:
        """Requests at whose very instant (to the µs) their key has a row."""
        codes, instants = self._requests.codes, self._requests.instants
        end = self._line.after(codes, instants) if self._rules.strict else self._range(None)[1]
        last = np.maximum(end - 1, 0)
        if not len(self._line):
            return np.zeros(len(codes) if self._back is None else len(self._back), np.bool_)
        same: Bools = (end > 0) & (self._line.codes[last] == codes) & (self._line.times[last] == instants)
        return same if self._back is None else same[self._back]

    def _range(self, window: Window | None) -> tuple[Ints, Ints]:
        """Range of the line, tombstones included, that a window holds of each request's entity."""
        if window not in self._ranges:
            first, last = bounds(window, self._requests.instants)
            if self._rules.strict:
                last = np.minimum(last, self._requests.instants - 1)
            if window is None:
                begin = np.searchsorted(self._line.codes, self._requests.codes, "left")
            else:
                begin = self._line.before(self._requests.codes, first)
            shared = window is not None and not window.offset
            end = self._range(None)[1] if shared else self._line.after(self._requests.codes, last)
            self._ranges[window] = begin, np.maximum(begin, end)
        return self._ranges[window]

    def _kept_range(self, kept: _Kept, window: Window | None) -> tuple[Ints, Ints]:
        if window not in kept.ranges:
            first, end = self._range(window)
            kept.ranges[window] = (first, end) if kept.before is None else (kept.before[first], kept.before[end])
        return kept.ranges[window]

    def _rows(self, fold: StateFold | None) -> _Kept:
        """Rows that are no tombstones and fulfil the aggregation's `where`."""
        where = None if fold is None else fold.spec.where
        if where not in self._kept:
            mask = ~self._line.deleted
            if fold is not None and fold.where is not None:
                matching = fold.matching(self._line.select(sorted(fold.reads)))
                assert matching is not None
                mask &= matching
            if mask.all():
                self._kept[where] = _Kept(None, None)
            else:
                before = np.zeros(len(mask) + 1, np.int64)
                np.cumsum(mask, out=before[1:])
                self._kept[where] = _Kept(np.flatnonzero(mask), before)
        return self._kept[where]

    def _column(self, kept: _Kept, name: str) -> pa.Array:
        if name not in kept.columns:
            column = self._line.column(name)
            kept.columns[name] = column if kept.at is None else column.take(pa.array(kept.at))
        return kept.columns[name]

    def _inputs(self, kept: _Kept, spec: StateSpec) -> Inputs:
        columns = tuple(self._column(kept, name) for name in spec.columns)
        by = None if spec.by is None else self._column(kept, spec.by)
        order = self._line.order
        return Inputs(columns, by, order if kept.at is None else order.take(kept.at))

    def _aggregate(self, feature: Feature) -> Answer:
        assert feature.state is not None
        kept = self._rows(self._rules.fold(feature.state))
        first, end = self._kept_range(kept, feature.window)
        if self._rules.by_arrival and len(self._line):
            finished = self._finish_known(feature.state, kept, first, end)
        else:
            finished = finish_all(self._ways(feature.state, kept), first, end)
        return aggregate_answer(feature, finished, self._newest_time(feature.window), self._requests.null)

    def _ways(self, spec: StateSpec, kept: _Kept) -> RangeValues:
        alike = replace(spec, hop=None, fingerprint="")  # a hop is a matter of tiles, and here are none
        if alike not in self._values:
            self._values[alike] = self._way(spec, kept)
        return self._values[alike]

    def _way(self, spec: StateSpec, kept: _Kept) -> RangeValues:
        accumulator = self._rules.fold(spec).accumulator
        if spec.by is None:
            columns = [self._column(kept, name) for name in spec.columns]
            if spec.operation == "count":
                return RangeCounts(columns[0] if columns else None)
            if spec.operation in ("min", "max"):
                return RangeExtremes(columns[0], spec.operation == "max")
            if spec.operation in ENDS:
                return RangeEnds(spec, columns)
            if spec.operation in POWERS and has_short_sums(columns[0], POWERS[spec.operation]):
                key = (spec.columns[0], POWERS[spec.operation])
                if key not in kept.totals:
                    kept.totals[key] = RangeTotals(columns[0], key[1])
                return RangePowers(accumulator, kept.totals[key])
        return RangeStates(accumulator, self._inputs(kept, spec))

    def _newest_time(self, window: Window | None) -> Ints:
        """Newest event time in each request's window, `NO_TIME` where it is empty."""
        if window not in self._newest:
            kept = self._rows(None)
            first, end = self._kept_range(kept, window)
            times = self._line.times if kept.at is None else self._line.times[kept.at]
            newest = np.full(len(end), NO_TIME)
            if len(times) and self._rules.by_arrival:
                last = self._arrivals(kept)[0].last_at_most(first, end, self._requests.instants)
                newest = np.where(last >= 0, times[np.maximum(last, 0)], NO_TIME)
            elif len(times):
                np.copyto(newest, times.take(end - 1, mode="wrap"), where=end > first)
            self._newest[window] = newest
        return self._newest[window]

    def _arrival(self, kept: _Kept) -> Ints:
        return self._line.order.arrival if kept.at is None else self._line.order.arrival[kept.at]

    def _arrivals(self, kept: _Kept) -> tuple[Extremes, Extremes]:
        """Least arrivals of ranges, and least negated ones."""
        if kept.arrivals is None:
            arrival = self._arrival(kept)
            kept.arrivals = (Extremes(arrival), Extremes(-arrival)) if kept.at is not None else self._line.arrivals
        return kept.arrivals

    def _finish_known(self, spec: StateSpec, kept: _Kept, first: Ints, end: Ints) -> Finished:
        """Values of the rows that had arrived: by ranges where all or none had, row by row where only some had."""
        instants = self._requests.instants
        least, greatest = self._arrivals(kept)
        all_known = -greatest.least(first, end) <= instants
        some_known = np.flatnonzero(~all_known & (least.least(first, end) <= instants))
        finished = finish_all(self._ways(spec, kept), first, np.where(all_known, end, first))
        if not len(some_known):
            return finished
        arrival, inputs = self._arrival(kept), self._inputs(kept, spec)
        accumulator, parts = self._rules.fold(spec).accumulator, [finished]
        for at in _chunks(some_known, end - first):
            owners, rows = expand(first[at], end[at])
            known = arrival[rows] <= instants[at][owners]
            parts.append(accumulator.finish(accumulator.fold(inputs.take(rows[known]), owners[known], len(at))))
        places = np.arange(len(first))
        places[some_known] = len(first) + np.arange(len(some_known))
        values = pa.concat_arrays([part.values for part in parts]).take(pa.array(places))
        return Finished(values, np.concatenate([part.overflow for part in parts])[places])

    def _latest(self, feature: Feature) -> Answer:
        if self._winners is None:
            self._winners = self._find_winners()
        won = self._winners
        values = self._line.values(feature.column or "", won.at)
        expiries = None if feature.expires is None else self._line.values(feature.expires, won.at)
        return latest_answer(values, won.times, won.deleted, won.instants, self._rules.view.ttl, expiries)

    def _find_winners(self) -> _Winners:
        line, instants, by_arrival = self._line, self._requests.instants, self._rules.by_arrival
        first, end = self._range(None)
        at = np.where(end > first, end - 1, -1)
        if not len(line):
            at = at if self._back is None else at[self._back]
            return _Winners(at, np.full(len(at), NO_TIME), np.zeros(len(at), np.bool_), np.zeros(len(at), np.int64))
        if by_arrival:
            at = line.arrivals[0].last_at_most(first, end, instants)
        if self._rules.view.ties == "first":
            same = line.first_of_time(np.maximum(at, 0))
            same = line.arrivals[0].first_at_most(same, at + 1, instants) if by_arrival else same
            at = np.where(at >= 0, same, -1)
        if self._back is not None:
            at, instants = at[self._back], instants[self._back]
        there = np.maximum(at, 0)
        return _Winners(at, np.where(at < 0, NO_TIME, line.times[there]), line.deleted[there], instants)


def _chunks(at: Ints, lengths: Ints) -> list[Ints]:
    """Splits requests so that each part has about `PAIRS` rows."""
    if not len(at):
        return []
    cuts = np.flatnonzero(np.diff(np.cumsum(lengths[at]) // PAIRS)) + 1
    return np.split(at, cuts)
