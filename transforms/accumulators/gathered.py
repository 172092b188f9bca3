"""Gathered states: the encoded states of many tiles merged group by group, straight from their bytes."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from transforms.accumulators.base import Accumulator, Ints
from transforms.accumulators.spans import Spans


class Gathering(Protocol):
    """An accumulator with a shorter way from bytes to merged states.

    Law (tested): `gather` gives the states that `merge(decode(...))` gives, to the byte.
    """

    def gather(self, spans: Spans, firsts: Ints) -> Any:
        """States of n groups: group i merges the states encoded from `firsts[i]` on, up to where the next begins.

        Args:
            spans: m encoded states.
            firsts: int64[n], strictly ascending from 0, below m.
        """


def gather(accumulator: Accumulator, spans: Spans, firsts: Ints) -> Any:
    """States of n groups of encoded states, by the shortest way that the accumulator has; see `Gathering`."""
    shorter = getattr(accumulator, "gather", None)
    if shorter is not None:
        return shorter(spans, firsts)
    groups = np.repeat(np.arange(len(firsts)), np.diff(np.append(firsts, len(spans))))
    return accumulator.merge(accumulator.decode(spans.blobs()), groups, len(firsts))
