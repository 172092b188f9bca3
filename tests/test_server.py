"""The native API of a real server: answers equal to those in process, pushes that are durable, errors that help."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pytest

from pipelines.platform import Platform
from tests.served import NOON, ByStore, Server, project, read, serving

pytestmark = pytest.mark.xdist_group("server")
ARROW = "application/vnd.apache.arrow.stream"
LATER = "2026-11-30T13:00:00Z"


over_both = pytest.mark.parametrize("store", ["sqlite", "cassandra"])


@pytest.fixture(scope="module")
def shops(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ByStore[Server]]:
    def make(store: str, settings: str) -> AbstractContextManager[Server]:
        folder = tmp_path_factory.mktemp("served") / store
        return serving(project(folder, f'rows = 500\nevents = 1_000\nwait = "100s"\n{settings}'), workers=2)

    found = ByStore(make)
    yield found
    found.close()


@pytest.fixture
def store() -> str:
    return "sqlite"


@pytest.fixture
def server(shops: ByStore[Server], store: str, request: pytest.FixtureRequest) -> Server:
    return shops.of(store, request)


@pytest.fixture
def folder(server: Server) -> Path:
    return server.folder


@pytest.fixture
def client(server: Server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, timeout=60) as client:
        yield client


def plain(value: Any) -> Any:
    """A value as JSON brings it."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return value


@over_both
def test_answers_are_those_in_process(client: httpx.Client, folder: Path) -> None:
    keys = {"user_id": [1, 2, 3, 0, 99, None]}
    with Platform.open(folder) as platform:
        for features in ("both", "spending", ["person:vip", "spending:count_24h"], "calm"):
            wanted = platform.get(features, keys, now=LATER)
            found = read(client, features, keys, now=LATER)
            values = {name: [plain(value) for value in column] for name, column in wanted.to_dict().items()}
            for name, column in found["values"].items():
                assert list(map(repr, column)) == list(map(repr, values[name])) or name == "person:score"
            assert list(found["values"]) == list(values)
            assert found["statuses"] == wanted.statuses
            assert found["event_times"] == {
                name: [plain(time) for time in times] for name, times in wanted.event_times.items()
            }
            assert found["as_of"] == [plain(time) for time in wanted.as_of]
            assert found["fingerprint"] == wanted.fingerprint


@over_both
def test_rows_are_the_columns_turned(client: httpx.Client) -> None:
    columns = read(client, "both", {"user_id": [1, 2]}, now=LATER)
    rows = read(client, "both", [{"user_id": 1}, {"user_id": 2}], now=LATER, orient="rows")
    assert rows["rows"] == [{name: column[at] for name, column in columns["values"].items()} for at in (0, 1)]
    assert rows["statuses"] == [{name: column[at] for name, column in columns["statuses"].items()} for at in (0, 1)]
    assert rows["event_times"][1]["person:name"] == plain(NOON)
    assert (rows["as_of"], rows["fingerprint"]) == (columns["as_of"], columns["fingerprint"])
    bare = read(client, "both", {"user_id": 1}, now=LATER, include=[])
    assert set(bare) == {"values", "as_of", "fingerprint"}
    for orient in ("columns", "rows"):
        typed = read(
            client, ["person:tags", "burden"], {"user_id": 1, "amount": "NaN"}, include=["types"], orient=orient
        )
        assert typed["types"] == {
            "user_id": "int64", "amount": "float64", "person:tags": "list<float64>", "burden:ratio": "float64",
        }  # fmt: skip
    assert bare["values"]["user_id"] == [1]


@over_both
def test_values_of_every_type(client: httpx.Client) -> None:
    found = read(client, "person", {"user_id": [1, 2, 3, 99]}, now=LATER)["values"]
    assert found["person:score"] == [0.5, "NaN", -0.0, None]
    assert json.dumps(found["person:score"][2]) == "-0.0"
    assert found["person:photo"] == ["AP8=", None, None, None]
    assert found["person:seen"] == ["2026-11-30T12:00:00Z", None, None, None]
    assert found["person:born"] == ["2026-11-30", None, None, None]
    assert found["person:owes"] == ["12.50", None, None, None]
    assert found["person:tags"] == [[1.5, 2.0], ["Infinity", None], None, None]
    assert found["person:vip"] == [None, True, None, None]
    assert found["person:name"] == ["nobody", "Zoë \U0001f600", "", "nobody"]


