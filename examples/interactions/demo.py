"""The example of interactions: events through a topic into both stores, served within a second, checked by counting.

`python -m examples.interactions.demo --project shop` runs it on the embedded broker and SQLite, and with `--stack
FOLDER` on the Kafka and the Cassandra that `twinbeam dev up --folder FOLDER` started. It leaves a project behind, and
prints how long events took from the topic to an answer, and how many of the served values differ from plain counting.
"""

from __future__ import annotations

import argparse
import json
import logging
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import twinbeam
from examples.interactions.shop import CATEGORIES, END, USERS, Event, expected, interaction, made_up
from pipelines.dev.stack import Stack
from pipelines.settings import ServingSettings

HERE = Path(__file__).resolve().parent
COUNT = "user_actions:events"
SERVICE = "ranking"
EVENTS, PROBES, SEED = 20_000, 200, 2026
PIECES = 20
PAUSE_SECONDS = 0.02
PATIENCE_SECONDS = 120.0
FIRST_PROBE = 1_000_000


def main() -> int:
    """Runs the example; 0 if no value differs."""
    parser = argparse.ArgumentParser(description="Interactions of users with items, from the topic to what is served.")
    parser.add_argument("--project", required=True, metavar="FOLDER", help="of the project that it leaves")
    parser.add_argument("--stack", metavar="FOLDER", help="of a running `twinbeam dev up` (default: no server)")
    parser.add_argument("--events", type=int, default=EVENTS, metavar="N", help="how many beside the probes")
    parser.add_argument("--probes", type=int, default=PROBES, metavar="N", help="events whose way is timed")
    parser.add_argument("--topic", default="interactions", help="name of the topic on the broker")
    given = parser.parse_args()
    logging.basicConfig(level=logging.ERROR)
    settings = Stack(Path(given.stack)).settings() if given.stack else ""
    result = run(Path(given.project), settings, given.events, given.probes, given.topic)
    print(text(result))
    return 0 if result["differing"] == result["audit"]["differing"] == 0 else 1


