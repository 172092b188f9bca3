"""Feast's protocol: its own SDK, unmodified, asks a real server of ours, beside `feast serve`."""

from __future__ import annotations

import json
import os
import secrets
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import polars as pl
import pytest

from pipelines.commands.main import main
from pipelines.platform import Platform
from tests.feast_environment import interpreter
from tests.served import COMMAND, ByStore, Server, serving

pytestmark = pytest.mark.xdist_group("feast")
ROOT = Path(__file__).parents[1]
START = datetime(2025, 1, 1, tzinfo=UTC)
CUTOVER = datetime(2025, 2, 1, tzinfo=UTC)
MOST = 2**63 - 1
DEFINITIONS = """\
from twinbeam import Entity, FeatureService, FeatureView, Source, agg, latest, on_demand

driver = Entity("driver", keys={"driver_id": "int64"})
spot = Entity("spot", keys={"town": "string", "street": "int64"})
rides = Source(
    "rides", fields={"driver_id": "int64", "ts": "timestamp", "trips": "int64", "rate": "float32", "name": "string"},
    event_time="ts", topic="rides", files="data/*.parquet", cutover="2025-02-01T00:00:00Z",
)
kinds = Source(
    "kinds", event_time="ts", topic="kinds",
    fields={"driver_id": "int64", "ts": "timestamp", "whole": "int32", "real": "float64", "vip": "bool",
            "seen": "timestamp", "marks": "list<int64>", "words": "list<string>"},
)
tolls = Source(
    "tolls", fields={"driver_id": "int64", "ts": "timestamp", "cents": "int64"}, event_time="ts", topic="tolls",
)
spots = Source(
    "spots", fields={"town": "string", "street": "int64", "ts": "timestamp", "noise": "float64"}, event_time="ts",
    topic="spots",
)
fleeting = Source(
    "fleeting", fields={"driver_id": "int64", "ts": "timestamp", "mood": "string"}, event_time="ts", topic="fleeting",
)
ride = FeatureView("ride", entity=driver, source=rides, features=["trips", "rate", "name"], description="Last shift")
kind = FeatureView("kind", entity=driver, source=kinds, features=["whole", "real", "vip", "seen", "marks", "words"])
toll = FeatureView("toll", entity=driver, source=tolls, features=[agg.sum("cents"), agg.count()])
noise = FeatureView("noise", entity=spot, source=spots, features=["noise"])
mood = FeatureView("mood", entity=driver, source=fleeting, features=["mood"], ttl="1h")
boss = ride.alias("boss", driver_id="boss_id")
shift = FeatureService("shift", features=["ride:trips", "ride:rate", "toll:count"])
pair = FeatureService("pair", features=["ride:name", boss])


@on_demand(inputs=["ride:trips"], request={"hours": "float64"}, returns={"pace": "float64"})
def speed(df):
    return df.select(pace=df["ride__trips"] / df["hours"])
"""
RIDES: Any = {"rate": pl.Float32, "ts": pl.Datetime("us", "UTC")}
SETTINGS = 'project = "fleet"\n[run]\nmax_skew = "36525d"\n[serving]\nlog_sample = 0.0\n[server]\n{server}\n'


class Sdk:
    """Feast's SDK in a process of its own."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def call(self, name: str, **arguments: Any) -> Any:
        """What a call gives; `Raised` if it raises."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([name, arguments]) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, f"the SDK's process has ended: {self._process.wait()}"
        said = json.loads(line)
        if "error" in said:
            raise Raised(said["error"], said["text"])
        return said["value"]


class Raised(Exception):
    """What the SDK raised."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(kind, text)
        self.kind, self.text = kind, text


@pytest.fixture(scope="session")
def feast() -> Path:
    try:
        return interpreter()
    except RuntimeError as error:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(f"Feast cannot be installed here: {error}")


def project(folder: Path, server: str = "") -> Path:
    """The project, applied, with a day's rides in its files."""
    (folder / "data").mkdir(parents=True)
    (folder / "twinbeam.toml").write_text(SETTINGS.format(server=server), encoding="utf-8")
    (folder / "features.py").write_text(DEFINITIONS, encoding="utf-8")
    rows = [
        {
            "driver_id": number % 3,
            "ts": START + timedelta(minutes=number),
            "trips": number,
            "rate": number / 8,
            "name": "n",
        }
        for number in range(30)
    ]
    pl.DataFrame(rows).cast(RIDES).write_parquet(folder / "data" / "rides.parquet")
    with Platform.open(folder) as platform:
        platform.apply()
        platform.run_batch()
        platform.run_stream(until="caught_up")
    return folder


