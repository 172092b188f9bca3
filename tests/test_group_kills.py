"""kill -9 of a server that makes a feature group: the next one has the group whole, or not at all."""

from __future__ import annotations

import fcntl
import json
import os
import random
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from pipelines.group_changes import GroupChanges
from pipelines.platform import Platform
from pipelines.settings import Settings
from tests.served import Server, descendants, serving

Make = Callable[..., Path]
SEED = int(os.environ.get("TWINBEAM_SOAK_SEED", "3"))
LIVES = 4 * max(1, int(os.environ.get("TWINBEAM_SOAK_SIZE", "1")))
PATIENCE = 120.0
DEFINITIONS = """
from twinbeam import Entity, FeatureView, Source

user = Entity("user", keys={"user_id": "int64"})
visits = Source("visits", fields={"user_id": "int64", "ts": "timestamp", "page": "string"}, event_time="ts",
    topic="visits", encoding="json")
visit = FeatureView("visit", entity=user, source=visits, features=["page"])
"""
SETTINGS = """
[run]
max_skew = "36525d"
[serving]
log_sample = 0.0
"""
AT = "2026-01-01T10:30:00Z"


def definition(name: str) -> dict[str, Any]:
    kinds = {"id": "String", "at": "String", "price": "Fractional"}
    return {
        "FeatureGroupName": name,
        "RecordIdentifierFeatureName": "id",
        "EventTimeFeatureName": "at",
        "FeatureDefinitions": [{"FeatureName": each, "FeatureType": kind} for each, kind in kinds.items()],
        "OnlineStoreConfig": {"EnableOnlineStore": True},
    }


class Asking:
    """Asks a server without signing."""

    def __init__(self, server: Server) -> None:
        self._http = httpx.Client(base_url=server.url, timeout=PATIENCE)

    def control(self, operation: str, **body: Any) -> tuple[int, Any]:
        answer = self._http.post("/", json=body, headers={"x-amz-target": f"SageMaker.{operation}"})
        return answer.status_code, answer.json()

    def put(self, name: str, price: str) -> None:
        told = {"id": "a", "at": AT, "price": price}
        record = [{"FeatureName": feature, "ValueAsString": value} for feature, value in told.items()]
        answer = self._http.put(f"/FeatureGroup/{name}", json={"Record": record})
        assert answer.status_code == 200, answer.text

    def get(self, name: str) -> tuple[int, Any]:
        answer = self._http.get(f"/FeatureGroup/{name}", params={"RecordIdentifierValueAsString": "a"})
        return answer.status_code, answer.json()

    def close(self) -> None:
        self._http.close()


def killed(server: Server) -> None:
    """Kills a server and all processes that it has started, at once."""
    os.kill(server.pid, signal.SIGSTOP)
    for pid in descendants(server.pid):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    server.process.kill()
    assert server.process.wait(PATIENCE) == -signal.SIGKILL


def whole(asking: Asking, folder: Path, name: str) -> bool:
    """Whether there is a group; it is all there, or nothing of it, and definitions are those that are applied."""
    status, told = asking.control("DescribeFeatureGroup", FeatureGroupName=name)
    with Platform.open(folder) as platform:
        assert not platform.plan().changes
        there = name in platform.registry.views
    if status == 200:
        assert told["FeatureGroupStatus"] == "Created"
        assert (there, asking.get(name)) == (True, (200, {}))
    else:
        assert (told["__type"], there, asking.get(name)[0]) == ("ResourceNotFound", False, 404)
    return status == 200


@pytest.mark.parametrize("seed", [SEED], ids=lambda seed: f"TWINBEAM_SOAK_SEED={seed}")
def test_a_server_killed_while_it_makes_a_group(project: Make, seed: int) -> None:
    chance = random.Random(seed)
    folder = project("shop", DEFINITIONS, SETTINGS)
    with Platform.open(folder) as platform:
        platform.apply()
    names, made = [f"g{number}" for number in range(LIVES)], dict[str, bool]()
    took = 0.0
    for name in [*names, None]:
        with serving(folder) as server:
            asking = Asking(server)
            if name is None or took:
                last = names[len(made)]
                made[last] = whole(asking, folder, last)
                status, told = asking.control("CreateFeatureGroup", **definition(last))
                assert (status, told.get("__type")) == ((400, "ResourceInUse") if made[last] else (200, None))
                asking.put(last, str(len(made)))
            else:
                begun = time.monotonic()
                assert asking.control("CreateFeatureGroup", **definition("first"))[0] == 200
                took = time.monotonic() - begun
            if name is not None:
                _create_and_kill(server, folder / "feature_groups" / f"{name}.json", definition(name), took, chance)
            asking.close()
    assert not (folder / "feature_groups" / ".lock").read_bytes()
    with Platform.open(folder) as platform:
        platform.run_stream(until="caught_up")
        for number, name in enumerate(names):
            (key,) = platform.registry.views[name].entity.keys
            assert platform.get(f"{name}:price", {key: ["a"]}).to_dict()[f"{name}:price"] == [number + 1.0]


def test_what_a_dead_process_left_is_finished_or_undone(project: Make) -> None:
    folder = project("shop", DEFINITIONS, SETTINGS)
    with Platform.open(folder) as platform:
        platform.apply()
    changes = GroupChanges(Settings.load(folder, None))
    lock, kept, other = (changes.folder / name for name in (".lock", "kept.json", "other.json"))
    with changes.alone():
        changes.apply("kept", definition("kept") | {"Created": 1})
    text = kept.read_text(encoding="utf-8")

    def left(note: str) -> None:
        """What is told of the change that a process died over, and what comes of it."""
        lock.write_text(note, encoding="utf-8")
        with lock.open("ab") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            changes.recover()  # Somebody is at it, and no process has died.
            assert lock.read_text(encoding="utf-8") == note
        changes.recover()
        assert (lock.read_bytes(), kept.read_text(encoding="utf-8"), other.exists()) == (b"", text, False)
        with Platform.open(folder) as platform:
            assert not platform.plan().changes

    left('{"name": "oth')
    left(json.dumps({"name": "kept", "before": None}))
    other.write_text("no group", encoding="utf-8")
    left(json.dumps({"name": "other", "before": None}))
    other.write_text(json.dumps(definition("other") | {"Created": 1}), encoding="utf-8")
    left(json.dumps({"name": "other", "before": None}))
    kept.unlink()
    left(json.dumps({"name": "kept", "before": text}))
    changed = json.loads(text)
    changed["FeatureDefinitions"].append({"FeatureName": "more", "FeatureType": "String"})
    kept.write_text(json.dumps(changed), encoding="utf-8")
    left(json.dumps({"name": "kept", "before": text}))


def _create_and_kill(server: Server, file: Path, asked: dict[str, Any], seconds: float, chance: random.Random) -> None:
    """Asks for a group, and kills the server some time after that, or after the group's file is there."""
    answers: list[Any] = []

    def create() -> None:
        asking = Asking(server)
        with suppress(httpx.TransportError):
            answers.append(asking.control("CreateFeatureGroup", **asked))
        asking.close()

    thread = threading.Thread(target=create)
    thread.start()
    if chance.random() < 0.7:
        while not file.exists() and thread.is_alive():
            time.sleep(0.001)
        seconds /= 2
    time.sleep(chance.random() * seconds)
    killed(server)
    thread.join(PATIENCE)
    assert all(status == 200 for status, _ in answers), json.dumps(answers)
