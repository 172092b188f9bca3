"""The total order of rows and the bytes that stand for it."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from schemas.lane import Lane
from transforms.order import NO_SEQUENCE, Order

INT = st.integers(-(2**63) + 1, 2**63 - 1)
FEW = st.integers(-2, 2)
LANES = st.sampled_from(
    [
        *(Lane("a", "files", "0", number) for number in (0, 2, 10)),
        Lane("a", "topic", "ff", 2),
        Lane("ab", "files", "1", 0),
        Lane("a", "topic", "fe", 2),
    ]
)
ROW = st.tuples(FEW | INT, st.none() | FEW | INT, FEW | INT, LANES, st.integers(0, 3), st.integers(0, 3))


def rows_of(places: list[tuple[int, int | None, int, Lane, int, int]]) -> pa.RecordBatch:
    """Rows with nothing but the system columns that make up the order."""
    time, sequence, arrival, lane, offset, part = zip(*places, strict=True) if places else ([],) * 6
    utc = pa.timestamp("us", "UTC")
    return pa.RecordBatch.from_pydict(
        {
            "_event_time": pa.array(time, utc),
            "_sequence": pa.array(sequence, pa.int64()),
            "_lane": pa.array([each.text for each in lane], pa.string()),
            "_offset": pa.array(offset, pa.int64()),
            "_part": pa.array(part, pa.int32()),
            "_arrival": pa.array(arrival, utc),
        }
    )


def naive(place: tuple[int, int | None, int, Lane, int, int]) -> tuple[object, ...]:
    """The order as the definitions state it: lanes by source, kind, number as a number."""
    time, sequence, arrival, lane, offset, part = place
    lane_key = (lane.source, lane.kind, lane.number, lane.id)
    return (time, NO_SEQUENCE if sequence is None else sequence, arrival, lane_key, offset, part)


@given(st.lists(ROW, max_size=30))
def test_rows_sort_as_their_bytes_do(places: list[tuple[int, int | None, int, Lane, int, int]]) -> None:
    order = Order.of(rows_of(places))
    expected = sorted(places, key=naive)
    assert [naive(places[i]) for i in order.argsort()] == [naive(place) for place in expected]
    encoded = order.encode().to_pylist()
    by_bytes = sorted(range(len(places)), key=lambda i: encoded[i])
    assert [naive(places[i]) for i in by_bytes] == [naive(place) for place in expected]


@given(st.lists(ROW, min_size=1, max_size=10), st.data())
def test_bytes_of_some_rows_are_those_of_the_whole(
    places: list[tuple[int, int | None, int, Lane, int, int]], data: st.DataObject
) -> None:
    order = Order.of(rows_of(places))
    some = np.asarray(data.draw(st.lists(st.integers(0, len(places) - 1))), np.int64)
    whole = order.encode().to_pylist()
    assert order.encode(some).to_pylist() == [whole[i] for i in some]
    assert order.take(some).encode().to_pylist() == [whole[i] for i in some]


@given(ROW)
def test_bytes_tell_where_a_row_came_from(place: tuple[int, int | None, int, Lane, int, int]) -> None:
    (encoded,) = Order.of(rows_of([place])).encode().to_pylist()
    assert Order.origin(encoded[8:]) == (place[3], place[4])
    assert Lane.parse(place[3].text) == place[3]
