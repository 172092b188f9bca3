"""State families: states of many tiles, blocks and features that merge alike, merged in one call."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate

import numpy as np
import numpy.typing as npt

from transforms.accumulators.base import Finished
from transforms.accumulators.gathered import gather
from transforms.accumulators.spans import Spans
from transforms.tile_reads import TileColumn

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class TileWindow:
    """Tiles of one block that one of its windows holds, by key.

    Attributes:
        part: number of the block.
        window: number of the window.
        places: int64[m], tiles, key by key.
        firsts: int64[k], where the tiles of each key begin among the places.
        keys: int64[k], the keys that have any, ascending.
        newest: int64[k], their newest event time.
    """

    part: int
    window: int
    places: Ints
    firsts: Ints
    keys: Ints
    newest: Ints


class StateFamily:
    """States that merge alike, of any blocks; those with the same bytes are merged once."""

    def __init__(self) -> None:
        self._spans: list[Spans] = []
        self._windows: list[TileWindow] = []
        self._numbers: dict[tuple[int, int, tuple[str | None, ...]], int] = {}
        self._finishers: dict[str, list[tuple[int, TileColumn, int]]] = {}

    def add(self, place: int, column: TileColumn, window: TileWindow, spans: Spans) -> None:
        """Takes the states in a window for the column number `place` of its block."""
        number = self._numbers.setdefault((window.part, window.window, column.content), len(self._spans))
        if number == len(self._spans):
            self._spans.append(spans)
            self._windows.append(window)
        self._finishers.setdefault(column.finisher, []).append((place, column, number))

    def finished(self) -> list[tuple[list[tuple[int, TileWindow, int]], Finished]]:
        """Finished values of each kind of column: see `OpenTiles`."""
        firsts, begin, ends = [], 0, [0]
        for window in self._windows:
            firsts.append(window.firsts + begin)
            begin += len(window.places)
            ends.append(ends[-1] + len(window.keys))
        column = next(iter(self._finishers.values()))[0][1]
        states = gather(column.accumulator, Spans.concat(self._spans), np.concatenate(firsts))
        merged = []
        for group in self._finishers.values():
            accumulator, numbers = group[0][1].accumulator, sorted({number for _, _, number in group})
            kept, begins = states, ends
            if len(numbers) < len(self._windows):
                kept = accumulator.take(states, np.concatenate([np.arange(ends[at], ends[at + 1]) for at in numbers]))
                sizes = [ends[at + 1] - ends[at] for at in numbers]
                begins = [0] * len(self._windows)
                for at, start in zip(numbers, accumulate([0, *sizes]), strict=False):
                    begins[at] = start
            members = [(place, self._windows[number], begins[number]) for place, _, number in group]
            merged.append((members, accumulator.finish(kept)))
        return merged
