"""The total order of rows: event time, sequence, arrival, lane, offset, part."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from schemas.lane import Lane
from transforms.accumulators.blobs import cut, fixed, split, unfixed
from transforms.columns import integers, whole

Ints = npt.NDArray[np.int64]
NO_SEQUENCE = np.iinfo(np.int64).min
ORDER_COLUMNS = ("_event_time", "_sequence", "_arrival", "_lane", "_offset", "_part")
_SIGN = np.uint64(1 << 63)


@dataclass(frozen=True)
class Order:
    """Places of n rows in the total order of rows, as columns.

    Attributes:
        time: int64[n], event time in µs.
        sequence: int64[n], the source's sequence column, `NO_SEQUENCE` where it is null or the source has none.
        arrival: int64[n], µs.
        lane: int64[n], rank of the row's lane among `lanes`.
        lanes: sort keys of the lanes, ascending.
        offset: int64[n].
        part: int64[n], number of the row within its event (explode).
    """

    time: Ints
    sequence: Ints
    arrival: Ints
    lane: Ints
    lanes: tuple[bytes, ...]
    offset: Ints
    part: Ints

    def __len__(self) -> int:
        return len(self.time)

    @staticmethod
    def of(rows: pa.RecordBatch | pa.Table) -> Order:
        """Order of rows by their system columns; a column that is not there says nothing about it."""
        names, zeros = rows.schema.names, np.zeros(len(rows), np.int64)
        lane, lanes = _lanes(whole(rows.column("_lane"))) if "_lane" in names else (zeros, ())
        sequence = np.full(len(rows), NO_SEQUENCE)
        if "_sequence" in names:
            sequence = integers(whole(rows.column("_sequence")).fill_null(NO_SEQUENCE))
        arrival, offset, part = (
            integers(rows.column(name)) if name in names else zeros for name in ("_arrival", "_offset", "_part")
        )
        return Order(integers(rows.column("_event_time")), sequence, arrival, lane, lanes, offset, part)

    def take(self, indices: Ints) -> Order:
        """Places at `indices`."""
        return Order(
            self.time[indices],
            self.sequence[indices],
            self.arrival[indices],
            self.lane[indices],
            self.lanes,
            self.offset[indices],
            self.part[indices],
        )

    def argsort(self) -> Ints:
        """Indices int64[n] that put the rows in order."""
        return np.lexsort((self.part, self.offset, self.lane, self.arrival, self.sequence, self.time))

    def ties(self, indices: Ints) -> list[Ints]:
        """What decides between rows of one event time, for those at `indices`: the least significant column first."""
        return [column[indices] for column in (self.part, self.offset, self.lane, self.arrival, self.sequence)]

    def encode(self, indices: Ints | None = None) -> pa.BinaryArray:
        """Bytes of each place (or of those at `indices`), whose byte order is the order of rows.

        Layout, big-endian with the sign bit flipped: event time 8, sequence 8, arrival 8, the lane's sort key
        (self-delimiting), offset 8, part 4.
        """
        order = self if indices is None else self.take(indices)
        pieces, where = [], []
        for rank, key in enumerate(order.lanes):
            at = np.flatnonzero(order.lane == rank)
            if len(at):
                pieces.append(order._encode_lane(at, key))
                where.append(at)
        if not pieces:
            return pa.array([], pa.binary())
        if len(pieces) == 1:
            return pieces[0]
        back = np.empty(len(order), np.int64)
        back[np.concatenate(where)] = np.arange(len(order))
        return pa.concat_arrays(pieces).take(pa.array(back))

    @staticmethod
    def origin(rest: bytes) -> tuple[Lane, int]:
        """Lane and offset of a place, from what `encode` gives behind the event time."""
        lane = Lane.of_sort_key(rest[16:-12])
        return lane, int.from_bytes(rest[-12:-4], "big") - (1 << 63)

    def _encode_lane(self, at: Ints, key: bytes) -> pa.BinaryArray:
        width = 36 + len(key)
        matrix = np.empty((len(at), width), np.uint8)
        head = (self.time, self.sequence, self.arrival)
        for number, column in enumerate(head):
            matrix[:, 8 * number : 8 * number + 8] = _big_endian(column[at])
        matrix[:, 24 : 24 + len(key)] = np.frombuffer(key, np.uint8)
        matrix[:, -12:-4] = _big_endian(self.offset[at])
        matrix[:, -4:] = self.part[at].astype(">u4").view(np.uint8).reshape(-1, 4)
        return fixed(matrix)


def times(places: pa.BinaryArray) -> Ints:
    """Event times (µs) of places, from their bytes."""
    offsets, data = split(places)
    heads = unfixed(cut(data, offsets[:-1], np.full(len(places), 8, np.int64)), ">u8").astype(np.uint64)
    return np.asarray((heads ^ _SIGN).view(np.int64), np.int64)


def _lanes(column: pa.Array) -> tuple[Ints, tuple[bytes, ...]]:
    """Rank of each lane, and the lanes' sort keys, ascending."""
    codes = column if pa.types.is_dictionary(column.type) else column.dictionary_encode()
    keys = [Lane.parse(text).sort_key for text in codes.dictionary.to_pylist()]
    table = sorted(set(keys))
    ranks = np.asarray([table.index(key) for key in keys], np.int64)
    return ranks[integers(codes.indices)], tuple(table)


def _big_endian(values: Ints) -> npt.NDArray[np.uint8]:
    return (values.view(np.uint64) ^ _SIGN).astype(">u8").view(np.uint8).reshape(-1, 8)
