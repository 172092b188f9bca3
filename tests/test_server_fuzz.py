"""Whatever is sent, within the OpenAPI page or beyond it, no answer is a fault, and answers are as the page says."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import content_type_conformance, response_schema_conformance

from tests.http_load import Wire, request_bytes
from tests.served import Server, project, serving

pytestmark = pytest.mark.xdist_group("server")
SIZE = int(os.environ.get("TWINBEAM_SOAK_SIZE", "1"))
GROWTH = 10_000_000
SEED = int(os.environ.get("TWINBEAM_SOAK_SEED", "1"))
OPERATIONS = [
    ("/v1/features", "POST"),
    ("/v1/push/{source}", "POST"),
    ("/v1/registry", "GET"),
    ("/v1/registry/search", "GET"),
    ("/v1/registry/features/{address}", "GET"),
    ("/healthz", "GET"),
    ("/readyz", "GET"),
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder: Path = project(tmp_path_factory.mktemp("fuzzed") / "shop", 'wait = "100ms"\nupload = "1s"')
    with serving(folder) as server:
        yield server
        assert "Traceback" not in server.err()
        assert '"level":"error"' not in server.err()


@pytest.fixture(scope="module")
def client(server: Server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, timeout=120) as client:
        yield client


@pytest.fixture(scope="module")
def page(server: Server) -> Any:
    return schemathesis.openapi.from_url(f"{server.url}/openapi.json")


@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_requests_by_the_page(page: Any, server: Server, client: httpx.Client, path: str, method: str) -> None:
    operation = page[path][method]
    checks = [not_a_server_error, content_type_conformance, response_schema_conformance]

    @settings(max_examples=25 * SIZE, deadline=None, suppress_health_check=list(HealthCheck))
    @given(case=operation.as_strategy())
    def within(case: Any) -> None:
        case.call_and_validate(checks=checks, base_url=server.url)

    within()
    assert client.get("/healthz").text == "alive\n"


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from(["latest", "both"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)
ASKED = st.sampled_from(["both", "person", "spending:count_24h", "burden", "weather", "payer", "nothing"])
KEYS = st.dictionaries(st.sampled_from(["user_id", "payer_id", "place", "day", "amount", "x"]), VALUES, max_size=4)


@settings(max_examples=100 * SIZE, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    body=st.fixed_dictionaries(
        {"features": ASKED | st.lists(ASKED, max_size=3) | VALUES, "keys": KEYS | st.lists(KEYS, max_size=3) | VALUES},
        optional={"request": KEYS | VALUES, "now": VALUES, "fingerprint": VALUES, "orient": VALUES, "include": VALUES},
    )
)
def test_reads_near_what_is_legal(client: httpx.Client, body: Any) -> None:
    answer = client.post("/v1/features", content=_json(body))
    assert answer.status_code in (200, 400, 404, 409), answer.text
    assert answer.json()


@settings(max_examples=60 * SIZE, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    source=st.sampled_from(["purchases", "profiles", "readings"]),
    events=st.lists(
        st.dictionaries(
            st.sampled_from(["user_id", "ts", "price", "kind", "score", "photo", "tags", "owes", "place", "day"]),
            VALUES | st.just("2026-11-30T12:00:00Z") | st.just(1),
            max_size=6,
        )
        | VALUES,
        max_size=3,
    ),
)
def test_pushes_near_what_is_legal(client: httpx.Client, source: str, events: Any) -> None:
    answer = client.post(f"/v1/push/{source}", content=_json({"events": events}))
    assert answer.status_code in (202, 400, 422), answer.text


def test_bytes_of_any_kind(server: Server) -> None:
    draw = random.Random(SEED)
    whole = request_bytes("POST", "/v1/features", b'{"features": "both", "keys": {"user_id": [1, 2]}}', accept="*/*")
    for number in range(1_000 * SIZE):
        if number == 500 * SIZE:
            held = server.memory()
        content = bytearray(whole)
        for _ in range(draw.randrange(1, 6)):
            at = draw.randrange(len(content))
            change = draw.randrange(3)
            if change == 0:
                content[at] = draw.randrange(256)
            elif change == 1:
                del content[at : at + draw.randrange(1, 20)]
            else:
                content[at:at] = draw.randbytes(draw.randrange(1, 20))
            if not content:
                break
        wire = Wire(server.port)
        wire.send(bytes(content) + request_bytes("GET", "/healthz", connection="close"))
        answer = wire.answer()
        assert answer is None or answer.status < 500 or answer.status == 501, (bytes(content), answer)
        wire.close()
    assert httpx.get(f"{server.url}/healthz").text == "alive\n"
    assert server.memory() < held + GROWTH


def _json(value: Any) -> bytes:
    """JSON as some clients write it, with what JSON does not know too."""
    return json.dumps(value, ensure_ascii=True).encode()
