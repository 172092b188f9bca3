"""What all tests share: no settings from outside, and no process or thread left behind."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

# Where this is set, each process that a test starts compiles the whole project.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

pytest_plugins = ["tests.servers", "tests.secure_servers"]

# How long a property takes is not what it is about; under CI the examples are the same every time.
settings.register_profile("twinbeam", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True, database=None)
settings.load_profile("ci" if os.environ.get("CI") else "twinbeam")

GRACE_SECONDS = 10.0


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "graph_only: builds a Beam pipeline to look at its graph, and does not run it")
    config.addinivalue_line(
        "markers", "long: takes minutes, most of them asleep; begins first, so that others run beside"
    )


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=_beginning)


def _beginning(item: pytest.Item) -> int:
    """When a test begins: what takes long before what one process runs in sequence, and what any may run at the end."""
    if item.get_closest_marker("long"):
        return 0
    return 1 if item.get_closest_marker("xdist_group") else 2


@pytest.fixture(autouse=True)
def _every_pipeline_runs(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A test that builds a Beam pipeline and never runs it has proven nothing, and fails."""
    beam: Any = sys.modules.get("apache_beam")
    if beam is None or request.node.get_closest_marker("graph_only"):
        yield
        return
    built: list[Any] = []
    ran: list[Any] = []
    build, run = beam.Pipeline.__init__, beam.Pipeline.run

    def building(pipeline: Any, *arguments: Any, **keywords: Any) -> None:
        build(pipeline, *arguments, **keywords)
        built.append(pipeline)

    def running(pipeline: Any, *arguments: Any, **keywords: Any) -> Any:
        ran.append(pipeline)
        return run(pipeline, *arguments, **keywords)

    monkeypatch.setattr(beam.Pipeline, "__init__", building)
    monkeypatch.setattr(beam.Pipeline, "run", running)
    yield
    idle = [pipeline for pipeline in built if not any(pipeline is other for other in ran)]
    if idle:
        pytest.fail(f"{len(idle)} Beam pipelines were built and never run")


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests see no settings of the one who runs them."""
    for name in [name for name in os.environ if name.startswith("TWINBEAM_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def start() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts processes (as `subprocess.Popen` with text); those still running at the end of the test are killed."""
    processes: list[subprocess.Popen[str]] = []

    def popen(*args: Any, **kwargs: Any) -> subprocess.Popen[str]:
        processes.append(subprocess.Popen(*args, text=True, **kwargs))
        return processes[-1]

    yield popen
    for process in processes:
        if process.poll() is None:
            process.kill()
        process.communicate()


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    """A test ends the threads it starts (daemons of libraries aside)."""
    before = set(threading.enumerate())
    yield
    for thread in set(threading.enumerate()) - before:
        if not thread.daemon:
            thread.join(GRACE_SECONDS)
            assert not thread.is_alive(), f"the test left thread {thread.name!r} behind"


@pytest.fixture
def project(tmp_path: Path) -> Callable[..., Path]:
    """Makes project folders: `project(name, definitions, more settings)` gives the folder."""

    def make(name: str, definitions: str, settings: str = "") -> Path:
        folder = tmp_path / name
        folder.mkdir(parents=True)
        (folder / "twinbeam.toml").write_text(f'project = "{name}"\n{settings}', encoding="utf-8")
        (folder / "features.py").write_text(definitions, encoding="utf-8")
        return folder

    return make
