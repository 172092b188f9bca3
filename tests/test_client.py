"""The thin client at real servers: values to the bit, retries within a deadline, typed errors, pushes sent once."""

from __future__ import annotations

import asyncio
import math
import os
import pickle
import random
import struct
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import twinbeam
from pipelines.platform import Platform
from schemas.errors import DefinitionChanged, EventError, RequestError, SettingsError, StoreAway, TwinbeamError
from tests.certificates import Authority
from tests.faulty_proxy import BUSY, DROP, HALF, LONG, NOT_BEGUN, PAGE, STALL, faulty_proxy
from tests.random_projects import RandomProject
from tests.served import NOON, Server, project, serving
from twinbeam.client import (
    AsyncClient,
    BadRequest,
    Client,
    ClientError,
    DeadlineExceeded,
    FingerprintMismatch,
    NotFound,
    NotServed,
    TooLarge,
    Unauthorized,
    Unavailable,
    Unconfirmed,
    UnfitEvents,
    Unreachable,
    WrongAnswer,
)

pytestmark = pytest.mark.xdist_group("client")
KEY = "a-key-of-the-tests-of-the-client"
READ_ONLY = "a-key-that-reads-things-only"
LATER = NOON + timedelta(hours=1)
SEED = int(os.environ.get("TWINBEAM_PARITY_SEED") or random.SystemRandom().randrange(10**6))
SETTINGS = """\
project = "random"
[run]
max_skew = "36525d"
[serving]
log_sample = 0.0
[server]
rows = 50
events = 40
wait = "1500ms"
[server.callers.tester]
grants = ["admin"]
[server.callers.reader]
grants = ["read:thing"]
[server.secrets]
tester_file = "key"
reader_file = "reader"
"""
USERS = range(60)
KINDS = ("sync", "async")


def bits(value: Any) -> Any:
    """A value so that equal means the same type and the same bits; one NaN is as good as another."""
    if isinstance(value, float):
        return "nan" if math.isnan(value) else struct.pack("<d", value)
    if isinstance(value, list | tuple):
        return [bits(item) for item in value]
    if isinstance(value, dict):
        return {name: bits(item) for name, item in value.items()}
    if isinstance(value, datetime):
        return value, value.utcoffset()
    return type(value), str(value) if isinstance(value, Decimal) else value


def ask(kind: str, url: str, call: str, *arguments: Any, **options: Any) -> Any:
    """Result of one call, by a client of its own."""
    if kind == "sync":
        with Client(url, token=KEY, **options) as client:
            return getattr(client, call)(*arguments)

    async def asked() -> Any:
        async with AsyncClient(url, token=KEY, **options) as client:
            return await getattr(client, call)(*arguments)

    return asyncio.run(asked())


@pytest.fixture(scope="module")
def made() -> RandomProject:
    return RandomProject.of(SEED)


