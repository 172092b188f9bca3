"""Encoded features of a real server: the bits that a model was trained on, and no answer by another artefact."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pytest

from pipelines.platform import Platform
from tests.encoder_oracle import bits
from tests.served import read, serving
from tests.test_encodings import BOUGHT, CLICKS, ITEMS, NOW, SMALL, SPINE, TIMES
from transforms.features import Features

pytestmark = pytest.mark.xdist_group("server")
ARROW = "application/vnd.apache.arrow.stream"
LATER = NOW.isoformat()
CHANGED = ('encode.vocabulary("profile:country")', 'encode.vocabulary("profile:country", size=2)')


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A small project of two entities, its encoding fitted."""
    (tmp_path / "twinbeam.toml").write_text('project = "shop"\n[run]\nmax_skew = "1000d"\n', encoding="utf-8")
    (tmp_path / "features.py").write_text(SMALL, encoding="utf-8")
    with Platform.open(tmp_path) as platform:
        platform.apply()
        platform.publish("clicks", CLICKS)
        platform.publish("items", ITEMS)
        platform.run_stream(until="caught_up")
        platform.fit("inputs", SPINE | TIMES | BOUGHT)
    return tmp_path


@pytest.fixture
def trained(shop: Path) -> Iterator[Features]:
    with Platform.open(shop) as platform:
        yield platform.training_set(SPINE | TIMES, "model")


def asked(rows: Any, **others: Any) -> dict[str, Any]:
    given = {name: [column[row] for row in rows] for name, column in SPINE.items()}
    request = {name: given.pop(name) for name in ("device", "budget")}
    return {"keys": given, "request": request, "now": LATER, **others}


def plain(value: Any) -> Any:
    """A value as JSON brings it: NaN and infinities are texts, all else is what it is to the bit."""
    text = {"inf": "Infinity", "-inf": "-Infinity", "nan": "NaN"}.get(repr(value))
    return value if text is None else text


def test_enc_1_what_is_trained_is_served_by_http(shop: Path, trained: Features) -> None:
    expected = {
        name: [bits(plain(value)) for value in answer.values.to_pylist()] for name, answer in trained.answers.items()
    }
    with serving(shop) as server, httpx.Client(base_url=server.url, timeout=60) as client:
        batch = read(client, "model", **asked(range(9)))
        assert {name: list(map(bits, batch["values"][name])) for name in expected} == expected
        assert {name: batch["statuses"][name] for name in expected} == trained.statuses
        assert batch["fingerprint"] == trained.fingerprint
        for row in range(9):
            alone = read(client, "model", **asked([row], orient="rows"))["rows"][0]
            assert {name: bits(alone[name]) for name in expected} == {name: of[row] for name, of in expected.items()}
        body = {"features": "model", **asked(range(9))}
        answer = client.post("/v1/features", json=body, headers={"accept": ARROW})
        table = pa.ipc.open_stream(answer.content).read_all()
        for name, column in trained.answers.items():
            found = table.column(name.replace(":", "__")).to_pylist()
            assert list(map(bits, found)) == list(map(bits, column.values.to_pylist())), name
        assert table.schema.metadata[b"twinbeam.artefacts"] == trained.to_arrow().schema.metadata[b"twinbeam.artefacts"]


def test_enc_2_an_artefact_that_does_not_match_is_refused_by_http(shop: Path, trained: Features) -> None:
    row = asked([0])
    with serving(shop) as server, httpx.Client(base_url=server.url, timeout=60) as client:
        read(client, "model", fingerprint=trained.fingerprint, **row)
        with Platform.open(shop) as platform:
            platform.fit("inputs", SPINE | TIMES | {"bought": [True] * 9})
        server.wait_for("definitions of version 3 are served now")
        refused = read(client, "model", code=409, fingerprint=trained.fingerprint, **row)
        assert refused["type"] == "urn:twinbeam:problem:definition-changed"
        assert "inputs:t" in refused["detail"]
        read(client, "model", **row)
    text = (shop / "features.py").read_text(encoding="utf-8")
    assert CHANGED[0] in text
    (shop / "features.py").write_text(text.replace(*CHANGED), encoding="utf-8")
    with serving(shop) as server, httpx.Client(base_url=server.url, timeout=60) as client:
        stale = read(client, "model", code=409, **row)
        assert "inputs:country_vocabulary: its definition, or that of an input, has changed" in stale["detail"]
        assert "twinbeam fit inputs" in stale["detail"]
        read(client, ["inputs:rival", "deal"], **row)
