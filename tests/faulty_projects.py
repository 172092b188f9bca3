"""A small project with files and a topic, half taken in, whose stores the tests of storage faults damage.

Run as a script inside a mount namespace it plays one scene of those tests, see `test_storage_faults`.
"""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import pickle
import random
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import polars as pl

from pipelines.commands.main import main
from pipelines.platform import Platform
from serving.stores.offline import OfflineStore

SECOND = 10**6
START = 1_740_000_000 * SECOND
USERS = 12
NOBODY = 65534
COMPARED = ("events", "rows", "dead_letters")
NOW = START + 86_400 * SECOND
WAITING = 5
DISK, FREE, FREE_OFFLINE = 6_000, (0, 40), (0, 12)
READ_ONLY = (("store",), ("store/offline",), ("store/online.db", "store/topics.db"))
WRITING = (
    ("publish", "purchases", "{project}/more.jsonl"),
    ("get", "all_features", "user_id=1"),
    ("run", "batch"),
    ("run", "stream", "--until", "caught_up"),
    ("compact", "--json"),
)
SETTINGS = """
project = "faulty"
[online.sqlite]
path = "store/online.db"
timeout = "200ms"
[stream.sqlite]
path = "store/topics.db"
timeout = "200ms"
[sources.purchases]
partitions = 2
"""
DEFINITIONS = """
from twinbeam import Entity, FeatureService, FeatureView, Source, agg, latest

user = Entity("user", keys={"user_id": "int64"})
purchases = Source(
    "purchases",
    fields={"user_id": "int64", "ts": "timestamp(us)", "price": "float64", "note": "string"},
    event_time="ts",
    files="data/*.csv",
    topic="purchases",
    cutover="2025-02-19T22:00:00Z",
    encoding="json",
)
spending = FeatureView(
    "spending",
    entity=user,
    source=purchases,
    features=[agg.sum("price", over=["1h", "7d"]), agg.count(over="7d"), agg.last_k("note", k=3), latest("note")],
)
all_features = FeatureService("all_features", features=[spending])
"""
CUTOVER = 1_740_002_400 * SECOND


def events(seed: int, count: int, live: bool) -> list[dict[str, Any]]:
    """Events before the cutover, or from it on."""
    draw = random.Random(seed)
    first = CUTOVER if live else START
    return [
        {
            "user_id": draw.randrange(USERS),
            "ts": first + draw.randrange(2_000 * SECOND),
            "price": draw.choice([0.1, 0.2, 1e300, -1e300, 5.5, draw.random()]),
            "note": draw.randbytes(draw.choice([2, 40, 200])).hex(),
        }
        for _ in range(count)
    ]


def iso(time: int) -> str:
    """ISO 8601 text of an instant in µs."""
    return f"{pl.select(pl.lit(time).cast(pl.Datetime('us'))).item().isoformat(timespec='microseconds')}Z"


def write_file(path: Path, rows: list[dict[str, Any]]) -> None:
    """A CSV file of events."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows({**row, "ts": iso(row["ts"])} for row in rows)
    path.parent.mkdir(exist_ok=True)
    path.write_text(text.getvalue(), encoding="utf-8")


def make(folder: Path, count: int = 120) -> Path:
    """A project that has taken in one file and some of its topic in several runs; more of both is waiting."""
    folder.mkdir(parents=True)
    (folder / "twinbeam.toml").write_text(SETTINGS, encoding="utf-8")
    (folder / "features.py").write_text(DEFINITIONS, encoding="utf-8")
    write_file(folder / "data" / "b.csv", events(1, count, live=False))
    with Platform.open(folder) as platform:
        platform.apply()
        platform.run_batch()
        for seed in (2, 3, 4):
            publish(platform, seed, count)
            platform.broker.publish("purchases", [None], [b"no JSON"], now=NOW)
            platform.run_stream(until="caught_up")
        answers(platform)
        publish(platform, WAITING, count)
    write_file(folder / "data" / "a.csv", events(6, count, live=False))
    more = [{**row, "ts": iso(row["ts"])} for row in events(7, 1, live=True)]
    (folder / "more.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in more), encoding="utf-8")
    return folder


def publish(platform: Platform, seed: int, count: int = 120) -> dict[str, int]:
    """Publishes the live events of a seed."""
    rows = [json.dumps({**row, "ts": iso(row["ts"])}).encode() for row in events(seed, count, live=True)]
    return platform.publish("purchases", rows)


def copy(folder: Path, to: Path) -> Path:
    """A project's copy."""
    shutil.copytree(folder, to)
    return to


