"""The clients in TypeScript and Java at a real server: values to the last digit, retries, deadlines, typed errors."""

from __future__ import annotations

import json
import math
import os
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest

from pipelines.platform import Platform
from tests.certificates import Authority
from tests.faulty_proxy import BUSY, DROP, HALF, LONG, NOT_BEGUN, PAGE, STALL, faulty_proxy
from tests.foreign_clients import Driver, ForeignClient, jvm, lacking, schema_of, typescript
from tests.served import NOON, Server, project, serving

pytestmark = pytest.mark.xdist_group("foreign_clients")
KEY = "a-key-of-the-tests-of-clients"
LATER = "2026-11-30T13:00:00.000001Z"
LANGUAGES = ("typescript", "java")
DEFINITIONS = """\
from twinbeam import Entity, FeatureService, FeatureView, Source, agg, on_demand

user = Entity("user", keys={"user_id": "int64"})
spot = Entity("spot", keys={"code": "bytes", "day": "date", "at": "timestamp"})
purchases = Source("purchases", fields={"user_id": "int64", "ts": "timestamp", "price": "float64"},
                   event_time="ts", topic="purchases", encoding="json")
FIELDS = {
    "tiny": "int8", "small": "int16", "middle": "int32", "large": "int64", "wide": "uint32", "half": "float32",
    "real": "float64", "text": "string", "raw": "bytes", "seen": "timestamp", "born": "date", "owes": "decimal(38,10)",
    "yes": "bool", "larges": "list<int64>", "raws": "list<bytes>", "times": "list<timestamp>", "reals": "list<float64>",
    "sums": "list<decimal(12,2)>", "counts": "map<string,int64>", "rates": "map<string,float64>",
    "blobs": "map<string,bytes>",
    "deep": "struct<a:int64,b:struct<x:bytes,y:float32>,c:list<float64>,d:map<string,decimal(12,2)>>",
}
things = Source("things", fields={"user_id": "int64", "ts": "timestamp", **FIELDS}, event_time="ts", topic="things")
spots = Source("spots", event_time="ts", topic="spots", fields={
    "code": "bytes", "day": "date", "at": "timestamp", "ts": "timestamp", "heat": "float32",
})
user_purchases = FeatureView("user_purchases", entity=user, source=purchases, owner="payments", tags={"tier": "1"},
                             features=[agg.sum("price", over=["1h", "24h"]), agg.count(over="24h")])
everything = FeatureView("everything", entity=user, source=things, features=[
    *FIELDS, agg.sum("large", over="24h"), agg.last_k(["large", "raw"], k=2), agg.histogram("text"),
    agg.mean("real", over="24h", by="text"), agg.unique_count("wide", over="1h", name="wides"),
])
places = FeatureView("places", entity=spot, source=spots, features=["heat"])
both = FeatureService("both", features=[user_purchases, "everything:large"])


@on_demand(inputs=["everything:large"], request={"amount": "float64", "note": "bytes"}, returns={"twice": "float64"})
def doubled(df):
    return df.select(twice=df["amount"] * 2)
"""
SETTINGS = """\
project = "shop"
[run]
max_skew = "36525d"
[server]
rows = 50
[server.callers.tester]
grants = ["read", "push"]
[server.secrets]
tester_file = "key"
"""
THINGS: dict[int, dict[str, Any]] = {
    1: {
        "tiny": -128, "small": 32_767, "middle": -(2**31), "large": 2**63 - 1, "wide": 2**32 - 1, "half": 0.1,
        "real": 0.1 + 0.2, "text": 'Zoë "\U0001f600"\\\n\u2028', "raw": bytes(range(256)),
        "seen": NOON + timedelta(microseconds=123_456), "born": date(1899, 12, 31),
        "owes": "-0.0000000001", "yes": True,
        "larges": [2**53, 2**53 + 1, -(2**63), None, 0], "raws": [b"", b"\xff", None],
        "times": [datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC), None],
        "reals": [math.nan, math.inf, -math.inf, -0.0, None, 5e-324], "sums": ["1.10", None],
        "counts": {"b": 2**62 + 1, "a": 1, "10": 3, "__proto__": 4, "": 5}, "rates": {"x": math.nan, "y": 1e300},
        "blobs": {"k": b"\x00", "n": None},
        "deep": {"a": 2**60 + 1, "b": {"x": b"ab", "y": 1.5}, "c": [math.inf], "d": {"e": "0.01"}},
    },
    2: {
        "large": -(2**63), "real": math.nan, "half": -math.inf, "text": "12345678901234567890", "raw": b"",
        "seen": datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
        "owes": "1234567890123456789012345678.0000000001",
        "yes": False, "larges": [], "counts": {}, "deep": {"a": None, "b": None, "c": [], "d": {}},
    },
    3: {"large": 2**53 - 1, "real": -0.0, "text": "NaN"},
    4: {"large": 1, "real": 1e16, "half": 16_777_216.0, "text": ""},
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("foreign") / "shop"
    folder.mkdir()
    (folder / "twinbeam.toml").write_text(SETTINGS, encoding="utf-8")
    (folder / "features.py").write_text(DEFINITIONS, encoding="utf-8")
    (folder / "key").write_text(KEY, encoding="utf-8")
    events = [{"user_id": user, "ts": NOON, **thing} for user, thing in THINGS.items()]
    again = {**events[0], "ts": NOON + timedelta(seconds=1)}  # Its sum is beyond int64.
    spot = {"code": b"\x00\xfe", "day": NOON.date(), "at": NOON + timedelta(microseconds=1), "ts": NOON, "heat": 0.1}
    prices = [{"user_id": user, "ts": NOON + timedelta(minutes=user), "price": user / 3} for user in range(12)]
    with Platform.open(folder) as platform:
        platform.apply()
        platform.publish("things", [*events, again])
        platform.publish("spots", [spot])
        platform.publish("purchases", prices)
        platform.run_stream(until="caught_up")
    return folder


