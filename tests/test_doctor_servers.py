"""`twinbeam doctor` over real servers: what answers, what does not, and what is still to be made."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from pipelines.commands.main import main
from pipelines.dev.cassandra import Cassandra
from pipelines.dev.kafka import Kafka

DEFINITIONS = """
from twinbeam import Entity, FeatureView, Source, agg

user = Entity("user", keys={"user_id": "int64"})
buys = Source("buys", fields={"user_id": "int64", "ts": "timestamp(us)"}, event_time="ts", topic="TOPIC",
    encoding="json")
totals = FeatureView("totals", entity=user, source=buys, features=[agg.count()])
"""
SETTINGS = """
[stream]
broker = "kafka"
[stream.kafka]
servers = "KAFKA"
timeout = "5s"
[online]
store = "cassandra"
[online.cassandra]
hosts = "CASSANDRA"
keyspace = "KEYSPACE"
commit_log_window = "1s"
"""


def nobody() -> str:
    """Address at which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as door:
        return f"127.0.0.1:{door.getsockname()[1]}"


@pytest.fixture
def shop(
    project: Callable[..., Path], kafka: Kafka, cassandra: Cassandra, topic_prefix: str, keyspace: str
) -> Callable[..., Path]:
    def make(name: str, kafka_at: str = kafka.servers, cassandra_at: str = cassandra.hosts, more: str = "") -> Path:
        settings = SETTINGS.replace("KAFKA", kafka_at).replace("CASSANDRA", cassandra_at).replace("KEYSPACE", keyspace)
        return project(name, DEFINITIONS.replace("TOPIC", f"{topic_prefix}buys"), settings + more)

    return make


def found(folder: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, tuple[str, str]]:
    capsys.readouterr()
    main(["doctor", "--json", "--project", str(folder)])
    return {each["check"]: (each["state"], each["found"]) for each in json.loads(capsys.readouterr().out)}


def test_what_is_to_be_made_is_told_and_then_well(
    shop: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = shop("shop")
    before = found(folder, capsys)
    assert before["topics"][0] == "note"
    assert main(["apply", "--project", str(folder)]) == 0
    after = found(folder, capsys)
    assert after["online store"][0] == after["topics"][0] == after["plan"][0] == "ok"
    assert "buys ends at 0" in after["topics"][1]


def test_servers_that_do_not_answer_are_named(shop: Callable[..., Path], capsys: pytest.CaptureFixture[str]) -> None:
    gone, also = nobody(), nobody()
    flink = f'[run]\nrunner = "flink"\n[run.flink]\njobmanager = "http://{nobody()}"\n'
    folder = shop("away", gone, also, f'[stream.registry]\nurl = "http://{nobody()}"\n{flink}')
    told = found(folder, capsys)
    assert told["topics"] == ("wrong", told["topics"][1])
    assert gone in told["topics"][1]
    assert told["online store"][0] == told["flink"][0] == told["schema registry"][0] == "wrong"
    assert also in told["online store"][1]
