"""Explosions: a row for each element of a list."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Explosion:
    """`explode=` of a view: the list's place is taken by its elements, or by the fields of its structs.

    Attributes:
        column: the list column.
        element: type of its elements.
    """

    column: str
    element: pa.DataType

    @property
    def fields(self) -> list[pa.Field]:
        """Columns that take the list's place."""
        if not pa.types.is_struct(self.element):
            return [pa.field(self.column, self.element)]
        fields = (self.element.field(index) for index in range(self.element.num_fields))
        return [pa.field(field.name, field.type) for field in fields]

    def schema(self, before: pa.Schema) -> pa.Schema:
        """Columns afterwards."""
        fields: list[pa.Field] = []
        for field in before:
            fields += self.fields if field.name == self.column else [field]
        return pa.schema(fields)

    def clash(self, before: pa.Schema) -> str | None:
        """Field of the elements that has the name of another column, or None."""
        others = set(before.names) - {self.column}
        return next((field.name for field in self.fields if field.name in others), None)

    def apply(self, lists: pa.ListArray) -> tuple[Ints, pa.Array, dict[str, pa.Array]]:
        """Elements of n lists; null and empty lists have none.

        Returns:
            int64[m] the list of each element, int32 `pa.Array[m]` its number in it, and the columns made of it.
        """
        parents = np.asarray(pc.list_parent_indices(lists).to_numpy(zero_copy_only=False), np.int64)
        elements = pc.list_flatten(lists)
        places = np.arange(len(parents))
        starts = np.flatnonzero(np.diff(parents, prepend=-1)) if len(parents) else places
        lengths = np.diff(np.append(starts, len(parents)))
        parts = pa.array((places - np.repeat(starts, lengths)).astype(np.int32))
        columns = elements.flatten() if pa.types.is_struct(self.element) else [elements]
        return parents, parts, {field.name: column for field, column in zip(self.fields, columns, strict=True)}