@contextmanager
def sdk(python: Path, repository: Path, variables: Mapping[str, str] | None = None) -> Iterator[Sdk]:
    command = [str(python), str(ROOT / "tests" / "feast_sdk.py"), str(repository)]
    environment = {**os.environ, "FEAST_USAGE": "False", **(variables or {})}
    with (repository / "sdk.err").open("w") as err:
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=err, text=True, env=environment
        )
    with process:
        try:
            yield Sdk(process)
        finally:
            assert process.stdin is not None
            process.stdin.close()
            process.wait(60)


@contextmanager
def streaming(folder: Path) -> Iterator[None]:
    """A stream that follows the topics while the block lasts."""
    with (folder / "stream.err").open("w") as err:
        process = subprocess.Popen([*COMMAND, "run", "stream", "--project", str(folder)], stdout=err, stderr=err)
    try:
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(120)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()


over_both = pytest.mark.parametrize("store", ["sqlite", "cassandra"])


@dataclass(frozen=True)
class Fleet:
    """A served project, a stream that feeds it, and what Feast's SDK needs to ask it."""

    server: Server
    repository: Path
    stack: ExitStack
    clients: list[Sdk] = field(default_factory=list)

    def client(self, python: Path) -> Sdk:
        """The SDK, started once."""
        if not self.clients:
            self.clients.append(self.stack.enter_context(sdk(python, self.repository)))
        return self.clients[0]


@pytest.fixture(scope="module")
def fleets(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ByStore[Fleet]]:
    @contextmanager
    def make(store: str, settings: str) -> Iterator[Fleet]:
        folder = project(tmp_path_factory.mktemp("feast") / store, f'wait = "120s"\n{settings}')
        out = tmp_path_factory.mktemp("repository")
        with serving(folder) as server, streaming(folder), ExitStack() as stack:
            assert main(["export", "feast", "--out", str(out), "--url", server.url, "--project", str(folder)]) == 0
            yield Fleet(server, out, stack)

    found = ByStore(make)
    yield found
    found.close()


@pytest.fixture
def store() -> str:
    return "sqlite"


@pytest.fixture
def shared(fleets: ByStore[Fleet], store: str, request: pytest.FixtureRequest) -> Fleet:
    return fleets.of(store, request)


@pytest.fixture
def fleet(shared: Fleet) -> Server:
    return shared.server


@pytest.fixture
def client(feast: Path, shared: Fleet) -> Sdk:
    return shared.client(feast)


@pytest.fixture
def http(fleet: Server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=fleet.url, timeout=300) as found:
        yield found


@over_both
def test_the_sdk_reads_features_services_and_full_names(client: Sdk) -> None:
    rows = [{"driver_id": 1}, {"driver_id": 77}]
    found = client.call("read", features=["ride:trips", "ride:rate"], rows=rows)
    assert found["values"] == {"driver_id": [1, 77], "trips": [28, None], "rate": [3.5, None]}
    assert found["statuses"]["trips"] == ["PRESENT", "NOT_FOUND"]
    found = client.call("read", features=["ride:trips", "ride:rate"], rows=rows, full=True)
    assert found["values"] == {"driver_id": [1, 77], "ride__trips": [28, None], "ride__rate": [3.5, None]}
    found = client.call("read", features=None, service="shift", rows=rows[:1])
    assert found["values"] == {"driver_id": [1], "trips": [28], "rate": [3.5], "count": [0]}
    found = client.call("read", features=None, service="pair", rows=[{"driver_id": 1, "boss_id": 2}], full=True)
    assert found["values"] == {
        "driver_id": [1], "boss_id": [2], "ride__name": ["n"], "boss__trips": [29], "boss__rate": [3.625],
        "boss__name": ["n"],
    }  # fmt: skip
    found = client.call("read", features=["speed:pace"], rows=[{"driver_id": 1, "hours": 4.0}])
    assert found["values"] == {"driver_id": [1], "pace": [7.0]}


