"""Views that are offline only: their rows are those of an online twin, and nothing of them is folded or served."""

from __future__ import annotations

import json
import random
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import polars as pl
import pytest

from pipelines.commands.main import main
from pipelines.heartbeat import ENTITY as RUNS
from pipelines.platform import Platform
from pipelines.stores import Stores
from schemas.errors import DefinitionError, RequestError
from schemas.feature_group import FOLDER
from schemas.registry import Registry
from serving.deployment import Deployment
from serving.feast_registry import FeastRegistry
from serving.tables import events_table, rows_table
from tests.served import serving
from transforms.catalog import Catalog

START = datetime(2026, 5, 1, tzinfo=UTC)
END = START + timedelta(days=4)
KEYS = {"k": [0, 1, 2, 3, 9]}
SETTINGS = 'project = "p"\n[run]\nmax_skew = "36525d"\n'
DEFINITIONS = """
from twinbeam import Encoding, Entity, FeatureService, FeatureView, Source, agg, encode, on_demand

user = Entity("user", keys={"k": "int64"})
events = Source("events", fields={"k": "int64", "ts": "timestamp(us)", "x": "float64"}, event_time="ts",
                files="data/*.parquet", topic="events", cutover="2026-05-03T00:00:00Z", encoding="json")
history = FeatureView("history", entity=user, source=events, where="x > 0.1", ttl="30m", ONLINE late="1h",
                      features=[agg.sum("x", over=["1h", "24h"]), agg.count(over="24h"), "x"],
                      derive={"share": "x_sum_1h / NULLIF(x_sum_24h, 0.0)"})
"""
MORE = """
fresh = FeatureView("fresh", entity=user, source=events, features=[agg.count(over="24h")])
other = history.alias("other", k="other_k")
thing = Entity("thing", keys={"k": "int64"})
alone = FeatureView("alone", entity=thing, source=events, ONLINE features=["x"])
mixed = FeatureService("mixed", features=[fresh, "history:count_24h"])
inputs = Encoding("inputs", features=[encode.standard("history:x")])


@on_demand(inputs=["history:count_24h", "fresh:count_24h"], returns={"part": "float64"})
def kept(df):
    return df.select(part=df["history__count_24h"] / (1 + df["fresh__count_24h"]))
"""
OFFLINE_ONLY = (DEFINITIONS + MORE).replace("ONLINE", "online=False,")
ONLINE = (DEFINITIONS + MORE).replace("ONLINE", "")
NEW = """
late = FeatureView("late", entity=user, source=events, online=False, features=[agg.max("x", over="24h")])
"""
CAUSE_ON, CAUSE_OFF = "online changed: False -> True", "online changed: True -> False"
GROUP = {
    "FeatureGroupName": "orders",
    "RecordIdentifierFeatureName": "order",
    "EventTimeFeatureName": "at",
    "FeatureDefinitions": [
        {"FeatureName": "order", "FeatureType": "String"},
        {"FeatureName": "at", "FeatureType": "String"},
        {"FeatureName": "price", "FeatureType": "Fractional"},
    ],
    "OfflineStoreConfig": {"S3StorageConfig": {"S3Uri": "s3://bucket/prefix"}},
    "Created": 1_700_000_000_000,
}


@dataclass(frozen=True)
class Twins:
    """Two projects that took in the same events; only in one of them the view is online."""

    offline_only: Path
    online: Path


def happened(count: int, seed: int, first: datetime, days: float) -> list[dict[str, Any]]:
    rng = random.Random(seed)
    return [
        {"k": rng.randrange(4), "ts": first + timedelta(seconds=rng.randrange(int(days * 86400))), "x": rng.random()}
        for _ in range(count)
    ]


def taken_in(folder: Path, text: str) -> Path:
    """A project whose view has rows of files and of a topic, of two streams."""
    (folder / "data").mkdir(parents=True)
    files = pl.DataFrame(happened(300, 1, START, 2)).with_columns(pl.col("ts").cast(pl.Datetime("us", "UTC")))
    files.write_parquet(folder / "data" / "first.parquet")
    (folder / "twinbeam.toml").write_text(SETTINGS)
    (folder / "features.py").write_text(text)
    with Platform.open(folder) as platform:
        platform.apply()
        platform.run_batch()
        for seed in (2, 3):
            platform.publish("events", happened(150, seed, START + timedelta(days=2), 2))
            platform.run_stream(until="caught_up")
    return folder


@pytest.fixture(scope="module")
def twins(tmp_path_factory: pytest.TempPathFactory) -> Twins:
    place = tmp_path_factory.mktemp("twins")
    return Twins(taken_in(place / "offline_only", OFFLINE_ONLY), taken_in(place / "online", ONLINE))


