"""The example of interactions, over the embedded broker and over a real Kafka and Cassandra: nothing differs."""

from __future__ import annotations

import json
import uuid
from pathlib import Path

import pytest

from examples.interactions import demo
from examples.interactions.shop import CATEGORIES, END, USERS, expected, made_up
from twinbeam import Platform

EVENTS, PROBES = 1_500, 5
FEATURES = 38


def servers(request: pytest.FixtureRequest) -> str:
    kafka, cassandra = request.getfixturevalue("kafka"), request.getfixturevalue("cassandra")
    return f"""
        [stream]
        broker = "kafka"
        [stream.kafka]
        servers = "{kafka.servers}"
        [online]
        store = "cassandra"
        [online.cassandra]
        hosts = "{cassandra.hosts}"
        keyspace = "{request.getfixturevalue("keyspace")}"
        datacenter = "datacenter1"
        commit_log_window = "1s"
        """


@pytest.mark.parametrize("engines", ["embedded", "servers"])
def test_abfs_1_counts_of_users_and_categories_are_served(
    engines: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """ABFS-1, and ABFS-2: maps by category, in the same read."""
    settings = "" if engines == "embedded" else servers(request)
    topic = f"interactions-{uuid.uuid4().hex[:8]}"
    result = demo.run(tmp_path / "shop", settings, EVENTS, PROBES, topic)
    assert result["stores"] == (["sqlite", "sqlite"] if engines == "embedded" else ["kafka", "cassandra"])
    assert result["offline_rows"] == result["events"] == EVENTS + PROBES
    assert (result["values"], result["differing"]) == (USERS * len(CATEGORIES) * FEATURES, 0)
    assert result["audit"] == {"answers": 1, "values": result["values"], "differing": 0}
    assert result["freshness"]["probes"] == PROBES
    assert json.loads((tmp_path / "shop" / "report.json").read_text()) == result
    with Platform.open(tmp_path / "shop") as platform:
        assert topic in platform.broker.names()
        one = platform.get("user_actions:clicks_1d_by_category", {"user_id": [7]}, now=END).to_dict()
    told = expected(made_up(EVENTS, demo.SEED), 7, "toys")["user_actions:clicks_1d_by_category"]
    assert len(told) > 1
    assert one["user_actions:clicks_1d_by_category"] == [told]


def test_what_is_expected_is_no_empty_thing() -> None:
    events = made_up(EVENTS, demo.SEED)
    found = [expected(events, user, category) for user in range(USERS) for category in CATEGORIES]
    assert {len(each) for each in found} == {FEATURES}
    for address in found[0]:
        values = {repr(each[address]) for each in found}
        assert len(values) > 1, address
    assert any(each["user_category_actions:shows_1m"] != each["user_category_actions:shows_5m"] for each in found)


def test_a_folder_that_holds_something_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(SystemExit, match="holds something already"):
        demo.write_project(tmp_path, "", "interactions")
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
