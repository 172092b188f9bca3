"""Training sets: features as of the instants of a spine, folded from the offline store's rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from schemas.errors import RequestError, did_you_mean
from serving.stores.offline import OfflineStore
from serving.tables import rows_table
from transforms.answers import Answer
from transforms.assembly import assemble
from transforms.features import Features
from transforms.requests import Request, key_columns, read_request, spine_instants
from transforms.row_pool import PartAnswers, RowPool
from transforms.selection import Output, Selection
from transforms.view import CompiledView

Ints = npt.NDArray[np.int64]

KNOWN = ("event", "arrival")
ROWS_AT_ONCE = 20_000_000


def training_set(
    offline: OfflineStore,
    selection: Selection,
    spine: Any,
    time: str | None = None,
    label: str | Sequence[str] | None = None,
    known: str = "event",
    strict: bool | None = None,
    names: str = "full",
) -> Features:
    """Features of a selection as of every row of a spine: no row dropped, merged or moved.

    Args:
        offline: the offline store.
        selection: the features asked for.
        spine: keys, an instant and whatever else a row holds: a frame, dicts, Arrow, or the path of a Parquet file.
        time: the spine's time column; by default its only timestamp column. Naive times are UTC.
        label: column (or columns) of the spine that must be there; kept like all its columns.
        known: "event": all rows; "arrival": rows that had arrived at the instant.
        strict: leave out events at the very instant; by default as the feature service says.
        names: "full" (`view__feature` columns) or "short" (`feature`).

    Returns:
        Features with `report`: `rows`, `coincident` (spine rows that coincide to the µs with an event of a view they
        read) and `left_out` (1 if strict left those events out, else 0).

    Raises:
        RequestError: a column is missing or has a wrong type, an option has no legal value, or an encoding is not
            fitted.
        DefinitionChanged: an encoding is fitted by another definition.
    """
    strict = check_options(selection, known, strict, names)
    selection.check()
    request = read_request(spine, selection, "spine")
    request, _, instants = spine_instants(request, selection, time)
    for name in [label] if isinstance(label, str) else label or []:
        if name not in request.given.column_names:
            hint = did_you_mean(name, request.given.column_names)
            columns = ", ".join(request.given.column_names)
            raise RequestError(f"spine: label column {name!r} is missing; columns are {columns}.{hint}")
    stored: dict[tuple[str, str], Answer] = {}
    coincident = np.zeros(request.rows, np.bool_)
    for outputs in selection.stored().values():
        found, same = _role(offline, outputs, request, instants, strict, known)
        stored.update(found)
        coincident |= same
    answers = assemble(selection, stored, request, instants)
    report = {"rows": request.rows, "coincident": int(coincident.sum()), "left_out": int(strict)}
    return Features(request.given, answers, instants, selection.fingerprint, names, report, selection.artefacts())


def check_options(selection: Selection, known: str, strict: bool | None, names: str) -> bool:
    """Checks the options of an as-of join and says whether it is strict.

    Raises:
        RequestError: an option has no legal value.
    """
    if known not in KNOWN:
        raise RequestError(
            f"known={known!r}: give one of {', '.join(map(repr, KNOWN))}.{did_you_mean(str(known), KNOWN)}"
        )
    if names not in ("full", "short"):
        raise RequestError(f"names={names!r}: give 'full' or 'short'")
    return selection.strict if strict is None else strict


def read_rows(
    offline: OfflineStore, view: CompiledView, columns: Sequence[str], condition: pl.Expr | None = None
) -> pa.Table:
    """Logged rows of a view (none if nothing has run yet)."""
    table = rows_table(view.name, view.rows_fingerprint)
    if not offline.exists(table):
        return pa.table({name: pa.array([], view.row_schema.field(name).type) for name in columns})
    return offline.read(table, columns, condition)


def _role(
    offline: OfflineStore, outputs: Sequence[Output], request: Request, instants: Ints, strict: bool, known: str
) -> tuple[Mapping[tuple[str, str], Answer], npt.NDArray[np.bool_]]:
    """Answers of one role, part by part of the entities, so that memory stays bounded."""
    view = outputs[0].view
    assert view is not None
    keys = list(key_columns(outputs[0], request).values())
    table = rows_table(view.name, view.rows_fingerprint)
    total = offline.count(table) if offline.exists(table) else 0
    features = list({output.feature.name: output.feature for output in outputs}.values())
    pool = RowPool(view, features, keys, instants, strict, known, total, ROWS_AT_ONCE)
    parts: list[PartAnswers] = []
    for number in range(pool.passes):
        rows = offline.batches(table, pool.columns, pool.texts, "_event_time", *pool.span) if total else ()
        parts += pool.gather(number, rows)
    answers, coincident = pool.join(parts)
    return {(output.role, output.feature.name): answers[output.feature.name] for output in outputs}, coincident