def take_in(folder: Path) -> None:
    """All that waits, into both stores."""
    with Platform.open(folder) as platform:
        platform.run_batch()
        platform.run_stream(until="caught_up")


def answers(platform: Platform) -> Any:
    """Every feature of every user, values, statuses and times."""
    found = platform.get("all_features", {"user_id": list(range(USERS))}, now=NOW)
    return found.to_dict(), found.statuses, found.event_times


def state(folder: Path, lanes: bool = True) -> dict[str, Any]:
    """What both stores say of a project, as far as it must not depend on what befell it.

    Args:
        folder: of the project.
        lanes: whether rows are to have the same places in their logs.
    """
    frame = pl.DataFrame({"user_id": list(range(USERS)), "time": [NOW] * USERS})
    with Platform.open(folder) as platform:
        spine = frame.with_columns(pl.col("time").cast(pl.Datetime("us", "UTC")))
        learnt = platform.training_set(spine, "all_features").to_dict()
        tables = [table for table in platform.offline.tables() if table.partition("/")[0] in COMPARED]
        return {"answers": answers(platform), "learnt": learnt} | {
            table: rows(platform.offline, table, lanes) for table in tables
        }


def rows(offline: OfflineStore, table: str, lanes: bool) -> list[str]:
    """Rows of a table in order, without their arrival (that of a file is the start of the run that found it)."""
    gone = ["_arrival"] if lanes else ["_arrival", "_lane", "_offset"]
    return sorted(map(str, offline.read(table).drop_columns(gone).to_pylist()))


def line(*words: str, folder: Path) -> str:
    """What the command line says of an error: its exit code is 1, and it is one line."""
    said = io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
        code = main([*words, "--project", str(folder)])
    lines = [text for text in said.getvalue().splitlines() if text.startswith("twinbeam: ")]
    assert code == 1, (code, said.getvalue())
    assert "Traceback" not in said.getvalue(), said.getvalue()
    assert "fault of Twinbeam" not in said.getvalue(), said.getvalue()
    assert len(lines) == 1, said.getvalue()
    return lines[0]