@over_both
def test_the_online_store_of_the_sdk_reads_rows(client: Sdk) -> None:
    found = client.call("online_read", view="ride", key="driver_id", values=[1, 77], features=["trips", "rate"])
    assert found == [["2025-01-01 00:28:00+00:00", ["rate", "trips"]]] * 2


@over_both
def test_the_sdk_reads_what_it_wrote_composite_keys_and_milliseconds_kept(client: Sdk, http: httpx.Client) -> None:
    time = "2025-03-01T12:00:00.123+00:00"
    df = {"town": ["Ulm", "Ulm"], "street": [1, 2], "ts": [time, time], "noise": [0.5, 1.0]}
    client.call("write", view="noise", df=df)
    keys = {"town": ["Ulm", "Ulm", "Bonn"], "street": [2, 1, 1]}
    rows = [dict(zip(keys, row, strict=True)) for row in zip(*keys.values(), strict=True)]
    found = client.call("read", features=["noise:noise"], rows=rows)
    assert found["values"] == keys | {"noise": [1.0, 0.5, None]}
    answer = http.post("/get-online-features", json={"features": ["noise:noise"], "entities": keys}).json()
    assert answer["metadata"] == {"feature_names": ["town", "street", "noise"]}
    times = ["2025-03-01T12:00:00.123Z", "2025-03-01T12:00:00.123Z", "1970-01-01T00:00:00Z"]
    assert answer["results"][2]["event_timestamps"] == times
    assert answer["results"][0]["event_timestamps"] == ["1970-01-01T00:00:00Z"] * 3


@over_both
def test_an_older_row_that_comes_late_replaces_nothing(client: Sdk) -> None:
    for day, trips in ((20, 5), (10, 4)):
        df = {"driver_id": [50], "ts": [f"2025-02-{day}T00:00:00"], "trips": [trips], "rate": [0.5], "name": ["Zoë"]}
        client.call("write", view="ride", df=df)
    found = client.call("read", features=["ride:trips", "ride:name"], rows=[{"driver_id": 50}])
    assert found["values"] == {"driver_id": [50], "trips": [5], "name": ["Zoë"]}


@over_both
def test_every_status(client: Sdk) -> None:
    now = datetime.now(UTC)
    times = [(now - timedelta(hours=age)).isoformat() for age in (0, 3)]
    client.call("write", view="mood", df={"driver_id": [60, 61], "ts": times, "mood": ["good", "bad"]})
    client.call("write", view="mood", df={"driver_id": [62, 60], "ts": times[:1] * 2, "mood": [None, "good"]})
    found = client.call("read", features=["mood:mood"], rows=[{"driver_id": key} for key in (60, 61, 62, 63)])
    assert found["statuses"]["mood"] == ["PRESENT", "OUTSIDE_MAX_AGE", "NULL_VALUE", "NOT_FOUND"]
    assert found["values"]["mood"] == ["good", None, None, None]
    df = {"driver_id": [64, 64], "ts": ["2025-03-01T00:00:00", "2025-03-01T00:00:01"], "cents": [MOST, MOST]}
    client.call("push", source="tolls", df=df)
    found = client.call("read", features=["toll:cents_sum", "toll:count"], rows=[{"driver_id": 64}])
    assert found["statuses"] == {"driver_id": ["PRESENT"], "cents_sum": ["INVALID"], "count": ["PRESENT"]}
    assert found["values"]["count"] == [2]


@over_both
def test_a_push_is_an_event_once(client: Sdk, http: httpx.Client) -> None:
    client.call("push", source="tolls", df={"driver_id": [7, 7], "ts": ["2025-03-01", "2025-03-02"], "cents": [5, 6]})
    df = {"driver_id": [7], "ts": ["2025-03-03T00:00:00"], "cents": [7]}
    for to in ("online", "online_and_offline"):
        answer = http.post("/push", json={"push_source_name": "tolls", "df": df, "to": to})
        assert (answer.status_code, answer.content) == (200, b"")
        df = df | {"cents": [8]}
    found = client.call("read", features=["toll:cents_sum", "toll:count"], rows=[{"driver_id": 7}])
    assert found["values"] == {"driver_id": [7], "cents_sum": [26], "count": [4]}
    client.call(
        "push", source="rides", df={"driver_id": [8], "ts": ["2025-03-01"], "trips": [1], "rate": [1.0], "name": [""]}
    )
    assert client.call("read", features=["ride:name"], rows=[{"driver_id": 8}])["values"]["name"] == [""]


