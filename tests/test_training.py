"""Training sets: part by part as whole, computed keys, the report, and an empty store."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from pipelines.platform import Platform
from schemas.errors import RequestError
from serving import training

START = datetime(2026, 5, 1, tzinfo=UTC)
SETTINGS = 'project = "p"\ndefinitions = "features.py"\n[run]\nmax_skew = "36525d"\n'
TEXT = """
from twinbeam import Entity, FeatureService, FeatureView, Source, agg

place = Entity("place", keys={"cell": "string", "day": "date"}, inputs={"lon": "float64", "at": "timestamp"},
               key_from={"cell": "CAST(CAST(FLOOR(lon) AS int64) AS string) || 'E'", "day": "CAST(at AS date)"})
rides = Source("rides", fields={"lon": "float64", "at": "timestamp", "fare": "float64"}, event_time="at",
               topic="rides", encoding="avro")
fares = FeatureView("fares", entity=place, source=rides,
                    features=[agg.sum("fare", over="1h"), agg.last_k("fare", k=2), "fare"])
strict = FeatureService("strict", features=[fares], strict=True)
"""


@pytest.fixture
def platform(tmp_path: Path) -> Any:
    """A project with some rides."""
    (tmp_path / "twinbeam.toml").write_text(SETTINGS)
    (tmp_path / "features.py").write_text(TEXT)
    with Platform.open(tmp_path) as opened:
        opened.apply()
        yield opened


def rides() -> list[dict[str, Any]]:
    """Rides from some places over three days."""
    rng = random.Random(3)
    return [
        {"lon": rng.uniform(-3, 3), "at": START + timedelta(seconds=rng.randrange(3 * 86400)), "fare": rng.random()}
        for _ in range(300)
    ]


def spine(events: list[dict[str, Any]]) -> dict[str, Any]:
    """Rows at the events, between them, and one of a null key."""
    rows = [(event["lon"], event["at"]) for event in events[:80]]
    rows += [(lon, at + timedelta(minutes=3)) for lon, at in rows[:20]] + [(None, START)]
    return {"lon": [lon for lon, _ in rows], "at": [at for _, at in rows], "t": [at for _, at in rows]}


def test_part_by_part_is_as_whole(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    events = rides()
    platform.publish("rides", events)
    platform.run_stream(until="caught_up")
    whole = platform.training_set(spine(events), "fares", time="t")
    assert whole.statuses["fares:fare"].count("PRESENT") == 100
    monkeypatch.setattr(training, "ROWS_AT_ONCE", 40)
    parts = platform.training_set(spine(events), "fares", time="t")
    assert parts.to_dict() == whole.to_dict()
    assert parts.statuses == whole.statuses
    assert dict(parts.report) == dict(whole.report)


def test_the_report_says_what_coincides_and_what_strict_did(platform: Platform, tmp_path: Path) -> None:
    events = rides()
    platform.publish("rides", events)
    platform.run_stream(until="caught_up")
    found = platform.training_set(spine(events), "fares", time="t")
    strict = platform.training_set(spine(events), "strict", time="t")
    assert dict(found.report) == {"rows": 101, "coincident": 80, "left_out": 0}
    assert dict(strict.report) == {"rows": 101, "coincident": 80, "left_out": 1}
    assert found.to_dict()["fares:fare"][:80] == [event["fare"] for event in events[:80]]
    assert strict.to_dict()["fares:fare"][:80] != found.to_dict()["fares:fare"][:80]
    found.to_parquet(tmp_path / "set.parquet")
    stored = pq.read_table(tmp_path / "set.parquet")
    assert stored.schema.metadata[b"twinbeam.fingerprint"].decode() == found.fingerprint
    assert not any(":" in name for name in stored.column_names)
    served = platform.get("fares", {"lon": [events[0]["lon"]], "at": [events[0]["at"]]}, now="latest")
    assert served.statuses["fares:fare"] == ["PRESENT"]


def test_short_names_and_labels(platform: Platform) -> None:
    rows = spine(rides()) | {"y": [0.0] * 101}
    found = platform.training_set(rows, "fares", time="t", label="y", names="short")
    assert found.to_arrow().column_names == ["lon", "at", "t", "y", "fare_sum_1h", "fare_last_k2", "fare"]
    assert found.statuses["fares:fare"] == ["NOT_FOUND"] * 101


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"label": "z"}, "label column 'z'"),
        ({"known": "events"}, "Did you mean 'event'"),
        ({"names": "long"}, "'full' or 'short'"),
        ({"time": "tt"}, "Did you mean 't'"),
    ],
)
def test_wrong_options_are_told(platform: Platform, arguments: dict[str, Any], told: str) -> None:
    with pytest.raises(RequestError, match=told):
        platform.training_set(spine(rides()), "fares", **({"time": "t"} | arguments))
