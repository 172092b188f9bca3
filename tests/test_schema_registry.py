"""The client of a schema registry: ids, references, and a registry that refuses or is away."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from pipelines.brokers import schema_registry
from pipelines.brokers.schema_registry import SchemaRegistry
from pipelines.engine_settings import RegistrySettings
from pipelines.settings import Settings
from pipelines.stores import Stores
from schemas.errors import EventError, StoreAway, StoreError
from schemas.source import Source
from tests.registry_server import Registry, serving
from transforms.encodings.confluent import ConfluentDecoder

KEY = {"type": "record", "name": "shop.Key", "fields": [{"name": "id", "type": "long"}]}
BUY = {"type": "record", "name": "shop.Buy", "fields": [{"name": "key", "type": "shop.Key"}]}


@pytest.fixture
def registry() -> Iterator[Registry]:
    with serving(Registry()) as made:
        yield made


@pytest.fixture
def client(registry: Registry) -> Iterator[SchemaRegistry]:
    made = SchemaRegistry(settings(registry.url))
    yield made
    made.close()


def settings(url: str, user: str | None = None, password: str = "") -> RegistrySettings:
    return RegistrySettings(url, 2_000_000, user, None, {"password": password})


def test_a_schema_is_asked_for_once(registry: Registry, client: SchemaRegistry) -> None:
    number = registry.add("t-value", KEY)
    assert [client.schema(number) for _ in range(3)] == [KEY] * 3
    assert registry.asked == {f"GET /schemas/ids/{number}": 1}


def test_an_unknown_id_is_asked_for_again_after_a_while(
    registry: Registry, client: SchemaRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(3):
        with pytest.raises(EventError, match="schema id 1 is unknown to the schema registry http://127"):
            client.schema(1)
    assert registry.asked == {"GET /schemas/ids/1": 1}
    registry.add("t-value", KEY)
    monkeypatch.setattr(schema_registry, "ASK_AGAIN_SECONDS", 0.0)
    assert client.schema(1) == KEY


def test_schemas_of_other_kinds_are_named(registry: Registry, client: SchemaRegistry) -> None:
    registry.add("t-value", {"type": "object"}, schemaType="JSON")
    with pytest.raises(EventError, match="schema id 1 is of type JSON, legal is AVRO"):
        client.schema(1)
    registry.add("t-value", {"type": "record"}, references=[{"name": "x", "subject": "t-value", "version": 1}])
    with pytest.raises(EventError, match="schema id 2: is no legal Avro schema"):
        client.schema(2)


def test_references_are_written_out(registry: Registry, client: SchemaRegistry) -> None:
    registry.add("key", KEY)
    number = registry.add("t-value", BUY, references=[{"name": "shop.Key", "subject": "key", "version": 1}])
    source = Source(
        "s",
        fields={"key": "struct<id:int64>"},
        topic="t",
        encoding="confluent",
    )
    schema = client.schema(number)
    assert schema["fields"][0]["type"]["fields"][0]["name"] == "id"
    value = b"\0" + number.to_bytes(4, "big") + b"\x0e"
    found = ConfluentDecoder(source, client.schema).decode(pa.array([value], pa.binary()))
    assert found.events.to_pylist() == [{"key": {"id": 7}}]


def test_registering_gives_one_id_for_one_schema(registry: Registry, client: SchemaRegistry) -> None:
    assert client.register("t", KEY) == client.register("t", KEY) == 1
    assert registry.asked == {"POST /subjects/t-value/versions": 1}
    other = {**KEY, "doc": "more"}
    assert (client.register("t", other), registry.subjects) == (2, {"t-value": [1, 2]})
    registry.conflict = True
    with pytest.raises(StoreError, match=r"refuses the source's schema for subject 't-value': 409 .*incompatible") as e:
        client.register("t", {**KEY, "doc": "again"})
    assert not isinstance(e.value, StoreAway)


def test_a_login(registry: Registry) -> None:
    registry.user = ("app", "right")
    for login in [("app", "wrong"), (None, "")]:
        client = SchemaRegistry(settings(registry.url, *login))
        with pytest.raises(StoreError, match=r"refuses .*401 Unauthorized; check") as e:
            client.register("t", KEY)
        assert "wrong" not in str(e.value)
        client.close()
    client = SchemaRegistry(settings(registry.url, "app", "right"))
    assert client.schema(client.register("t", KEY)) == KEY
    client.close()


def test_a_registry_that_is_away_says_so_and_may_come_back(registry: Registry) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    client = SchemaRegistry(settings(f"http://127.0.0.1:{port}"))
    with pytest.raises(StoreAway, match="does not answer"):
        client.schema(1)
    with serving(Registry(), port) as back:
        back.broken = True
        with pytest.raises(StoreAway, match="500 Error in the backend"):
            client.schema(1)
        back.broken = False
        number = back.add("t-value", KEY)
        assert client.schema(number) == KEY
    client.close()


def test_settings_lead_to_it(tmp_path: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REGISTRY_PASSWORD", "right")
    registry.user = ("app", "right")
    values: dict[str, Any] = {"project": "p", "stream": {"registry": {"url": registry.url + "/", "user": "app"}}}
    assert Stores.of(Settings.of({"project": "p"}, tmp_path)).schemas() is None
    values["stream"]["registry"]["secrets"] = {"password_env": "REGISTRY_PASSWORD"}
    stores = Stores.of(Settings.of(values, tmp_path))
    assert "right" not in repr(stores)
    client = stores.schemas()
    assert client is not None
    assert client.register("t", KEY) == 1
    client.close()
