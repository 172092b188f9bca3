"""Storage that fails under a project: full, read-only, locked or damaged.

Each fault is named in one line with the way back, the way back leads back, and nothing that was acknowledged is lost.
"""

from __future__ import annotations

import json
import os
import pickle
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from deltalake import DeltaTable

from pipelines.commands.main import main
from pipelines.platform import Platform
from tests import faulty_projects as faulty

pytestmark = pytest.mark.xdist_group("storage_faults")
WHOLE = float(os.environ.get("TWINBEAM_SOAK_SIZE", "1")) > 1
Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the project `base` and what undisturbed runs make of it."""
    folder = tmp_path_factory.mktemp("faults")
    faulty.make(folder / "base")
    for number in (0, 1):
        project = faulty.copy(folder / "base", folder / f"undisturbed{number}")
        if number:
            main(["publish", "purchases", str(project / "more.jsonl"), "--project", str(project)])
        faulty.take_in(project)
        (folder / f"reference{number}").write_bytes(pickle.dumps(faulty.state(project)))
    return folder


@pytest.fixture
def project(base: Path, tmp_path: Path) -> Path:
    """A copy of the project, to be damaged."""
    return faulty.copy(base / "base", tmp_path / "project")


@pytest.fixture
def reference(base: Path) -> Any:
    """State after an undisturbed run."""
    return pickle.loads((base / "reference0").read_bytes())


# Damage to Delta tables.


def table_folder(project: Path, table: str) -> Path:
    """Folder of a table, of the only one under "rows" or its like."""
    place = project / "store" / "offline" / table
    while not any((place / name).exists() for name in ("_delta_log", "_newest_version")):
        (place,) = place.iterdir()
    return place


def entries(folder: Path) -> list[Path]:
    return sorted((folder / "_delta_log").glob("*.json"))


def data(folder: Path) -> Path:
    """The oldest data file."""
    return min(folder.glob("*.parquet"), key=lambda path: path.stat().st_mtime_ns)


def flipped(path: Path, at: int) -> Path:
    content = bytearray(path.read_bytes())
    content[at] ^= 0x10
    path.write_bytes(content)
    return path


def newest_deleted(folder: Path) -> Path:
    entries(folder)[-1].unlink()
    return entries(folder)[-1].with_name(f"{len(entries(folder)):020}.json")


def middle_deleted(folder: Path) -> Path:
    entry = entries(folder)[-2]
    entry.unlink()
    return entry


def middle_emptied(folder: Path) -> Path:
    entry = entries(folder)[-2]
    entry.write_text("")
    return entry


def newest_emptied(folder: Path) -> Path:
    entry = entries(folder)[-1]
    entry.write_text("")
    return entry


def log_removed(folder: Path) -> Path:
    shutil.rmtree(folder / "_delta_log")
    return folder / "_delta_log"


def data_missing(folder: Path) -> Path:
    path = data(folder)
    path.unlink()
    return path


def data_truncated(folder: Path) -> Path:
    path = data(folder)
    path.write_bytes(path.read_bytes()[:-100])
    return path


def footer_flipped(folder: Path) -> Path:
    path = data(folder)
    return flipped(path, path.stat().st_size - 40)


def page_flipped(folder: Path) -> Path:
    path = data(folder)
    return flipped(path, path.stat().st_size // 3)


LOG_FAULTS = [newest_deleted, middle_deleted, middle_emptied, newest_emptied, log_removed]
DATA_FAULTS = [data_missing, data_truncated, footer_flipped, page_flipped]
TABLES = ["events", "rows", "dead_letters", "manifests", "registry"]
USUAL = [("rows", fault) for fault in [*LOG_FAULTS, *DATA_FAULTS]]
USUAL += [("events", middle_emptied), ("events", page_flipped), ("dead_letters", log_removed)]
USUAL += [("dead_letters", page_flipped), ("manifests", newest_deleted), ("manifests", log_removed)]
USUAL += [("manifests", page_flipped), ("registry", newest_deleted), ("registry", log_removed)]
EVERY = [(table, fault) for table in TABLES for fault in [*LOG_FAULTS, *DATA_FAULTS]]


def noticed(project: Path, table: str, fault: Callable[[Path], Path]) -> str:
    """What the first command says that needs what was damaged."""
    if fault in LOG_FAULTS or table in ("manifests", "registry"):
        return faulty.line("run", "batch", folder=project)
    if table == "rows":
        (project / "spine.csv").write_text("user_id,time\n3,2025-02-20T00:00:00Z\n")
        words = ["--features", "spending", "--spine", str(project / "spine.csv"), "--out", str(project / "o.parquet")]
        return faulty.line("training-set", *words, folder=project)
    return faulty.line("compact", folder=project)


def follow_advice(project: Path, table: str, said: str) -> bool:
    """Does what the error says; whether rows keep their places in the logs."""
    store = project / "store"
    offline = store / "offline"
    if "remove " in said:
        removed = said.partition("remove ")[2].partition(",")[0].split(" and ")
        for path in removed:
            Path(path.strip()).unlink()
        return True
    assert f"move the folder {table_folder(project, table)} away" in said
    faulty.moved_away(table_folder(project, table))
    if table == "dead_letters":
        assert "together with events/purchases and rows/ of the views" in said
        faulty.moved_away(offline / "events" / "purchases", table_folder(project, "rows"))
    if table == "registry":
        assert "together with the online store" in said
        assert "twinbeam apply" in said
        faulty.moved_away(store / "online.db")
        assert main(["apply", "--project", str(project)]) == 0
    if table == "manifests":
        assert "twinbeam run batch --rebuild" in said
        assert main(["run", "batch", "--rebuild", "--project", str(project)]) == 0
        return False
    return True


@pytest.mark.parametrize(("table", "fault"), EVERY if WHOLE else USUAL)
def test_a_damaged_table_is_named_and_comes_back(
    project: Path, reference: Any, table: str, fault: Callable[[Path], Path], base: Path
) -> None:
    folder = table_folder(project, table)
    named = fault(folder)
    said = noticed(project, table, fault)
    assert str(named) in said
    lanes = follow_advice(project, table, said)
    faulty.take_in(project)
    wanted = reference if lanes else faulty.state(base / "undisturbed0", lanes=False)
    assert faulty.state(project, lanes) == wanted


@pytest.mark.parametrize("damage", ["deleted", "truncated"])
def test_a_damaged_checkpoint_is_done_without(project: Path, reference: Any, damage: str) -> None:
    folder = table_folder(project, "events")
    DeltaTable(str(folder)).create_checkpoint()
    (checkpoint,) = (folder / "_delta_log").glob("*.checkpoint*.parquet")
    if damage == "deleted":
        checkpoint.unlink()
    else:
        checkpoint.write_bytes(checkpoint.read_bytes()[:-9])
    said = faulty.line("run", "batch", folder=project)
    assert str(folder / "_delta_log" / "_last_checkpoint") in said
    follow_advice(project, "events", said)
    faulty.take_in(project)
    assert faulty.state(project) == reference


def test_files_that_a_compaction_made_are_checked_too(project: Path, reference: Any) -> None:
    faulty.take_in(project)
    folder = table_folder(project, "rows")
    with Platform.open(project) as platform:
        table = folder.relative_to(project / "store" / "offline").as_posix()
        assert platform.offline.compact(table) > 1
        (merged,) = DeltaTable(str(folder)).file_uris()
        platform.offline.vacuum(table, 0)
    assert sorted(folder.glob("*.parquet")) == [Path(merged)]
    assert faulty.state(project) == reference
    flipped(Path(merged), Path(merged).stat().st_size // 2)
    said = noticed(project, "rows", page_flipped)
    assert f"{merged} is damaged" in said
    follow_advice(project, "rows", said)
    faulty.take_in(project)
    assert faulty.state(project) == reference


def test_damage_does_not_spread(project: Path) -> None:
    """A stream that fills a view from damaged events stops instead."""
    page_flipped(table_folder(project, "events"))
    faulty.moved_away(table_folder(project, "rows"))
    assert "is damaged" in faulty.line("run", "batch", folder=project)
    assert "is damaged" in faulty.line("run", "stream", "--until", "caught_up", folder=project)


# Damage to SQLite files.


def overwrite_pages(path: Path) -> None:
    """Overwrites the middle half of a file."""
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(size // 4)
        file.write(b"\xa5" * (size // 2))


@pytest.mark.parametrize("log", [False, True])
def test_a_damaged_online_store_is_filled_anew(base: Path, project: Path, reference: Any, log: bool) -> None:
    if log:
        running = faulty.copy(base / "base", project.parent / "running")
        path = running / "store" / "online.db"
        with closing(sqlite3.connect(path)) as held:  # while it is open, the write-ahead log stays
            held.execute("SELECT count(*) FROM sqlite_master").fetchone()
            faulty.take_in(running)
            shutil.rmtree(project)
            faulty.copy(running, project)
        (project / "store" / "online.db-shm").unlink()
        assert (project / "store" / "online.db-wal").stat().st_size
    path = project / "store" / "online.db"
    overwrite_pages(path)
    for words in (["run", "batch"], ["get", "all_features", "user_id=1", "user_id=2", "--now", "latest"]):
        said = faulty.line(*words, folder=project)
        assert f"{path}: damaged" in said
        assert "move it away together with its -wal and -shm files and run twinbeam run batch" in said
    faulty.moved_away(path)
    faulty.take_in(project)
    assert faulty.state(project) == reference


def test_what_a_damaged_write_ahead_log_loses_is_folded_again(base: Path, project: Path, reference: Any) -> None:
    """SQLite ends such a log silently where it is damaged: marks go back together with cells."""
    running = faulty.copy(base / "base", project.parent / "running")
    with closing(sqlite3.connect(running / "store" / "online.db")) as held:
        held.execute("SELECT count(*) FROM sqlite_master").fetchone()
        faulty.take_in(running)
        shutil.rmtree(project)
        faulty.copy(running, project)
    (project / "store" / "online.db-shm").unlink()
    overwrite_pages(project / "store" / "online.db-wal")
    faulty.take_in(project)
    assert faulty.state(project) == reference


def test_a_cell_that_cannot_be_read_is_named_with_its_file(project: Path, reference: Any) -> None:
    path = project / "store" / "online.db"
    with closing(sqlite3.connect(path)) as database:
        database.execute("UPDATE cells_user SET blob = substr(blob, 1, length(blob) - 3)")
        database.commit()
    for words in (["get", "all_features", "user_id=1", "--now", "latest"], ["run", "batch"]):
        said = faulty.line(*words, folder=project)
        assert f"{path}: a " in said
        assert "move it away" in said
    faulty.moved_away(path)
    faulty.take_in(project)
    assert faulty.state(project) == reference


def test_damaged_topics_are_named_and_what_was_taken_in_stays(base: Path, project: Path) -> None:
    path = project / "store" / "topics.db"
    overwrite_pages(path)
    said = faulty.line("run", "stream", "--until", "caught_up", folder=project)
    assert f"{path}: damaged" in said
    assert "what was published after that is to be published again" in said
    faulty.moved_away(path)
    assert main(["apply", "--project", str(project)]) == 0
    with Platform.open(project) as platform:
        faulty.publish(platform, faulty.WAITING)
    faulty.take_in(project)
    assert faulty.state(project, lanes=False) == faulty.state(base / "undisturbed0", lanes=False)


def test_a_topic_lost_before_the_offline_store_had_it_is_noticed(base: Path, project: Path) -> None:
    """The online store is ahead of the offline one when a stream is killed; without the topic that is for good."""
    whole = faulty.copy(base / "undisturbed0", project.parent / "whole")
    shutil.copy(whole / "store" / "online.db", project / "store" / "online.db")
    faulty.moved_away(project / "store" / "topics.db")
    assert main(["apply", "--project", str(project)]) == 0
    said = faulty.line("run", "stream", "--until", "caught_up", folder=project)
    assert "its topic is gone" in said
    faulty.moved_away(project / "store" / "online.db")
    with Platform.open(project) as platform:
        platform.run_batch()
        faulty.publish(platform, faulty.WAITING)
    faulty.take_in(project)
    assert faulty.state(project, lanes=False) == faulty.state(whole, lanes=False)


# Locks.

HOLD = """
import sqlite3, sys
database = sqlite3.connect(sys.argv[1], isolation_level=None)
database.execute("BEGIN IMMEDIATE")
print("held", flush=True)
sys.stdin.read()
"""


def test_a_file_locked_by_another_process_is_named(project: Path, reference: Any, start: Start) -> None:
    holders = []
    for name in ("online.db", "topics.db"):
        words = [sys.executable, "-c", HOLD, str(project / "store" / name)]
        holders.append(start(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE))
        held = holders[-1].stdout
        assert held is not None
        assert held.readline() == "held\n"
    for words, name in (
        (["run", "batch"], "online.db"),
        (["run", "stream", "--until", "caught_up"], "online.db"),
        (["publish", "purchases", str(project / "more.jsonl")], "topics.db"),
    ):
        said = faulty.line(*words, folder=project)
        assert f"{project / 'store' / name}: locked by another writer for more than 0.2 s" in said
        assert "let it end, then repeat" in said
    with Platform.open(project) as platform:
        assert faulty.answers(platform)
    for holder in holders:
        holder.communicate()
    faulty.take_in(project)
    assert faulty.state(project) == reference


# Disks, in a mount namespace of their own: what holds for root too.


FULL = ("the disk is full", "a limit is reached")
WRITABLE = ("may use and write", "make the file and its folder writable", "check that this user may write there")


def namespaces() -> bool:
    """Whether this user may mount in a namespace of its own."""
    command = ["unshare", "-rm", "mount", "-t", "tmpfs", "none", "/mnt"]
    return shutil.which("unshare") is not None and not subprocess.run(command, capture_output=True).returncode


def played(scene: str, base: Path, folder: Path, mounts: bool) -> list[str]:
    """What commands said in a scene."""
    for name in ("base", "reference0", "reference1"):
        (folder / name).symlink_to(base / name)
    words = [sys.executable, "-m", "tests.faulty_projects", scene, str(folder)]
    command = ["unshare", "-rm", *words] if mounts else words
    done = subprocess.run(command, cwd=Path(__file__).parents[1], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    found: list[str] = json.loads(done.stdout.splitlines()[-1])
    return found


# A disk is mounted where this user may do so; else the size of files is limited, and their modes forbid to write.
WAYS = ([True, False] if WHOLE else [True]) if namespaces() else [False]


@pytest.mark.parametrize("mounted", WAYS)
def test_a_full_disk_is_named_and_loses_nothing(base: Path, tmp_path: Path, mounted: bool) -> None:
    said = played("full_disk" if mounted else "limited_files", base, tmp_path, mounted)
    assert all(any(way in text for way in FULL) and "then repeat" in text for text in said)
    # Whether a run's own record or its rows meet the full disk first is a matter of a moment.
    tables = [("offline/manifests: ",), ("offline/rows/", "offline/runs: ")] if mounted else []
    for parts in [("topics.db: ",), ("online.db: ",), *tables]:
        assert any(part in text for part in parts for text in said), parts


@pytest.mark.parametrize("mounted", WAYS)
def test_a_read_only_store_is_named_and_loses_nothing(base: Path, tmp_path: Path, mounted: bool) -> None:
    said = played("read_only" if mounted else "forbidden", base, tmp_path, mounted)
    for project, failing in (
        ("project0", ["publish", "get", "run batch", "run stream", "compact"]),
        ("project1", ["get", "run batch", "run stream", "compact"]),
        ("project2", ["publish", "run batch", "run stream"]),
    ):
        mine = [text for text in said if f"/{project}/" in text]
        assert [text for text, word in zip(mine, failing, strict=True) if not text.startswith(word)] == []
        assert all(any(way in text for way in WRITABLE) for text in mine)
