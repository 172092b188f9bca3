"""Assembly: stored answers, then defaults, derived, on-demand and encoded features, in the order asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from transforms.answers import NO_TIME, NOT_FOUND, NULL_VALUE, PRESENT, Answer, with_default
from transforms.columns import flags, whole
from transforms.computation import Computation
from transforms.feature import Feature
from transforms.features import TIME
from transforms.frames import plain_column
from transforms.requests import Request
from transforms.selection import Output, Selection

Ints = npt.NDArray[np.int64]


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
    now = pa.array(instants, TIME, mask=instants == NO_TIME)
    done: dict[str, Answer] = {}
    computed: dict[int, Mapping[str, pa.Array]] = {}
    for output in selection.needed():
        if output.feature.kind in ("aggregate", "latest"):
            answer = stored[output.role, output.feature.name]
        elif output.function is None:
            answer = _derived(output, done, now)
        else:
            answer = _on_demand(output.feature, output.function, done, request, now, computed)
        done[output.address] = with_default(answer, output.feature)
    return {output.address: done[output.address] for output in selection.outputs}


def _derived(output: Output, done: Mapping[str, Answer], now: pa.Array) -> Answer:
    assert output.feature.sql is not None
    answers = {name: done[f"{output.role}:{name}"] for name in output.feature.inputs}
    frame = _frame({**{name: answer.values for name, answer in answers.items()}, "now": now})
    values = plain_column(output.feature.sql.evaluate(frame).to_arrow()).cast(output.feature.dtype)
    return _computed(output.feature, values, list(answers.values()))


def _on_demand(
    feature: Feature,
    function: Computation,
    done: Mapping[str, Answer],
    request: Request,
    now: pa.Array,
    computed: dict[int, Mapping[str, pa.Array]],
) -> Answer:
    """Answer of a feature that a function makes, which is called once for all of its features."""
    answers = {address: done[address] for address in function.inputs}
    if id(function) not in computed:
        columns = {address: answer.values for address, answer in answers.items()}
        columns |= {name: whole(request.given.column(name)) for name in function.request}
        computed[id(function)] = function.compute({**columns, "now": now})
    values = computed[id(function)][feature.name]
    values = values if values.type == feature.dtype else values.cast(feature.dtype)
    return _computed(feature, values, list(answers.values()))


def _computed(feature: Feature, values: pa.Array, inputs: Sequence[Answer]) -> Answer:
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


def _frame(columns: Mapping[str, pa.Array | pa.ChunkedArray]) -> pl.DataFrame:
    return pl.DataFrame(pl.from_arrow(pa.table(dict(columns))))
