"""Rows sorted by group and, within it, by a number: one sort of one int64 a row where that is possible."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Rest = Callable[[Ints], Sequence[Ints]]

_BITS = 63


def by_group(groups: Ints, numbers: Ints, rest: Rest | None = None) -> Ints:
    """Indices that put rows in the order (group, number, rest).

    Group and number are packed into one int64 (the number's low bits are cut off if there is no room for them), since
    numpy sorts plain integers several times faster than it sorts by several keys. Only rows that this leaves undecided
    are sorted again by everything.

    Args:
        groups: int64[n], none negative.
        numbers: int64[n].
        rest: gives, for some rows, further columns to sort by, the least significant first; None if rows with equal
            numbers may stand in any order.

    Returns:
        int64[n].
    """
    if not len(groups):
        return np.zeros(0, np.int64)
    low = int(numbers.min())
    width = (int(numbers.max()) - low).bit_length()
    room = _BITS - int(groups.max()).bit_length()
    above = numbers.view(np.uint64) - np.uint64(low % 2**64)
    codes = (groups << min(width, room)) | (above >> np.uint64(max(width - room, 0))).view(np.int64)
    order = np.argsort(codes)
    if rest is None and width <= room:
        return order
    ordered = codes[order]
    same = ordered[1:] == ordered[:-1]
    if rest is None:
        same = _runs_that_differ(same, numbers[order])
    if not same.any():
        return order
    undecided = np.zeros(len(order), np.bool_)
    undecided[1:] = same
    undecided[:-1] |= same
    where = np.flatnonzero(undecided)
    rows = order[where]
    further = [] if rest is None else rest(rows)
    keys = [key for key in (*further, numbers[rows]) if key.min() != key.max()]
    order[where] = rows[np.lexsort((*keys, ordered[where]))]
    return order


def _runs_that_differ(same: npt.NDArray[np.bool_], numbers: Ints) -> npt.NDArray[np.bool_]:
    """Of the pairs of neighbours that are the `same`, those in runs in which not all numbers are equal."""
    differ: npt.NDArray[np.bool_] = same & (numbers[1:] != numbers[:-1])
    if not differ.any():
        return differ
    run = np.concatenate(([0], np.cumsum(~same)))
    mixed: npt.NDArray[np.bool_] = np.zeros(run[-1] + 1, np.bool_)
    mixed[run[1:][differ]] = True
    mask: npt.NDArray[np.bool_] = same & mixed[run[1:]]
    return mask
