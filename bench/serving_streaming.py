"""Reads while rows are written: the feature server beside a running stream, and `feast serve` that is pushed to.

Our source has files and, from a cutover on, a topic; `twinbeam run stream` runs beside the server. A publisher, a
process of its own, posts 500 rows a second, 50 a call, each with the time of now, to `/v1/push`, and the stream folds
them into the cells that are read. Feast has no stream of its own: the same rows are materialized, and such a publisher
posts as many rows a second to its `/push` (`to: online`), where they replace what is read of the ten latest features.
Its twelve windows stay as they were materialized, since nothing in Feast computes them anew; that flatters it.

Keys asked for and keys written are drawn alike from all entities. CPU and memory are those of the server's processes,
without stream, publisher and Cassandra. What the pushes themselves cost the server is measured first, with nothing
read, and taken off the CPU of requests for the rows pushed meanwhile; where that leaves nothing it is told as 0. "Taken
in" are rows a second while reads were measured: of ours those that the stream put into the online store, of Feast those
that it said to have put there. They may be more than were sent meanwhile, where some were late.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import httpx
from prometheus_client.parser import text_string_to_metric_families

import twinbeam
from bench.feast import VERSION
from bench.publisher import FEAST, OURS, publishing
from bench.servers import (
    KINDS,
    TITLES,
    Load,
    Served,
    answering,
    feast,
    forgiven,
    made,
    measured,
    questions,
    rival,
    rows_file,
    warmed,
)
from bench.serving import Case, size, table
from bench.serving_push import streaming
from bench.table import Measured
from pipelines.dev.cassandra import Cassandra

RATE = 500.0
QUESTIONS = 2_000
ENOUGH = 250
ON_SQLITE = [(kind, keys, connections) for kind in KINDS for keys in (1, 10, 100) for connections in (1, 16)]
ON_CASSANDRA = [(kind, keys, 16) for kind in KINDS for keys in (1, 100)]
BEGUN_SECONDS = 120.0
NAME = f"feast serve {VERSION}, pushed to"
Count = Callable[[], int]


@dataclass(frozen=True)
class Written:
    """A server that was read while rows were written.

    Attributes:
        push: CPU seconds of the server for one row pushed, with nothing read.
        loads: reads; CPU without that of the pushes.
        taken: rows a second that were taken in meanwhile.
    """

    push: float
    loads: dict[Case, Load]
    taken: dict[Case, float]


def measure(scale: float = 1.0) -> list[Measured]:
    """Requests a second, latencies, CPU and memory of both servers, and the rows that were taken in."""
    rows, entities = max(int(60_000 * scale), 2_000), max(int(4_000 * scale), 200)
    seconds, python = max(3.0 * scale, 1.0), rival()
    found: list[Measured] = []
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        file = rows_file(folder / "rows.parquet", rows, entities)
        cutover = datetime.now(UTC).isoformat()

        def both(store: str, cases: Sequence[Case], node: Cassandra | None) -> Iterator[Measured]:
            place, theirs = folder / store.lower(), None
            with streamed(place, file, cutover, node) as (server, taken):
                mine = written(server, OURS, cases, entities, seconds, taken)
            if python is not None:
                with forgiven(), feast(place, file, python, node) as server:
                    theirs = written(server, FEAST, cases, entities, seconds)
            return _table(store, mine, theirs)

        found += both("SQLite", ON_SQLITE, None)
        node = Cassandra(folder / "node", heap="1g")
        try:
            node.start()
            found += both("Cassandra", ON_CASSANDRA, node)
        finally:
            node.kill()
    return found


@contextmanager
def streamed(folder: Path, file: Path, cutover: str, node: Cassandra | None = None) -> Iterator[tuple[Served, Count]]:
    """Our server and a stream over a project that holds the file; counts the rows that the stream has stored."""
    place = made(folder / "ours", f"files={str(file)!r}, topic='profiles', cutover={cutover!r}", node)
    with twinbeam.Platform.open(place) as platform:
        platform.apply()
        platform.run_batch()
        with answering(place) as server, streaming(place):
            metrics = _metrics(platform)

            yield server, lambda: stored(metrics, "windows")


def stored(metrics: str, view: str) -> int:
    """Rows of a view that a stream, with its metrics at a URL, has put into the online store."""
    text = httpx.get(metrics, timeout=60, trust_env=False).raise_for_status().text
    samples = (sample for family in text_string_to_metric_families(text) for sample in family.samples)
    name = "twinbeam_freshness_arrival_seconds_count"
    return int(sum(each.value for each in samples if each.name == name and each.labels["view"] == view))


def written(
    server: Served, path: str, cases: Sequence[Case], entities: int, seconds: float, taken: Count | None = None
) -> Written:
    """Reads a server while rows are pushed to it.

    Args:
        server: that is read.
        path: of its pushes.
        cases: kinds, keys and connections of the reads; one that fails is told and left out if the server is Feast's.
        entities: how many there are.
        seconds: of each case.
        taken: counts rows that were taken in; by default those whose push was answered.
    """
    with publishing(server.port, path, RATE, entities, server.folder.with_name("pushed")) as publisher:
        _wait(lambda: (taken or publisher.rows)() >= ENOUGH, f"{ENOUGH} rows were not taken in")
        before, until = (server.cpu(), publisher.rows()), time.monotonic() + seconds
        _wait(
            lambda: time.monotonic() > until and publisher.rows() >= before[1] + ENOUGH,
            f"{ENOUGH} rows more were not taken in",
        )
        push = (server.cpu() - before[0]) / (publisher.rows() - before[1])
        found = Written(push, {}, {})
        for case in cases:
            kind, keys, connections = case
            with _told(server, case):
                bodies = questions(server, kind, keys, entities, QUESTIONS)
                asked = warmed(server, bodies, connections, seconds)
                pushed, wrote, begun = publisher.rows(), (taken or publisher.rows)(), time.monotonic()
                load = measured(server, asked, seconds)
                took = time.monotonic() - begun
                pushed, wrote = publisher.rows() - pushed, (taken or publisher.rows)() - wrote
                found.loads[case] = replace(load, cpu=max(load.cpu - pushed * push / (load.requests + load.late), 0.0))
                found.taken[case] = wrote / took
    return found


@contextmanager
def _told(server: Served, case: Case) -> Iterator[None]:
    if server.ours:
        yield
        return
    with forgiven(f"Feast, {TITLES[case[0]]}, {size(case)},"):
        yield


def _metrics(platform: twinbeam.Platform) -> str:
    """URL of what the stream of a project tells of itself."""
    urls: list[str] = []

    def found() -> bool:
        urls.extend(each.metrics for each in platform.status() if each.kind == "stream" and each.metrics)
        return bool(urls)

    _wait(found, "no stream was begun")
    return urls[-1]


def _wait(what: Callable[[], bool], missing: str) -> None:
    until = time.monotonic() + BEGUN_SECONDS
    while not what():
        if time.monotonic() > until:
            raise RuntimeError(f"{missing} in {BEGUN_SECONDS:.0f} s")
        time.sleep(0.1)


def _table(store: str, mine: Written, theirs: Written | None) -> Iterator[Measured]:
    what = f"server while a stream writes, {store}"
    loads: Mapping[Case, Load] = {} if theirs is None else theirs.loads
    yield from table(what, mine.loads, loads, NAME)
    for case, rate in mine.taken.items():
        other = None if theirs is None else theirs.taken.get(case)
        title = f"{what}: rows taken in, of {RATE:.0f} rows/s sent"
        yield Measured(title, f"{TITLES[case[0]]}, {size(case)}", rate, "rows/s", "higher", NAME, other)
    other = None if theirs is None else theirs.push * 1e6
    yield Measured(
        f"{what}: CPU of a push", "50 rows a call, nothing read", mine.push * 1e6, "CPU us a row", "lower", NAME, other
    )