def test_materialize_by_the_server_and_by_the_sdk(fleet: Server, client: Sdk, http: httpx.Client) -> None:
    folder = fleet.folder
    rows = {"driver_id": [90], "ts": [START], "trips": [9], "rate": [9.0], "name": ["new"]}
    pl.DataFrame(rows).cast(RIDES).write_parquet(folder / "data" / "more.parquet")
    span = {"start_ts": START.isoformat(), "end_ts": CUTOVER.isoformat(), "feature_views": ["ride"]}
    answer = http.post("/materialize", json=span)
    assert (answer.status_code, answer.text) == (200, "null")
    assert client.call("read", features=["ride:name"], rows=[{"driver_id": 90}])["values"]["name"] == ["new"]
    client.call("materialize", views=["ride"], start=(START - timedelta(days=1)).isoformat(), end=CUTOVER.isoformat())
    found = client.call("read", features=["ride:trips"], rows=[{"driver_id": 90}, {"driver_id": 1}])
    assert found["values"]["trips"] == [9, 28]
    answer = http.post("/materialize-incremental?async=true", json={"end_ts": "2025-02-01", "feature_views": ["ride"]})
    assert (answer.status_code, answer.json()) == (202, {"status": "accepted", "feature_views": ["ride"]})
    answer = http.post("/materialize?async=true", json=span)
    assert (answer.status_code, answer.json()["feature_views"]) == (409, ["ride"])
    until = time.monotonic() + 300
    while http.post("/materialize?async=true", json=span | {"feature_views": ["ride"]}).status_code == 409:
        assert time.monotonic() < until
        time.sleep(1)
    assert http.post("/materialize", json=span).status_code == 200


def raised(client: Sdk, name: str, **arguments: Any) -> tuple[str, str]:
    with pytest.raises(Raised) as error:
        client.call(name, **arguments)
    return error.value.kind, error.value.text


def test_the_sdk_raises_what_the_server_tells(client: Sdk) -> None:
    row = [{"driver_id": 1}]
    assert raised(client, "read", features=["nope:x"], rows=row) == (
        "FeatureViewNotFoundException",
        "Feature view nope does not exist in project fleet",
    )
    assert raised(client, "read", features=["ride:nope"], rows=row)[0] == "FeastObjectNotFoundException"
    assert raised(client, "read", features=["ride@v2:trips"], rows=row)[0] == "FeatureViewVersionNotFound"
    assert raised(client, "read", features=["ride:trips"], rows=[{"x": 1}])[0] == "FeastEntityDFMissingColumnsError"
    assert raised(client, "read", features=["speed:pace"], rows=row)[0] == "RequestDataNotFoundInEntityRowsException"
    assert raised(client, "read", features=["ride:name", "boss:name"], rows=[{"driver_id": 1, "boss_id": 1}])[0] == (
        "FeatureNameCollisionError"
    )
    kind, text = raised(client, "read", features=["ride:trips"], rows=[{"driver_id": "x"}])
    assert kind == "FeastError"
    assert "driver_id" in text
    # Views that are fed by events of another form are not written by their features.
    df = {"driver_id": [1], "ts": ["2025-03-01"], "cents_sum": [1], "count": [1]}
    kind, text = raised(client, "write", view="toll", df=df)
    assert kind == "FeastError"
    assert "source 'tolls'" in text


