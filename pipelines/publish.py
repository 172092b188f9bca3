"""Publishing: events of a source made to fit, encoded, keyed, and appended to its topic."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import pyarrow as pa

from pipelines.brokers.base import Broker
from schemas.feature_view import FeatureView
from schemas.lane import Lane
from schemas.source import Source
from transforms.encodings.conform import check_events, encode_values
from transforms.keys import encode_keys


def key_fields(source: Source, views: Iterable[FeatureView]) -> tuple[str, ...]:
    """Fields whose values key the source's records: the entity keys of the first view that has them as fields.

    Records of one entity are so in one partition, in the order published. Keys that a view computes (by `select`,
    `transform` or the entity's `key_from`) are none of the source's fields; if all views do so, records have no keys
    and are spread by their content.
    """
    fields = {field.name: field for field in source.resolved_fields}
    for view in views:
        if any(known.name == source.name for known in view.sources):
            computed = {*view.select, *view.returns, *view.entity.key_from}
            keys = tuple(view.entity.keys)
            if all(key in fields and key not in computed for key in keys):
                return keys
    return ()


def publish(
    broker: Broker, topic: str, source: Source, events: Any, keys: Sequence[str], now: int, schema_id: int = 0
) -> dict[str, int]:
    """Appends events to a topic and returns when they are on disk.

    Args:
        broker: the broker.
        topic: name of an existing topic.
        source: of the events.
        events: dicts, an Arrow table, a polars or pandas frame; or `bytes` values, which are sent as they are, without
            a key, whether they fit or not.
        keys: fields that key the records, as of `key_fields`.
        now: time of arrival, µs.
        schema_id: of the source's schema, if a registry has it.

    Returns:
        The last offset written, by lane text.

    Raises:
        EventError: an event does not fit; nothing of the call was sent.
        LaneError: there is no such topic.
        StoreError: the broker's file cannot be written.
    """
    name = broker.id(topic)
    if isinstance(events, list | tuple) and events and all(isinstance(event, bytes) for event in events):
        values = list(events)
        found: list[bytes | None] = [None] * len(values)
    else:
        batch = check_events(source, events)
        values, found = encode_values(source, batch, schema_id), record_keys(batch, keys)
    last = broker.publish(topic, found, values, now=now)
    return {Lane(source.name, "topic", name, partition).text: offset for partition, offset in sorted(last.items())}


def record_keys(events: pa.RecordBatch, keys: Sequence[str]) -> list[bytes | None]:
    """Keys of events as records of a topic; None where a field of the key is null.

    Args:
        events: of one source.
        keys: fields that key them, as of `key_fields`; if there are none, records have no keys.
    """
    if not keys:
        return [None] * events.num_rows
    found: list[bytes | None] = encode_keys([events.column(key) for key in keys]).to_pylist()
    return found
