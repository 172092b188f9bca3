"""Tile reads: what is asked of one block of tiles, decided once for many reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from schemas.state import Block, StateSpec
from schemas.window import Window
from transforms.accumulators.build import accumulator
from transforms.answer_columns import default_of, is_nested_plain
from transforms.answers import COUNTS, NO_TIME, NOT_FOUND, NULL_VALUE, PRESENT
from transforms.selection import Output
from transforms.windows import BEGINNING, END, bounds, steady

Ints = npt.NDArray[np.int64]


class TileRow(NamedTuple):
    """Answers of one or more blocks for one key.

    Attributes:
        values: of each output, defaults filled in.
        codes: numbers of `STATUSES`; None where all are PRESENT.
        times: newest event time in each output's window, µs.
    """

    values: tuple[Any, ...]
    codes: tuple[int, ...] | None
    times: tuple[int, ...]

    @staticmethod
    def joined(rows: Sequence[TileRow]) -> TileRow:
        """The answers of all rows, one after the other, as one row."""
        codes = None
        if any(row.codes is not None for row in rows):
            every = [(PRESENT,) * len(row.values) if row.codes is None else row.codes for row in rows]
            codes = tuple(chain.from_iterable(every))
        values = tuple(chain.from_iterable([row.values for row in rows]))
        return TileRow(values, codes, tuple(chain.from_iterable([row.times for row in rows])))


class TileReads:
    """Aggregate features of one block.

    Attributes:
        block: a block of tiles.
        outputs: features of it, of plain types or nested ones of those.
        windows: of the features, each once.
        columns: how each output is answered.
        empty: answers for a key without a row.
        null: answers for a null key.
    """

    def __init__(self, block: Block, outputs: Sequence[Output]) -> None:
        self.block, self.outputs = block, tuple(outputs)
        self.windows: tuple[Window | None, ...] = tuple(dict.fromkeys(output.feature.window for output in outputs))
        numbers = {spec.fingerprint: number for number, spec in enumerate(block.states)}
        self.columns = tuple(TileColumn(output, numbers, self.windows, block) for output in outputs)
        times = (NO_TIME,) * len(self.columns)
        shown = [column.default if column.empty is None else column.empty for column in self.columns]
        self.empty = TileRow(tuple(shown), tuple(column.empty_code for column in self.columns), times)
        defaults = tuple(column.default for column in self.columns)
        self.null = TileRow(defaults, (NOT_FOUND,) * len(self.columns), times)
        self._bounds: tuple[int, int, list[int], list[int]] = (0, 0, [], [])

    @staticmethod
    def serves(outputs: Sequence[Output]) -> bool:
        """Whether the features are plain values, or lists, structs and maps of such."""
        return all(is_nested_plain(output.feature.dtype) for output in outputs)

    def steady(self, instant: int) -> tuple[int, int]:
        """Instants (µs, from and until) around one at which all windows begin at the same times."""
        begin, until = BEGINNING, END
        for window in self.windows:
            since, to = steady(window, instant)
            begin, until = max(begin, since), min(until, to)
        return begin, until

    def bounds(self, instants: Ints) -> list[tuple[Ints | int, Ints | int]]:
        """First and last event time (µs, inclusive) in each window, at each of some instants or at all of them.

        Args:
            instants: int64[n], n > 0.
        """
        one = int(instants[0])
        if len(instants) > 1 and (instants != one).any():
            return [bounds(window, instants) for window in self.windows]
        begin, until, firsts, lasts = self._bounds
        if not begin <= one < until:
            begin, until = self.steady(one)
            found = [bounds(window, instants[:1]) for window in self.windows]
            firsts, lasts = [int(first[0]) for first, _ in found], [int(last[0]) for _, last in found]
            self._bounds = begin, until, firsts, lasts
        return [
            (first, last if window is not None and window.offset else END)
            for window, first, last in zip(self.windows, firsts, lasts, strict=True)
        ]


class TileColumn:
    """One output of a block: a state over a window.

    Attributes:
        section: number of the state in the block.
        window: number of the window.
        accumulator: of the state.
        family: equal for states that merge alike, whatever column they are of.
        finisher: equal for states of a family that finish alike.
        content: equal for states of a block that have the same bytes (a sum and a mean of one column).
        default: plain value in place of null, or None.
        empty: value of a window without a row.
        empty_code: status then.
    """

    def __init__(
        self, output: Output, numbers: Mapping[str, int], windows: Sequence[Window | None], block: Block
    ) -> None:
        feature = output.feature
        assert feature.state is not None
        self.section, self.window = numbers[feature.state.fingerprint], windows.index(feature.window)
        spec = feature.state
        self.accumulator = accumulator(spec)
        self.family, self.finisher = _family(spec)
        self.content = (self.family, *spec.columns, spec.where) if self.family == "sums" else (spec.fingerprint,)
        self.default = default_of(feature)
        finished = self.accumulator.finish(self.accumulator.decode(pa.array([b""], pa.binary())))
        self.empty = finished.values[0].as_py(maps_as_pydicts="strict")
        lost = feature.window is None and not (spec.operation in COUNTS and spec.by is None)
        self.empty_code = NOT_FOUND if lost else NULL_VALUE if self.empty is None else PRESENT


def _family(spec: StateSpec) -> tuple[str, str]:
    """Family and finisher of a state; a state of its own kind is of its own family."""
    if spec.by is None and not spec.params:
        if spec.operation == "count":
            return "count", ""
        if spec.operation in ("sum", "mean"):
            return "sums", f"{spec.operation} {spec.types[0]}"
        if spec.operation in ("min", "max"):
            return f"{spec.operation} {spec.types[0]}", ""
    return spec.fingerprint, spec.operation
