"""Evaluation without a project: features of events in hand, as of the rows of a spine in hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from schemas.encoding import Encoding
from schemas.errors import EventError, RequestError, did_you_mean
from schemas.lane import Lane
from schemas.registry import Registry
from schemas.source import Source
from transforms.answers import Answer
from transforms.artefact import Artefact
from transforms.asof import History
from transforms.assembly import assemble
from transforms.catalog import Catalog
from transforms.columns import whole
from transforms.encodings.files import read_events
from transforms.features import TIME, Features
from transforms.fits import encoding_of, fit_on, fit_selection
from transforms.requests import read_request, role_keys, spine_instants
from transforms.selection import Selection
from transforms.view import CompiledView


def evaluate(
    features: Any,
    events: Mapping[str, Any],
    spine: Any,
    known: str = "event",
    strict: bool = False,
    artefacts: Sequence[Artefact] = (),
) -> Features:
    """Features of the given events as of the rows of a spine, by the definitions alone.

    Pure: reads no project, store or clock; the way to unit-test a definition. An event is taken to have arrived at
    its event time unless its source has an `arrival_time` column.

    Args:
        features: a feature service, feature view, alias, on-demand function, encoding, or a list of them (and of
            addresses of features of definitions that they reach).
        events: source name -> its events: dicts, a frame, Arrow, or a path.
        spine: keys and one timestamp column, as for `Platform.training_set`.
        known: "event" (all events) or "arrival" (events that had arrived at the instant).
        strict: leave out events at the very instant.
        artefacts: of `fit`, of the encodings among the features.

    Returns:
        Features, one row a spine row.

    Raises:
        DefinitionError: a definition has mistakes.
        EventError: an event does not fit its source, or a row rule fails on it.
        RequestError: the spine lacks a column, or the events of a source are missing.
    """
    objects = features if isinstance(features, list | tuple) else [features]
    catalog = Catalog.compile(Registry.of([item for item in objects if not isinstance(item, str)])).fitted(artefacts)
    return evaluate_selection(catalog, catalog.select(features), events, spine, known, strict)


def fit(
    encoding: Encoding,
    events: Mapping[str, Any],
    spine: Any,
    known: str = "event",
    strict: bool = False,
    views: Sequence[Any] = (),
) -> Artefact:
    """Artefact of an encoding fitted on its inputs as of the rows of a spine, by the definitions alone.

    Pure, as `evaluate` is: the way to unit-test an encoding.

    Args:
        encoding: to be fitted.
        events: source name -> its events.
        spine: keys, one timestamp column, request columns and targets of the encoding.
        known: as for `evaluate`.
        strict: as for `evaluate`.
        views: views, aliases and on-demand functions whose features the encoding reads.

    Raises:
        DefinitionError: a definition has mistakes.
        EventError: an event does not fit its source, or a row rule fails on it.
        RequestError: the spine lacks a column, or holds nothing to learn from.
    """
    catalog = Catalog.compile(Registry.of([encoding, *views]))
    compiled = encoding_of(catalog, encoding.name)
    selection = fit_selection(catalog, compiled)
    return fit_on(compiled, selection, evaluate_selection(catalog, selection, events, spine, known, strict))


def evaluate_selection(
    catalog: Catalog, selection: Selection, events: Mapping[str, Any], spine: Any, known: str, strict: bool
) -> Features:
    """The same for a selection of compiled definitions."""
    if known not in ("event", "arrival"):
        raise RequestError(f"known={known!r}: give 'event' or 'arrival'")
    selection.check()
    names = catalog.registry.sources
    for name in events:
        if name not in names:
            legal = ", ".join(names)
            raise RequestError(f"events: {name!r} is no source; sources are {legal}.{did_you_mean(name, names)}")
    request, _, instants = spine_instants(read_request(spine, selection, "spine"), selection, None)
    rows: dict[str, pa.Table] = {}
    stored: dict[tuple[str, str], Answer] = {}
    coincident = np.zeros(request.rows, np.bool_)
    for role, outputs in selection.stored().items():
        view = outputs[0].view
        assert view is not None
        if view.name not in rows:
            rows[view.name] = view_rows(view, events)
        history = History(view, rows[view.name], role_keys(outputs[0], request), instants, strict, known)
        stored.update({(role, output.feature.name): history.answer(output.feature) for output in outputs})
        coincident |= history.coincident()
    report = {"rows": request.rows, "coincident": int(coincident.sum()), "left_out": int(strict)}
    answers = assemble(selection, stored, request, instants)
    return Features(
        request.given, answers, instants, selection.fingerprint, report=report, artefacts=selection.artefacts()
    )


def view_rows(view: CompiledView, events: Mapping[str, Any]) -> pa.Table:
    """Rows that a view makes of events in hand.

    Raises:
        EventError: an event does not fit its source, or a row rule fails on it.
        RequestError: the events of a source are missing.
    """
    batches = []
    for source in view.sources:
        if source.name not in events:
            raise RequestError(f"events: none given for source {source.name!r}, which {view.name} reads")
        for batch in logged(source, read_events(source, events[source.name])).to_batches():
            result = view.rules[source.name].apply(batch)
            for index, reason in result.dead:
                raise EventError(f"{source.name}: event {index}: {view.name}: {reason}")
            batches.append(result.rows)
    return pa.Table.from_batches(batches, view.row_schema)


def logged(source: Source, events: pa.Table) -> pa.Table:
    """Events as if a lane had carried them: in the order given, each arriving at its event time."""
    count = events.num_rows
    arrival = whole(events.column(source.event_time)).cast(TIME).fill_null(0)
    lane = Lane(source.name, "files", "0", 0).text
    columns = {
        "_lane": pa.array([lane] * count, pa.string()),
        "_offset": pa.array(np.arange(count)),
        "_part": pa.array(np.zeros(count, np.int32)),
        "_arrival": arrival,
    }
    for name, column in columns.items():
        events = events.append_column(name, column)
    return events.combine_chunks()
