"""Metrics: what a process that runs a job counts and measures, served to Prometheus and to `twinbeam status`."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Protocol

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric

from pipelines.ages import Ages
from pipelines.monitor import Monitor
from schemas.errors import TwinbeamError
from schemas.lane import Lane

LOG = logging.getLogger("twinbeam.metrics")


class Measured(Protocol):
    """What metrics are read off; `pipelines.work.Work` is one."""

    monitor: Monitor

    def lags(self) -> Mapping[str, int] | None:
        """Records not read yet of each live lane, by its text; None if none is read live."""

    def lookups(self) -> tuple[int, int]:
        """How many cells were asked of the cache, and how many of them were read from the store."""


class Metrics:
    """Collector of one process for the Prometheus client.

    Args:
        measured: the process's work.
    """

    def __init__(self, measured: Measured) -> None:
        self._measured = measured

    def collect(self) -> Iterator[Metric]:
        """Every metric as it is now."""
        monitor = self._measured.monitor
        report = monitor.report(0.0)
        yield _counter("events", "Events taken in", "source", monitor.by_source)
        in_views = {name: view.dead_letters for name, view in report.views.items()}
        undecoded = report.dead_letters - sum(in_views.values())
        yield _counter("rows", "Rows made of events", "view", {n: view.rows for n, view in report.views.items()})
        yield _counter("dead_letters", "Dead letters; no view: not decoded", "view", {"": undecoded, **in_views})
        yield CounterMetricFamily("twinbeam_late_events", "Events older than one before in their lane", report.late)
        asked, read = self._measured.lookups()
        lookups = {"hit": asked - read, "miss": read}
        yield _counter("cell_lookups", "Cells asked of the cache; a miss is read from the store", "result", lookups)
        yield self._lag()
        fresh = "Seconds from {} of a row to its being in the online store"
        yield _histogram("freshness_event_time", fresh.format("the event time"), "view", monitor.since_event)
        yield _histogram("freshness_arrival", fresh.format("the arrival"), "view", monitor.since_arrival)
        calls = {"write": monitor.writes, "read": monitor.reads}
        yield _histogram("online_store", "Seconds that calls of the online store took", "call", calls)
        flushes = {"flush": monitor.commits}
        yield _histogram("offline_store", "Seconds that flushes to the offline store took", "call", flushes)

    def _lag(self) -> Metric:
        family = GaugeMetricFamily(
            "twinbeam_lag_records", "Records of a partition that are not read yet", labels=["source", "partition"]
        )
        try:
            lags = self._measured.lags()
        except TwinbeamError as error:  # What ails the broker, the run says.
            LOG.debug("no lag: %s", error)
            return family
        for text, lag in (lags or {}).items():
            lane = Lane.parse(text)
            family.add_metric([lane.source, str(lane.number)], lag)
        return family


@contextmanager
def served_metrics(measured: Measured, address: tuple[str, int] | None) -> Iterator[str | None]:
    """Serves a process's metrics over HTTP while the block lasts; gives their URL.

    A port in use never fails the run: the metrics are then served at a free one.

    Args:
        measured: the process's work.
        address: host and port; port 0 for a free one; None for no metrics at all (the URL is None then).
    """
    if address is None:
        yield None
        return
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Metrics(measured))
    host, port = address
    try:
        server, thread = start_http_server(port, host, registry)
    except OSError as error:
        LOG.warning("metrics: %s:%s cannot be used (%s); a free port is taken instead", host, port, error.strerror)
        server, thread = start_http_server(0, host, registry)
    try:
        yield f"http://{host}:{server.server_port}/metrics"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _counter(name: str, caption: str, label: str, values: Mapping[str, float]) -> Metric:
    family = CounterMetricFamily(f"twinbeam_{name}", caption, labels=[label])
    for of_label, value in values.items():
        family.add_metric([of_label], value)
    return family


def _histogram(name: str, caption: str, label: str, values: Mapping[str, Ages]) -> Metric:
    family = HistogramMetricFamily(f"twinbeam_{name}_seconds", caption, labels=[label])
    for of_label, ages in values.items():
        family.add_metric([of_label], buckets=ages.buckets(), sum_value=ages.total / 1e6)
    return family