def test_bodies_that_are_not_legal_are_told_and_never_500(http: httpx.Client) -> None:
    cases: Sequence[tuple[str, Any, int]] = [
        ("/get-online-features", {"features": ["ride:trips"]}, 422),
        ("/get-online-features", {"features": ["trips"], "entities": {"driver_id": [1]}}, 422),
        ("/get-online-features", {"features": [], "entities": {"driver_id": [1]}}, 422),
        ("/get-online-features", {"features": ["ride:trips"], "entities": {"driver_id": [1], "x": [1, 2]}}, 422),
        ("/get-online-features", {"feature_service": "nope", "entities": {"driver_id": [1]}}, 404),
        ("/get-online-features", [], 422),
        ("/push", {"push_source_name": "nope", "df": {}}, 422),
        ("/push", {"push_source_name": "tolls", "df": {"driver_id": [1]}, "to": "elsewhere"}, 422),
        ("/push", {"push_source_name": "tolls", "df": {"driver_id": [1]}}, 422),
        ("/push", {"push_source_name": "tolls", "df": {"driver_id": ["x"], "ts": [1], "cents": [1]}}, 422),
        ("/push", {"push_source_name": "tolls", "df": {"driver_id": [1], "ts": ["soon"], "cents": [1]}}, 422),
        ("/write-to-online-store", {"feature_view_name": "nope", "df": {}}, 404),
        ("/write-to-online-store", {"feature_view_name": "ride", "df": {"driver_id": [1], "ts": [1, 2]}}, 422),
        ("/materialize", {"start_ts": "2025-01-02", "end_ts": "2025-01-01"}, 422),
        ("/materialize", {"start_ts": "x", "end_ts": "2025-01-01"}, 422),
        ("/materialize", {}, 422),
        ("/materialize", {"disable_event_timestamp": True, "feature_views": ["nope"]}, 404),
        ("/materialize-incremental", {"feature_views": ["ride"]}, 422),
    ]
    for path, body, status in cases:
        answer = http.post(path, json=body)
        assert answer.status_code == status, (path, body, answer.text)
        said = answer.json()
        assert "detail" in said if isinstance(said, dict) else json.loads(said)["module"] == "feast.errors"
    assert http.get("/health").status_code == 200


def test_rows_that_no_stream_serves_are_durable_and_not_sent_again(tmp_path: Path) -> None:
    folder = project(tmp_path / "fleet", 'wait = "300ms"')
    df = {"driver_id": [1], "cents": [5], "event_timestamp": ["2025-03-01T00:00:00"], "created": [None]}
    read = {"features": ["toll:cents_sum"], "entities": {"driver_id": [1]}}
    with serving(folder) as server, httpx.Client(base_url=server.url, timeout=300) as http:
        answer = http.post("/write-to-online-store", json={"feature_view_name": "tolls", "df": df})
        assert (answer.status_code, answer.json()["status"]) == (202, "accepted")
        answer = http.post("/push", json={"push_source_name": "tolls", "df": df, "to": "offline"})
        assert answer.status_code == 200
        assert http.post("/get-online-features", json=read).json()["results"][1]["values"] == [None]
        # A run takes them in: materialize follows the topics that no stream does.
        answer = http.post("/materialize", json={"disable_event_timestamp": True, "feature_views": ["toll"]})
        assert answer.status_code == 200, answer.text
        assert http.post("/get-online-features", json=read).json()["results"][1]["values"] == [10]


