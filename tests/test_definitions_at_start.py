"""Definitions that are applied while a stream or a server begins: neither goes on without them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pipelines.clock import SystemClock
from pipelines.platform import Platform
from pipelines.project import Project
from pipelines.serve import ProjectBackend
from pipelines.settings import Settings
from schemas.errors import RequestError
from schemas.registry import Registry
from serving.server.counters import Counters
from tests import served

Make = Callable[..., Path]
BEFORE = """
from twinbeam import Entity, FeatureView, Source, agg

user = Entity("user", keys={"user_id": "int64"})
buys = Source("buys", fields={"user_id": "int64", "ts": "timestamp", "price": "float64"}, event_time="ts", topic="buys",
    encoding="json")
totals = FeatureView("totals", entity=user, source=buys, features=[agg.count()])
"""
AFTER = f"""{BEFORE}
visits = Source("visits", fields={{"user_id": "int64", "ts": "timestamp", "page": "string"}}, event_time="ts",
    topic="visits", encoding="json")
seen = FeatureView("seen", entity=user, source=visits, features=["page"])
"""
KEYS = {"user_id": [1]}
TIME = "2025-03-01T12:00:00Z"


@pytest.fixture
def folder(project: Make) -> Path:
    made = project("shop", BEFORE)
    with Platform.open(made) as platform:
        platform.apply()
    return made


def change(folder: Path, text: str) -> None:
    (folder / "features.py").write_text(text, encoding="utf-8")


def apply(folder: Path, text: str) -> None:
    """What another process does, after the one of the test has read its definitions."""
    change(folder, text)
    with Platform.open(folder) as other:
        other.apply(accept="state")


def read(folder: Path) -> Project:
    settings = Settings.load(folder, None)
    return Project(settings, Registry.load(list(settings.definitions)), None, SystemClock())


def test_a_stream_has_the_views_that_were_applied_while_it_began(folder: Path) -> None:
    with Platform.open(folder) as platform:
        apply(folder, AFTER)
        with Platform.open(folder) as other:
            other.publish("visits", [{"user_id": 1, "ts": TIME, "page": "home"}])
            other.publish("buys", [{"user_id": 1, "ts": TIME, "price": 1.0}])
            assert platform.run_stream(until="caught_up").events == 2
            assert other.get(["seen:page", "totals:count"], KEYS).to_dict() == {
                **KEYS,
                "seen:page": ["home"],
                "totals:count": [1],
            }


def test_a_server_has_the_views_that_were_applied_while_it_began(folder: Path) -> None:
    project = read(folder)
    apply(folder, AFTER)
    backend = ProjectBackend(project, Counters())
    try:
        assert list(backend.reads.catalog.views) == ["totals", "seen"]
        assert backend.reads.reader(("seen",)).get(KEYS).statuses == {"seen:page": ["NOT_FOUND"]}
        version = backend.reads.version
        apply(folder, BEFORE.replace("agg.count()", "agg.count(), agg.count(over='1h')"))
        backend.look()
        assert (backend.reads.version, list(backend.reads.catalog.views)) == (version + 1, ["totals"])
    finally:
        backend.close()


def test_definitions_that_are_applied_are_not_read_again(tmp_path: Path) -> None:
    project = read(served.project(tmp_path / "shop", filled=False))
    found, deployment = project.as_applied()
    assert (found is project, deployment.version) == (True, 1)
    project.close()


def test_definitions_that_are_not_applied_yet_are_not_taken_up(folder: Path) -> None:
    project = read(folder)
    apply(folder, AFTER)
    for text in (AFTER.replace('["page"]', '["nothing"]'), AFTER.replace("agg.count()", "agg.sum('price', over='1h')")):
        change(folder, text)
        found, deployment = project.as_applied()
        assert (found is project, deployment.version) == (True, 2)
    change(folder, BEFORE)
    found, _ = project.as_applied()
    assert list(found.catalog.views) == ["totals"]
    found.close()
    project.close()


def test_what_is_at_hand_and_not_applied_is_refused(folder: Path) -> None:
    change(folder, AFTER)
    project = read(folder)
    with pytest.raises(RequestError, match="seen: not applied as defined now"):
        project.as_applied()
    assert project.catalog.views["seen"] is not None
    project.close()
