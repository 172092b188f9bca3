"""Sources: where events come from, and what they hold."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa

from schemas.avro import avro_fields, avro_schema, read_avro
from schemas.place import caller_folder, caller_place
from schemas.types import Field

ENCODINGS = ("avro", "json", "confluent")
SUFFIXES = (".parquet", ".avro", ".csv", ".jsonl")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Source:
    """Log of events: files, a topic, or both (history and live).

    Attributes:
        name: of the source.
        fields: name -> type text of each field; or give `avro`.
        avro: path of an Avro schema, relative to the folder of the definitions file, or the schema's JSON text.
        event_time: field that says when the event happened.
        files: pattern, or list of patterns, of Parquet, Avro, CSV or JSON lines files, by suffix.
        topic: topic of a broker.
        cutover: instant, ISO 8601 with a zone: files hold the events before it, the topic those from it on.
        encoding: of the topic's values, one of `ENCODINGS`.
        arrival_time: field that says when the row became known; without it, the log's append time.
        sequence: field that orders events of equal event time.
        deleted: row-local SQL; an event for which it holds is a tombstone.
        description: for people.
        place: `file:line` of the definition.
        folder: folder of the file that holds the definition.
    """

    name: str
    _: KW_ONLY
    fields: Mapping[str, str] | None = None
    avro: str | None = None
    event_time: str | None = None
    files: str | Sequence[str] | None = None
    topic: str | None = None
    cutover: str | None = None
    encoding: str = "avro"
    arrival_time: str | None = None
    sequence: str | None = None
    deleted: str | None = None
    description: str = ""
    place: str = field(default_factory=caller_place, compare=False, repr=False)
    folder: str = field(default_factory=caller_folder, compare=False, repr=False)
    _read: tuple[tuple[Field, ...], Any, str | None] = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        # Read now, so that a pickled source needs no file; a failure is a mistake that is found with all others.
        object.__setattr__(self, "_read", self._resolve())

    @property
    def resolved_fields(self) -> tuple[Field, ...]:
        """Fields in the order of the schema; empty if they have a `problem`."""
        return self._read[0]

    @property
    def avro_schema(self) -> Any:
        """JSON value of the Avro schema: the given one, or the one made from `fields`."""
        return self._read[1]

    @property
    def problem(self) -> str | None:
        """Why the fields could not be resolved, or None."""
        return self._read[2]

    @property
    def schema(self) -> pa.Schema:
        """Arrow schema of its events; the event time is not nullable."""
        return pa.schema([pa.field(f.name, f.type, f.name != self.event_time) for f in self.resolved_fields])

    @property
    def patterns(self) -> tuple[str, ...]:
        """Patterns of its files."""
        return (self.files,) if isinstance(self.files, str) else tuple(self.files or ())

    @property
    def cutover_time(self) -> int | None:
        """The cutover in µs since the epoch, or None.

        Raises:
            ValueError: it is no instant, or has no zone.
        """
        if self.cutover is None:
            return None
        try:
            moment = datetime.fromisoformat(self.cutover)
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"cutover {self.cutover!r} is no instant: expected one like 2026-12-01T00:00:00Z"
            ) from error
        if moment.tzinfo is None:
            raise ValueError(f"cutover {self.cutover!r} has no zone: add one, as in 2026-12-01T00:00:00Z")
        return (moment - _EPOCH) // timedelta(microseconds=1)

    def _resolve(self) -> tuple[tuple[Field, ...], Any, str | None]:
        try:
            if self.avro is not None:
                inline = self.avro.lstrip().startswith("{")
                schema = json.loads(self.avro) if inline else read_avro(Path(self.folder, self.avro))
                return avro_fields(schema), schema, None
            fields = tuple(_field(name, text) for name, text in (self.fields or {}).items())
            return fields, avro_schema(str(self.name), fields, self.event_time), None
        except (ValueError, TypeError, AttributeError) as error:
            return (), None, str(error)


def _field(name: str, text: str) -> Field:
    try:
        return Field.parse(name, text)
    except ValueError as error:
        raise ValueError(f"field {name!r}: {error}") from error
