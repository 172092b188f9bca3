"""JSON objects read by the column: many at once by Arrow's parser, behind a guard.

Arrow's parser is fast and nearly as strict as the reading one by one; what it takes beyond that is kept from it. The
objects of a batch are joined by newlines, which are blanks to the parser. A value that begins with `{` cannot run on
into the one before it: after a complete `}` inside an unfinished object only `,`, `]` or `}` may follow, and no string
holds a newline. A value that holds several objects shows in the number of rows. And a `null` between objects, on which
the parser of pyarrow 25 crashes, can only follow a `}`, so values where something like it does are kept away too.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json

from schemas.types import Field
from transforms.encodings.arrow_columns import strings
from transforms.encodings.json_values import DEEPEST
from transforms.encodings.values import kind

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Bytes = npt.NDArray[np.uint8]

_BLANK = np.zeros(256, np.bool_)
_BLANK[[9, 10, 13, 32]] = True
_MOST_BLANKS = 8
_CLOSE, _NULL, _OPEN, _LIST = ord("}"), ord("n"), ord("{"), ord("[")
# Literals of numbers that Arrow's parser takes beyond NaN, Infinity and -Infinity.
_LOOSE = re.compile(rb"-NaN|Inf(?=[,\]}\s])")


def sound_for_arrow(values: pa.BinaryArray) -> Bools:
    """Which of n values Arrow's parser may see, bool[n]."""
    count = len(values)
    _, offsets, content = values.buffers()
    if count == 0 or content is None:
        return np.zeros(count, np.bool_)
    bounds = np.frombuffer(offsets, np.int32)[values.offset : values.offset + count + 1].astype(np.int64)
    data = np.frombuffer(content, np.uint8)[bounds[0] : bounds[-1]]
    bounds -= bounds[0]
    sound = values.is_valid().to_numpy(zero_copy_only=False) & (np.diff(bounds) >= 2)
    some = np.flatnonzero(sound)
    sound[some] = (data[bounds[some]] == _OPEN) & (data[bounds[some + 1] - 1] == _CLOSE)
    brackets = np.searchsorted(np.flatnonzero((data == _OPEN) | (data == _LIST)), bounds)
    sound &= np.diff(brackets) <= DEEPEST
    sound[_rows(bounds, np.flatnonzero(data == 0))] = False
    sound[_rows(bounds, _followed(data, bounds))] = False
    sound[_rows(bounds, _loose_numbers(data.tobytes()))] = False
    return np.asarray(sound & strings(values).is_valid().to_numpy(zero_copy_only=False), np.bool_)


def _loose_numbers(data: bytes) -> Ints:
    """Places of literals that only Arrow's parser takes for numbers, and of some texts that look like them."""
    found = (b"Inf" in data or b"-NaN" in data) and [match.start() for match in _LOOSE.finditer(data)]
    return np.array(found or [], np.int64)


def _rows(bounds: Ints, places: Ints) -> Ints:
    """Values that the places of the buffer lie in."""
    return np.asarray(np.searchsorted(bounds, places, "right") - 1, np.int64)


def _followed(data: Bytes, bounds: Ints) -> Ints:
    """Places of each `}` that something other than the rest of an object may follow within its value."""
    closing = np.flatnonzero(data == _CLOSE)
    end = bounds[_rows(bounds, closing) + 1]
    inside = closing + 1 < end
    closing, end = closing[inside], end[inside]
    after = closing + 1
    for _ in range(_MOST_BLANKS):
        blank = _BLANK[data[after]]
        if not blank.any():
            break
        after = np.minimum(after + blank, end - 1)
    byte = data[after]
    wrong: Ints = closing[(byte == _NULL) | (byte == _OPEN) | _BLANK[byte]]
    return wrong


def arrow_type(field: Field, example: Any) -> pa.DataType | None:
    """Type that Arrow's parser is to read a field as, or None where it cannot.

    Args:
        field: name and declared type.
        example: a value of the field: a text or a number decides how times are written.
    """
    name = kind(field.type)
    if name == "timestamp":
        return pa.string() if field.unit is None or isinstance(example, str) else pa.int64()
    if name == "list":
        items = example if isinstance(example, list) else []
        inner = arrow_type(field.children[0], next((item for item in items if item is not None), None))
        return None if inner is None else pa.list_(inner)
    if name == "struct":
        members = example if isinstance(example, Mapping) else {}
        kinds = [(child.name, arrow_type(child, members.get(child.name))) for child in field.children]
        found = [pa.field(child, inner) for child, inner in kinds if inner is not None]
        return pa.struct(found) if len(found) == len(kinds) else None
    return _PLAIN.get(name, field.type if name == "decimal" else None)


_PLAIN: dict[str, pa.DataType] = {
    "bool": pa.bool_(),
    "int": pa.int64(),
    "float": pa.float64(),
    "string": pa.string(),
    "date": pa.string(),
}


def parsed(values: pa.BinaryArray, schema: pa.Schema) -> pa.Table | None:
    """Rows of n values that `sound_for_arrow` lets through, or None if one of them does not fit the schema."""
    lines: Any = pc.binary_join_element_wise(values, pa.scalar(b"\n", pa.binary()), pa.scalar(b"", pa.binary()))
    content = lines.buffers()[2]
    reading = pyarrow.json.ReadOptions(use_threads=False, block_size=content.size + 1)
    parsing = pyarrow.json.ParseOptions(explicit_schema=schema, unexpected_field_behavior="ignore")
    try:
        table = pyarrow.json.read_json(pa.BufferReader(content), reading, parsing)
    except pa.ArrowInvalid:
        return None
    return table if table.num_rows == len(values) else None
