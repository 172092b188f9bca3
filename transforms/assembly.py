"""Assembly: stored answers, then defaults, derived, on-demand and encoded features, in the order asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from transforms.answers import NO_TIME, NOT_FOUND, NULL_VALUE, PRESENT, Answer, with_default
from transforms.columns import flags, whole
from transforms.computation import Computation
from transforms.features import TIME
from transforms.frames import plain_column
from transforms.requests import Request
from transforms.selection import Output, Selection
from transforms.sql import Expression, evaluate_all

Ints = npt.NDArray[np.int64]
Answers = Mapping[str, Answer]
Requested = Callable[[], Request]

_STORED = ("aggregate", "latest")
_NOW = "now"


def assemble(
    selection: Selection, stored: Mapping[tuple[str, str], Answer], request: Request, instants: Ints
) -> dict[str, Answer]:
    """Answers of everything asked for, by address, in the order asked.

    Args:
        selection: the features asked for.
        stored: answers of the aggregate and latest features needed, by (role, feature name).
        request: n rows.
        instants: int64[n], µs: what `now` is to each row.

    Returns:
        Answers with defaults filled in.
    """
    done = {
        output.address: with_default(stored[output.role, output.feature.name], output.feature)
        for output in selection.needed()
        if output.feature.kind in _STORED
    }
    done |= Assembly(selection).computed(done, lambda: request, instants)
    return {output.address: done[output.address] for output in selection.outputs}


class Assembly:
    """How what is computed of a selection's stored features is computed: planned once, for any number of requests.

    Args:
        selection: the features asked for.

    Attributes:
        inputs: addresses of the stored features that are read.
    """

    inputs: frozenset[str]

    def __init__(self, selection: Selection) -> None:
        derived: dict[str, list[Output]] = {}
        called: dict[int, list[Output]] = {}
        stored = set()
        for output in selection.needed():
            if output.feature.kind in _STORED:
                stored.add(output.address)
            elif output.function is None:
                derived.setdefault(output.role, []).append(output)
            else:
                called.setdefault(id(output.function), []).append(output)
        self._steps: list[_Step] = [_Derivation(role, outputs) for role, outputs in derived.items()]
        self._steps += [_Call(outputs) for outputs in called.values()]
        self.inputs = frozenset(name for step in self._steps for name in step.inputs if name in stored)

    def computed(self, stored: Answers, request: Requested, instants: Ints) -> dict[str, Answer]:
        """Answers of derived, on-demand and encoded features, those needed by others included, by address.

        Args:
            stored: answers of `inputs`, at least, with defaults filled in.
            request: gives the n rows that ask.
            instants: int64[n], µs: what `now` is to each row.
        """
        now = pa.array(instants, TIME, mask=instants == NO_TIME)
        done, found = dict(stored), dict[str, Answer]()
        for step in self._steps:
            answers = step.answers(done, request, now)
            done |= answers
            found |= answers
        return found


class _Step(Protocol):
    """Computes some features of those before them.

    Attributes:
        inputs: addresses of what it reads.
    """

    inputs: Sequence[str]

    def answers(self, done: Answers, request: Requested, now: pa.Array) -> Answers: ...


class _Derivation:
    """Derived features of one role, in one pass."""

    def __init__(self, role: str, outputs: Sequence[Output]) -> None:
        self._outputs = outputs
        self._expressions: dict[str, Expression] = {}
        for output in outputs:
            assert output.feature.sql is not None
            self._expressions[output.feature.name] = output.feature.sql
        names = dict.fromkeys(name for output in outputs for name in output.feature.inputs)
        self._addresses = {name: f"{role}:{name}" for name in names}
        # A frame has a column at least, or nothing would say how many rows it has.
        self._timed = not names or any(_NOW in sql.columns for sql in self._expressions.values())
        self.inputs: Sequence[str] = list(self._addresses.values())

    def answers(self, done: Answers, request: Requested, now: pa.Array) -> Answers:
        columns = {name: done[address].values for name, address in self._addresses.items()}
        if self._timed:
            columns[_NOW] = now
        frame = pl.DataFrame(pl.from_arrow(pa.table(columns)))
        series = evaluate_all(frame, {name: sql.expr for name, sql in self._expressions.items()})
        found = {}
        for output in self._outputs:
            feature = output.feature
            values = plain_column(series[feature.name].to_arrow())
            values = values if values.type == feature.dtype else values.cast(feature.dtype)
            inputs = [done[self._addresses[name]] for name in feature.inputs]
            found[output.address] = with_default(_computed(values, inputs), feature)
        return found


class _Call:
    """Features of one on-demand function or encoder, which is called once for all of them."""

    def __init__(self, outputs: Sequence[Output]) -> None:
        assert outputs[0].function is not None
        self._outputs, self._function = outputs, outputs[0].function
        self.inputs: Sequence[str] = list(self._function.inputs)

    def answers(self, done: Answers, request: Requested, now: pa.Array) -> Answers:
        function: Computation = self._function
        inputs = [done[address] for address in self.inputs]
        columns = {address: answer.values for address, answer in zip(self.inputs, inputs, strict=True)}
        columns |= {name: whole(request().given.column(name)) for name in function.request}
        computed = function.compute({**columns, _NOW: now})
        found = {}
        for output in self._outputs:
            feature = output.feature
            values = computed[feature.name]
            values = values if values.type == feature.dtype else values.cast(feature.dtype)
            found[output.address] = with_default(_computed(values, inputs), feature)
        return found


def _computed(values: pa.Array, inputs: Sequence[Answer]) -> Answer:
    """Answer of a computed feature: as new as its newest input; not found when none of its inputs is."""
    null = flags(values.is_null())
    statuses = np.where(null, NULL_VALUE, PRESENT).astype(np.uint8)
    if not inputs:
        return Answer(values, statuses, np.full(len(values), NO_TIME))
    times = inputs[0].times if len(inputs) == 1 else np.maximum.reduce([answer.times for answer in inputs])
    if null.any():
        lost = np.logical_and.reduce([answer.statuses == NOT_FOUND for answer in inputs])
        statuses[null & lost] = NOT_FOUND
    return Answer(values, statuses, times)
