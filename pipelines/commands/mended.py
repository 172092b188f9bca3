"""Mended dead letters: events in a file, each with the lane and offset of the letter that it stands for."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from pipelines.platform import Platform
from pipelines.publish import key_fields, record_keys
from schemas.errors import EventError
from schemas.lane import Lane
from schemas.source import Source
from transforms.encodings.conform import encode_values
from transforms.encodings.files import read_events

PLACE = {"_lane": "string", "_offset": "int64"}


@dataclass(frozen=True)
class Letters:
    """Dead letters as they are to be sent to a topic.

    Attributes:
        ids: of each, so that it is sent once.
        keys: of their records, or None.
        values: of their records.
    """

    ids: list[str]
    keys: list[bytes | None]
    values: list[bytes | None]


def letter_id(lane: str, offset: int) -> str:
    """What a dead letter is known by, however often and in whatever form it is sent again."""
    return f"{lane}#{offset}"


def read_mended(platform: Platform, name: str, path: str, letters: pl.DataFrame) -> Letters:
    """Mended events of a file, encoded and keyed as `publish` does.

    Args:
        platform: of the project.
        name: of the source.
        path: of a file of the source's fields and the columns `_lane` and `_offset`, in any form of file.
        letters: the source's dead letters, with the columns `lane`, `offset` and `view`.

    Raises:
        EventError: an event does not fit, or stands for no dead letter of a topic; nothing is to be sent.
    """
    source = platform.registry.sources[name]
    events = read_events(source, path).combine_chunks()
    places = read_events(Source("dead letters", fields=PLACE), path)
    lanes, offsets = (places.column(column).to_pylist() for column in PLACE)
    known = {(lane, offset): view for lane, offset, view in letters.select("lane", "offset", "view").iter_rows()}
    ids = [_sendable(path, row, place, known) for row, place in enumerate(zip(lanes, offsets, strict=True))]
    keys: list[bytes | None] = []
    values: list[bytes | None] = []
    for batch in events.to_batches():
        values += encode_values(source, batch, platform.schema_id(name))
        keys += record_keys(batch, key_fields(source, platform.registry.views.values()))
    return Letters(ids, keys, values)


def _sendable(
    path: str, row: int, place: tuple[str | None, int | None], known: dict[tuple[str, int], str | None]
) -> str:
    lane, offset = place
    if lane is None or offset is None:
        raise EventError(f"{path}: row {row}: _lane and _offset of the dead letter that it stands for are missing")
    if (lane, offset) not in known:
        raise EventError(f"{path}: row {row}: there is no dead letter at offset {offset} of lane {lane!r}")
    view = known[lane, offset]
    if view is not None:
        raise EventError(
            f"{path}: row {row}: failed in view {view!r}: mend the view; the event is in the store already"
        )
    if Lane.parse(lane).kind != "topic":
        raise EventError(f"{path}: row {row}: is a row of a file: put it right in a new file of the source")
    return letter_id(lane, offset)
