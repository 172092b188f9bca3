"""Encoder kernels: what an operation learns from rows, and what it then gives row by row."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

Document = Mapping[str, Any]
Arrays = Sequence[pa.Array]
Transform = Callable[[Arrays], pa.Array]


class Unfit(Exception):
    """The rows at hand do not let an encoder be fitted; the text says why."""


class Kernel(Protocol):
    """One operation over inputs of known types.

    `fit` is a function of the bag of rows: any order of the same rows gives the same document. A document is JSON
    whose floats are finite, so that equal ones have equal canonical bytes. What `bound` gives is row-local: it gives a
    row the same, to the bit, alone and among others.
    """

    dtype: pa.DataType

    def fit(self, inputs: Arrays, target: pa.Array | None) -> Document:
        """What is learnt from n rows; `{}` of an operation that learns nothing.

        Args:
            inputs: each `pa.Array[n]`.
            target: `pa.Array[n]` where the operation has one.

        Raises:
            Unfit: there is nothing among the rows to learn from.
        """

    def bound(self, document: Document) -> Transform:
        """The transform of n rows of inputs to n values, by what was learnt."""
