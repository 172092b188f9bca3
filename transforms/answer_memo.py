"""Memo of answers: what the tiles of an entity said of one key, good for as long as the key's cells are the same.

A version of a cell is its content (the same lane, tile and version mean the same bytes), and an answer is a function of
the cells and of where its windows begin. So an answer may be given again, without any arithmetic, while both stay.
"""

from __future__ import annotations

import marshal
from collections.abc import Sequence
from typing import Any, NamedTuple

from transforms.tile_reads import TileRow


class Remembered(NamedTuple):
    """One answer.

    Attributes:
        cells: number of the block, tile, lane and version of each cell, see `identity`.
        newest: newest event time in the cells, µs.
        begin: first instant (µs) for which it is good.
        until: first instant for which it may not be.
        row: the answer.
    """

    cells: bytes
    newest: int
    begin: int
    until: int
    row: TileRow


def identity(rows: Sequence[Sequence[Any]]) -> bytes:
    """What tells cells from others, in few bytes: equal for equal cells only.

    Args:
        rows: key, number of the block, tile, lane, version and content of each cell.
    """
    # Version 2 has no references to what came before, so that equal values have equal bytes.
    return marshal.dumps([part for row in rows for part in row[1:5]], 2)


class AnswerMemo:
    """The answers of the keys asked for most recently; threads may share it.

    Args:
        most: how many answers are kept at least, once there are as many; twice that at most.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._young: dict[bytes, Remembered] = {}
        self._old: dict[bytes, Remembered] = {}

    def get(self, key: bytes) -> Remembered | None:
        """The answer remembered for a key."""
        found = self._young.get(key)
        if found is None:
            found = self._old.get(key)
            if found is not None:
                self.put(key, found)
        return found

    def put(self, key: bytes, answer: Remembered) -> None:
        """Remembers an answer."""
        if len(self._young) >= self._most:
            self._old, self._young = self._young, {}
        self._young[key] = answer
