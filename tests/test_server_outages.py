"""A real server whose online store goes away: it says so, refuses reads at once, and goes on when it is back."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from pipelines.dev.cassandra import Cassandra
from tests.served import over_cassandra, project, read, serving

pytestmark = pytest.mark.xdist_group("killed")
LATER = "2026-11-30T13:00:00Z"
# Of a request: no answer until then is a hang, whatever the machine does meanwhile.
HANGS = 60.0


def ready(client: httpx.Client, status: int) -> Any:
    """What /readyz says, once it has the status."""
    until = time.monotonic() + 2 * HANGS
    while (answer := client.get("/readyz")).status_code != status:
        assert time.monotonic() < until, answer.text
        time.sleep(0.2)
    return answer.json()


def test_a_store_that_is_away_is_told_and_taken_up_when_it_is_back(
    own_cassandra: Callable[..., Cassandra], tmp_path: Path
) -> None:
    node = own_cassandra()
    folder = project(tmp_path / "shop", over_cassandra(node, "away", "2s"))
    with serving(folder) as server, httpx.Client(base_url=server.url, timeout=HANGS) as client:
        before = read(client, "both", {"user_id": [1, 2, 3]}, now=LATER)
        assert before["statuses"]["spending:count_24h"] == ["PRESENT"] * 3
        assert ready(client, 200) == {"status": "ready"}

        def away() -> None:
            told = ready(client, 503)
            assert told["status"] == "not ready"
            assert set(told["reasons"]) == {"online store"}
            assert f"Cassandra at {node.hosts}" in told["reasons"]["online store"]
            for keys in ([1], [4, 5, 6]):
                refused = client.post("/v1/features", json={"features": "both", "keys": {"user_id": keys}})
                assert refused.status_code == 503, refused.text
                assert refused.headers["content-type"] == "application/problem+json"
                assert int(refused.headers["retry-after"]) >= 1
                problem = refused.json()
                assert problem["type"] == "urn:twinbeam:problem:unavailable"
                assert "a store does not answer now" in problem["detail"]
            assert client.get("/healthz").status_code == 200
            event = {"user_id": 70, "ts": "2026-11-30T12:30:00Z", "price": 2.5, "kind": "card"}
            assert client.post("/v1/push/purchases", json={"events": [event]}).status_code == 202

        pid = node.pid
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)  # It takes connections, and says nothing.
        try:
            with ThreadPoolExecutor(1) as threads:
                asked = {"features": "both", "keys": {"user_id": [1]}}
                waiting = threads.submit(httpx.post, f"{server.url}/v1/features", json=asked, timeout=HANGS)
                for _ in range(5):
                    assert client.get("/healthz").status_code == 200
                assert not waiting.done()  # A read that waits does not hold up the others.
                assert waiting.result().status_code == 503
            away()
        finally:
            os.kill(pid, signal.SIGCONT)
        assert ready(client, 200) == {"status": "ready"}
        node.kill()
        away()
        node.start()
        assert ready(client, 200) == {"status": "ready"}
        assert read(client, "both", {"user_id": [1, 2, 3]}, now=LATER) == before
        assert "Traceback" not in server.err()
