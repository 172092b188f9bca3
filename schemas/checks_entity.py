"""Structural mistakes of entities."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pyarrow as pa

from schemas.entity import Entity
from schemas.errors import Mistake, did_you_mean
from schemas.findings import Findings

KEY_TYPES = "bool, int8 to int64, uint8 to uint32, string, bytes, timestamp, date"
KEY_TESTS: tuple[Callable[[pa.DataType], bool], ...] = (
    pa.types.is_boolean,
    pa.types.is_integer,
    pa.types.is_string,
    pa.types.is_binary,
    pa.types.is_timestamp,
    pa.types.is_date,
)


def entity_mistakes(entity: Entity) -> list[Mistake]:
    """What is wrong with an entity."""
    findings = Findings(entity.place, str(entity.name))
    findings.names("entity", [entity.name])
    findings.people(entity)
    keys = findings.types("key", entity.keys, '{"user_id": "int64"}')
    if entity.keys == {}:
        findings.add('keys must name at least one column, as in {"user_id": "int64"}')
    for name, kind in keys.items():
        if not can_be_key(kind):
            findings.add(f"key {name!r} of type {entity.keys[name]} cannot be a key: legal are {KEY_TYPES}")
    _computed(entity, findings)
    return findings.mistakes


def can_be_key(kind: pa.DataType) -> bool:
    """Whether a type has exact, comparable values of which a key can be made."""
    return any(test(kind) for test in KEY_TESTS)


def _computed(entity: Entity, findings: Findings) -> None:
    """Keys that SQL computes, and the inputs that it reads."""
    computed = findings.expressions("key_from", entity.key_from, '{"cell": "FLOOR(lon)"}')
    inputs = findings.types("input", entity.inputs, '{"lon": "float64"}')
    keys = list(map(str, entity.keys)) if isinstance(entity.keys, Mapping) else []
    for name in computed:
        if name not in keys:
            findings.add(
                f"key_from computes {name!r}, which is no key.{did_you_mean(name, keys)} Legal: {', '.join(keys)}"
            )
    for name in inputs:
        if name in keys:
            findings.add(f"input {name!r} has the name of a key: inputs are other columns than keys")
    if computed and not entity.inputs:
        findings.add('key_from needs inputs= with the types of the columns that it reads, as in {"lon": "float64"}')
    if entity.inputs and not entity.key_from:
        findings.add("inputs are read by key_from alone, and there is none: leave inputs= out, or add key_from=")
