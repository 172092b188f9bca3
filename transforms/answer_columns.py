"""Columns of answers as plain Python values, which are what few requests are answered with soonest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from transforms.answers import PRESENT, Answer
from transforms.feature import Feature


def is_plain(kind: pa.DataType) -> bool:
    """Whether values of a type are the same, to the bit, as Python values and as Arrow's."""
    numeric = pa.types.is_integer(kind) or (pa.types.is_floating(kind) and kind != pa.float16())
    return bool(numeric or pa.types.is_boolean(kind) or pa.types.is_string(kind) or pa.types.is_binary(kind))


def is_nested_plain(kind: pa.DataType) -> bool:
    """Whether the same holds of a type, or of all that lies in its lists, structs and maps."""
    if pa.types.is_list(kind) or pa.types.is_struct(kind):
        return all(is_nested_plain(kind.field(number).type) for number in range(kind.num_fields))
    if pa.types.is_map(kind):
        return is_plain(kind.key_type) and is_nested_plain(kind.item_type)
    return is_plain(kind)


def default_of(feature: Feature) -> Any:
    """The feature's default as a plain value of its type, or None."""
    if feature.default is None:
        return None
    return pa.scalar(feature.default, feature.dtype).as_py(maps_as_pydicts="strict")


def copied(values: Sequence[Any]) -> list[Any]:
    """Values that their reader may change, lists and dicts within them too."""
    return [_copy(value) if isinstance(value, list | dict) else value for value in values]


class AnswerColumn(NamedTuple):
    """One feature for n requests: what `Answer` is, in lists.

    Attributes:
        dtype: a plain type, or lists, structs and maps of such.
        values: n values, None for null.
        codes: n numbers of `STATUSES`; None where all are PRESENT.
        times: n times in µs, `NO_TIME` where no event counted.
    """

    dtype: pa.DataType
    values: Sequence[Any]
    codes: Sequence[int] | None
    times: Sequence[int]

    @staticmethod
    def of(answer: Answer) -> AnswerColumn:
        """The column of an answer; maps are dicts."""
        codes = answer.statuses.tolist()
        values = answer.values.to_pylist(maps_as_pydicts="strict")
        return AnswerColumn(answer.values.type, values, codes if any(codes) else None, answer.times.tolist())

    def array(self) -> pa.Array:
        """The values as Arrow has them."""
        values = [_with_pairs(value, self.dtype) for value in self.values] if _has_maps(self.dtype) else self.values
        return pa.array(values, self.dtype, from_pandas=False)

    def answer(self) -> Answer:
        """The same as Arrow and numpy have it."""
        codes = [PRESENT] * len(self.values) if self.codes is None else self.codes
        return Answer(self.array(), np.array(codes, np.uint8), np.array(self.times, np.int64))


def _copy(value: Any) -> Any:
    if isinstance(value, list):
        return [_copy(item) for item in value]
    if isinstance(value, dict):
        return {name: _copy(item) for name, item in value.items()}
    return value


def _has_maps(kind: pa.DataType) -> bool:
    return pa.types.is_map(kind) or any(_has_maps(kind.field(number).type) for number in range(kind.num_fields))


def _with_pairs(value: Any, kind: pa.DataType) -> Any:
    """A value with its maps as pairs, as Arrow takes them."""
    if value is None or not pa.types.is_nested(kind):
        return value
    if pa.types.is_map(kind):
        return [(key, _with_pairs(item, kind.item_type)) for key, item in value.items()]
    if pa.types.is_struct(kind):
        return {member.name: _with_pairs(value[member.name], member.type) for member in kind}
    return [_with_pairs(item, kind.value_type) for item in value]
