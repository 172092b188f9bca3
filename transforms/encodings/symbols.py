"""What an Avro schema says beyond types: symbols of enums, sizes of `fixed`, in whatever form values come."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from schemas.source import Source
from transforms.encodings.arrow_columns import true
from transforms.encodings.avro_plan import expanded, kind, present
from transforms.encodings.decoded import Decoded

Ints = npt.NDArray[np.int64]
_SHOWN = 60


@dataclass(frozen=True)
class _Limit:
    """What one field may hold.

    Attributes:
        path: of the field.
        fits: column -> which of its values are legal.
        legal: what is said of a value that is not.
    """

    path: str
    fits: Callable[[Any], Any]
    legal: str


class Symbols:
    """Checks decoded events against the enums and `fixed` of the source's own Avro schema.

    Avro values of that schema cannot break it; JSON, files and Python objects can.
    """

    def __init__(self, source: Source) -> None:
        members = expanded(source.avro_schema)["fields"] if source.avro is not None and source.problem is None else []
        found = ((member["name"], _walk(member["type"], member["name"])) for member in members)
        self._checks = [(name, check) for name, check in found if check is not None]

    def check(self, decoded: Decoded) -> Decoded:
        """The same, with the events that break the schema among the bad."""
        bad: dict[int, str] = {}
        for name, check in self._checks:
            for row, reason in check(decoded.events.column(name)).items():
                bad.setdefault(row, reason)
        if not bad:
            return decoded
        keep = np.ones(decoded.events.num_rows, np.bool_)
        keep[list(bad)] = False
        reasons = [*decoded.bad, *((int(decoded.good[row]), reason) for row, reason in bad.items())]
        return replace(
            decoded, events=decoded.events.filter(pa.array(keep)), good=decoded.good[keep], bad=sorted(reasons)
        )


Check = Callable[[Any], dict[int, str]]


def _walk(schema: Any, path: str) -> Check | None:
    """Check of a column by its schema: row -> reason; None if everything is legal."""
    spec = present(schema)
    name = kind(spec)
    if name == "enum":
        symbols = pa.array(spec["symbols"], pa.string())
        legal = f"is no symbol of the enum, legal are {', '.join(spec['symbols'])}"
        return _leaf(_Limit(path, lambda column: pc.is_in(column, symbols), legal))
    if name == "fixed" and spec.get("logicalType") != "decimal":
        size = spec["size"]
        return _leaf(_Limit(path, lambda column: pc.equal(pc.binary_length(column), size), f"is not of {size} bytes"))
    if name == "array":
        inner = _walk(spec["items"], f"{path}[]")
        return None if inner is None else _items(inner, lambda column: column.values)
    if name == "map":
        inner = _walk(spec["values"], f"{path}{{}}")
        return None if inner is None else _items(inner, lambda column: column.items)
    if name in ("record", "error"):
        return _members([(m["name"], _walk(m["type"], f"{path}.{m['name']}")) for m in spec["fields"]])
    return None


def _leaf(limit: _Limit) -> Check:
    def check(column: Any) -> dict[int, str]:
        wrong = np.flatnonzero(~true(limit.fits(column)) & true(column.is_valid()))
        return {int(row): f"{limit.path}: {_show(column[int(row)].as_py())} {limit.legal}" for row in wrong}

    return check


def _items(inner: Check, values: Callable[[Any], Any]) -> Check:
    def check(column: Any) -> dict[int, str]:
        whole = pa.concat_arrays([column]) if column.offset else column
        offsets: Ints = whole.offsets.to_numpy()
        valid = true(whole.is_valid())
        found: dict[int, str] = {}
        for item, reason in sorted(inner(values(whole)).items()):
            row = int(np.searchsorted(offsets, item, "right")) - 1
            if 0 <= row < len(valid) and valid[row]:
                found.setdefault(row, reason)
        return found

    return check


def _members(inner: list[tuple[str, Check | None]]) -> Check | None:
    checks = [(name, check) for name, check in inner if check is not None]

    def check_all(column: Any) -> dict[int, str]:
        valid = true(column.is_valid())
        found: dict[int, str] = {}
        for name, check in checks:
            for row, reason in check(column.field(name)).items():
                if valid[row]:
                    found.setdefault(row, reason)
        return found

    return check_all if checks else None


def _show(value: Any) -> str:
    shown = json.dumps(value) if isinstance(value, str) else repr(value)
    return shown if len(shown) <= _SHOWN else shown[:_SHOWN] + "…"