def moved_away(*paths: Path) -> None:
    """Moves files and folders of a store out of it, as errors advise; a SQLite file with what belongs to it."""
    for path in paths:
        store = next(each for each in path.parents if each.name == "store")
        for each in [path, path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-shm")]:
            if each.exists():
                target = store.parent / "away" / each.relative_to(store)
                target.parent.mkdir(parents=True, exist_ok=True)
                each.rename(target)


# Scenes are played by `python -m tests.faulty_projects SCENE FOLDER`, those that mount in a namespace of their own.
# FOLDER has the project `base` and the pickled states `reference0` and `reference1`, of undisturbed runs without and
# with one event more. What commands said is printed as JSON.


def full_disk(folder: Path) -> list[str]:
    """A disk with more and more room: every command does its work or says that it cannot, and nothing is lost.

    It is the disk of the whole project, then that of the offline store alone.
    """
    said: list[str] = []
    for part, free in [*(("", free) for free in FREE), *(("store/offline", free) for free in FREE_OFFLINE)]:
        project = folder / f"disk{free}{part.replace('/', '')}"
        disk = project / part
        disk.mkdir(parents=True)
        mount("mount", "-t", "tmpfs", "-o", f"size={DISK}k", "none", disk)
        shutil.copytree(folder / "base", project, dirs_exist_ok=True)
        filler = disk / "filler"
        with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while file.write(bytes(4096)) == 4096:
                pass
        with filler.open("r+b") as file:
            file.truncate(filler.stat().st_size // 4096 * 4096 - free * 1024)
        acknowledged, spoken = attempts(project)
        filler.unlink()
        check(project, folder / f"reference{acknowledged}")
        mount("umount", disk)
        said += spoken
    return said


def read_only(folder: Path) -> list[str]:
    """A store, or parts of it, that may be read and not written, whoever asks."""
    said: list[str] = []
    for number, parts in enumerate(READ_ONLY):
        project = copy(folder / "base", folder / f"project{number}")
        places = [project / part for part in parts]
        for place in places:
            mount("mount", "--bind", place, place)
            mount("mount", "-o", "remount,ro,bind", place)
        acknowledged, spoken = attempts(project)
        for place in places:
            mount("umount", place)
        check(project, folder / f"reference{acknowledged}")
        said += spoken
    return said


def limited_files(folder: Path) -> list[str]:
    """Files that may not grow, where no disk can be mounted."""
    project = copy(folder / "base", folder / "limited")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (512, hard))
    acknowledged, said = attempts(project)
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    check(project, folder / f"reference{acknowledged}")
    return said


def forbidden(folder: Path) -> list[str]:
    """A store, or parts of it, that this user may not write: for root, whom no mode binds, as somebody else."""
    said: list[str] = []
    for number, parts in enumerate(READ_ONLY):
        with TemporaryDirectory() as place:
            Path(place).chmod(0o755)
            project = copy(folder / "base", Path(place) / f"project{number}")
            each = [path for part in parts for path in [project / part, *(project / part).rglob("*")]]
            modes = {path: path.stat().st_mode for path in each}
            if os.geteuid() == 0:
                for path in [project, *project.rglob("*")]:
                    os.chown(path, NOBODY, NOBODY)
            for path in each:
                path.chmod(modes[path] & ~0o222)
            with somebody():
                acknowledged, spoken = attempts(project)
            for path, mode in modes.items():
                path.chmod(mode)
            check(project, folder / f"reference{acknowledged}")
            said += spoken
    return said


@contextlib.contextmanager
def somebody() -> Iterator[None]:
    """As a user whom modes bind."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


def attempts(project: Path) -> tuple[int, list[str]]:
    """How many events were published, and what every command that writes says if it fails: one line each."""
    said, acknowledged = [], 0
    for words in WRITING:
        spoken = io.StringIO()
        with contextlib.redirect_stderr(spoken), contextlib.redirect_stdout(io.StringIO()):
            given = [word.format(project=project) for word in words]
            code = main([*given, "--project", str(project)])
        lines = [text for text in spoken.getvalue().splitlines() if text.startswith("twinbeam: ")]
        assert code in (0, 1), spoken.getvalue()
        assert len(lines) == code, (words, code, spoken.getvalue())
        assert "Traceback" not in spoken.getvalue(), spoken.getvalue()
        acknowledged += words[0] == "publish" and code == 0
        said += [f"{words[0]} {words[1]}: {text}" for text in lines]
    return acknowledged, said


def check(project: Path, reference: Path) -> None:
    """Takes in all that waits: both stores are as after an undisturbed run, and no half-written file is left."""
    take_in(project)
    wanted, found = pickle.loads(reference.read_bytes()), state(project)
    for part, value in wanted.items():
        assert found[part] == value, part
    assert not list((project / "store").rglob(".part-*"))


def mount(*words: str | Path) -> None:
    """Mounts or unmounts, inside the namespace."""
    subprocess.run(list(map(str, words)), check=True)


SCENES = {scene.__name__: scene for scene in (full_disk, read_only, limited_files, forbidden)}

if __name__ == "__main__":
    spoken = json.dumps(SCENES[sys.argv[1]](Path(sys.argv[2])))
    sys.stdout.write(f"{spoken}\n")
