"""Publishing: what keys records, what is sent, and when nothing is."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest

from pipelines.brokers.embedded import EmbeddedBroker
from pipelines.publish import key_fields, publish
from schemas.entity import Entity
from schemas.errors import EventError, LaneError
from schemas.feature_view import FeatureView
from schemas.source import Source
from transforms.encodings.conform import check_events
from transforms.encodings.decoder import decoder
from transforms.keys import encode_keys

NOON = datetime(2026, 12, 1, 12, tzinfo=UTC)
PURCHASES = Source("p", fields={"user": "int64", "shop": "string", "at": "timestamp"}, event_time="at", topic="p")
USER = Entity("user", keys={"user": "int64"})


def test_fields_that_key_records() -> None:
    other = Source("o", fields={"user": "int64", "at": "timestamp"}, event_time="at", topic="o")
    pair = Entity("pair", keys={"shop": "string", "user": "int64"})
    cell = Entity("cell", keys={"user": "int64"}, key_from={"user": "shop"}, inputs={"shop": "string"})
    views = [
        FeatureView("a", entity=USER, source=other, features=["at"]),
        FeatureView("b", entity=USER, source=PURCHASES, select={"user": "user + 1"}, features=["at"]),
        FeatureView("c", entity=cell, source=PURCHASES, features=["at"]),
        FeatureView("d", entity=pair, source=[other, PURCHASES], features=["at"]),
        FeatureView("e", entity=USER, source=PURCHASES, features=["at"]),
    ]
    assert key_fields(PURCHASES, views) == ("shop", "user")
    assert key_fields(PURCHASES, views[4:]) == ("user",)
    assert key_fields(PURCHASES, views[:3]) == ()
    assert key_fields(other, views[:1]) == ("user",)


def test_publishing(tmp_path: Path) -> None:
    topics = EmbeddedBroker(tmp_path / "topics.db")
    topics.create("p", 2)
    events = [{"user": user, "shop": "x", "at": NOON} for user in (1, 2, None, 1)]
    last = publish(topics, "p", PURCHASES, events, ["user"], 5)
    assert sum(offset + 1 for offset in last.values()) == 4
    assert set(last) <= {f"p/topic-{topics.id('p')}/{partition}" for partition in (0, 1)}
    records = pa.concat_batches([topics.read("p", partition, 0, 10) for partition in (0, 1)])
    keys = encode_keys([pa.array([1, 2, None], pa.int64())]).to_pylist()
    assert sorted(map(repr, records["key"].to_pylist())) == sorted(map(repr, [*keys, keys[0]]))
    decoded = decoder(PURCHASES).decode(records["value"])
    assert sorted(map(repr, decoded.events.to_pylist())) == sorted(map(repr, events_of(events)))
    assert publish(topics, "p", PURCHASES, pl.DataFrame(events[:2]), [], 6)
    assert publish(topics, "p", PURCHASES, [], [], 6) == {}
    assert sum(topics.ends("p").values()) == 6


def events_of(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = check_events(PURCHASES, rows).to_pylist()
    return found


def test_nothing_is_sent_of_a_call_with_an_event_that_does_not_fit(tmp_path: Path) -> None:
    topics = EmbeddedBroker(tmp_path / "topics.db")
    topics.create("p", 2)
    with pytest.raises(EventError, match=r"^p: row 1: user: 'x' is no int64$"):
        publish(topics, "p", PURCHASES, [{"user": 1, "at": NOON}, {"user": "x", "at": NOON}], ["user"], 5)
    with pytest.raises(LaneError, match="there is no topic 'q'"):
        publish(topics, "q", PURCHASES, [{"user": 1, "at": NOON}], ["user"], 5)
    assert set(topics.ends("p").values()) == {0}


def test_raw_values_are_sent_as_they_are(tmp_path: Path) -> None:
    topics = EmbeddedBroker(tmp_path / "topics.db")
    topics.create("p", 1)
    publish(topics, "p", PURCHASES, [b"no avro", b""], ["user"], 5)
    records = topics.read("p", 0, 0, 10)
    assert records["value"].to_pylist() == [b"no avro", b""]
    assert records["key"].to_pylist() == [None, None]
