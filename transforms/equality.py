"""Equality of values to the bit, as it is claimed of training and serving."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from transforms.columns import flags


def same_values(left: pa.Array, right: pa.Array) -> npt.NDArray[np.bool_]:
    """Which of n pairs of values are the same: null as null, NaN as NaN, -0.0 unlike 0.0; nested values throughout."""
    if left.type != right.type:
        return np.zeros(len(left), np.bool_)
    null_left, null_right = flags(left.is_null()), flags(right.is_null())
    if pa.types.is_floating(left.type):
        bits = np.int64 if left.type.bit_width == 64 else np.int32
        a = np.asarray(left.fill_null(0.0).to_numpy(zero_copy_only=False))
        b = np.asarray(right.fill_null(0.0).to_numpy(zero_copy_only=False))
        equal = (a.view(bits) == b.view(bits)) | (np.isnan(a) & np.isnan(b))
    elif pa.types.is_nested(left.type):
        texts = [repr(value) for value in left.to_pylist()]
        equal = np.asarray(
            [text == repr(value) for text, value in zip(texts, right.to_pylist(), strict=True)], np.bool_
        )
    else:
        equal = flags(pa.compute.equal(left, right).fill_null(False))
    return np.asarray((equal & ~null_left & ~null_right) | (null_left & null_right), np.bool_)