@over_both
def test_keys_of_several_columns_and_types(client: httpx.Client) -> None:
    found = read(client, "weather", {"place": ["pier", "lake"], "day": "2026-11-30"}, now=LATER)
    assert found["statuses"]["weather:heat"] == ["PRESENT", "NOT_FOUND"]
    rows = [{"place": "pier", "day": "2026-11-30"}, {"place": "lake", "day": None}]
    assert read(client, "weather", rows, now=LATER)["values"]["weather:heat"] == found["values"]["weather:heat"]
    wrong = read(client, "weather", {"place": "pier", "day": ["2026-11-31"]}, 400)
    assert wrong["where"] == "keys.day[0]"


@over_both
def test_request_values(client: httpx.Client) -> None:
    given = read(client, ["burden:ratio", "person:score"], {"user_id": [1, 1]}, request={"amount": [1, 2.5]}, now=LATER)
    assert given["values"]["burden:ratio"] == [2.0, 5.0]
    among = read(client, "burden", {"user_id": [1], "amount": [2]}, now=LATER)
    assert among["values"]["burden:ratio"] == [4.0]
    assert read(client, "burden", {"user_id": 1}, 400)["detail"].startswith("keys: column 'amount' is missing")


@over_both
def test_the_same_features_in_another_role(client: httpx.Client) -> None:
    found = read(client, ["payer:name", "person:name"], {"payer_id": [2], "user_id": [1]}, now=LATER)
    assert [found["values"][name] for name in ("payer:name", "person:name")] == [["Zoë \U0001f600"], ["nobody"]]


@over_both
def test_arrow_in_and_out(client: httpx.Client, folder: Path) -> None:
    with Platform.open(folder) as platform:
        wanted = platform.get("both", {"user_id": list(range(300))}, now=LATER).to_arrow()
    body = {"features": "both", "keys": {"user_id": list(range(300))}, "now": LATER}
    answer = client.post("/v1/features", json=body, headers={"accept": ARROW})
    assert answer.headers["content-type"] == ARROW
    table = pa.ipc.open_stream(answer.content).read_all()
    assert table.drop_columns(["_as_of"]).replace_schema_metadata(None).equals(wanted.replace_schema_metadata(None))
    assert table.schema.metadata[b"twinbeam.fingerprint"] == wanted.schema.metadata[b"twinbeam.fingerprint"]
    keys = pa.table({"user_id": pa.array([1, 2], pa.int64())})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, keys.schema) as writer:
        writer.write_table(keys)
    headers = {"content-type": ARROW, "accept": ARROW}
    query = {"features": "both", "now": LATER, "include": "statuses,event_times"}
    answer = client.post("/v1/features", params=query, content=bytes(sink.getvalue()), headers=headers)
    assert answer.status_code == 200, answer.text
    table = pa.ipc.open_stream(answer.content).read_all()
    assert table.column("person__name").to_pylist() == ["nobody", "Zoë \U0001f600"]
    assert table.column("person__name__status").to_pylist() == ["NULL_VALUE", "PRESENT"]
    assert table.column("person__name__event_time").to_pylist() == [NOON, NOON]


@over_both
def test_now_and_fingerprint(client: httpx.Client) -> None:
    newest = read(client, "spending:count_24h", {"user_id": [0, 1]}, now="latest")
    assert newest["as_of"] == ["2026-11-30T12:36:00Z", "2026-11-30T12:37:00Z"]
    past = read(client, "spending:count_24h", {"user_id": [0]}, 400, now="2026-11-30T12:00:00Z")
    assert "training_set" in past["detail"]
    fingerprint = newest["fingerprint"]
    assert read(client, "spending:count_24h", {"user_id": [0]}, now="latest", fingerprint=fingerprint)
    changed = read(client, "both", {"user_id": [0]}, 409, fingerprint=fingerprint)
    assert changed["type"] == "urn:twinbeam:problem:definition-changed"


