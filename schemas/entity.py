"""Entities: what features are about."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, field

import pyarrow as pa

from schemas.place import caller_place
from schemas.types import parse_type


@dataclass(frozen=True)
class Entity:
    """Thing that features describe, known by one or several keys.

    Attributes:
        name: of the entity.
        keys: name -> type text of each key column, in the order of the key.
        key_from: key -> row-local SQL that computes it, alike in rows, spines and requests.
        inputs: name -> type text of the columns that `key_from` reads.
        description: for people.
        place: `file:line` of the definition.
    """

    name: str
    _: KW_ONLY
    keys: Mapping[str, str]
    key_from: Mapping[str, str] = field(default_factory=dict)
    inputs: Mapping[str, str] = field(default_factory=dict)
    description: str = ""
    place: str = field(default_factory=caller_place, compare=False, repr=False)

    @property
    def key_types(self) -> dict[str, pa.DataType]:
        """Arrow type of each key.

        Raises:
            ValueError: a type's text is no type.
        """
        return {name: parse_type(text) for name, text in self.keys.items()}

    @property
    def input_types(self) -> dict[str, pa.DataType]:
        """Arrow type of each input of `key_from`.

        Raises:
            ValueError: a type's text is no type.
        """
        return {name: parse_type(text) for name, text in self.inputs.items()}

    @property
    def asked(self) -> tuple[str, ...]:
        """Columns that a spine or request gives: the keys that are not computed, then the inputs of the others."""
        return (*(key for key in self.keys if key not in self.key_from), *self.inputs)
