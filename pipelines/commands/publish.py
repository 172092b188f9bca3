"""`twinbeam publish`: events of a source sent to its topic, from a file or standard input, at once or at a rate."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from pipelines.commands.arguments import Parser, UsageError, positive, project_folder
from pipelines.commands.tables import counted, json_text, table
from pipelines.platform import Platform
from schemas.errors import EventError, RequestError, did_you_mean
from schemas.source import Source
from transforms.encodings.files import read_events

EXAMPLE = """\
twinbeam publish purchases data/live.jsonl
twinbeam publish purchases data/live.jsonl --rate 50
tail -f purchases.log | twinbeam publish purchases"""
MOST_ROWS = 10_000
TICK_SECONDS = 0.1
READ_BYTES = 1 << 20


def run(name: str, words: Sequence[str]) -> int:
    """Publishes events."""
    parser = Parser("publish", "Send events of a source to its topic.", EXAMPLE)
    parser.add_argument("source", metavar="SOURCE", help="name of the source")
    parser.add_argument(
        "file",
        nargs="?",
        default="-",
        metavar="FILE",
        help="Parquet, Avro, CSV or JSON lines; - is JSON lines from stdin",
    )
    parser.add_argument("--rate", type=positive, metavar="N", help="events per second (default: as fast as it goes)")
    parser.add_argument("--raw", action="store_true", help="send the lines as they are, whether they fit or not")
    parser.json_option()
    parser.project_options()
    given = parser.parse(words)
    with Platform.open(project_folder(given.project), given.env) as platform:
        source = _source(platform, given.source)
        if given.file == "-":
            parts = _lines(sys.stdin.buffer, given.raw)
        elif not Path(given.file).is_file():
            raise RequestError(f"{given.file}: there is no such file")
        elif given.raw:
            parts = iter([Path(given.file).read_bytes().splitlines()])
        else:
            parts = iter([read_events(source, given.file)])
        sent, lanes = _publish(lambda events: platform.publish(given.source, events), parts, given.rate)
    if given.json:
        print(json_text({"events": sent, "lanes": lanes}, 2))
        return 0
    print(f"{counted(sent, 'event')} published to topic {platform.settings.topic(source)}")
    if lanes:
        print(table(("lane", "last offset"), sorted(lanes.items())))
    return 0


def _source(platform: Platform, name: str) -> Source:
    sources = platform.catalog.registry.sources
    if name not in sources:
        legal, hint = ", ".join(sources) or "none", did_you_mean(name, sources)
        raise RequestError(f"there is no source {name!r}: legal is {legal}.{hint}")
    if platform.settings.topic(sources[name]) is None:
        raise RequestError(
            f"source {name!r} has no topic: give it topic= in the definitions, or [sources.{name}] topic"
        )
    return sources[name]


def _publish(
    send: Callable[[Any], Mapping[str, int]], parts: Iterator[Any], rate: float | None
) -> tuple[int, dict[str, int]]:
    """Sends parts of events (lists or Arrow tables) in pieces, no faster than the rate.

    Raises:
        EventError: an event does not fit; the pieces before its own were sent.
    """
    most = MOST_ROWS if rate is None else max(1, int(rate * TICK_SECONDS))
    begun, sent, lanes = time.monotonic(), 0, dict[str, int]()
    try:
        for part in parts:
            for at in range(0, len(part), most):
                piece = part[at : at + most]
                lanes |= send(piece)
                sent += len(piece)
                if rate is not None:
                    time.sleep(max(0.0, begun + sent / rate - time.monotonic()))
    except EventError as error:
        raise EventError(f"{error}; {counted(sent, 'event')} before it sent") from None
    return sent, lanes


def _lines(stream: BinaryIO, raw: bool) -> Iterator[list[Any]]:
    """Lines of a stream as they come: bytes as they are, or the events in them.

    Raises:
        UsageError: the stream is a terminal.
        EventError: a line is no JSON object.
    """
    if stream.isatty():
        raise UsageError("twinbeam publish: name a FILE, or send JSON lines to standard input")
    rest, seen = b"", 0
    while block := stream.read1(READ_BYTES):  # type: ignore[attr-defined]
        *lines, rest = (rest + block).split(b"\n")
        if lines:
            yield [line for line in lines if line.strip()] if raw else _events(lines, seen)
        seen += len(lines)
    if rest.strip():
        yield [rest] if raw else _events([rest], seen)


def _events(lines: Sequence[bytes], before: int) -> list[dict[str, Any]]:
    events = []
    for position, line in enumerate(lines, before + 1):
        if not line.strip():
            continue
        try:
            event = json.loads(line)
        except ValueError as error:
            raise EventError(f"line {position}: is no JSON: {error}") from None
        if not isinstance(event, dict):
            raise EventError(f"line {position}: is no JSON object but {type(event).__name__}")
        events.append(event)
    return events