@pytest.fixture(scope="module")
def folder(made: RandomProject, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("client") / "random"
    folder.mkdir()
    for name, text in {
        "twinbeam.toml": SETTINGS,
        "features.py": made.definitions,
        "key": KEY,
        "reader": READ_ONLY,
    }.items():
        (folder / name).write_text(text, encoding="utf-8")
    with Platform.open(folder) as platform:
        platform.apply()
    return folder


@pytest.fixture(scope="module")
def server(folder: Path, made: RandomProject) -> Iterator[Server]:
    """A server, whose events were pushed by the client, and those of users 1000 further on published in process."""
    events = made.events(USERS, NOON)
    with serving(folder) as server:
        heat = {"code": b"\x00\xfe", "day": NOON.date(), "name": "pier", "ts": NOON, "heat": 0.1}
        with Client(server.url, key=KEY) as client:
            pushed = client.push("things", events)
            assert (pushed.events, pushed.served, len(pushed.lanes)) == (len(events), False, 1)
            client.push("heats", [heat])
        with Platform.open(folder) as platform:
            platform.publish("things", [event | {"user_id": event["user_id"] + 1_000} for event in events])
            platform.run_stream(until="caught_up")
        yield server


@pytest.fixture(scope="module")
def url(server: Server) -> str:
    return server.url


@pytest.fixture(scope="module")
def client(url: str) -> Iterator[Client]:
    with Client(url, key=KEY, deadline=60) as client:
        yield client


@pytest.fixture(scope="module")
def platform(server: Server, folder: Path) -> Iterator[Platform]:
    with Platform.open(folder) as platform:
        yield platform


def test_pushed_events_are_those_published(platform: Platform, made: RandomProject) -> None:
    pushed = platform.get("all_of", {"user_id": list(USERS)}, now=LATER).to_dict()
    published = platform.get("all_of", {"user_id": [user + 1_000 for user in USERS]}, now=LATER).to_dict()
    for name in pushed.keys() - {"user_id"}:
        assert bits(pushed[name]) == bits(published[name]), f"TWINBEAM_PARITY_SEED={SEED}: {name}"
    assert any(value is not None for value in pushed["thing:f0"])


@settings(max_examples=25)
@given(
    data=st.data(),
    users=st.lists(st.one_of(st.sampled_from(USERS), st.sampled_from([-1, 10**12, None])), max_size=70),
)
def test_values_are_those_in_process(
    data: st.DataObject, users: list[int | None], client: Client, platform: Platform, made: RandomProject
) -> None:
    legal = [f"thing:{name}" for name in made.fields]
    chosen = data.draw(st.one_of(st.just("all_of"), st.lists(st.sampled_from(legal), min_size=1, unique=True)))
    check_equal(client.get(chosen, {"user_id": users}, now=LATER), platform.get(chosen, {"user_id": users}, now=LATER))


def check_equal(found: Any, wanted: Any) -> None:
    assert found.columns == tuple(wanted.to_dict())
    for name, column in wanted.to_dict().items():
        assert bits(found[name]) == bits(column), f"TWINBEAM_PARITY_SEED={SEED}: {name} ({found.types.get(name)})"
    assert found.statuses == wanted.statuses
    assert found.event_times == wanted.event_times
    assert found.as_of == wanted.as_of
    assert found.fingerprint == wanted.fingerprint
    arrow = wanted.to_arrow()
    assert found.to_arrow().schema.equals(arrow.schema)
    assert [bits(row) for row in found.to_arrow().to_pylist()] == [bits(row) for row in arrow.to_pylist()]


def test_keys_and_request_values_of_every_kind(client: Client, platform: Platform) -> None:
    keys = {"code": [b"\x00\xfe", b""], "day": [NOON.date(), None], "name": "pier"}
    found = client.get("warmth", keys, now=LATER)
    check_equal(found, platform.get("warmth", keys, now=LATER))
    assert found["warmth:heat"] == [float(np.float32(0.1)), None]
    assert found.status("warmth:heat") == ["PRESENT", "NOT_FOUND"]
    assert found.event_time("warmth:heat") == [NOON, None]
    rows = [{"code": b"\x00\xfe", "day": NOON.date(), "name": "pier"}, {"code": b"", "name": "pier"}]
    assert client.get("warmth", rows, now=LATER).rows() == found.rows()
    request = {"amount": [math.nan, -math.inf, 3], "word": ["NaN", None, "x"]}
    found = client.get("told", {"user_id": [1, 2, 3]}, request, now=LATER)
    assert bits(found["told:ratio"][:2]) == bits([math.nan, -math.inf])
    assert found["told:said"] == ["NaN", None, "x"]
    assert bits(found["amount"]) == bits([math.nan, -math.inf, 3.0])
    with pytest.raises(RequestError, match=r"request\.word: NaN or an infinity is no string; give None"):
        client.get("told", {"user_id": 1}, {"amount": 1.0, "word": math.nan}, now=LATER)
    for given_keys in (
        pd.DataFrame({"user_id": [1, 2, 3]}),
        pl.DataFrame({"user_id": [1, 2, 3]}),
        pa.table({"user_id": [1, 2, 3]}),
        {"user_id": np.array([1, 2, 3])},
        {"user_id": [np.int64(1), np.int32(2), 3]},
        {"user_id": range(1, 4)},
    ):
        assert client.get("few", given_keys, now=LATER)["user_id"] == [1, 2, 3]
    days = np.array(["2026-11-30T00", "NaT"], "datetime64[ns]")
    assert client.get("warmth", {"code": b"", "day": [date(2026, 11, 30), pd.NaT], "name": "x"})["day"] == [
        NOON.date(),
        None,
    ]
    assert client.get("few", {"user_id": 1}, now=days[0].astype("datetime64[us]").item() + timedelta(days=2))
    assert len(client.get("few", {"user_id": []})) == 0


def test_results(client: Client) -> None:
    found = client.get("all_of", {"user_id": [1, -1]}, now=LATER)
    assert (len(found), list(found)) == (2, found.rows())
    assert found.to_dict() == {name: found[name] for name in found.columns}
    assert found.features == found.columns[1:]
    assert "thing:f0" in repr(found)
    assert pickle.loads(pickle.dumps(found)).statuses == found.statuses
    with pytest.raises(
        RequestError, match=r"'thing:f' is not in the answer, which has thing:f0, .* Did you mean 'thing:f"
    ):
        found.status("thing:f")
    frame = found.to_pandas()
    assert list(frame.columns)[:2] == ["user_id", "thing__f0"]
    by_type = {found.types[name]: frame[frame_name] for name, frame_name in found.frame_names().items()}
    assert str(by_type["int8"].dtype) == "Int8"  # user -1 is not there
    assert str(by_type["float32"].dtype) == "float32"
    assert str(by_type["timestamp"].dtype) == "datetime64[us, UTC]"
    assert str(frame["user_id"].dtype) == "int64"


@pytest.mark.parametrize(("package", "method"), [("pandas", "to_pandas"), ("pyarrow", "to_arrow")])
def test_a_missing_package_is_named(client: Client, monkeypatch: pytest.MonkeyPatch, package: str, method: str) -> None:
    found = client.get("few", {"user_id": [1]})
    for module in ("twinbeam.client.pandas_frame", "twinbeam.client.arrow_table"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(RequestError, match=f"{package} is not installed; pip install {package}"):
        getattr(found, method)()


@pytest.mark.parametrize("kind", KINDS)
def test_many_rows_are_read_in_pieces_in_their_order(url: str, platform: Platform, kind: str) -> None:
    users = [number % 70 for number in range(230)]
    with faulty_proxy(url) as proxy:
        found = ask(kind, proxy.url, "get", "all_of", {"user_id": users}, None, LATER)
        # One request is too large, and its limit is told: 50 rows.
        assert len(proxy.asked) == 1 + 5
    check_equal(found, platform.get("all_of", {"user_id": users}, now=LATER))
    with faulty_proxy(url) as proxy:
        found = ask(kind, proxy.url, "get", "few", {"user_id": users}, chunk=100, connections=2)
        assert found["user_id"] == users
        assert len(set(found.as_of)) > 1  # each row's is that of its request
        assert proxy.connections <= 2


def test_connections_are_kept_and_threads_share_a_client(url: str, platform: Platform) -> None:
    wanted = platform.get("all_of", {"user_id": list(USERS)}, now=LATER).to_dict()
    with faulty_proxy(url) as proxy, Client(proxy.url, token=KEY, connections=3, deadline=60, timeout=60) as client:
        for user in range(20):
            client.get("few", {"user_id": user})
        assert (len(proxy.asked), proxy.connections) == (20, 1)

        def read(user: int) -> bool:
            found = client.get("all_of", {"user_id": [user]}, now=LATER)
            return all(bits(found[name]) == bits([wanted[name][user]]) for name in found.columns)

        with ThreadPoolExecutor(8) as pool:
            assert all(pool.map(read, USERS))
        assert 1 < proxy.connections <= 3


@pytest.mark.parametrize("kind", KINDS)
def test_reads_are_tried_again(url: str, kind: str) -> None:
    with faulty_proxy(url, [DROP, BUSY, HALF, PAGE, STALL, NOT_BEGUN]) as proxy:
        found = ask(kind, proxy.url, "get", "few", {"user_id": [1]}, None, LATER, deadline=60, timeout=1.0)
        assert found["thing:count_24h"][0] >= 1
        assert len(proxy.asked) == 7
        assert proxy.asked[2].at - proxy.asked[1].at >= 1  # Retry-After
        assert len({asked.body for asked in proxy.asked}) == 1
    with faulty_proxy(url, [BUSY] * 3) as proxy:
        with pytest.raises(Unavailable, match="busy") as caught:
            ask(kind, proxy.url, "registry", retries=1)
        assert isinstance(caught.value, StoreAway)
        assert (caught.value.status, len(proxy.asked)) == (503, 2)


@pytest.mark.parametrize("kind", KINDS)
def test_one_deadline_bounds_all_tries(url: str, kind: str) -> None:
    with faulty_proxy(url, [DROP, STALL, STALL, STALL, STALL]) as proxy:
        with pytest.raises(
            DeadlineExceeded, match=r"POST /v1/features: no answer within 1 s, after \d tries; the last: .*Read"
        ):
            ask(kind, proxy.url, "get", "few", {"user_id": [1]}, deadline=1.0, timeout=0.6)
        assert 2 <= len(proxy.asked) < 5
    with faulty_proxy(url, [LONG] * 9) as proxy:
        with pytest.raises(DeadlineExceeded, match="busy"):  # what Retry-After asks for is not waited in vain
            ask(kind, proxy.url, "get", "few", {"user_id": [1]}, deadline=30.0)
        assert len(proxy.asked) == 1
    with faulty_proxy(url, [PAGE] * 2) as proxy, pytest.raises(Unavailable, match="<html>"):
        ask(kind, proxy.url, "feature", "thing:f0", retries=0)


@pytest.mark.parametrize("kind", KINDS)
def test_pushes_are_sent_again_only_if_nothing_was_taken(url: str, folder: Path, kind: str) -> None:
    event = {"code": b"1", "day": NOON.date(), "name": "y", "ts": NOON, "heat": 1.0}
    with Platform.open(folder) as platform:

        def end() -> int:
            return platform.broker.ends("heats")[0]

        before = end()
        with faulty_proxy(url, [NOT_BEGUN, NOT_BEGUN]) as proxy:
            assert ask(kind, proxy.url, "push", "heats", [event]).events == 1
            assert len(proxy.asked) == 3
        assert end() == before + 1
        for fault in (DROP, BUSY, PAGE):
            with faulty_proxy(url, [fault]) as proxy:
                with pytest.raises(Unconfirmed, match="whether the events were taken is not known"):
                    ask(kind, proxy.url, "push", "heats", [event])
                assert len(proxy.asked) == 1
        assert end() == before + 1
        with faulty_proxy(url, ["", HALF]) as proxy:  # the second was taken, and its answer lost
            with pytest.raises(Unconfirmed, match="the 30 events before these are durable") as caught:
                ask(kind, proxy.url, "push", "heats", [event] * 60, chunk=30)
            assert caught.value.pushed is not None
            assert caught.value.pushed.lanes
            assert len(proxy.asked) == 2
        assert end() == before + 61


def test_nothing_listens() -> None:
    with Client("http://127.0.0.1:9", retries=2) as client:
        ready = client.ready()
        assert not ready
        assert ready.reasons.keys() == {"server"}
        with pytest.raises(Unreachable, match=r"POST http://127\.0\.0\.1:9/v1/features: .*ConnectError"):
            client.get("few", {"user_id": 1})
        with pytest.raises(Unreachable):
            client.push("heats", [{}])


def test_errors_say_what_where_and_what_is_legal(client: Client, server: Server) -> None:
    caught: list[ClientError] = []

    def refused(kind: type[ClientError], call: Any, *arguments: Any, **named: Any) -> Any:
        with pytest.raises(kind) as error:
            call(*arguments, **named)
        caught.append(error.value)
        return error.value

    missing = refused(NotFound, client.get, "thin", {"user_id": 1})
    assert (missing.where, missing.hint, missing.status) == ("features", "Did you mean 'thing'?", 404)
    assert missing.legal == ("all_of", "few", "thing", "told", "warmth")
    assert str(missing).startswith("features: there is no view")
    assert f"(HTTP 404, request {missing.request_id})" in str(missing)
    until = time.monotonic() + 60
    while missing.request_id not in server.out():  # the log is written a little later
        assert time.monotonic() < until
        time.sleep(0.05)
    wrong = refused(BadRequest, client.get, "warmth", {"code": b"", "day": "2026-11-31", "name": ""})
    assert wrong.where == "keys.day"
    print_of_few = client.get("few", {"user_id": 1}).fingerprint
    assert client.get("few", {"user_id": 1}, fingerprint=print_of_few).fingerprint == print_of_few
    changed = refused(FingerprintMismatch, client.get, "all_of", {"user_id": 1}, fingerprint=print_of_few)
    assert print_of_few in str(changed)
    refused(NotFound, client.feature, "thing:none")
    assert refused(NotFound, client.push, "thing", [{}]).hint == "Did you mean 'things'?"
    good = {"code": b"", "day": NOON.date(), "name": "z", "ts": NOON}
    unfit = refused(
        UnfitEvents, client.push, "heats", [*[good] * 45, good | {"heat": "x"}, good | {"ts": None}, *[good] * 4]
    )
    assert unfit.pushed.events == 40
    assert list(unfit.rows) == [45, 46]
    with Client(server.url, key="a-key-that-nobody-has") as other:
        assert "a-key" not in repr(other) + str(refused(Unauthorized, other.registry))
    for base in (RequestError, DefinitionChanged, EventError):
        assert any(isinstance(error, base) for error in caught)
    for error in caught:
        again = pickle.loads(pickle.dumps(error))
        assert (type(again), str(again), again.request_id) == (type(error), str(error), error.request_id)
        assert isinstance(error, TwinbeamError)


def test_what_is_wrong_before_anything_is_sent(client: Client) -> None:
    with pytest.raises(RequestError, match="keys: columns have different lengths: a: 1, b: 2"):
        client.get("few", {"a": [1], "b": [1, 2]})
    with pytest.raises(RequestError, match="keys: is a int; give a mapping"):
        client.get("few", 7)
    with pytest.raises(RequestError, match="keys: a row is no dict"):
        client.get("few", [7])
    with pytest.raises(RequestError, match="a set is no value"):
        client.get("few", {"user_id": {1}})
    with pytest.raises(EventError, match="things: event 1 is a int: give dicts"):
        client.push("things", [{}, 7])  # type: ignore[list-item]
    with pytest.raises(EventError, match="things: event 1: a object is no value"):
        client.push("things", [{}, {"f0": object()}])
    with pytest.raises(RequestError, match="wait: 'soon' is not legal: give 'served', or None"):
        client.push("things", [], wait="soon")  # type: ignore[arg-type]
    assert client.push("things", []).events == 0
    for url in ("ftp://h", "127.0.0.1:6570", "http://user:secret@h", "http://h?x=1", "http://h:port"):
        with pytest.raises(SettingsError, match="legal") as caught:
            Client(url)
        assert "secret" not in str(caught.value)
    for options in ({"deadline": 0}, {"retries": -1}, {"key": "k", "token": "t"}, {"key": "a b"}, {"ca": "none.pem"}):
        with pytest.raises(SettingsError):
            Client("http://h", **options)


def test_something_else_answers(url: str) -> None:
    with faulty_proxy(url) as proxy, Client(proxy.url + "/deeper", token=KEY) as client:
        with pytest.raises(NotFound, match="path: there is nothing at /deeper/v1/features"):
            client.get("few", {"user_id": 1})
        with pytest.raises(WrongAnswer, match="no Twinbeam server"):
            client.ready()


@pytest.mark.parametrize("kind", KINDS)
def test_definitions(url: str, made: RandomProject, kind: str) -> None:
    assert ask(kind, url, "ready")
    found = ask(kind, url, "registry")
    assert (found.project, found.version) == ("random", 1)
    assert {view["name"] for view in found.views} == {"thing", "warmth"}
    assert found.sources[0]["fields"].items() >= made.fields.items()
    (entry,) = ask(kind, url, "search", "tests count")
    assert (entry.address, entry.tags, entry.keys) == ("thing:count_24h", {"tier": "1"}, ("user_id",))
    assert ask(kind, url, "feature", "thing:count_24h") == entry
    assert "service few" in entry.downstream


def test_credentials(url: str) -> None:
    tokens = iter([READ_ONLY, KEY])
    with Client(url, token=lambda: next(tokens)) as client:
        assert {view["name"] for view in client.registry().views} == {"thing"}
        assert {view["name"] for view in client.registry().views} == {"thing", "warmth"}


@pytest.mark.parametrize("kind", KINDS)
def test_a_push_may_wait_until_it_is_served(url: str, folder: Path, kind: str) -> None:
    name = f"waited {kind}"
    event = {"code": b"", "day": NOON.date(), "name": name, "ts": NOON, "heat": 2.0}
    # The server waits no longer than 1.5 s, and says so.
    with pytest.raises(NotServed, match="Do not send them again") as caught:
        ask(kind, url, "push", "heats", [event], "served", chunk=40)
    assert isinstance(caught.value, StoreAway)
    over = threading.Event()

    def follow() -> None:
        with Platform.open(folder) as platform:
            while not over.is_set():
                platform.run_stream(until="caught_up")

    following = threading.Thread(target=follow)
    following.start()
    try:
        pushed = ask_until_served(kind, url, event)
    finally:
        over.set()
        following.join()
    assert (pushed.events, pushed.served) == (41, True)
    assert ask(kind, url, "get", "warmth:heat", {"code": b"", "day": NOON.date(), "name": name})["warmth:heat"] == [2.0]


def ask_until_served(kind: str, url: str, event: dict[str, Any]) -> Any:
    """What was pushed, once the stream that is about to start is fast enough."""
    while True:
        try:
            return ask(kind, url, "push", "heats", [event] * 41, "served", deadline=60, chunk=40)
        except NotServed:
            continue


def test_no_read_fails_while_workers_are_replaced(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "certificates")
    certificate, key = authority.pem("server")
    folder = project(tmp_path / "shop", f'certificate = "{certificate}"\nkey = "{key}"')
    with serving(folder, workers=2) as server:
        over = threading.Event()
        with Client(server.url, ca=authority.ca, deadline=120, timeout=60) as client:

            def read(_: int) -> int:
                times = 0
                while not over.is_set() or not times:
                    assert client.get("calm", {"user_id": [1, 99]}).status("person:score") == ["PRESENT", "NOT_FOUND"]
                    times += 1
                    time.sleep(0.01)
                return times

            async def read_too() -> int:
                times = 0
                async with AsyncClient(server.url, ca=authority.ca, deadline=120, timeout=60, chunk=1) as other:
                    while not over.is_set() or not times:
                        found = await other.get("calm", {"user_id": [1, 2, 99]})
                        assert found["user_id"] == [1, 2, 99]
                        times += 1
                        await asyncio.sleep(0.01)
                return times

            with ThreadPoolExecutor(3) as pool:
                reads = [pool.submit(read, number) for number in range(2)]
                reads.append(pool.submit(lambda: asyncio.run(read_too())))
                try:
                    server.hup()
                    server.wait_for("other workers answer now")
                finally:
                    over.set()
                assert all(future.result() > 0 for future in reads)
    with Client(server.url, retries=0) as client, pytest.raises(Unreachable):
        client.get("calm", {"user_id": 1})


@pytest.mark.parametrize("kind", KINDS)
def test_overload_is_waited_out(served_with_little_room: Server, kind: str) -> None:
    url, keys = served_with_little_room.url, {"user_id": list(range(3_000))}

    def read(retries: int) -> str:
        try:
            found = ask(kind, url, "get", "both", keys, deadline=300, timeout=100, retries=retries, chunk=3_000)
        except Unavailable as error:
            return error.detail
        return "read" if found["user_id"] == keys["user_id"] else "wrong"

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(read, [1_000] * 8)) == {"read"}
    if kind == "sync":
        with ThreadPoolExecutor(8) as pool:
            assert set(pool.map(read, [0] * 8)) == {"read", "more is asked than this server can answer now"}


@pytest.fixture(scope="module")
def served_with_little_room(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = project(tmp_path_factory.mktemp("little") / "shop", "queue = 1\nthreads = 1\nbody = 60_000")
    with serving(folder) as server:
        yield server


def test_a_body_that_is_too_large_is_sent_in_halves(served_with_little_room: Server) -> None:
    with Client(served_with_little_room.url, deadline=120, timeout=60) as client:
        places = [f"{number:0>200}" for number in range(900)]
        found = client.get("weather", {"place": places, "day": NOON.date()})
        assert found["place"] == places
        events = [{"place": place, "day": NOON.date(), "ts": NOON, "heat": 1.0} for place in places]
        assert client.push("readings", events).events == 900
        with pytest.raises(TooLarge, match="the body has"):
            client.get("weather", {"place": "x" * 70_000, "day": NOON.date()})


def test_reads_go_on_when_a_server_is_back(tmp_path: Path) -> None:
    folder = project(tmp_path / "shop", 'drain = "5s"')
    with serving(folder) as server, Client(server.url, deadline=300, retries=10_000) as client:
        wanted = client.get("calm", {"user_id": [1]}, now=LATER).rows()
        with ThreadPoolExecutor(1) as pool:
            assert server.stop() == 0
            reading = pool.submit(client.get, "calm", {"user_id": [1]}, None, LATER)
            with serving(folder, "--port", str(server.port)):
                assert reading.result().rows() == wanted


def test_the_facade_says_what_there_is() -> None:
    assert not {"Client", "AsyncClient"} & set(dir(twinbeam))
