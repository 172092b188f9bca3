"""Cells as answers: the cells of many lanes and tiles merged into the answers of a block's features."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from schemas.state import Block
from schemas.window import Window
from transforms.accumulators.blobs import unfixed, unpack
from transforms.accumulators.build import accumulator
from transforms.answers import NO_TIME, Answer, aggregate_answer, latest_answer
from transforms.cells import cell_start, open_cells
from transforms.feature import Feature
from transforms.latest import LatestCells
from transforms.ranges import expand
from transforms.view import CompiledView
from transforms.windows import BEGINNING, bounds

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


def first_tile(windows: Sequence[Window | None], instant: int | None) -> int:
    """Start of the oldest tile (µs) that any of the windows can hold at the instant or later; None: at any instant."""
    if instant is None or None in windows:
        return BEGINNING
    return min(int(bounds(window, np.asarray([instant]))[0][0]) for window in windows)


def first_cell(block: Block, windows: Sequence[Window | None], instant: int | None) -> int:
    """Start of the oldest cell (µs) of a block that any of the windows can need at the instant or later."""
    first = first_tile(windows, instant)
    return first if first == BEGINNING else int(cell_start(np.asarray(first), block.hop))


@dataclass(frozen=True)
class BlockCells:
    """Cells of one block, as they were read for some keys.

    Attributes:
        block: the block.
        key: int64[m], number of each cell's key.
        tile: int64[m], µs.
        lane: m lane texts.
        version: int64[m].
        blob: m contents.
    """

    block: Block
    key: Ints
    tile: Ints
    lane: list[str]
    version: Ints
    blob: list[bytes]


class BlockAnswers:
    """Answers the features of one block for n requests.

    Args:
        view: the view the block belongs to.
        cells: the block's cells.
        requests: int64[n], number of each request's key, -1 for a null key.
        keys: how many keys there are.
    """

    def __init__(self, view: CompiledView, cells: BlockCells, requests: Ints, keys: int) -> None:
        self._view, self._cells, self._n = view, cells, len(requests)
        self._null_key = requests < 0
        if cells.block.kind == "latest":
            self._latest = LatestCells(cells.block, cells.blob)
            self._times, key = cells.version, cells.key
        else:
            owner, place, contents = open_cells(cells.blob)
            newest, *self._sections = unpack(contents, 1 + len(cells.block.states))
            self._times = unfixed(newest)
            key, self._tile = cells.key[owner], cells.tile[owner] + place * (cells.block.hop or 0)
        by_key = np.argsort(key, kind="stable")
        ends = np.cumsum(np.bincount(key, minlength=keys)) if keys else np.zeros(0, np.int64)
        begins = np.concatenate([[0], ends[:-1]]).astype(np.int64) if keys else ends
        known = np.flatnonzero(requests >= 0)
        owners, places = expand(begins[requests[known]], ends[requests[known]])
        self._request, self._place = known[owners], by_key[places]

    def newest(self) -> Ints:
        """Newest event time in the cells read for each request, `NO_TIME` where there is none."""
        return self._greatest(self._request, self._place)

    def seen(self) -> dict[str, int]:
        """Per lane, how far the cells read had folded it: greatest last offset + 1."""
        marks: dict[str, int] = {}
        lanes, versions = (
            self._latest.sources() if self._cells.block.kind == "latest" else (self._cells.lane, self._cells.version)
        )
        for lane, version in zip(lanes, versions.tolist(), strict=True):
            marks[lane] = max(marks.get(lane, 0), version)
        return marks

    def answer(self, feature: Feature, instants: Ints) -> Answer:
        """Answer of one of the block's features, as of an instant a request."""
        if feature.state is None:
            return self._answer_latest(feature, instants)
        request, place = self._request, self._place
        if feature.window is not None:
            first, last = bounds(feature.window, instants)
            tiles = self._tile[place]
            inside = (tiles >= first[request]) & (tiles <= last[request])
            request, place = request[inside], place[inside]
        number = [spec.fingerprint for spec in self._cells.block.states].index(feature.state.fingerprint)
        own = accumulator(feature.state)
        finished = own.finish(own.merge(own.take(own.decode(self._sections[number]), place), request, self._n))
        return aggregate_answer(feature, finished, self._greatest(request, place), self._null_key)

    def _answer_latest(self, feature: Feature, instants: Ints) -> Answer:
        at = np.full(self._n, -1)
        at[self._request] = self._place
        found = at >= 0
        times, deleted = np.full(self._n, NO_TIME), np.zeros(self._n, np.bool_)
        times[found] = self._times[at[found]]
        deleted[found] = self._latest.deleted[at[found]]
        values = self._latest.column(feature.column or "", at)
        expiries = None if feature.expires is None else self._latest.column(feature.expires, at)
        return latest_answer(values, times, deleted, instants, self._view.ttl, expiries)

    def _greatest(self, request: Ints, place: Ints) -> Ints:
        newest = np.full(self._n, NO_TIME)
        np.maximum.at(newest, request, self._times[place])
        return newest