@pytest.fixture
def offline_only(twins: Twins) -> Iterator[Platform]:
    with Platform.open(twins.offline_only) as platform:
        yield platform


def copied(folder: Path, to: Path, text: str) -> Path:
    """The project with other definitions, not applied yet."""
    shutil.copytree(folder, to)
    (to / "features.py").write_text(text)
    return to


def rows(platform: Platform) -> pl.DataFrame:
    """Rows of the view, with the places they come from but what is each project's own."""
    table = rows_table("history", platform.catalog.views["history"].rows_fingerprint)
    found = pl.DataFrame(platform.offline.read(table))
    assert isinstance(found, pl.DataFrame)
    of_files = found["_lane"].str.contains("/files-")
    assert 0 < of_files.sum() < len(found)
    return found.select(pl.exclude("_arrival", "_lane"), _of_files=of_files).sort("_of_files", "_offset")


def training(platform: Platform, features: Any = "history") -> Any:
    times = [START + timedelta(hours=7 * step) for step in range(16)]
    spine = {"k": [step % 5 for step in range(16)], "other_k": [step % 3 for step in range(16)], "t": times}
    return platform.training_set(spine, features, time="t")


def in_store(platform: Platform) -> tuple[set[str], set[str]]:
    """Tables of cells, and blocks that have cells or marks, of an online store."""
    with closing(sqlite3.connect(platform.settings.online.path)) as store:
        tables = {name for (name,) in store.execute("SELECT name FROM sqlite_master WHERE name LIKE 'cells_%'")}
        return tables, {text for (text,) in store.execute("SELECT text FROM blocks")} - {RUNS}


def held(platform: Platform) -> dict[str, set[str]]:
    """Ids of the blocks applied, by view."""
    found = Deployment.load(platform.offline).blocks
    return {name: {block.id for block in blocks} for name, blocks in found.items()}


def test_rows_are_those_of_the_online_twin(twins: Twins, offline_only: Platform) -> None:
    with Platform.open(twins.online) as online:
        views = offline_only.catalog.views["history"], online.catalog.views["history"]
        assert views[0].rows_fingerprint == views[1].rows_fingerprint
        assert [one.fingerprint for one in views[0].features] == [one.fingerprint for one in views[1].features]
        found = rows(offline_only)
        assert len(found) > 400
        assert found.equals(rows(online))


def test_nothing_of_it_is_in_the_online_store(twins: Twins, offline_only: Platform) -> None:
    with Platform.open(twins.online) as online:
        assert in_store(online) == ({"cells_user", "cells_thing", f"cells_{RUNS}"}, set().union(*held(online).values()))
        assert in_store(offline_only) == ({"cells_user", f"cells_{RUNS}"}, held(offline_only)["fresh"])
        assert held(offline_only) == {**held(online), "history": set(), "alone": set()}
        assert len(held(online)["history"]) > 1


def test_training_sets_are_those_of_the_online_twin(twins: Twins, offline_only: Platform) -> None:
    with Platform.open(twins.online) as online:
        for features in ("history", "other", "mixed", "kept", "alone", ["history:share", "fresh"]):
            found, wanted = training(offline_only, features), training(online, features)
            assert found.fingerprint == wanted.fingerprint
            assert found.statuses == wanted.statuses
            assert found.to_polars().equals(wanted.to_polars())
        statuses = {status for of_feature in training(offline_only).statuses.values() for status in of_feature}
        assert {"PRESENT", "OUTSIDE_MAX_AGE"} <= statuses


@pytest.mark.parametrize(
    ("features", "named"),
    [
        ("history", "feature view 'history' is offline only (online=False), not read online"),
        (["fresh", "history:share"], "feature view 'history' is offline only (online=False), so that fresh cannot"),
        ("other", "feature view 'history' is offline only (online=False), so that other cannot be read online"),
        ("mixed", "feature view 'history' is offline only (online=False), so that service 'mixed' cannot"),
        ("kept", "feature view 'history' is offline only (online=False), so that kept cannot be read online"),
        ("inputs", "feature view 'history' is offline only (online=False), so that inputs cannot be read online"),
        (["alone", "history"], "feature views alone, history are offline only (online=False), not read online"),
    ],
)
def test_reads_online_are_refused(offline_only: Platform, features: Any, named: str) -> None:
    for ask in (lambda: offline_only.get(features, KEYS | {"other_k": 1}), lambda: offline_only.reader(features)):
        with pytest.raises(RequestError) as refused:
            ask()
        assert str(refused.value).startswith(named)
        assert "training_set reads all of it" in str(refused.value)
    assert len(offline_only.get("fresh", KEYS, now=END)) == 5


