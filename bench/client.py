"""CPU time of the thin client beside httpx alone: the same reads from the same server, in turns, over one connection.

httpx alone sends the same body and gives the answer's bytes as they are; the client parses them into Python's types.
Run it by `python -m bench.client`; it prints a line a case.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

from bench.servers import ours, rows_file
from twinbeam.client import Client

ROUNDS = 15
CALLS = 60


def main() -> None:
    """Measures and prints."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        with ours(folder, rows_file(folder / "rows.parquet", 20_000, 2_000)) as served:
            url = f"http://127.0.0.1:{served.port}"
            with Client(url) as client, httpx.Client(base_url=url) as plain:
                for keys in (1, 100):
                    _measure(client, plain, list(range(keys)))


def _measure(client: Client, plain: httpx.Client, users: list[int]) -> None:
    keys: dict[str, Any] = {"user_id": users}
    asked = {"features": "profile", "keys": keys, "include": ["statuses", "event_times", "types"]}
    body = json.dumps(asked, separators=(",", ":")).encode()

    def alone() -> None:
        plain.post("/v1/features", content=body, headers={"content-type": "application/json"}).raise_for_status()

    def with_client() -> None:
        client.get("profile", keys)

    for call in (alone, with_client):
        call()
    ours_us, theirs_us = [], []
    for _ in range(ROUNDS):
        theirs_us.append(_seconds(alone) * 1e6)
        ours_us.append(_seconds(with_client) * 1e6)
    mine, rival = statistics.median(ours_us), statistics.median(theirs_us)
    ratio = statistics.median(one / other for one, other in zip(ours_us, theirs_us, strict=True))
    print(
        f"{len(users)} keys, 10 features: client {mine:.0f} CPU µs a read, httpx alone {rival:.0f}, ratio {ratio:.2f}"
    )


def _seconds(call: Callable[[], None]) -> float:
    """CPU seconds of one call in this process, mean of some."""
    begun = time.process_time()
    for _ in range(CALLS):
        call()
    return (time.process_time() - begun) / CALLS


if __name__ == "__main__":
    main()
