"""Contents of cells: runs of tiles in one byte string."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import StoreError
from transforms.cells import SPAN, cell_start, close_cells, open_cells

TILES = st.dictionaries(
    st.integers(0, SPAN - 1),
    st.one_of(st.binary(max_size=40), st.sampled_from([bytes(65_535), bytes(65_536), b"x" * 70_000])),
    min_size=1,
)


def closed(cells: list[dict[int, bytes]]) -> list[bytes]:
    """Contents of cells given as tiles by their place."""
    owners = np.asarray([number for number, cell in enumerate(cells) for _ in cell], np.int64)
    slots = np.asarray([slot for cell in cells for slot in sorted(cell)], np.int64)
    tiles = pa.array([cell[slot] for cell in cells for slot in sorted(cell)], pa.binary())
    return close_cells(owners, slots, tiles, len(cells))


@given(st.lists(TILES, min_size=1, max_size=8))
def test_what_was_closed_is_opened(cells: list[dict[int, bytes]]) -> None:
    owners, slots, tiles = open_cells(closed(cells))
    found: list[dict[int, bytes]] = [{} for _ in cells]
    for owner, slot, tile in zip(owners.tolist(), slots.tolist(), tiles.to_pylist(), strict=True):
        found[owner][slot] = tile
    assert found == cells
    assert (np.diff(owners * SPAN + slots) > 0).all()


@given(st.lists(TILES, min_size=2, max_size=4))
def test_a_cell_has_the_same_bytes_whatever_is_closed_beside_it(cells: list[dict[int, bytes]]) -> None:
    assert closed(cells) == [blob for cell in cells for blob in closed([cell])]


def test_no_cells_hold_no_tiles() -> None:
    owners, slots, tiles = open_cells([])
    assert (len(owners), len(slots), len(tiles)) == (0, 0, 0)


@pytest.mark.parametrize("cut", [1, 3, 4, 5, 9, 12])
def test_a_content_that_is_cut_off_is_refused(cut: int) -> None:
    whole = closed([{0: b"abc", 9: b"defgh"}])[0]
    with pytest.raises(StoreError, match="damaged"):
        open_cells([whole[:cut]])
    with pytest.raises(StoreError, match="damaged"):
        open_cells([whole, whole[:cut]])


def test_a_content_of_a_later_release_is_refused() -> None:
    whole = closed([{3: b"abc"}])[0]
    with pytest.raises(StoreError, match="later release"):
        open_cells([b"\x02" + whole[1:]])


def test_cells_are_aligned_to_the_epoch_whatever_the_time() -> None:
    times = np.asarray([-1, 0, 159, 160, -160, -161])
    assert cell_start(times, 10).tolist() == [-160, 0, 0, 160, -160, -320]
    assert cell_start(times, None).tolist() == [0] * 6
