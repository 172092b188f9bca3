"""Exposition: the counters of all processes of a server as one page for Prometheus.

Each process writes its counters to a file of its own about once a second, and before it answers for the page; files of
processes that have ended stay, so that counts never fall while the server runs.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from serving.server.counters import Counters, Family, Histogram
from serving.server.messages import encode_json

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_ENDED = ".ended"
_ALIVE = ".alive"


class Exposition:
    """Files of counters in a folder that all processes of a server share.

    Args:
        folder: that exists.
        counters: of this process.
    """

    def __init__(self, folder: Path, counters: Counters) -> None:
        self._folder, self._counters = folder, counters
        self._name = f"{os.getpid()}-{os.urandom(4).hex()}"

    def write(self, ended: bool = False) -> None:
        """Writes the counters of this process; of one that ends for the last time."""
        state = self._counters.state()
        if ended:
            state["gauges"], state["oldest"] = {}, {}
        path = self._folder / (self._name + (_ENDED if ended else _ALIVE))
        draft = path.with_suffix(".draft")
        draft.write_bytes(encode_json(state))
        draft.replace(path)
        if ended:
            path.with_suffix(_ALIVE).unlink(missing_ok=True)

    def page(self) -> bytes:
        """The counters of all processes, as Prometheus reads them."""
        self.write()
        states: list[Any] = []
        for path in sorted(self._folder.iterdir()):
            if path.suffix in (_ENDED, _ALIVE):
                try:
                    states.append(msgspec.json.decode(path.read_bytes()))
                except FileNotFoundError:  # Its process has ended meanwhile.
                    states.append(msgspec.json.decode(path.with_suffix(_ENDED).read_bytes()))
        return "".join(_text(family) for family in families(Counters.sum(states))).encode()


def families(counters: Counters) -> Iterator[Family]:
    """Metrics of counters."""
    requests: dict[tuple[tuple[str, str], ...], float | Histogram] = {}
    for name, histogram in counters.requests.items():
        route, method, status = name.rsplit(" ", 2)
        requests[("route", route), ("method", method), ("status", status)] = histogram
    yield Family("twinbeam_http_request_seconds", "histogram", "Seconds that requests took", requests)
    yield Family(
        "twinbeam_http_refused_total",
        "counter",
        "Requests refused since too many waited",
        {(("queue", name),): value for name, value in counters.refused.items()},
    )
    yield Family(
        "twinbeam_feature_values_total",
        "counter",
        "Feature values answered",
        {(("status", name),): value for name, value in counters.statuses.items()},
    )
    yield Family("twinbeam_read_rows", "histogram", "Rows of keys of a read", {(): counters.rows})
    yield Family(
        "twinbeam_store_seconds",
        "histogram",
        "Seconds that calls of the online store took",
        {(("call", name),): histogram for name, histogram in counters.store.items()},
    )
    yield Family(
        "twinbeam_served_age_seconds",
        "histogram",
        "Seconds from the newest event of an answer to the answer, of some answers",
        {(("view", name),): histogram for name, histogram in counters.ages.items()},
    )
    yield Family(
        "twinbeam_pushed_events_total",
        "counter",
        "Events pushed",
        {(("source", name),): value for name, value in counters.pushed.items()},
    )
    yield Family(
        "twinbeam_cache_total",
        "counter",
        "Answers looked for in the cache",
        {(("result", name),): value for name, value in counters.cached.items()},
    )
    yield Family(
        "twinbeam_serving_log_dropped_total",
        "counter",
        "Answers that the serving log could not take",
        {(): counters.dropped},
    )
    for name, value in (*counters.gauges.items(), *counters.oldest.items()):
        yield Family(f"twinbeam_{name}", "gauge", name.replace("_", " ").capitalize(), {(): value})


def _text(family: Family) -> str:
    lines = [f"# HELP {family.name} {family.caption}", f"# TYPE {family.name} {family.kind}"]
    for labels, value in family.samples.items():
        if isinstance(value, Histogram):
            count = 0
            for edge, many in zip((*map(repr, value.edges), "+Inf"), value.counts, strict=True):
                count += many
                lines.append(f"{family.name}_bucket{_labels((*labels, ('le', edge)))} {count}")
            lines.append(f"{family.name}_sum{_labels(labels)} {value.total!r}")
            lines.append(f"{family.name}_count{_labels(labels)} {count}")
        else:
            lines.append(f"{family.name}{_labels(labels)} {value}")
    return "\n".join(lines) + "\n"


def _labels(labels: tuple[tuple[str, str], ...]) -> str:
    if not labels:
        return ""
    quoted = ((name, value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")) for name, value in labels)
    return "{" + ",".join(f'{name}="{value}"' for name, value in quoted) + "}"
