"""Files get their numbers before they are read, and keep them."""

from __future__ import annotations

import multiprocessing
import os
from pathlib import Path

import pytest

from schemas.errors import LaneError, StoreError
from schemas.lane import Lane
from serving.manifest import FileEntry, Manifest
from serving.stores.offline import OfflineStore

NOW = 1_790_000_000_000_001


def files(folder: Path, *names: str) -> list[str]:
    (folder / "data").mkdir(exist_ok=True)
    for name in names:
        path = folder / "data" / name
        if not path.exists():
            path.write_text(f"content of {name}")
    return [str(folder / "data" / name) for name in names]


@pytest.fixture
def manifest(tmp_path: Path) -> Manifest:
    return Manifest(OfflineStore(tmp_path / "offline"), tmp_path)


def names(entries: list[FileEntry]) -> list[str]:
    return [Path(entry.path).name for entry in entries]


def test_new_files_are_numbered_by_path_after_those_known(manifest: Manifest, tmp_path: Path) -> None:
    first = manifest.discover("purchases", files(tmp_path, "c", "a"), NOW)
    assert names(first) == ["a", "c"]
    second = manifest.discover("purchases", files(tmp_path, "b", "c", "a", "b"), NOW + 5)
    assert names(second) == ["a", "c", "b"]
    assert [entry.number for entry in second] == [0, 1, 2]
    assert [entry.arrival for entry in second] == [NOW, NOW, NOW + 5]
    assert second[:2] == first
    assert second == manifest.entries("purchases") == manifest.discover("purchases", files(tmp_path, *"abc"), NOW + 9)
    assert second[0].size == len("content of a")


def test_offsets_and_lanes_follow_from_the_number(manifest: Manifest, tmp_path: Path) -> None:
    entries = manifest.discover("purchases", files(tmp_path, *"abcde"), NOW, lanes=2)
    assert [entry.lane_number for entry in entries] == [0, 1, 0, 1, 0]
    assert entries[3].lane == Lane("purchases", "files", "1", 1)
    assert entries[3].start == 3 << 40
    assert entries[3].end == 4 << 40


def test_sources_have_numbers_of_their_own(manifest: Manifest, tmp_path: Path) -> None:
    manifest.discover("purchases", files(tmp_path, "a", "b"), NOW)
    assert [entry.number for entry in manifest.discover("clicks", files(tmp_path, "b"), NOW)] == [0]
    assert manifest.generation("purchases") == 1
    assert manifest.generation("none") == 0
    assert manifest.entries("none") == []


@pytest.mark.parametrize("content", ["content of A", "longer content of a"])
def test_a_changed_file_is_refused_by_name(manifest: Manifest, tmp_path: Path, content: str) -> None:
    paths = files(tmp_path, "a", "b")
    manifest.discover("purchases", paths, NOW)
    Path(paths[0]).write_text(content)
    os.utime(paths[0], ns=(5, 5))
    with pytest.raises(LaneError, match=r"data/a: has .* since source 'purchases' numbered it.*--rebuild"):
        manifest.discover("purchases", paths, NOW)
    entries = manifest.discover("purchases", paths, NOW + 7, rebuild=True)
    assert [(entry.generation, entry.number, entry.arrival) for entry in entries] == [(2, 0, NOW + 7), (2, 1, NOW + 7)]
    assert entries[0].lane == Lane("purchases", "files", "2", 0)
    assert manifest.discover("purchases", paths, NOW + 8) == entries


def test_a_file_that_was_only_touched_or_copied_is_the_same(manifest: Manifest, tmp_path: Path) -> None:
    paths = files(tmp_path, "a")
    before = manifest.discover("purchases", paths, NOW)
    os.utime(paths[0], ns=(5, 5))
    assert manifest.discover("purchases", paths, NOW) == before


