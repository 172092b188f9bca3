"""Readings: the metrics of a process that runs a job, read over HTTP and put in a user's terms."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

import httpx
from prometheus_client.parser import text_string_to_metric_families

from pipelines.ages import quantile

_SECONDS = 2.0
_LABELS = ("source", "partition", "view", "result", "call")
Buckets = Mapping[str, list[tuple[float, float]]]


@dataclass(frozen=True)
class Delay:
    """How long most of something took: upper edges (seconds) of the buckets that hold the ranks, None if nothing did.

    Attributes:
        half: not longer for a half.
        most: not longer for 99 of 100.
    """

    half: float | None
    most: float | None

    @staticmethod
    def of(buckets: list[tuple[float, float]]) -> Delay:
        """Delay of a histogram."""
        return Delay(quantile(buckets, 0.5), quantile(buckets, 0.99))


@dataclass(frozen=True)
class ViewReading:
    """What a process did for one view.

    Attributes:
        rows: made of events.
        dead_letters: events that failed in its rules.
        since_event: from the event time of a row to its being in the online store.
        since_arrival: the same from its arrival.
    """

    rows: int
    dead_letters: int
    since_event: Delay
    since_arrival: Delay


@dataclass(frozen=True)
class Reading:
    """Metrics of one process.

    Attributes:
        views: by name.
        lag: records not read yet, by source and partition as `source/partition`.
        undecoded: dead letters of the decoding.
        cache_hits: share of cells that did not have to be read from the store; None if none was asked for.
        stores: how long calls took, by store and call as `online write`.
    """

    views: Mapping[str, ViewReading] = field(default_factory=dict)
    lag: Mapping[str, int] = field(default_factory=dict)
    undecoded: int = 0
    cache_hits: float | None = None
    stores: Mapping[str, Delay] = field(default_factory=dict)

    @staticmethod
    def take(url: str) -> Reading | None:
        """Metrics behind a URL; None if they cannot be had, as for a process of another machine."""
        try:
            answer = httpx.get(url, timeout=_SECONDS, trust_env=False)
            answer.raise_for_status()
        except httpx.HTTPError:
            return None
        return Reading.of(answer.text)

    @staticmethod
    def of(text: str) -> Reading:
        """Reading of metrics as Prometheus reads them."""
        values: dict[str, dict[str, float]] = defaultdict(dict)
        ages: dict[str, dict[str, list[tuple[float, float]]]] = defaultdict(lambda: defaultdict(list))
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                name, labels = sample.name.removeprefix("twinbeam_"), dict(sample.labels)
                edge = labels.pop("le", None)
                place = "/".join(labels[name] for name in _LABELS if name in labels)
                if edge is not None:
                    ages[name.removesuffix("_seconds_bucket")][place].append((float(edge), sample.value))
                else:
                    values[name][place] = sample.value
        lookups, dead = values["cell_lookups_total"], values["dead_letters_total"]
        asked = sum(lookups.values())
        return Reading(
            {name: _view(name, rows, dead, ages) for name, rows in values["rows_total"].items()},
            {place: int(lag) for place, lag in values["lag_records"].items()},
            int(dead.get("", 0)),
            lookups["hit"] / asked if asked else None,
            {
                f"{store} {call}": Delay.of(buckets)
                for store in ("online", "offline")
                for call, buckets in ages[f"{store}_store"].items()
            },
        )


def _view(name: str, rows: float, dead: Mapping[str, float], ages: Mapping[str, Buckets]) -> ViewReading:
    return ViewReading(
        int(rows),
        int(dead.get(name, 0)),
        Delay.of(ages["freshness_event_time"].get(name, [])),
        Delay.of(ages["freshness_arrival"].get(name, [])),
    )