def run(folder: Path, settings: str, events: int, probes: int, topic: str) -> dict[str, Any]:
    """Makes the project, publishes while another process runs the stream, and compares; what it measured.

    Args:
        folder: of the project.
        settings: further lines of its twinbeam.toml.
        events: how many beside the probes.
        probes: events whose way from the topic to an answer is timed.
        topic: its name on the broker.
    """
    write_project(folder, settings, topic)
    sent = made_up(events, SEED)
    with twinbeam.Platform.open(folder) as platform:
        platform.apply()
        quiet = twinbeam.Platform(replace(platform.settings, serving=ServingSettings(0.0)), platform.registry)
        with quiet, running_stream(folder) as stream:
            burst = publish(platform, quiet, sent, stream)
            freshness = [probe(platform, quiet, FIRST_PROBE + number, stream) for number in range(probes)]
        values, differing = compare(platform, sent)
        audit = platform.audit()
        rows = platform.offline.count("events/interactions")
    result = {
        "stores": [platform.settings.stream.broker, platform.settings.online.store],
        "events": events + probes,
        "offline_rows": rows,
        "throughput": events / burst,
        "freshness": quantiles(freshness),
        "values": values,
        "differing": differing,
        "audit": {"answers": audit.answers, "values": audit.values, "differing": len(audit.mismatches)},
    }
    (folder / "report.json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    return result


def write_project(folder: Path, settings: str, topic: str) -> None:
    """Settings and definitions, in an empty folder.

    Raises:
        SystemExit: something is in it already.
    """
    if folder.exists() and any(folder.iterdir()):
        raise SystemExit(f"demo: {folder} holds something already; name another folder with --project")
    folder.mkdir(parents=True, exist_ok=True)
    lines = (HERE / "twinbeam.toml").read_text(encoding="utf-8")
    lines = lines.replace("[sources.interactions]\n", f'[sources.interactions]\ntopic = "{topic}"\n')
    (folder / "twinbeam.toml").write_text(f"{lines}\n{settings}", encoding="utf-8")
    shutil.copy(HERE / "features.py", folder / "features.py")


@contextmanager
def running_stream(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """The stream of the project, in a process of its own; ended by SIGTERM, which flushes both stores."""
    command = [sys.executable, "-m", "pipelines.commands.main", "run", "stream", "--project", str(folder)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, text=True)
    try:
        yield process
        process.send_signal(signal.SIGTERM)
        if process.wait(PATIENCE_SECONDS):
            raise SystemExit(f"demo: the stream ended with code {process.returncode}")
    finally:
        process.kill()
        process.wait()


def publish(
    platform: twinbeam.Platform, quiet: twinbeam.Platform, events: Sequence[Event], stream: subprocess.Popen[str]
) -> float:
    """Publishes all events in pieces; the seconds from the second piece on until the last event is counted online."""
    size = -(-len(events) // PIECES)
    platform.publish("interactions", events[:size])
    wait_until(quiet, range(USERS), len(events[:size]), stream)
    begun = time.monotonic()
    for start in range(size, len(events), size):
        platform.publish("interactions", events[start : start + size])
    wait_until(quiet, range(USERS), len(events), stream)
    return time.monotonic() - begun


def probe(platform: twinbeam.Platform, quiet: twinbeam.Platform, user: int, stream: subprocess.Popen[str]) -> float:
    """Seconds from the publishing of a new user's first event until an answer counts it."""
    time.sleep(PAUSE_SECONDS)
    begun = time.monotonic()
    platform.publish("interactions", [interaction(user, datetime.now(UTC))])
    wait_until(quiet, [user], 1, stream)
    return time.monotonic() - begun


def wait_until(platform: twinbeam.Platform, users: Sequence[int], events: int, stream: subprocess.Popen[str]) -> None:
    """Waits until so many events of users are counted online.

    Raises:
        SystemExit: the stream has ended, or they never come.
    """
    end = time.monotonic() + PATIENCE_SECONDS
    reader = platform.reader([COUNT])
    while sum(reader.get({"user_id": list(users)}, now="latest").to_dict()[COUNT]) < events:
        if stream.poll() is not None or time.monotonic() > end:
            raise SystemExit(f"demo: {events} events were to be seen online and were not")
        time.sleep(0.005)


def compare(platform: twinbeam.Platform, events: Sequence[Event]) -> tuple[int, int]:
    """Values served for every user and category, and how many of them differ from plain counting."""
    pairs = [(user, category) for user in range(USERS) for category in CATEGORIES]
    keys = [{"user_id": user, "category": category} for user, category in pairs]
    served = platform.get(SERVICE, keys, now=END).to_dict()
    values = differing = 0
    for row, (user, category) in enumerate(pairs):
        for address, value in expected(events, user, category).items():
            values += 1
            differing += plain(served[address][row]) != value
    return values, differing


def plain(value: Any) -> Any:
    """A map as a dict, whatever its order."""
    return dict(value) if isinstance(value, list) else value


def quantiles(values: Sequence[float]) -> dict[str, float]:
    """Median, 99th percentile and greatest of the probes, seconds, and how many there were."""
    ordered = sorted(values)
    last = len(ordered) - 1
    return {"p50": ordered[last // 2], "p99": ordered[last * 99 // 100], "max": ordered[last], "probes": len(ordered)}


def text(result: Mapping[str, Any]) -> str:
    """The report as people read it."""
    fresh, audit = result["freshness"], result["audit"]
    lines = [
        f"broker, online store  {' and '.join(result['stores'])}",
        f"events                {result['events']:,}, offline {result['offline_rows']:,}",
        f"throughput            {result['throughput']:,.0f} events/s",
        f"freshness             topic to answer: median {fresh['p50'] * 1000:,.0f} ms, "
        f"p99 {fresh['p99'] * 1000:,.0f} ms, greatest {fresh['max'] * 1000:,.0f} ms of {fresh['probes']} probes",
        f"values                {result['differing']} of {result['values']:,} served differ from plain counting",
        f"audit                 {audit['differing']} of {audit['values']:,} values differ",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
