"""Texts of values: the keys of the maps that histograms and buckets finish as."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc


def texts(values: pa.Array) -> pa.StringArray:
    """Text of each value, so that different values of a column have different texts.

    string: itself; bytes: lower-case hexadecimal; bool: `true`, `false`; integers: decimal; floats: Python's `repr` of
    the value as a double, -0.0 as `0.0`, `nan`, `inf`, `-inf`; decimals: Python's `str`, all digits of the scale; date:
    ISO, `2026-11-24`; timestamp: ISO in UTC, `2026-11-24T15:00:00Z`, with six digits of a second unless they are zero.

    Args:
        values: `pa.Array[n]` of a scalar type, without nulls.

    Returns:
        `pa.StringArray[n]`.
    """
    kind = values.type
    if pa.types.is_string(kind):
        return values
    if pa.types.is_floating(kind) or pa.types.is_binary(kind):
        codes = values.dictionary_encode()
        distinct = codes.dictionary.to_pylist()
        if pa.types.is_binary(kind):
            names = [value.hex() for value in distinct]
        else:
            names = [repr(value + 0.0) for value in distinct]
        return pa.array(names, pa.string()).take(codes.indices)
    text = values.cast(pa.string())
    if pa.types.is_timestamp(kind):
        text = pc.replace_substring(text, " ", "T", max_replacements=1)
        text = pc.replace_substring(text, ".000000Z", "Z")
    return text