WRONG = {
    "no JSON": (b"{", 400, "no JSON"),
    "another type": (b"[]", 400, "expected object"),
    "a member missing": (b'{"features": "both"}', 400, "missing required field keys"),
    "an unknown member": (b'{"features": "both", "keys": {}, "kes": 1}', 400, "unknown field 'kes'"),
    "features of a wrong type": (b'{"features": 3, "keys": {}}', 400, "got int"),
    "no features": (b'{"features": [], "keys": {}}', 400, "nothing is asked for"),
    "no such view": (b'{"features": "persn", "keys": {}}', 404, "there is no view"),
    "no such feature": (b'{"features": ["person:scor"], "keys": {}}', 404, "person has no feature 'scor'"),
    "a feature of a service": (b'{"features": ["both:x"], "keys": {}}', 404, "both has no feature 'x'"),
    "a key missing": (b'{"features": "both", "keys": {"user": [1]}}', 400, "column 'user_id' is missing"),
    "a key of a wrong type": (b'{"features": "both", "keys": {"user_id": ["x"]}}', 400, "the definition says int64"),
    "a key beyond its type": (b'{"features": "both", "keys": {"user_id": [1e40]}}', 400, "user_id"),
    "a huge integer": (b'{"features": "both", "keys": {"user_id": [' + b"9" * 400 + b"]}}", 400, ""),
    "columns of different lengths": (b'{"features": "weather", "keys": {"place": ["a"], "day": []}}', 400, "lengths"),
    "no time": (b'{"features": "both", "keys": {"user_id": [1]}, "now": "soon"}', 400, "no time"),
    "a time beyond all": (b'{"features": "both", "keys": {"user_id": [1]}, "now": 9000000000000000000}', 400, "9999"),
    "too many rows": (json.dumps({"features": "both", "keys": {"user_id": [0] * 501}}).encode(), 413, "at most 500"),
    "a surrogate alone": (b'{"features": "\\ud800", "keys": {}}', 400, ""),
    "deep": (b'{"features": "both", "keys": {"user_id": ' + b"[" * 5_000 + b"]" * 5_000 + b"}}", 400, ""),
    "no text": (b'{"features": "\xff", "keys": {}}', 400, ""),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_told(client: httpx.Client, case: str) -> None:
    body, code, text = WRONG[case]
    answer = client.post("/v1/features", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == code, answer.text
    found = answer.json()
    assert answer.headers["content-type"] == "application/problem+json"
    assert (found["status"], found["instance"]) == (code, f"urn:request:{answer.headers['x-request-id']}")
    assert text in found["detail"]


def test_hints(client: httpx.Client) -> None:
    found = read(client, "persn", {}, 404)
    assert found["hint"] == "Did you mean 'person'?"
    assert found["legal"] == ["both", "burden", "calm", "payer", "person", "spending", "weather"]
    assert client.get("/v1/registr").json()["hint"] == "Did you mean '/v1/registry'?"
    wrong = client.put("/v1/features")
    assert (wrong.status_code, wrong.headers["allow"]) == (405, "POST")
    assert client.post("/v1/features", content=b"x", headers={"content-type": "text/csv"}).status_code == 415


@over_both
def test_push_is_durable_then_served(client: httpx.Client, folder: Path) -> None:
    event = {"user_id": 50, "ts": "2026-11-30T12:30:00Z", "price": 2.5, "kind": "card", "extra": 1}
    answer = client.post("/v1/push/purchases", json={"events": [event, event | {"user_id": 51}]})
    assert (answer.status_code, answer.json()["events"]) == (202, 2)
    ((lane, last),) = answer.json()["lanes"].items()
    with Platform.open(folder) as platform:
        topic = platform.broker.reader("purchases")
        assert topic is not None
        assert platform.broker.ends("purchases") == {0: last + 1}
    early = client.post("/v1/push/purchases?wait=served&timeout=0.2", json={"events": [event]})
    assert early.status_code == 504, early.text
    assert early.json()["lanes"] == {lane: last + 1}
    waited: list[httpx.Response] = []

    def push() -> None:
        lines = "\n".join(json.dumps(event | {"user_id": 52, "price": price}) for price in (1, 2))
        headers = {"content-type": "application/x-ndjson"}
        waited.append(client.post("/v1/push/purchases?wait=served", content=lines, headers=headers, timeout=120))

    with Platform.open(folder) as platform:
        pusher = threading.Thread(target=push)
        pusher.start()
        while pusher.is_alive():
            platform.run_stream(until="caught_up")
            pusher.join(0.2)
    assert (waited[0].status_code, waited[0].json()["served"]) == (200, True)
    found = read(client, "spending", {"user_id": [50, 51, 52]}, now=LATER)["values"]
    assert found["spending:count_24h"] == [2, 1, 2]
    assert found["spending:price_sum_24h"] == [5.0, 2.5, 3.0]


def test_push_of_arrow(client: httpx.Client) -> None:
    table = pa.table(
        {"user_id": [60, 61], "ts": pa.array([NOON, NOON], pa.timestamp("us", "UTC")), "score": [1.0, 2.0]}
    )
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    answer = client.post("/v1/push/profiles", content=bytes(sink.getvalue()), headers={"content-type": ARROW})
    assert (answer.status_code, answer.json()["events"]) == (202, 2)
    garbage = client.post("/v1/push/profiles", content=b"ARROW1" * 9, headers={"content-type": ARROW})
    assert garbage.status_code == 400


def test_what_does_not_fit_is_not_pushed(client: httpx.Client, folder: Path) -> None:
    with Platform.open(folder) as platform:
        before = platform.broker.ends("purchases")
    good = {"user_id": 1, "ts": "2026-11-30T12:30:00Z", "price": 2.5, "kind": "card"}
    answer = client.post("/v1/push/purchases", json={"events": [good, good | {"user_id": "x"}, good | {"ts": None}]})
    assert answer.status_code == 422
    assert [error["row"] for error in answer.json()["errors"]] == [1, 2]
    assert client.post("/v1/push/purchases", json={"events": [good] * 1_001}).status_code == 413
    assert client.post("/v1/push/purchases", json={"events": [3]}).status_code == 422
    assert client.post("/v1/push/purchase", json={"events": [good]}).json()["hint"] == "Did you mean 'purchases'?"
    assert client.post("/v1/push/purchases?wait=never", json={"events": [good]}).status_code == 400
    assert client.post("/v1/push/purchases?timeout=x", json={"events": [good]}).status_code == 400
    empty = client.post("/v1/push/purchases", json={"events": []})
    assert (empty.status_code, empty.json()) == (202, {"events": 0, "lanes": {}})
    with Platform.open(folder) as platform:
        assert platform.broker.ends("purchases") == before


def test_registry(client: httpx.Client) -> None:
    found = client.get("/v1/registry").json()
    assert (found["project"], found["version"]) == ("shop", 1)
    assert [view["name"] for view in found["views"]] == ["spending", "person", "weather"]
    assert found["services"][1]["features"] == ["spending:count_24h", "person:score"]
    assert found["on_demand"] == [
        {"name": "burden", "inputs": ["person:score"], "request": {"amount": "float64"}, "features": ["ratio"]}
    ]
    assert found["sources"][0]["fields"]["price"] == "float64"
    score = client.get("/v1/registry/features/person:score").json()
    assert score["upstream"] == ["source profiles"]
    assert score["downstream"] == ["on-demand function burden", "service calm"]
    words = client.get("/v1/registry/search", params={"q": "card count", "tag": "tier=1"}).json()
    assert [feature["address"] for feature in words["features"]] == ["spending:count_24h"]
    assert client.get("/v1/registry/search", params={"owner": "crm", "limit": 2}).json()["found"] == 8
    assert client.get("/v1/registry/search?limit=0").status_code == 400
    assert client.get("/v1/registry/search?w=1").status_code == 400
    assert client.get("/v1/registry/features/person%3Ascor").json()["hint"] == "Did you mean 'person:score'?"


def test_pages(client: httpx.Client) -> None:
    assert client.get("/healthz").text == "alive\n"
    assert client.get("/readyz").json() == {"status": "ready"}
    document = client.get("/openapi.json").json()
    assert set(document["paths"]) == {
        "/v1/features",
        "/v1/push/{source}",
        "/v1/registry",
        "/v1/registry/search",
        "/v1/registry/features/{address}",
        "/healthz",
        "/readyz",
        "/metrics",
    }
    page = client.get("/docs")
    assert page.headers["content-type"].startswith("text/html")
    assert "POST</b> <code>/v1/features" in page.text
    assert "src=" not in page.text
    assert "http:" not in page.text
    head = client.head("/healthz")
    assert (head.content, head.headers["content-length"]) == (b"", "6")
