"""Events in hand, in whatever form, made to fit their source; and written as its topic holds them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl
import pyarrow as pa

from schemas.errors import EventError
from schemas.source import Source
from transforms.encodings.avro_encode import encode_avro
from transforms.encodings.decoded import Decoded, gather
from transforms.encodings.frames import arrow_columns, column_events, pandas_events
from transforms.encodings.json import encode_json
from transforms.encodings.objects import object_column
from transforms.encodings.symbols import Symbols

FORMS = "a list of dicts, an Arrow table, or a polars or pandas frame"


def check_events(source: Source, events: Any) -> pa.RecordBatch:
    """Events of a source as one batch of its fields, in the order given.

    Fields that are missing are null, what is no field is ignored; naive times are UTC.

    Args:
        source: of the events.
        events: dicts, an Arrow table or batch, a polars or pandas frame, or what a decoder of the source gave.

    Raises:
        EventError: an event does not fit; names the source, the row, the field and what is legal. Or it is none of
            the legal forms.
    """
    found = Symbols(source).check(_events(source, events))
    if found.bad:
        index, reason = found.bad[0]
        more = f" (and {len(found.bad) - 1} more that do not fit)" if len(found.bad) > 1 else ""
        raise EventError(f"{source.name}: row {index}: {reason}{more}")
    return found.events


def encode_values(source: Source, events: pa.RecordBatch, schema_id: int = 0) -> list[bytes]:
    """Events as values of the source's topic, by its `encoding`; for "confluent" with an id of its schema.

    Raises:
        EventError: the source's own Avro schema does not take an event.
    """
    return encode_json(events) if source.encoding == "json" else encode_avro(source, events, schema_id)


def _events(source: Source, events: Any) -> Decoded:
    if isinstance(events, Decoded):
        return events
    if isinstance(events, pl.LazyFrame):
        events = events.collect()
    if isinstance(events, pl.DataFrame):
        events = events.to_arrow()
    if isinstance(events, pa.Table | pa.RecordBatch):
        return column_events(source, arrow_columns(events), events.num_rows, source.name)
    if type(events).__module__.partition(".")[0] == "pandas" and hasattr(events, "columns"):
        return pandas_events(source, events, source.name)
    if isinstance(events, list | tuple):
        return _dicts(source, events)
    raise EventError(f"{source.name}: events are of type {type(events).__name__}; legal is {FORMS}")


def _dicts(source: Source, events: list[Any] | tuple[Any, ...]) -> Decoded:
    for index, event in enumerate(events):
        if not isinstance(event, Mapping):
            raise EventError(f"{source.name}: row {index} is of type {type(event).__name__}; legal is a dict")
    fields = source.resolved_fields
    columns = [object_column(field, [event.get(field.name) for event in events]) for field in fields]
    return gather(source.schema, columns, {}, source.event_time)