@pytest.fixture(scope="module")
def platform(folder: Path) -> Iterator[Platform]:
    with Platform.open(folder) as platform:
        yield platform


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Server]:
    with serving(folder) as server:
        yield server


@pytest.fixture(scope="module")
def url(server: Server) -> str:
    return server.url


@pytest.fixture(scope="module")
def page(url: str) -> bytes:
    return httpx.get(f"{url}/openapi.json", headers={"x-api-key": KEY}).content


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def secure(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of another project, over TLS."""
    certificate, key = authority.pem("server")
    settings = f"certificate = {json.dumps(str(certificate))}\nkey = {json.dumps(str(key))}"
    with serving(project(tmp_path_factory.mktemp("secure") / "shop", settings)) as server:
        yield server


class Clients:
    """The clients, each built, and its driver started, when it is first asked for.

    Args:
        folder: to build them in.
        drivers: ends the drivers.
    """

    def __init__(self, folder: Path, drivers: ExitStack) -> None:
        self._folder, self._drivers = folder, drivers
        self._built: dict[str, ForeignClient] = {}
        self._running: dict[str, Driver] = {}

    def built(self, language: str) -> ForeignClient:
        if language not in self._built:
            make = {"typescript": typescript, "java": jvm}[language]
            self._built[language] = make(self._folder / language)
        return self._built[language]

    def driver(self, language: str) -> Driver:
        if language not in self._running:
            self._running[language] = self._drivers.enter_context(self.built(language).driver())
        return self._running[language]


@pytest.fixture(scope="module")
def clients(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clients]:
    with ExitStack() as drivers:
        yield Clients(tmp_path_factory.mktemp("clients"), drivers)


@pytest.fixture(params=LANGUAGES)
def language(request: pytest.FixtureRequest) -> str:
    """A language; where its client cannot be built, the test is skipped, and under CI fails."""
    found = str(request.param)
    why = lacking(found)
    if why is not None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(why)
    return found


@pytest.fixture
def built(clients: Clients, language: str) -> ForeignClient:
    return clients.built(language)


@pytest.fixture
def driver(clients: Clients, language: str) -> Driver:
    return clients.driver(language)


def assert_same(expected: Any, found: Any, driver: Driver) -> None:
    """Asserts that a value of Python is what a client has, to the bit."""
    if expected is None or isinstance(expected, bool | str):
        assert found is expected or (isinstance(expected, str) and found == expected)
    elif isinstance(expected, int):
        held = driver.language == "typescript" and -(2**53) < expected < 2**53
        assert found == ({"$number": struct.pack(">d", expected).hex()} if held else {"$int": str(expected)})
    elif isinstance(expected, float):
        (number,) = struct.unpack(">d", bytes.fromhex(found["$number"]))
        assert math.isnan(number) if math.isnan(expected) else repr(number) == repr(expected)
    elif isinstance(expected, bytes):
        assert found == {"$bytes": expected.hex()}
    elif isinstance(expected, datetime):
        assert datetime.fromisoformat(found) == expected
    elif isinstance(expected, date):
        assert found == expected.isoformat()
    elif isinstance(expected, Decimal):
        assert Decimal(found).as_tuple() == expected.as_tuple()
    elif isinstance(expected, list):
        assert len(found) == len(expected)
        for one, other in zip(expected, found, strict=True):
            assert_same(one, other, driver)
    else:
        assert found.keys() == expected.keys()
        for name, value in expected.items():
            assert_same(value, found[name], driver)


def assert_answer(platform: Platform, driver: Driver, found: Any, features: Any, keys: Any, **others: Any) -> None:
    """Asserts that an answer is the one in process."""
    wanted = platform.get(features, keys, **others)
    values = wanted.to_dict()
    assert_same(values, found["values"], driver)
    assert_same([list(row) for row in zip(*values.values(), strict=True)], found["rows"], driver)
    assert found["statuses"] == wanted.statuses
    for name, times in wanted.event_times.items():
        assert [time and datetime.fromisoformat(time) for time in found["event_times"][name]] == times
    assert [time and datetime.fromisoformat(time) for time in found["as_of"]] == wanted.as_of
    assert found["fingerprint"] == wanted.fingerprint
    assert found["types"].keys() == values.keys()


def test_values_of_every_type(driver: Driver, url: str, platform: Platform) -> None:
    users = [1, 2, 3, 4, 99, None]
    for features in ("everything", ["everything:large", "user_purchases"]):
        found = driver.result(url, "get", features, {"user_id": users}, {"now": {"$time": LATER}}, key=KEY)
        # A Date of JavaScript has no µs.
        now = LATER.replace("000001", "000") if driver.language == "typescript" else LATER
        assert_answer(platform, driver, found, features, {"user_id": users}, now=datetime.fromisoformat(now))
    statuses = driver.result(url, "get", "everything", {"user_id": users}, {"now": "latest"}, key=KEY)["statuses"]
    assert statuses["everything:large_sum_24h"][:2] == ["OVERFLOW", "PRESENT"]
    assert statuses["everything:tiny"] == [
        "PRESENT",
        "NULL_VALUE",
        "NULL_VALUE",
        "NULL_VALUE",
        "NOT_FOUND",
        "NOT_FOUND",
    ]


def test_keys_and_request_values_of_every_type(driver: Driver, url: str, platform: Platform) -> None:
    at = NOON + timedelta(microseconds=1)
    keys = {"code": [{"$bytes": "00fe"}, None], "day": ["2026-11-30"] * 2, "at": [at.isoformat(), at.isoformat()]}
    real = {"code": [b"\x00\xfe", None], "day": [NOON.date()] * 2, "at": [at, at]}
    request = {"amount": [{"$float": "NaN"}, {"$float": "-Infinity"}, 0.5], "note": [{"$bytes": "ff"}, None, None]}
    given = {"amount": [math.nan, -math.inf, 0.5], "note": [b"\xff", None, None]}
    users = [{"$int": str(2**62 + 1)}, 1, None]
    found = driver.result(url, "get", "places", keys, {"now": "latest"}, key=KEY)
    assert_answer(platform, driver, found, "places", real, now="latest")
    assert found["statuses"]["places:heat"] == ["PRESENT", "NOT_FOUND"]
    asked = ["doubled", "everything:large"]
    found = driver.result(url, "get", asked, {"user_id": users}, {"request": request, "now": "latest"}, key=KEY)
    numbers = {"user_id": [2**62 + 1, 1, None]}
    assert_answer(platform, driver, found, asked, numbers, request=given, now="latest")


def test_many_rows_are_several_requests_in_order(driver: Driver, url: str, platform: Platform) -> None:
    users = [number % 13 for number in range(120)]
    with faulty_proxy(url, ["", BUSY, DROP]) as proxy:
        found = driver.result(proxy.url, "get", "both", {"user_id": users}, {"now": "latest"}, key=KEY, chunk=50)
        assert_answer(platform, driver, found, "both", {"user_id": users}, now="latest")
    sent = [json.loads(asked.body) for asked in proxy.asked]
    once = 2 if driver.language == "java" else 1  # Its driver reads a second time, by getAsync.
    assert [len(body["keys"]["user_id"]) for body in sent] == [50, 50, 50, 50, 20, *[50, 50, 20] * (once - 1)]
    assert sent[1] == sent[2] == sent[3]
    assert [body["fingerprint"] for body in sent[:5]] == [None, *[found["fingerprint"]] * 4]
    lengths = {"user_id": [1] * 60}, {"request": {"amount": [1.0] * 59}}
    assert "59" in driver.ask(url, "get", "doubled", *lengths, key=KEY, chunk=50)["message"]


def test_connections_are_kept(driver: Driver, url: str) -> None:
    with faulty_proxy(url) as proxy:
        assert driver.result(proxy.url, "gets", "both", {"user_id": [1]}, 10, key=KEY) == 1
    assert len(proxy.asked) == 10
    assert proxy.connections <= 2  # Node's fetch may open a second one while the first is just being freed.


def test_reads_are_sent_again(driver: Driver, url: str) -> None:
    with faulty_proxy(url, [DROP, HALF, BUSY]) as proxy:
        assert driver.result(proxy.url, "gets", "both", {"user_id": [1]}, 1, key=KEY) == 1
    assert len({asked.body for asked in proxy.asked}) == 1
    assert len(proxy.asked) == 4
    assert proxy.asked[3].at - proxy.asked[2].at >= 0.99
    for fault, error in ((DROP, "Unreachable"), (BUSY, "Unavailable")):
        with faulty_proxy(url, [fault] * 9) as proxy:
            answer = driver.ask(proxy.url, "gets", "both", {"user_id": [1]}, 1, key=KEY, attempts=2, backoff=1)
            assert (answer["error"], len(proxy.asked)) == (error, 2)
    found = driver.ask("http://127.0.0.1:1", "ready", attempts=2, backoff=1)
    assert found["error"] == "Unreachable"


def test_no_read_fails_while_workers_are_replaced(driver: Driver, server: Server) -> None:
    said = server.err().count("other workers answer now")
    server.hup()
    while server.err().count("other workers answer now") == said:
        assert server.process.poll() is None
        assert driver.result(server.url, "gets", "both", {"user_id": [1]}, 5, key=KEY) == 1
        time.sleep(0.2)
    assert driver.result(server.url, "gets", "both", {"user_id": [1]}, 20, key=KEY) == 1


def test_nothing_goes_on_past_the_deadline(driver: Driver, url: str) -> None:
    for call, given in (("gets", ("both", {"user_id": [1]}, 1)), ("push", ("purchases", [])), ("ready", ())):
        with faulty_proxy(url, [STALL] * 9) as proxy:
            answer = driver.ask(proxy.url, call, *given, key=KEY, deadline=700)
            assert (answer["error"], answer["message"]) == ("DeadlineExceeded", "no answer within 700 ms")
            assert len(proxy.asked) <= 1
    with faulty_proxy(url, [LONG] * 9) as proxy:
        answer = driver.ask(proxy.url, "gets", "both", {"user_id": [1]}, 1, key=KEY)
        assert (answer["error"], answer["retryAfter"], len(proxy.asked)) == ("Unavailable", 3_600, 1)
    if driver.language == "typescript":
        with faulty_proxy(url, [STALL]) as proxy:
            assert driver.ask(proxy.url, "aborted", "both", {"user_id": [1]}, key=KEY)["message"] == "enough"


def test_a_push_is_not_sent_twice(driver: Driver, url: str, platform: Platform) -> None:
    event = {"user_id": 70, "ts": NOON.isoformat(), "price": 1}
    (before,) = platform.broker.ends("purchases").values()
    for fault, error in ((DROP, "Unreachable"), (HALF, "Unreachable"), (BUSY, "Unavailable")):
        with faulty_proxy(url, [fault]) as proxy:
            answer = driver.ask(proxy.url, "push", "purchases", [event], key=KEY, backoff=1)
            assert (answer["error"], len(proxy.asked)) == (error, 1)
    with faulty_proxy(url, [NOT_BEGUN]) as proxy:
        pushed = driver.result(proxy.url, "push", "purchases", [event, event], key=KEY)
    assert len(proxy.asked) == 2
    (after,) = platform.broker.ends("purchases").values()
    assert pushed["events"] == 2
    assert list(pushed["lanes"].values()) == [after - 1]
    assert after - before == 3  # One of the half answer, two of the last.


def test_a_push_can_be_read_when_it_returns(driver: Driver, url: str, platform: Platform) -> None:
    user = 1_000 + LANGUAGES.index(driver.language)
    thing = {
        "large": {"$int": str(2**63 - 1)}, "real": {"$float": "-Infinity"}, "half": {"$float": "NaN"}, "text": 'a"\n',
        "raw": {"$bytes": "00ff"}, "seen": {"$time": "2026-11-30T12:00:00.123Z"}, "owes": "-0.0000000001",
        "larges": [{"$int": str(2**53 + 1)}, None], "reals": [{"$float": "Infinity"}], "counts": {"a": 1},
    }  # fmt: skip
    event = {"user_id": user, "ts": {"$time": "2026-11-30T12:00:00Z"}, **thing}
    early = driver.ask(url, "push", "things", [{**event, "user_id": user + 10}], {"wait": 50}, key=KEY)
    assert (early["error"], early["events"], len(early["lanes"])) == ("NotYetServed", 1, 1)
    streaming = threading.Thread(target=platform.run_stream, kwargs={"until": 6.0})
    streaming.start()
    pushed = driver.result(url, "push", "things", [event], {"wait": 10_000}, key=KEY)
    found = driver.result(url, "get", "everything", {"user_id": [user]}, {"now": "latest"}, key=KEY)
    streaming.join()
    assert (pushed["events"], pushed["served"]) == (1, True)
    assert_answer(platform, driver, found, "everything", {"user_id": [user]}, now="latest")
    assert_same([-math.inf], found["values"]["everything:real"], driver)
    assert_same([b"\x00\xff"], found["values"]["everything:raw"], driver)


def test_errors_are_typed(driver: Driver, url: str) -> None:
    def failed(call: str, *given: Any, key: str = KEY) -> Any:
        return driver.ask(url, call, *given, key=key)

    unknown = failed("get", "bth", {"user_id": [1]})
    assert (unknown["error"], unknown["status"], unknown["hint"]) == ("NotFound", 404, "Did you mean 'both'?")
    assert "both" in unknown["legal"]
    assert failed("feature", "everything:lage")["hint"] == "Did you mean 'everything:large'?"
    wrong = failed("get", "places", {"code": ["!"], "day": ["2026-11-30"], "at": [NOON.isoformat()]})
    assert (wrong["error"], wrong["where"]) == ("BadRequest", "keys.code")
    assert failed("get", "both", {"user_id": [1]}, {"fingerprint": "0" * 16})["error"] == "DefinitionChanged"
    assert failed("get", "both", {"user_id": [1] * 51})["error"] == "TooLarge"
    assert failed("get", "both", {"user_id": [1]}, key="another" * 4)["error"] == "Unauthorized"
    event = {"user_id": 1, "ts": NOON.isoformat(), "price": 1}
    unfit = failed("push", "purchases", [event, {**event, "price": "x"}])
    assert (unfit["error"], [error["row"] for error in unfit["errors"]]) == ("UnfitEvents", [1])
    assert KEY not in json.dumps([unknown, wrong, unfit])
    with faulty_proxy(url, [PAGE]) as proxy:
        page = driver.ask(proxy.url, "gets", "both", {"user_id": [1]}, 1, key=KEY)
    assert (page["error"], page["status"]) == ("Problem", 502)


def test_only_a_trusted_certificate_is_read_from(
    built: ForeignClient, driver: Driver, authority: Authority, secure: Server, tmp_path: Path
) -> None:
    asked = ("get", "calm", {"user_id": [1, 2, 99]}, {"now": "latest"})

    def refused(client: Driver, **options: Any) -> str:
        answer = client.ask(secure.url, *asked, attempts=1, **options)
        assert answer["error"] == "Unreachable"
        return str(answer["message"])

    named = {"typescript": "NODE_EXTRA_CA_CERTS names", "java": "ca(file) names"}[driver.language]
    said = [refused(driver)]
    # Java is told of authorities by an option, Node by its environment.
    trusted = {"ca": str(authority.ca)} if driver.language == "java" else {}
    with built.driver({"NODE_EXTRA_CA_CERTS": str(authority.ca)}) as told, Platform.open(secure.folder) as platform:
        found = told.result(secure.url, *asked, **trusted)
        assert_answer(platform, told, found, "calm", {"user_id": [1, 2, 99]}, now="latest")
    assert found["statuses"]["person:score"] == ["PRESENT", "PRESENT", "NOT_FOUND"]
    if driver.language == "java":
        said.append(refused(driver, ca=str(Authority(tmp_path).ca)))
        wrong = driver.ask(secure.url, *asked, ca=str(tmp_path / "none.pem"))
        assert (wrong["error"], "none.pem cannot be used" in wrong["message"]) == ("IllegalArgumentException", True)
    for message in said:
        assert message.startswith(f"{secure.url} gave no whole answer: its certificate is not trusted: ")
        assert named in message


def test_the_registry_and_the_readiness(driver: Driver, url: str) -> None:
    headers = {"x-api-key": KEY}
    with httpx.Client(base_url=url, headers=headers) as client:
        wanted = client.get("/v1/registry/search", params={"q": "user", "tag": "tier=1", "limit": 2}).json()
        feature = client.get("/v1/registry/features/everything:deep").json()
    found = driver.result(url, "search", "user", {"tag": "tier=1", "limit": 2}, key=KEY)
    assert found == wanted
    assert (wanted["found"], len(wanted["features"])) == (3, 2)
    assert driver.result(url, "feature", "everything:deep", key=KEY) == feature
    ready = driver.result(url, "ready")
    assert ready["status"] == "ready"


def test_the_page_has_what_the_client_sends_and_reads(built: ForeignClient, driver: Driver, page: bytes) -> None:
    if driver.language == "typescript":
        kept = (built.folder / "src" / "schema.ts").read_text("utf-8")
        assert kept == schema_of(page, built), "make clients/typescript/src/schema.ts anew: docs/clients.md says how"
        return
    schemas = json.loads(page)["components"]["schemas"]
    members = driver.result("http://127.0.0.1:1", "members")
    assert len(members) == 7
    for name, kinds in members.items():
        told = schemas[name]["properties"]
        assert kinds.keys() <= told.keys(), name
        assert set(schemas[name]["required"]) <= kinds.keys(), name
        for member, kind in kinds.items():
            of = told[member].get("type", kind)
            assert kind == "any" or kind in of, f"{name}.{member}"


def test_the_example_of_the_documentation(built: ForeignClient, url: str, platform: Platform) -> None:
    printed = built.run_example({"TWINBEAM_URL": url, "TWINBEAM_KEY": KEY})
    values = platform.get("user_purchases", {"user_id": [7, 8]}, now="latest").to_dict()
    first, *others = printed.splitlines()
    assert f"{values['user_purchases:price_sum_24h'][0]}"[:10] in first
    assert others == [
        *(f"{user} {count}" for user, count in zip((7, 8), values["user_purchases:count_24h"], strict=True)),
        "Did you mean 'user_purchases'?",
    ]