def test_who_may_not_see_a_view_is_told_as_if_it_did_not_exist(
    feast: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = secrets.token_urlsafe(24)
    monkeypatch.setenv("READER_KEY", key)
    server = '[server.callers.reader]\ngrants = ["read:ride"]\n[server.secrets]\nreader_env = "READER_KEY"\n'
    folder = project(tmp_path / "fleet", server)
    entities = {"driver_id": [1]}
    with (
        serving(folder) as served,
        httpx.Client(base_url=served.url, timeout=300) as http,
    ):
        answer = http.post("/get-online-features", json={"features": ["ride:trips"], "entities": entities})
        assert (answer.status_code, json.loads(answer.json())["class"]) == (401, "FeastPermissionError")
        http.headers["authorization"] = f"Bearer {key}"
        answer = http.post("/get-online-features", json={"features": ["ride:trips"], "entities": entities})
        assert answer.json()["results"][1]["values"] == [28]
        said = [
            http.post("/get-online-features", json={"features": [f"{name}:count"], "entities": entities}).text
            for name in ("toll", "nope")
        ]
        assert said[0].replace("toll", "nope") == said[1]
        for name in ("ride", "nope"):
            write: Any = {"feature_view_name": name, "df": {}}
            assert http.post("/write-to-online-store", json=write).status_code == 404
        assert http.post("/push", json={"push_source_name": "rides", "df": {}}).status_code == 422
        assert (
            http.post("/materialize-incremental", json={"end_ts": "2025-01-01", "feature_views": ["ride"]}).status_code
            == 404
        )
        out = tmp_path / "repository"
        assert main(["export", "feast", "--out", str(out), "--url", served.url, "--project", str(folder)]) == 0
        with sdk(feast, out, {"TWINBEAM_KEY": key}) as calls:
            row = [{"driver_id": 1}]
            assert calls.call("read", features=["ride:trips"], rows=row)["values"]["trips"] == [28]
            assert raised(calls, "read", features=["toll:count"], rows=row)[0] == "FeatureViewNotFoundException"
        with sdk(feast, out, {"TWINBEAM_KEY": "another"}) as calls:
            assert raised(calls, "read", features=["ride:trips"], rows=row)[0] == "FeastPermissionError"


ROWS: Mapping[str, dict[str, list[Any]]] = {
    "ride": {
        "driver_id": [100, 101, 102], "ts": [f"2025-03-0{day}T12:00:00" for day in (1, 2, 3)],
        "trips": [0, -3, MOST], "rate": [0.1, -0.0, 3e38], "name": ["", "Zoë \U0001f600", 'a"b'],
    },
    "kind": {
        "driver_id": [100, 101, 102], "ts": [f"2025-03-0{day}T12:00:00" for day in (1, 2, 3)],
        "whole": [1, -2, 3], "real": [0.1, 1e300, -5e-324], "vip": [True, False, True],
        "seen": ["2025-01-01T00:00:00", "1999-12-31T23:59:59", "2030-01-01T00:00:00"],
        "marks": [[1, 2], [3], [MOST]], "words": [["a"], ["b", ""], ["é"]],
    },
    "noise": {"town": ["Ulm", "Bonn"], "street": [100, 100], "ts": ["2025-03-01T12:00:00"] * 2, "noise": [1.5, -2.0]},
}  # fmt: skip
ASKED: Sequence[Mapping[str, Any]] = [
    {"features": ["ride:trips", "ride:rate", "ride:name"], "entities": {"driver_id": [100, 101, 102, 999]}},
    {"features": ["ride:name", "kind:vip"], "entities": {"driver_id": [102, 100]}, "full_feature_names": True},
    {"features": [f"kind:{name}" for name in list(ROWS["kind"])[2:]], "entities": {"driver_id": [102, 101, 100]}},
    {"features": ["noise:noise"], "entities": {"town": ["Bonn", "Ulm", "Bonn"], "street": [100, 100, 5]}},
    {"features": ["ride:trips"], "entities": {"driver": [100]}},
    {"features": ["ride:trips"], "entities": {"driver_id": [100]}, "include_feature_view_version_metadata": True},
    {"features": ["nope:x"], "entities": {"driver_id": [100]}},
    {"feature_service": "nope", "entities": {"driver_id": [100]}},
]


@contextmanager
def feast_serve(feast: Path, folder: Path) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [str(feast.parent / "feast"), "-c", str(folder), "serve", "-h", "127.0.0.1", "-p", str(port)]
    with (folder / "serve.err").open("w") as err:
        process = subprocess.Popen([*command, "--no-access-log"], stdout=err, stderr=err, start_new_session=True)
    try:
        until = time.monotonic() + 300
        while True:
            try:
                if httpx.get(f"http://127.0.0.1:{port}/health").status_code == 200:
                    break
            except httpx.HTTPError:
                assert process.poll() is None, (folder / "serve.err").read_text()
                assert time.monotonic() < until, (folder / "serve.err").read_text()
                time.sleep(0.5)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        try:
            process.wait(60)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()


def columns(answer: httpx.Response) -> Any:
    """An answer without the order of its features."""
    body = answer.json()
    if answer.status_code != 200:
        return answer.status_code, body
    names = body["metadata"].pop("feature_names")
    return dict(zip(names, body.pop("results"), strict=True)), body


def test_feast_serve_answers_the_same(client: Sdk, feast: Path, fleet: Server, tmp_path: Path) -> None:
    for view, df in ROWS.items():
        client.call("write", view=view, df=df)
    client.call("copy", folder=str(tmp_path), rows=ROWS)
    with feast_serve(feast, tmp_path) as url:
        for body in ASKED:
            # Each on a connection of its own: Feast's server drops it after an error.
            found = [
                columns(httpx.post(f"{server}/get-online-features", json=body, timeout=300))
                for server in (fleet.url, url)
            ]
            assert found[0] == found[1], body
