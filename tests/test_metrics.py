"""Metrics of a run: what Prometheus reads of its process, and what `twinbeam status` makes of it."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from pipelines.ages import SECONDS, Ages, quantile
from pipelines.commands.main import main
from pipelines.metrics import served_metrics
from pipelines.monitor import Monitor
from pipelines.platform import Platform
from pipelines.readings import Delay, Reading
from tests import kill_workers
from tests.kill_workers import Workers, eventually

DEFINITIONS = """
from twinbeam import Entity, FeatureView, Source, agg

user = Entity("user", keys={"user_id": "int64"})
buys = Source("buys", fields={"user_id": "int64", "ts": "timestamp(us)", "price": "string"}, event_time="ts",
    topic="buys", encoding="json")
totals = FeatureView("totals", entity=user, source=buys, features=[agg.count(over="1d")])
prices = FeatureView("prices", entity=user, source=buys, select={"amount": "CAST(price AS BIGINT)"},
    features=[agg.sum("amount", over="1d")])
"""


class Still:
    """A process that does nothing."""

    def __init__(self) -> None:
        self.monitor = Monitor(["v"])

    def lags(self) -> dict[str, int] | None:
        return {"buys/topic-3f2a9c1e/4": 17}

    def lookups(self) -> tuple[int, int]:
        return 10, 4


@given(st.lists(st.integers(-5, 10**12), min_size=1), st.sampled_from([0.5, 0.9, 0.99, 1.0]))
def test_a_quantile_is_the_edge_of_the_bucket_of_its_rank(ages: list[int], share: float) -> None:
    counted = Ages()
    counted.add(np.asarray(ages[:3], np.int64))
    counted.add(np.asarray(ages[3:], np.int64))
    ranked = sorted(max(age, 0) for age in ages)
    exact = ranked[int(np.ceil(share * len(ranked))) - 1] / 1e6
    buckets = [(float(edge), count) for edge, count in counted.buckets()]
    assert quantile(buckets, share) == next((edge for edge in SECONDS if exact <= edge), float("inf"))
    assert counted.total == sum(ranked)
    assert buckets[-1] == (float("inf"), len(ages))


def test_nothing_counted_has_no_quantile() -> None:
    assert Delay.of([(float(edge), count) for edge, count in Ages().buckets()]) == Delay(None, None)
    assert Reading.of("") == Reading()


def test_metrics_are_served_while_the_block_lasts_and_at_a_free_port_if_theirs_is_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with served_metrics(Still(), ("127.0.0.1", port)) as url:
            assert url is not None
            assert f":{port}/" not in url
            reading = Reading.take(url)
            assert reading is not None
            assert (reading.lag, reading.cache_hits) == ({"buys/4": 17}, 0.6)
            assert reading.views["v"].rows == 0
    assert Reading.take(url) is None
    with served_metrics(Still(), None) as nowhere:
        assert nowhere is None


def test_a_stream_tells_prometheus_and_status_what_it_does(
    project: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = project("shop", DEFINITIONS)

    def status() -> list[dict[str, Any]]:
        assert main(["status", "--json", "--project", str(folder)]) == 0
        found: list[dict[str, Any]] = json.loads(capsys.readouterr().out)
        return found

    with Platform.open(folder) as platform, Workers() as workers:
        platform.apply()
        event = {"user_id": 1, "ts": "2025-03-01T00:00:00Z", "price": "3"}
        platform.publish("buys", [event] * 5 + [event | {"price": "dear"}])
        platform.publish("buys", [b"no JSON"])
        stream = workers.start(kill_workers.stream, folder)
        eventually(lambda: [run["events"] for run in status()] == [6])
        (run,) = status()
        assert run["reading"]["lag"] == {"buys/0": 0}
        assert run["reading"]["undecoded"] == 1
        views = run["reading"]["views"]
        assert {name: (view["rows"], view["dead_letters"]) for name, view in views.items()} == {
            "totals": (6, 0),
            "prices": (5, 1),
        }
        assert views["totals"]["since_arrival"]["most"] <= 3600
        assert views["totals"]["since_event"]["half"] == "+Inf"
        assert run["reading"]["stores"]["online write"]["half"] > 0
        families = {family.name: family for family in text_string_to_metric_families(httpx.get(run["metrics"]).text)}
        assert [(s.labels, s.value) for s in families["twinbeam_events"].samples] == [({"source": "buys"}, 6.0)]
        assert families["twinbeam_freshness_arrival_seconds"].type == "histogram"
        assert main(["status", "--project", str(folder)]) == 0
        shown = capsys.readouterr().out
        assert "SINCE ARRIVAL" in shown
        assert "buys/0" in shown
        workers.end(stream)
        with pytest.raises(httpx.ConnectError):
            httpx.get(run["metrics"])