@pytest.mark.xdist_group("server")
def test_the_server_refuses_it_by_every_protocol(twins: Twins) -> None:
    with serving(twins.offline_only) as server, httpx.Client(base_url=server.url, timeout=60) as client:
        for features in ("history", "mixed", "kept"):
            answer = client.post("/v1/features", json={"features": features, "keys": KEYS})
            assert answer.status_code == 400
            assert answer.json()["detail"].startswith("feature view 'history' is offline only (online=False)")
        answer = client.post("/get-online-features", json={"feature_service": "mixed", "entities": KEYS})
        assert answer.status_code == 422
        told = json.loads(answer.json())
        assert (told["class"], "feature view 'history' is offline only" in told["message"]) == ("FeastError", True)
        answer = client.post("/v1/features", json={"features": "fresh", "keys": KEYS})
        assert answer.status_code == 200
        shown = {view["name"]: view["online"] for view in client.get("/v1/registry").json()["views"]}
        assert shown == {"history": False, "alone": False, "fresh": True}
        found = {each["address"]: each["online"] for each in client.get("/v1/registry/search").json()["features"]}
        assert (found["history:x"], found["fresh:count_24h"], found["kept:part"]) == (False, True, False)


def test_switched_on_it_is_filled_from_the_offline_store(twins: Twins, tmp_path: Path) -> None:
    folder = copied(twins.offline_only, tmp_path / "on", ONLINE)
    with Platform.open(folder) as platform, Platform.open(twins.online) as online:
        before = rows(platform)
        (planned,) = [row for row in platform.plan().views if row.view == "history"]
        assert (planned.change, planned.state, planned.causes) == ("changed", "new block", (CAUSE_ON,))
        assert (planned.backfill, planned.services, planned.lost) == (len(before), ("mixed",), ())
        with pytest.raises(RequestError, match="not applied yet"):
            platform.get("history", KEYS)
        with pytest.raises(RequestError, match="history, alone: not applied as defined now"):
            platform.run_batch()
        platform.apply()
        with pytest.raises(RequestError, match="still being filled from history"):
            platform.get("history", KEYS)
        platform.run_batch()
        for features in ("history", "mixed", "kept", "alone"):
            found, wanted = platform.get(features, KEYS, now=END), online.get(features, KEYS, now=END)
            assert (found.to_dict(), found.statuses) == (wanted.to_dict(), wanted.statuses)
        assert rows(platform).equals(before)


def test_switched_off_it_is_refused_and_no_longer_fed(twins: Twins, tmp_path: Path) -> None:
    folder = copied(twins.online, tmp_path / "off", ONLINE)
    with Platform.open(folder) as platform:
        earlier = platform.audit().answers  # other tests have read the online twin
        served = platform.get("history", KEYS, now=END).to_dict()
        answers = platform.audit().answers
        assert answers == earlier + 1
        blocks = held(platform)["history"]
    (folder / "features.py").write_text(OFFLINE_ONLY)
    with Platform.open(folder) as platform:
        before = rows(platform)
        (planned,) = [row for row in platform.plan().views if row.view == "history"]
        assert (planned.change, planned.state, planned.causes) == ("changed", "discarded", (CAUSE_OFF,))
        assert (planned.backfill, planned.services, set(planned.lost)) == (0, ("mixed",), blocks)
        with pytest.raises(RequestError, match="history, alone: applying this gives up stored state"):
            platform.apply()
        platform.apply(accept="state")
        assert held(platform)["history"] == set()
        assert rows(platform).equals(before)
        marks = positions(platform, blocks)
        platform.publish("events", happened(50, 4, START + timedelta(days=2), 2))
        platform.run_stream(until="caught_up")
        assert len(rows(platform)) > len(before)
        assert positions(platform, blocks) == marks != {}
        with pytest.raises(RequestError, match="feature view 'history' is offline only"):
            platform.get("history", KEYS)
        report = platform.audit()
        assert (report.answers, report.skipped, report.mismatches) == (0, answers, ())
    (folder / "features.py").write_text(ONLINE)
    with Platform.open(folder) as platform:
        platform.apply()
        assert len(held(platform)["history"]) == len(blocks)
        assert not held(platform)["history"] & blocks
        platform.run_batch()
        spine = {"k": KEYS["k"], "t": [END] * len(KEYS["k"])}
        found = platform.get("history", KEYS, now=END).to_dict()
        trained = platform.training_set(spine, "history", time="t").to_dict()
        assert found == {name: trained[name] for name in found}
        assert found != served