def test_the_project_may_be_moved(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    paths = files(tmp_path / "one", "a")
    Manifest(OfflineStore(tmp_path / "one" / "offline"), tmp_path / "one").discover("purchases", paths, NOW)
    (tmp_path / "one").rename(tmp_path / "two")
    moved = Manifest(OfflineStore(tmp_path / "two" / "offline"), tmp_path / "two")
    entries = moved.discover("purchases", ["data/a"], NOW)
    assert [entry.path for entry in entries] == [str(tmp_path / "two" / "data" / "a")]
    assert len(entries) == 1


def test_a_vanished_file_is_missed_until_it_was_read_whole(manifest: Manifest, tmp_path: Path) -> None:
    paths = files(tmp_path, *"abc")
    entries = manifest.discover("purchases", paths, NOW, lanes=2)
    Path(paths[0]).unlink()
    Path(paths[1]).unlink()
    read = {0: entries[0].end, 1: entries[1].end - 1}
    with pytest.raises(LaneError, match=r"data/b: has vanished, but source 'purchases' has not read it .*--rebuild"):
        manifest.discover("purchases", paths[2:], NOW, lanes=2, progress=read)
    with pytest.raises(LaneError, match=r"data/a: has vanished"):
        manifest.discover("purchases", paths[2:], NOW, lanes=2)
    read[1] += 1
    assert manifest.discover("purchases", paths[2:], NOW, lanes=2, progress=read) == entries
    again = manifest.discover("purchases", paths[2:], NOW, lanes=2, rebuild=True)
    assert names(again) == ["c"]


def test_the_number_of_lanes_is_fixed(manifest: Manifest, tmp_path: Path) -> None:
    paths = files(tmp_path, "a", "b")
    manifest.discover("purchases", paths, NOW, lanes=2)
    with pytest.raises(LaneError, match="dealt to 2 lanes, the settings say 3; set lanes = 2, or run with --rebuild"):
        manifest.discover("purchases", paths, NOW, lanes=3)
    assert manifest.discover("purchases", paths, NOW, lanes=3, rebuild=True)[1].lanes == 3


def test_a_path_without_a_file_is_named(manifest: Manifest, tmp_path: Path) -> None:
    with pytest.raises(LaneError, match="data/none: there is no such file"):
        manifest.discover("purchases", [str(tmp_path / "data" / "none")], NOW)
    with pytest.raises(StoreError, match="nowhere://x: no such kind of file store"):
        manifest.discover("purchases", ["nowhere://x"], NOW)


def test_a_url_is_a_file_like_any_other(manifest: Manifest, tmp_path: Path) -> None:
    url = "file://" + files(tmp_path, "a")[0]
    assert manifest.discover("purchases", [url], NOW)[0].path == url
    Path(tmp_path / "data" / "a").write_text("x")
    with pytest.raises(LaneError, match="has 1 bytes, not 12"):
        manifest.discover("purchases", [url], NOW)


def _discover(root: str, folder: str, start: int, rebuild: bool) -> None:
    manifest = Manifest(OfflineStore(root), folder)
    for step in range(4):
        paths = [str(path) for path in sorted((Path(folder) / "data").iterdir())][: start + 2 * step]
        manifest.discover("purchases", paths, NOW + start, progress={0: 1 << 62}, rebuild=rebuild and step == 0)


@pytest.mark.parametrize("rebuild", [False, True])
def test_processes_that_discover_at_once_agree(tmp_path: Path, rebuild: bool) -> None:
    files(tmp_path, *"abcdefgh")
    root = str(tmp_path / "offline")
    fresh = multiprocessing.get_context("spawn")
    workers = [fresh.Process(target=_discover, args=(root, str(tmp_path), start, rebuild)) for start in (1, 2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0]
    manifest = Manifest(OfflineStore(root), tmp_path)
    entries = manifest.entries("purchases")
    assert [entry.number for entry in entries] == list(range(len(entries)))
    # The one that began its generation last may be the one that is never shown the last file.
    assert sorted(names(entries)) in (list("abcdefg"), list("abcdefgh"))
    paths = [str(path) for path in (tmp_path / "data").iterdir()]
    entries = manifest.discover("purchases", paths, NOW, progress={0: 1 << 62})
    assert [entry.number for entry in entries] == list(range(8))
    assert sorted(names(entries)) == list("abcdefgh")
