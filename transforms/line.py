"""The line: rows of a view sorted by entity and the total order of rows, with the positions of instants in it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from transforms.accumulators.sorting import by_group
from transforms.columns import flags, integers, whole
from transforms.order import ORDER_COLUMNS, Order
from transforms.ranges import Extremes

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

_BITS = 62


class Line:
    """Rows in the order (entity, total order of rows); columns are put in that order when they are asked for.

    Args:
        rows: n rows in any order. Without the columns of the total order, rows of equal time stand in any order.
        codes: int64[n], numbers of their entities.

    Attributes:
        at: int64[n], which row stands at each place.
        codes: int64[n], ascending.
        times: int64[n], event times in µs, ascending within an entity.
    """

    def __init__(self, rows: pa.Table, codes: Ints) -> None:
        self._rows = rows
        times = integers(rows.column("_event_time"))
        ordered = "_offset" in rows.column_names
        self.at = by_group(codes, times, self._further if ordered else None)
        self.codes, self.times = codes[self.at], times[self.at]
        self._low = int(times.min()) if len(times) else 0
        self._high = int(times.max()) if len(times) else 0
        self._stride = self._high - self._low + 3
        self._ranks: Ints | None = None
        top = int(self.codes[-1]) + 2 if len(codes) else 0
        limits = np.iinfo(np.int64)
        if top * self._stride >> _BITS or self._low == limits.min or self._high == limits.max:
            self._ranks = np.unique(self.times)
            self._stride = len(self._ranks) + 1
            self._places = self.codes * self._stride + np.searchsorted(self._ranks, self.times)
        else:
            self._places = self.codes * self._stride + (self.times - self._low + 1)

    def __len__(self) -> int:
        return len(self.at)

    def before(self, codes: Ints, instants: Ints) -> Ints:
        """Position of the first row of each entity with event time >= instant; codes at most one above all here."""
        if self._ranks is not None:
            return np.searchsorted(self._places, codes * self._stride + np.searchsorted(self._ranks, instants), "left")
        return np.searchsorted(self._places, self._place(codes, instants), "left")

    def after(self, codes: Ints, instants: Ints) -> Ints:
        """Position behind the last row of each entity with event time <= instant."""
        if self._ranks is not None:
            ranks = np.searchsorted(self._ranks, instants, "right")
            return np.searchsorted(self._places, codes * self._stride + ranks, "left")
        return np.searchsorted(self._places, self._place(codes, instants), "right")

    def first_of_time(self, at: Ints) -> Ints:
        """Position of the first row with the entity and the event time of the row at each position."""
        return np.searchsorted(self._places, self._places[at], "left")

    def column(self, name: str) -> pa.Array:
        """A column in the order of the line."""
        return _decoded(whole(self._rows.column(name)).take(pa.array(self.at)))

    def values(self, name: str, at: Ints) -> pa.Array:
        """A column's values at positions; whatever where a position is negative."""
        column = whole(self._rows.column(name))
        if not len(self):
            return _decoded(pa.nulls(len(at), column.type))
        return _decoded(column.take(pa.array(self.at[np.maximum(at, 0)])))

    def select(self, names: Sequence[str]) -> pa.Table:
        """Columns in the order of the line."""
        return pa.table([self.column(name) for name in names], names=list(names))

    @cached_property
    def deleted(self) -> Bools:
        """bool[n], tombstones."""
        return flags(self._rows.column("_deleted"))[self.at]

    @cached_property
    def order(self) -> Order:
        """Places of the rows in the total order of rows."""
        return Order.of(self._rows).take(self.at)

    @cached_property
    def arrivals(self) -> tuple[Extremes, Extremes]:
        """Least arrivals of ranges, and least negated ones."""
        return Extremes(self.order.arrival), Extremes(-self.order.arrival)

    def _place(self, codes: Ints, instants: Ints) -> Ints:
        steps = np.clip(instants, self._low - 1, self._high + 1)
        steps -= self._low - 1
        steps += np.minimum(codes, self.codes[-1] + 1 if len(self.codes) else 0) * self._stride
        return steps

    def _further(self, rows: Ints) -> Sequence[Ints]:
        names = [name for name in ORDER_COLUMNS if name in self._rows.column_names]
        order = Order.of(self._rows.select(names).take(pa.array(rows)))
        return order.part, order.offset, order.lane, order.arrival, order.sequence


def _decoded(column: pa.Array) -> pa.Array:
    return column.dictionary_decode() if pa.types.is_dictionary(column.type) else column