def positions(platform: Platform, blocks: set[str]) -> dict[tuple[str, str], int]:
    """Offset of every mark of blocks."""
    with closing(Stores.of(platform.settings).online()) as store:
        return {(mark.log, mark.lane): mark.offset for mark in store.marks(sorted(blocks))}


def test_what_is_new_or_changed_is_applied_before_it_is_fed(twins: Twins, tmp_path: Path) -> None:
    new = OFFLINE_ONLY + NEW
    with Platform.open(copied(twins.offline_only, tmp_path / "new", new)) as platform:
        with pytest.raises(RequestError, match=r"^late: not applied as defined now"):
            platform.run_batch()
        platform.apply()
        report = platform.run_batch()
        assert report.views["late"].rows == platform.offline.count(events_table("events")) == 600
        assert held(platform)["late"] == set()
    with Platform.open(
        copied(twins.offline_only, tmp_path / "changed", OFFLINE_ONLY.replace("> 0.1", "> 0.2"))
    ) as other:
        with pytest.raises(RequestError, match=r"^history: not applied as defined now"):
            other.run_batch()
        (planned,) = other.plan().views
        assert (planned.state, planned.backfill, planned.lost) == ("new", 600, ())


def test_the_command_line_says_so(project: Any, capsys: pytest.CaptureFixture[str]) -> None:
    folder = project("p", OFFLINE_ONLY)
    said = run(capsys, 2, "plan", folder)
    assert "history: added, state new\n    view added\n    offline only: online=False\n" in said
    assert "fresh: added, state new\n    view added\n    services hit: mixed" in said
    run(capsys, 0, "apply", folder)
    assert "Nothing to apply" in run(capsys, 0, "plan", folder)
    (folder / "features.py").write_text(ONLINE)
    said = run(capsys, 2, "plan", folder)
    assert f"history: changed, state new block\n    {CAUSE_ON}\n    services hit: mixed" in said
    run(capsys, 0, "apply", folder)
    (folder / "features.py").write_text(OFFLINE_ONLY)
    assert f"history: changed, state discarded\n    {CAUSE_OFF}\n    services hit: mixed" in run(
        capsys, 2, "plan", folder
    )
    shown = json.loads(run(capsys, 0, "features", folder, "show", "history:x", "--json"))
    assert (shown["address"], shown["online"]) == ("history:x", False)
    assert main(["get", "history", "k=1", "--project", str(folder)]) == 1
    assert "feature view 'history' is offline only" in capsys.readouterr().err
    run(capsys, 0, "apply", folder, "--accept", "state")
    assert main(["doctor", "--project", str(folder)]) == 0
    assert "the definitions are applied" in capsys.readouterr().out


def run(capsys: pytest.CaptureFixture[str], code: int, command: str, folder: Path, *words: str) -> str:
    """What a command prints."""
    assert main([command, *words, "--project", str(folder)]) == code
    return capsys.readouterr().out


def test_feasts_registry_says_so(offline_only: Platform) -> None:
    catalog = offline_only.catalog
    written = FeastRegistry("p", catalog, lambda name: None, lambda name: None, 0).written()
    online = bytes([8 << 3, 1])
    specs = {name: written.partition(b"\n" + bytes([len(name)]) + name.encode())[2][:8] for name in catalog.views}
    assert {name: online in spec for name, spec in specs.items()} == {"history": False, "alone": False, "fresh": True}


@pytest.mark.parametrize("given", ["'no'", "0", "None"])
def test_anything_but_true_and_false_is_a_mistake(tmp_path: Path, given: str) -> None:
    (tmp_path / "features.py").write_text(OFFLINE_ONLY.replace("online=False, late", f"online={given}, late"))
    with pytest.raises(DefinitionError, match=f"history: online is {given}: legal are True and False"):
        Catalog.compile(Registry.load(tmp_path / "features.py"))


def test_a_feature_group_without_an_online_store_is_one(project: Any) -> None:
    folder = project("p", OFFLINE_ONLY, '[run]\nmax_skew = "36525d"\n')
    (folder / FOLDER).mkdir()
    (folder / FOLDER / "orders.json").write_text(json.dumps(GROUP))
    with Platform.open(folder) as platform:
        platform.apply()
        (group,) = platform.registry.groups
        event = {"order": "a", "at": START, "price": 1.5, "is_deleted": False, "online_": False, "offline_": True}
        platform.publish(group.source, [event])
        platform.run_stream(until="caught_up")
        assert held(platform)["orders"] == set()
        assert platform.offline.count(rows_table("orders", platform.catalog.views["orders"].rows_fingerprint)) == 1
        assert f"cells_{group.source}" not in in_store(platform)[0]
        with pytest.raises(RequestError, match="feature view 'orders' is offline only"):
            platform.get("orders", {"order": ["a"]})
