"""Latest features beside Feast: online reads, and training sets, from the same Parquet files.

Feast gets a virtual environment of its own under `.bench/feast`, made by the first run with pip. Where that fails the
reason is told and the rows have Twinbeam's figures alone. Twinbeam reads through its public API, from stores filled by
`run_batch`; answers are not logged there, as Feast logs none. Where few entities have many rows Feast's time and memory
grow with the rows times the requests (measured: 3.6 GB for 200,000 rows of 100 entities and 20,000 requests, 7.8 GB for
300,000 and 30,000), so it is given a part of the requests there, and what is compared are requests a second.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow.compute as pc

import twinbeam
from bench.measuring import ROOT, Stopwatch, call, middle, runs
from bench.table import Measured

VERSION = "0.67"
ENVIRONMENT = ROOT / ".bench" / "feast"
COLUMNS = [f"f{number}" for number in range(10)]
START, SPAN = 1_700_000_000_000_000, 30 * 86_400_000_000
CALLS = 300
PAIRS = 50_000_000
SETTINGS = 'project = "bench"\n[serving]\nlog_sample = 0.0\n'
DEFINITIONS = """\
from twinbeam import Entity, FeatureService, FeatureView, Source

columns = [f"f{{number}}" for number in range(10)]
user = Entity("user", keys={{"user_id": "int64"}})
profiles = Source(
    "profiles", fields={{"user_id": "int64", "ts": "timestamp(us)"}} | dict.fromkeys(columns, "float64"),
    event_time="ts", files={file!r},
)
profile = FeatureView("profile", entity=user, source=profiles, features=columns, ttl="3650d")
service = FeatureService("service", features=[profile])
"""


def rows_file(path: Path, rows: int, entities: int, seed: int = 11) -> Path:
    """Profiles in the order of their time: uniform keys, ten floats a row, 30 days."""
    draw = np.random.default_rng(seed)
    times = pl.Series(np.sort(draw.integers(START, START + SPAN, rows))).cast(pl.Datetime("us", "UTC"))
    columns = {"user_id": draw.integers(0, entities, rows), "ts": times}
    pl.DataFrame(columns | {name: draw.normal(size=rows) for name in COLUMNS}).write_parquet(path)
    return path


def spine_file(path: Path, rows: int, entities: int, seed: int = 12) -> Path:
    """Requests in no order, all over the 30 days."""
    draw = np.random.default_rng(seed)
    times = pl.Series(draw.integers(START, START + SPAN, rows)).cast(pl.Datetime("us", "UTC"))
    pl.DataFrame({"user_id": draw.integers(0, entities, rows), "event_timestamp": times}).write_parquet(path)
    return path


def fill(file: str, folder: str) -> dict[str, float]:
    """A project whose stores hold the file."""
    place = Path(folder)
    place.mkdir(parents=True)
    (place / "twinbeam.toml").write_text(SETTINGS, encoding="utf-8")
    (place / "features.py").write_text(DEFINITIONS.format(file=file), encoding="utf-8")
    with twinbeam.Platform.open(place) as platform:
        platform.apply()
        with Stopwatch() as watch:
            platform.run_batch()
    return watch.to_json()


def read(folder: str, keys: str) -> dict[str, float]:
    """Median seconds of a call for ten features of some keys, over the lists of keys in a JSON file."""
    taken, lists = [], json.loads(Path(keys).read_text(encoding="utf-8"))
    with twinbeam.Platform.open(folder) as platform:
        platform.get("service", {"user_id": lists[0]}, now="latest").to_dict()
        for some in lists:
            begun = time.perf_counter()
            platform.get("service", {"user_id": some}).to_dict()
            taken.append(time.perf_counter() - begun)
    return {"seconds": statistics.median(taken)}


def history(folder: str, spine: str) -> dict[str, float]:
    """Ten features as of every row of a spine."""
    asked = pl.read_parquet(spine)
    with twinbeam.Platform.open(folder) as platform, Stopwatch() as watch:
        table = platform.training_set(asked, "service", time="event_timestamp", names="short").to_arrow()
    values = table.column("f0")
    present = len(values) - values.null_count
    return watch.to_json() | {"rows": table.num_rows, "present": present, "checksum": float(pc.sum(values).as_py())}


def interpreter() -> Path:
    """The interpreter that has Feast; makes its environment if there is none.

    Raises:
        RuntimeError: it cannot be made; says why.
    """
    python, ready = ENVIRONMENT / "bin" / "python", ENVIRONMENT / ".ready"
    wanted = f"feast[duckdb,cassandra]=={VERSION}.*"
    if ready.exists() and ready.read_text(encoding="utf-8") == wanted:
        return python
    ENVIRONMENT.parent.mkdir(exist_ok=True)
    (ENVIRONMENT.parent / ".gitignore").write_text("*\n", encoding="utf-8")
    for command in (
        [sys.executable, "-m", "venv", str(ENVIRONMENT)],
        [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", wanted],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)}: {(done.stderr or done.stdout).strip()[-500:]}")
    ready.write_text(wanted, encoding="utf-8")
    return python


def measure(scale: float = 1.0) -> list[Measured]:
    """Online reads of 1, 10 and 100 keys, and training sets over 100 and over many entities."""
    try:
        python: Path | None = interpreter()
    except RuntimeError as error:
        print(f"\nFeast is left out, it cannot be installed here: {error}", file=sys.stderr)
        python = None
    with tempfile.TemporaryDirectory() as scratch:
        return [*_reads(Path(scratch), scale, python), *_histories(Path(scratch), scale, python)]


def _reads(scratch: Path, scale: float, python: Path | None) -> list[Measured]:
    rows, entities = int(1_000_000 * scale), max(int(100_000 * scale), 200)
    file = str(rows_file(scratch / "online.parquet", rows, entities))
    ours, theirs = str(scratch / "ours"), str(scratch / "theirs")
    filled = middle(runs(call("bench.feast:fill", {"file": file, "folder": ours}), 1))
    place = {"file": file, "folder": theirs, "engine": "duckdb"}
    rival = _feast(python, "materialize", place, 1)
    found = [
        Measured(
            "newest rows into the online store (ours: all rows into both stores)",
            f"{rows:,} rows of 10 features, {entities:,} entities",
            filled["cpu"],
            "CPU s",
            "lower",
            f"Feast {VERSION} materialize",
            None if rival is None else rival["cpu"],
            filled["process_mb"],
            None if rival is None else rival["process_mb"],
        )
    ]
    known = pl.read_parquet(file, columns=["user_id"])["user_id"].unique(maintain_order=True).to_numpy()
    draw = np.random.default_rng(13)
    for count in (1, 10, 100):
        keys = [draw.choice(known, count, replace=False).tolist() for _ in range(CALLS)]
        (scratch / "keys.json").write_text(json.dumps(keys), encoding="utf-8")
        asked = {"keys": str(scratch / "keys.json")}
        mine = middle(runs(call("bench.feast:read", {"folder": ours} | asked)))
        rival = _feast(python, "read", place | asked)
        found.append(
            Measured(
                "get 10 latest features in process, p50",
                f"{count} {'key' if count == 1 else 'keys'}",
                mine["seconds"] * 1e3,
                "ms",
                "lower",
                f"Feast {VERSION} SDK, SQLite",
                None if rival is None else rival["seconds"] * 1e3,
                mine["process_mb"],
                None if rival is None else rival["process_mb"],
            )
        )
    return found


def _histories(scratch: Path, scale: float, python: Path | None) -> list[Measured]:
    rows, found = int(1_000_000 * scale), []
    many = max(int(100_000 * scale), 100)
    for name, entities, asked in (("hot", 100, int(100_000 * scale)), ("wide", many, int(1_000_000 * scale))):
        file = str(rows_file(scratch / f"{name}.parquet", rows, entities))
        spine = str(spine_file(scratch / f"{name}_spine.parquet", asked, entities))
        folder = str(scratch / name)
        runs(call("bench.feast:fill", {"file": file, "folder": folder}), 1)
        ours = middle(runs(call("bench.feast:history", {"folder": folder, "spine": spine})))
        # Feast joins each request with all rows of its entity: beyond some requests it would take the machine's memory.
        cut = min(asked, PAIRS * entities // rows)
        short = str(scratch / f"{name}_short.parquet")
        pl.read_parquet(spine).head(cut).write_parquet(short)
        same = (
            ours if cut == asked else middle(runs(call("bench.feast:history", {"folder": folder, "spine": short}), 1))
        )
        for engine in ("duckdb", "dask") if name == "wide" else ("duckdb",):
            place = {"file": file, "spine": short, "folder": f"{folder}_{engine}", "engine": engine}
            rival = _feast(python, "history", place, 1)
            # Feast's dask engine drops requests that find nothing, so rows are not compared.
            if rival is not None and rival["present"] != same["present"]:
                raise RuntimeError(f"Feast's training set is another one: {rival} against {same}")
            found.append(
                Measured(
                    "training set, 10 latest features, whole call",
                    f"{rows:,} rows x {asked:,} spine, {entities:,} entities",
                    asked / ours["seconds"],
                    "spine rows/s",
                    "higher",
                    f"Feast {VERSION}, {engine}" + (f", {cut:,} of the spine" if cut < asked else ""),
                    None if rival is None else cut / rival["seconds"],
                    ours["process_mb"],
                    None if rival is None else rival["process_mb"],
                )
            )
    return found


def _feast(
    python: Path | None, case: str, arguments: Mapping[str, Any], times: int | None = None
) -> dict[str, float] | None:
    if python is None:
        return None
    command = [str(python), "-m", "bench.measuring", f"bench.feast_case:{case}", json.dumps(dict(arguments))]
    return middle(runs(command, times))
