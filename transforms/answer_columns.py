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


def default_of(feature: Feature) -> Any:
    """The feature's default as a plain value of its type, or None."""
    return None if feature.default is None else pa.scalar(feature.default, feature.dtype).as_py()


class AnswerColumn(NamedTuple):
    """One feature for n requests: what `Answer` is, in lists.

    Attributes:
        dtype: a plain type.
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
        return pa.array(self.values, self.dtype, from_pandas=False)

    def answer(self) -> Answer:
        """The same as Arrow and numpy have it."""
        codes = [PRESENT] * len(self.values) if self.codes is None else self.codes
        return Answer(self.array(), np.array(codes, np.uint8), np.array(self.times, np.int64))
