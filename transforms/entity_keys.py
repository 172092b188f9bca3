"""Entity keys: given as columns, or computed from others by SQL, alike in rows, spines and requests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa

from schemas.entity import Entity
from schemas.errors import DefinitionError, Mistake
from schemas.types import type_text
from transforms.proof import NotRowLocal, expression_outcomes, prove
from transforms.sql import Expression, compile_sql


@dataclass(frozen=True)
class EntityKeys:
    """Key columns of an entity.

    Attributes:
        names: of the keys, in the order of the entity.
        types: their types.
        asked: column -> type of what a spine, request or row gives: plain keys, then inputs of computed ones.
        computed: key -> expression over the inputs.
    """

    names: tuple[str, ...]
    types: tuple[pa.DataType, ...]
    asked: Mapping[str, pa.DataType]
    computed: Mapping[str, Expression]


def compile_keys(entity: Entity) -> EntityKeys:
    """Keys of an entity, the computed ones compiled and proven.

    Args:
        entity: without structural mistakes.

    Raises:
        DefinitionError: an expression of `key_from` is wrong, or not of the key's type: all mistakes.
    """
    inputs = pa.schema(list(entity.input_types.items()))
    types = entity.key_types
    computed: dict[str, Expression] = {}
    mistakes: list[Mistake] = []
    for name, text in entity.key_from.items():
        what = f"{entity.name}: key_from {name}"
        try:
            expression = compile_sql(text, inputs, what, entity.place)
            prove(expression_outcomes({name: expression}), inputs)
        except DefinitionError as error:
            mistakes += error.mistakes
            continue
        except NotRowLocal as error:
            mistakes.append(Mistake(entity.place, what, str(error)))
            continue
        if expression.dtype != types[name]:
            given, said = type_text(expression.dtype), type_text(types[name])
            message = f"is {given}, the key is {said}: cast it, as in CAST({text} AS {said})"
            mistakes.append(Mistake(entity.place, what, message))
        computed[name] = expression
    if mistakes:
        raise DefinitionError(mistakes)
    kinds = {**types, **entity.input_types}
    return EntityKeys(tuple(types), tuple(types.values()), {name: kinds[name] for name in entity.asked}, computed)
