"""Open tiles: aggregates of few keys from the cells of several blocks, opened and merged together.

What a small read costs is not its arithmetic but the number of calls that it makes. So the cells of all blocks are
opened at once, and states that merge alike are merged in one call, whatever block, feature and key they are for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from transforms.accumulators.base import Finished
from transforms.accumulators.blobs import VERSION, unfixed
from transforms.accumulators.spans import Spans
from transforms.answers import NO_TIME, NULL_VALUE, OVERFLOW, PRESENT
from transforms.cell_spans import open_spans
from transforms.state_families import StateFamily, TileWindow
from transforms.tile_reads import TileColumn, TileReads, TileRow
from transforms.windows import END

Ints = npt.NDArray[np.int64]

_NEWEST_HEAD = VERSION | 8 << 8
_HEAD = 2


@dataclass(frozen=True)
class KeyCells:
    """Cells of some keys in one block; every key has at least one.

    Attributes:
        reads: what is asked of the block.
        counts: how many cells each key has.
        tiles: start of each cell, µs, key by key.
        blobs: content of each cell.
    """

    reads: TileReads
    counts: Sequence[int]
    tiles: Sequence[int]
    blobs: Sequence[bytes]


class OpenTiles:
    """Cells of several blocks, opened; the keys of all blocks are counted on.

    Attributes:
        newest: newest event time (µs) in the cells of every key, block by block.
    """

    newest: list[int]

    def __init__(self, parts: Sequence[KeyCells]) -> None:
        self._parts = parts
        counts = np.array([count for part in parts for count in part.counts], np.int64)
        starts = np.array([tile for part in parts for tile in part.tiles], np.int64)
        hops = np.array([part.reads.block.hop or 0 for part in parts], np.int64)
        cells = np.array([len(part.blobs) for part in parts], np.int64)
        owner, slot, self._tiles = open_spans([blob for part in parts for blob in part.blobs])
        self._part = np.arange(len(parts)).repeat(cells)[owner]
        self._start = starts[owner] + slot * hops[self._part]
        self._key = np.arange(len(counts)).repeat(counts)[owner]
        self._key_ends = np.array([len(part.counts) for part in parts]).cumsum()
        self._times = self._newest_of_tiles()
        self.newest = np.maximum.reduceat(self._times, _firsts(self._key)).tolist()

    def rows(self, instants: Ints) -> list[list[TileRow]]:
        """Answers of every block for each of its keys.

        Args:
            instants: int64[n], µs, of the keys of all blocks.
        """
        windows = self._windows(instants)
        columns: list[list[Any]] = [[None] * len(part.reads.columns) for part in self._parts]
        codes: list[list[Any]] = [[None] * len(part.reads.columns) for part in self._parts]
        for members, finished in self._merged(windows):
            values = finished.values.to_pylist(maps_as_pydicts="strict")
            lost = bool(finished.values.null_count) or bool(finished.overflow.any())
            for place, window, begin in members:
                column = self._parts[window.part].reads.columns[place]
                end = begin + len(window.keys)
                own_codes = _codes(values[begin:end], finished.overflow[begin:end]) if lost else None
                full = self._spread(window, values[begin:end], own_codes, column)
                columns[window.part][place], codes[window.part][place] = full
        return [
            self._rows(number, part.reads, columns[number], codes[number], windows)
            for number, part in enumerate(self._parts)
        ]

    def _newest_of_tiles(self) -> Ints:
        tiles = self._tiles
        if (tiles.words(tiles.starts, "<u2") == _NEWEST_HEAD).all():
            return tiles.words(tiles.starts + _HEAD)
        newest = np.zeros(len(tiles), np.int64)
        for number, part in enumerate(self._parts):
            at = np.flatnonzero(self._part == number)
            newest[at] = unfixed(tiles.take(at).sections(1 + len(part.reads.block.states))[0].blobs())
        return newest

    def _windows(self, instants: Ints) -> list[TileWindow]:
        """Tiles in the windows of all blocks, the first window of every block, then the second, ..."""
        found = []
        bounds_of = [part.reads.bounds(of) for part, of in zip(self._parts, self._by_part(instants), strict=True)]
        for number in range(max(len(part.reads.windows) for part in self._parts)):
            here = [part for part in range(len(self._parts)) if number < len(bounds_of[part])]
            first = np.full(len(instants), END)
            last = np.full(len(instants), END)
            for part in here:
                keys = slice(int(self._key_ends[part]) - len(self._parts[part].counts), int(self._key_ends[part]))
                first[keys], last[keys] = bounds_of[part][number]
            inside = self._start >= first[self._key]
            if any(window is not None and window.offset for part in self._parts for window in part.reads.windows):
                inside &= self._start <= last[self._key]
            places = inside.nonzero()[0]
            of = self._key[places]
            firsts = _firsts(of)
            keys_of = of[firsts]
            newest = np.maximum.reduceat(self._times[places], firsts) if len(places) else places
            key_ends = keys_of.searchsorted(self._key_ends).tolist()
            place_ends = of.searchsorted(self._key_ends).tolist()
            for part in here:
                begin, at = (key_ends[part - 1], place_ends[part - 1]) if part else (0, 0)
                keys_here = slice(begin, key_ends[part])
                shift = int(self._key_ends[part]) - len(self._parts[part].counts)
                found.append(
                    TileWindow(
                        part,
                        number,
                        places[at : place_ends[part]],
                        firsts[keys_here] - at,
                        keys_of[keys_here] - shift,
                        newest[keys_here],
                    )
                )
        return found

    def _by_part(self, of_keys: Ints) -> list[Ints]:
        ends = self._key_ends.tolist()
        return [of_keys[end - len(part.counts) : end] for part, end in zip(self._parts, ends, strict=True)]

    def _merged(self, windows: Sequence[TileWindow]) -> list[tuple[list[tuple[int, TileWindow, int]], Finished]]:
        """Finished values, with the number of each of their columns, its window, and where its values begin."""
        families: dict[str, StateFamily] = {}
        for window, sections in zip(windows, self._sections(windows), strict=True):
            if len(window.places):
                for place, column in enumerate(self._parts[window.part].reads.columns):
                    if column.window == window.window:
                        family = families.setdefault(column.family, StateFamily())
                        family.add(place, column, window, sections[column.section])
        return [merged for family in families.values() for merged in family.finished()]

    def _sections(self, windows: Sequence[TileWindow]) -> list[list[Spans]]:
        """Sections of the tiles in each window, one a state."""
        found: list[list[Spans]] = [[] for _ in windows]
        by_count: dict[int, list[int]] = {}
        for number, window in enumerate(windows):
            by_count.setdefault(len(self._parts[window.part].reads.block.states), []).append(number)
        for count, numbers in by_count.items():
            places = np.concatenate([windows[number].places for number in numbers])
            sections = self._tiles.take(places).sections(1 + count)[1:]
            begin = 0
            for number in numbers:
                end = begin + len(windows[number].places)
                found[number] = [Spans(part.data, part.starts[begin:end], part.ends[begin:end]) for part in sections]
                begin = end
        return found

    def _spread(
        self, window: TileWindow, values: list[Any], codes: list[int] | None, column: TileColumn
    ) -> tuple[list[Any], list[int] | None]:
        """Values and codes of all keys of the block, from those of the keys that have a row in the window."""
        if codes is not None and column.default is not None:
            values = [column.default if value is None else value for value in values]
        n = len(self._parts[window.part].counts)
        if len(values) == n:
            return values, codes
        empty = column.default if column.empty is None else column.empty
        every, every_code = [empty] * n, [column.empty_code] * n
        for place, key in enumerate(window.keys.tolist()):
            every[key] = values[place]
            every_code[key] = PRESENT if codes is None else codes[place]
        return every, every_code

    def _rows(
        self,
        number: int,
        reads: TileReads,
        columns: list[Any],
        codes: list[Any],
        windows: Sequence[TileWindow],
    ) -> list[TileRow]:
        n = len(self._parts[number].counts)
        times: list[list[int]] = []
        for window in windows:
            if window.part == number:
                newest = window.newest.tolist()
                if len(newest) < n:
                    every = [NO_TIME] * n
                    for key, time in zip(window.keys.tolist(), newest, strict=True):
                        every[key] = time
                    newest = every
                times.append(newest)
        plain = all(codes_of is None for codes_of in codes)
        for place, column in enumerate(reads.columns):
            if columns[place] is None:
                columns[place] = [column.default if column.empty is None else column.empty] * n
                codes[place], plain = [column.empty_code] * n, False
        all_codes: list[Any] = [None] * n
        if not plain:
            all_codes = list(zip(*([PRESENT] * n if each is None else each for each in codes), strict=True))
        all_times = zip(*(times[column.window] for column in reads.columns), strict=True)
        return list(map(TileRow, zip(*columns, strict=True), all_codes, all_times))


def _firsts(of: Ints) -> Ints:
    """Where each run of equal numbers begins."""
    changes = np.empty(len(of), np.bool_)
    changes[:1] = True
    np.not_equal(of[1:], of[:-1], out=changes[1:])
    return changes.nonzero()[0]


def _codes(values: Sequence[Any], overflow: npt.NDArray[np.bool_]) -> list[int]:
    return [
        OVERFLOW if beyond else NULL_VALUE if value is None else PRESENT
        for value, beyond in zip(values, overflow.tolist(), strict=True)
    ]
