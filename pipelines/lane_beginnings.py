"""Beginnings of lanes: where a topic is read from of which the stores hold nothing, written down before it is read."""

from __future__ import annotations

from collections.abc import Collection

import pyarrow as pa

from pipelines.lanes.base import event_schema
from pipelines.project import Project
from schemas.errors import StoreError
from schemas.lane import Lane
from schemas.source import Source
from serving.stores.delta import Conflict
from serving.tables import events_table

_ATTEMPTS = 20


def begin_lanes(project: Project, source: Source, topic: str, lanes: Collection[Lane]) -> None:
    """Stores a position for every lane of a topic that has none, where the broker's logs need not begin at 0.

    What lies below a beginning counts as read: `events` holds nothing of it, and all that the lane feeds goes over it
    as over any other offsets without events. It is decided once, whoever reads later or at the same time. A partition
    that a known topic has got since begins with its first record, whatever the settings say.

    Raises:
        StoreError: the offline store cannot be written, or the broker does not answer.
    """
    table = events_table(source.name)
    for _ in range(_ATTEMPTS):
        known = project.offline.positions(table)
        new = [lane for lane in lanes if (lane.text, "") not in known]
        starts = project.broker.starts(topic, whole=len(new) < len(lanes)) if new else {}
        if not starts:
            return
        nothing = pa.RecordBatch.from_pylist([], schema=event_schema(source.schema.remove_metadata()))
        try:
            project.offline.append(table, [nothing], {(lane.text, ""): starts.get(lane.number, 0) for lane in new})
        except Conflict:
            continue
        return
    raise StoreError(f"{table}: other writers did not leave it alone in {_ATTEMPTS} attempts")
