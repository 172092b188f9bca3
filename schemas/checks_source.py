"""Structural mistakes of sources."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import PurePosixPath

import pyarrow as pa

from schemas.errors import Mistake, did_you_mean
from schemas.findings import Findings
from schemas.source import ENCODINGS, SUFFIXES, Source

TOPIC = re.compile(r"[A-Za-z0-9._-]{1,249}")


def source_mistakes(source: Source) -> list[Mistake]:
    """What is wrong with a source."""
    findings = Findings(source.place, str(source.name))
    findings.names("source", [source.name])
    findings.people(source)
    findings.one_of("encoding", source.encoding, ENCODINGS)
    kinds = _fields(source, findings)
    if kinds:
        _times(source, kinds, findings)
    _logs(source, findings)
    findings.sql("deleted", source.deleted)
    return findings.mistakes


def _fields(source: Source, findings: Findings) -> dict[str, pa.DataType | None]:
    """Types of the fields, by `fields` or `avro`, as far as they are known; None of a field of no legal type."""
    if source.fields is not None and source.avro is not None:
        findings.add("both fields= and avro= say what an event holds: legal is one of them")
        return {}
    if source.fields is None and source.avro is None:
        findings.add('says not what an event holds: legal is fields={"ts": "timestamp(ms)", ...} or avro="file.avsc"')
        return {}
    if source.avro is None:
        found = findings.types("field", source.fields, '{"ts": "timestamp(ms)"}')
        if source.fields == {}:
            findings.add('fields must name at least one, as in {"ts": "timestamp(ms)"}')
        return dict.fromkeys(map(str, source.fields)) | found if isinstance(source.fields, Mapping) else {}
    if source.problem:
        findings.add(f"avro: {source.problem}" if isinstance(source.avro, str) else "avro must be the path of a schema")
    findings.names("field", [field.name for field in source.resolved_fields])
    return {field.name: field.type for field in source.resolved_fields}


def _times(source: Source, kinds: Mapping[str, pa.DataType | None], findings: Findings) -> None:
    """Fields that say when: event time, arrival time, sequence."""
    times = [name for name, kind in kinds.items() if kind is not None and pa.types.is_timestamp(kind)]
    legal = f"the timestamp fields are {', '.join(times) or 'none: declare one as timestamp(s|ms|us)'}"
    if source.event_time is None:
        findings.add(f"event_time= is missing: it names the field that says when an event happened; {legal}")
    for what in ("event_time", "arrival_time"):
        name = getattr(source, what)
        if name is None or not findings.one_of(f"field in {what}", name, kinds):
            continue
        if kinds[name] is not None and not pa.types.is_timestamp(kinds[name]):
            findings.add(f"{what} {name!r} is no timestamp but {kinds[name]}: {legal}")
    if source.sequence is None or not findings.one_of("field in sequence", source.sequence, kinds):
        return
    kind = kinds[source.sequence]
    if kind is not None and not (pa.types.is_integer(kind) or pa.types.is_timestamp(kind) or pa.types.is_date(kind)):
        findings.add(f"sequence {source.sequence!r} is of type {kind}: legal are integers, timestamps and dates")


def _logs(source: Source, findings: Findings) -> None:
    """Files and topic, and the instant that divides them."""
    if source.files is None and source.topic is None:
        findings.add('has neither files nor a topic: legal is files="data/*.parquet", topic="events", or both')
    if source.files is not None:
        _files(source, findings)
    topic = source.topic
    if topic is not None and not (isinstance(topic, str) and TOPIC.fullmatch(topic)):
        findings.add(f"topic {topic!r} is no name of a topic: legal are 1 to 249 letters, digits, ., _ and -")
    both = source.files is not None and topic is not None
    if both and source.cutover is None:
        findings.add(
            "has files and a topic but no cutover: files hold the events before it and the topic those from it on, "
            'as in cutover="2026-12-01T00:00:00Z"'
        )
    if source.cutover is not None and not both:
        findings.add("cutover divides files from a topic and is legal with both alone: leave it out, or add the other")
    try:
        _ = source.cutover_time
    except ValueError as error:
        findings.add(str(error))


def _files(source: Source, findings: Findings) -> None:
    files = source.files
    patterns = [files] if isinstance(files, str) else findings.sequence("files", files, '["data/*.parquet"]')
    for pattern in patterns:
        suffix = PurePosixPath(pattern).suffix if isinstance(pattern, str) else None
        if suffix not in SUFFIXES:
            hint = did_you_mean(suffix or "", SUFFIXES)
            findings.add(f"files {pattern!r} is of no known suffix.{hint} Legal are {', '.join(SUFFIXES)}")
