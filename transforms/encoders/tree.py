"""Encoder trees: an encoder with the encoders inside it, its types checked, fitted and applied as one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from schemas.checks_entity import KEY_TYPES
from schemas.encoding import SIZE, Encoder
from schemas.errors import DefinitionError, Mistake
from schemas.types import type_text
from transforms.aggregates import checked_default
from transforms.encoders.base import Kernel
from transforms.encoders.categorical import HashedCross, OneHot, TargetMean, Vocabulary
from transforms.encoders.categories import is_category
from transforms.encoders.numbers import Buckets, MinMax, Quantiles, Standard, is_number

Columns = Mapping[str, pa.Array]
Values = Callable[[Columns], pa.Array]
Kinds = tuple[pa.DataType, ...]
CATEGORICAL = frozenset({"vocabulary", "one_hot", "target_mean", "cross"})
NUMBERS = "integers, floats or decimals"

KERNELS: Mapping[str, Callable[[Encoder, Kinds], Kernel]] = {
    "vocabulary": lambda spec, kinds: Vocabulary(
        kinds, spec.param("size"), spec.param("min_count"), spec.param("unknown")
    ),
    "one_hot": lambda spec, kinds: OneHot(kinds[0], spec.param("size"), spec.param("min_count")),
    "target_mean": lambda spec, kinds: TargetMean(
        kinds[0], spec.param("smoothing"), spec.param("size"), spec.param("min_count")
    ),
    "cross": lambda spec, kinds: (
        HashedCross(spec.param("buckets"))
        if spec.param("size") is None
        else Vocabulary(kinds, spec.param("size", SIZE), spec.param("min_count", 1), spec.param("unknown", 0))
    ),
    "standard": lambda spec, kinds: Standard(),
    "min_max": lambda spec, kinds: MinMax(spec.param("clip")),
    "buckets": lambda spec, kinds: Buckets(kinds[0], spec.param("edges")),
    "quantiles": lambda spec, kinds: Quantiles(kinds[0], spec.param("buckets")),
}


@dataclass(frozen=True)
class EncoderTree:
    """An encoder, compiled.

    Attributes:
        spec: its definition.
        kernel: its operation.
        inputs: columns, and encoders, that it reads.
        default: takes the place of null, as a value of its type; None for none.
    """

    spec: Encoder
    kernel: Kernel
    inputs: tuple[str | EncoderTree, ...]
    default: Any

    @property
    def learns(self) -> bool:
        """Whether it, or an encoder inside it, has to be fitted."""
        return any(node.learns for node in self.spec.nodes)

    def fit(self, columns: Columns, targets: Columns) -> dict[str, Any]:
        """What it learns from n rows: JSON, `own` for itself, `inputs` for encoders inside it.

        Raises:
            Unfit: there is nothing among the rows to learn from.
        """
        inner = [each.fit(columns, targets) if isinstance(each, EncoderTree) else None for each in self.inputs]
        given = [
            columns[each] if isinstance(each, str) else each.filled(document)(columns)
            for each, document in zip(self.inputs, inner, strict=True)
        ]
        target = self.spec.param("target")
        own = self.kernel.fit(given, None if target is None else targets[target])
        return {"own": own} | ({"inputs": inner} if any(inner) else {})

    def bound(self, document: Mapping[str, Any] | None) -> Values:
        """The values of n rows, nulls left, by what was learnt (None of an encoder that learns nothing)."""
        fitted = document or {}
        inner = fitted.get("inputs") or [None] * len(self.inputs)
        transform = self.kernel.bound(fitted.get("own") or {})
        parts = [
            each if isinstance(each, str) else each.filled(of) for each, of in zip(self.inputs, inner, strict=True)
        ]

        def values(columns: Columns) -> pa.Array:
            return transform([columns[part] if isinstance(part, str) else part(columns) for part in parts])

        return values

    def filled(self, document: Mapping[str, Any] | None) -> Values:
        """The same with its default in place of nulls, as an encoder around it reads it."""
        values = self.bound(document)
        if self.default is None:
            return values
        default = pa.scalar(self.default, self.kernel.dtype)

        def filled(columns: Columns) -> pa.Array:
            found = values(columns)
            return pc.if_else(found.is_valid(), found, default)

        return filled


def compile_encoder(spec: Encoder, types: Mapping[str, pa.DataType], encoding: str) -> EncoderTree:
    """Encoder of columns of known types.

    Args:
        spec: without structural mistakes.
        types: of every column that it reads, by address or name.
        encoding: its name, for mistakes.

    Raises:
        DefinitionError: an input has a type that the operation does not take, or a default does not fit.
    """
    inputs = tuple(each if isinstance(each, str) else compile_encoder(each, types, encoding) for each in spec.inputs)
    kinds = tuple(types[each] if isinstance(each, str) else each.kernel.dtype for each in inputs)
    what = f"{encoding}: encode.{spec.operation}"
    wrong = [
        Mistake(spec.place, what, _refusal(spec, shown(each), kind))
        for each, kind in zip(inputs, kinds, strict=True)
        if not (is_category(kind) if spec.operation in CATEGORICAL else is_number(kind))
    ]
    if wrong:
        raise DefinitionError(wrong)
    kernel = KERNELS[spec.operation](spec, kinds)
    return EncoderTree(spec, kernel, inputs, checked_default(spec.default, kernel.dtype, what, spec.place))


def shown(each: str | EncoderTree) -> str:
    """An input as an error calls it."""
    return repr(each) if isinstance(each, str) else f"encode.{each.spec.operation}"


def _refusal(spec: Encoder, name: str, kind: pa.DataType) -> str:
    if spec.operation in CATEGORICAL:
        mend = ": bucket it first, as in encode.buckets(..., edges=[...])" if is_number(kind) else ""
        return f"encode.{spec.operation} takes categories ({KEY_TYPES}); {name} is {type_text(kind)}{mend}"
    mend = ": encode.vocabulary and encode.one_hot take it" if is_category(kind) else ""
    return f"encode.{spec.operation} takes {NUMBERS}; {name} is {type_text(kind)}{mend}"
