"""The soak: minutes of a steady stream; memory, time per bundle, files and freshness are flat.

Three minutes by default; `TWINBEAM_SOAK_SIZE=10` makes half an hour of it. What is flat is seen by comparing the last
third of the time with the second, by medians: the first third is for warming up. The machine may be busy with other
things, so only growth beyond what that explains is a fault; no time is compared with a number of seconds alone.
"""

from __future__ import annotations

import json
import logging
import os
import random
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipelines.platform import Platform

LOG = logging.getLogger("twinbeam.soak")
SIZE = int(os.environ.get("TWINBEAM_SOAK_SIZE", "1"))
SEED = int(os.environ.get("TWINBEAM_SOAK_SEED", "0"))
SECONDS = 180.0 * SIZE
ROOT = Path(__file__).parents[1]
USERS, PER_TICK, TICK = 200, 60, 0.2
MEGABYTE = 1 << 20
GROWN_MEGABYTES = 24
JITTER_SECONDS = 0.1

DEFINITIONS = """
from twinbeam import Entity, FeatureView, Source, agg

user = Entity("user", keys={"user_id": "int64"})
clicks = Source(
    "clicks",
    fields={"user_id": "int64", "ts": "timestamp(us)", "price": "float64", "page": "string"},
    event_time="ts", topic="clicks", encoding="avro",
)
counts = FeatureView(
    "counts", entity=user, source=clicks,
    features=["page", agg.count(), agg.sum("price", over=["1m", "1h", "24h"]), agg.last_k("page", k=5)],
)
pages = FeatureView(
    "pages", entity=user, source=clicks, where="price > 10",
    features=[agg.unique_count("page", over="1h"), agg.max("price", over="1h")],
)
"""
# Commits, upkeep and deletion as often as in hours of a stream of the usual settings.
SETTINGS = """
[run]
flush = "1s"
upkeep = "10s"
keep = "15s"
[sources.clicks]
partitions = 4
"""


@pytest.mark.long
def test_a_stream_of_minutes_stays_flat(
    project: Callable[..., Path], start: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    folder = project("soak", DEFINITIONS, SETTINGS)
    platform = Platform.open(folder)
    platform.apply()
    stream = start([sys.executable, "-m", "tests.soaked_stream", str(folder), str(tmp_path / "figures")], cwd=ROOT)
    files = feed(platform, stream, folder / "store")
    ended = time.monotonic() + 1.0  # what a figure of a second later says is about all that was published
    published = sum(end for end in platform.broker.ends("clicks").values())
    wait_until(lambda: any(f["lag"] == 0 and f["at"] > ended for f in figures(tmp_path)[-5:]), stream)
    stream.send_signal(signal.SIGTERM)
    assert stream.wait() == 0

    found = figures(tmp_path)
    middle, last = thirds(found)
    rss = [statistics.median(figure["rss"] for figure in part) / MEGABYTE for part in (middle, last)]
    bundle = [cpu_per_bundle(part) for part in (middle, last)]
    fresh = [statistics.median(f["fresh"] for f in part if f["fresh"] is not None) for part in (middle, last)]
    many = [max(count for _, count in part) for part in thirds(files)]
    lag = [statistics.median(figure["lag"] for figure in part) for part in (middle, last)]
    told = (
        f"middle and last third: RSS {rss} MB, CPU per bundle {bundle} s, fresh {fresh} s, files {many}, lag {lag}; "
        f"{found[-1]['bundles']} bundles"
    )
    LOG.info(told)
    assert rss[1] - rss[0] < GROWN_MEGABYTES, told
    assert bundle[1] < 2 * bundle[0], told
    assert fresh[1] < 3 * fresh[0] + JITTER_SECONDS, told
    assert many[1] < 1.5 * many[0], told
    assert lag[1] < 10 * PER_TICK, told

    assert platform.offline.count("events/clicks") == published
    served = platform.get("counts", {"user_id": list(range(USERS))}).to_dict()
    assert sum(served["counts:count"]) == published
    platform.close()


def feed(platform: Platform, stream: subprocess.Popen[str], store: Path) -> list[tuple[float, int]]:
    """Publishes at a steady rate; the number of files in the store once a second."""
    rng, begun, number, files = random.Random(SEED), time.monotonic(), 0, list[tuple[float, int]]()
    while (elapsed := time.monotonic() - begun) < SECONDS:
        assert stream.poll() is None, "the stream has ended"
        platform.publish("clicks", [event(rng, number + at) for at in range(PER_TICK)])
        number += PER_TICK
        if len(files) < elapsed:
            files.append((elapsed, sum(len(names) for _, _, names in os.walk(store))))
        time.sleep(max(0.0, begun + number / PER_TICK * TICK - time.monotonic()))
    return files


def event(rng: random.Random, number: int) -> dict[str, Any]:
    """An event of now, one in a hundred of them late."""
    late = rng.choice([0, 30_000_000, 7_200_000_000]) if number % 100 == 0 else 0
    micros = time.time_ns() // 1000 - late
    return {"user_id": rng.randrange(USERS), "ts": micros, "price": rng.random() * 20, "page": f"p{rng.randrange(50)}"}


def figures(folder: Path) -> list[dict[str, Any]]:
    """What the stream wrote down so far."""
    lines = (folder / "figures").read_text().splitlines()
    return [json.loads(line) for line in lines if line.endswith("}")]


def thirds(found: list[Any]) -> tuple[list[Any], list[Any]]:
    """The second and the last third."""
    third = len(found) // 3
    return found[third : 2 * third], found[2 * third :]


def cpu_per_bundle(part: list[dict[str, Any]]) -> float:
    return float((part[-1]["cpu"] - part[0]["cpu"]) / (part[-1]["bundles"] - part[0]["bundles"]))


def wait_until(over: Callable[[], bool], stream: subprocess.Popen[str]) -> None:
    while not over():
        assert stream.poll() is None, "the stream has ended"
        time.sleep(0.2)
