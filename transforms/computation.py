"""Computations: what makes features of other features and the request, whenever they are asked for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import pyarrow as pa


class Computation(Protocol):
    """Makes one feature or several; stored nowhere, the same in a training set and in an answer online.

    Attributes:
        inputs: address of each feature that it reads -> type.
        request: column of the request or spine that it reads -> type.
    """

    @property
    def inputs(self) -> Mapping[str, pa.DataType]: ...

    @property
    def request(self) -> Mapping[str, pa.DataType]: ...

    def compute(self, columns: Mapping[str, pa.Array]) -> Mapping[str, pa.Array]:
        """Its features, by bare name, for n rows.

        Args:
            columns: `inputs` by address, `request` by name, and `now`, each `pa.Array[n]`.

        Raises:
            RequestError: it failed on a row, or is not fitted.
        """
