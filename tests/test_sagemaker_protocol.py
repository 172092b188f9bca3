"""SageMaker's protocols below what its clients can send: signatures, rights, malformed requests, views as groups."""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import polars as pl
import pytest

from pipelines.commands.main import main
from pipelines.platform import Platform
from serving.deployment import Deployment
from serving.server.messages import Request
from serving.server.sagemaker.bodies import LEGAL_NAME
from serving.server.sagemaker.signature import Authorization, signature
from tests.served import Server, project, serving

pytestmark = pytest.mark.xdist_group("server")
EXAMPLE_KEY = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
KEYS = {name: secrets.token_urlsafe(24) for name in ("root", "reader", "writer", "stranger")}
SETTINGS = """
[server.callers.root]
grants = ["admin"]
[server.callers.reader]
grants = ["read:orders", "read:profile"]
[server.callers.writer]
grants = ["push:orders"]
[server.callers.stranger]
grants = ["read:spending"]
[server.secrets]
root_env = "ROOT_KEY"
reader_env = "READER_KEY"
writer_env = "WRITER_KEY"
stranger_env = "STRANGER_KEY"
"""
VIEWS = """

scores = Source(
    "scores", fields={"user_id": "int64", "ts": "timestamp", "level": "int32", "rate": "float64",
                      "marks": "list<int64>", "note": "string", "unused": "bool"},
    event_time="ts", topic="scores", encoding="json",
)
profile = FeatureView("profile", entity=user, source=scores, features=["level", "rate", "marks", "note"])
"""
GROUP: Mapping[str, Any] = {
    "FeatureGroupName": "orders",
    "RecordIdentifierFeatureName": "order-id",
    "EventTimeFeatureName": "at",
    "FeatureDefinitions": [
        {"FeatureName": "order-id", "FeatureType": "String"},
        {"FeatureName": "at", "FeatureType": "String"},
        {"FeatureName": "price", "FeatureType": "Fractional"},
        {"FeatureName": "now", "FeatureType": "Integral"},
    ],
    "OnlineStoreConfig": {"EnableOnlineStore": True},
    "OfflineStoreConfig": {"S3StorageConfig": {"S3Uri": "s3://bucket/prefix"}},
    "RoleArn": "arn:aws:iam::123456789012:role/features",
}


class Client:
    """Signs requests, and sends them.

    Args:
        http: sends.
        caller: who signs.
    """

    def __init__(self, http: httpx.Client, caller: str = "root") -> None:
        self._http, self._caller = http, caller

    def by(self, caller: str) -> Client:
        return Client(self._http, caller)

    def request(self, method: str, path: str, body: Any = None, **query: Any) -> httpx.Request:
        content = b"" if body is None else json.dumps(body).encode()
        return self._http.build_request(method, path, params=query, content=content)

    def control(self, operation: str, code: int = 200, **body: Any) -> Any:
        """Answer of the control plane."""
        request = self.request("POST", "/", body)
        request.headers["x-amz-target"] = f"SageMaker.{operation}"
        return self.sent(self.signed(request), code)

    def call(self, method: str, path: str, body: Any = None, code: int = 200, **query: Any) -> Any:
        """Answer of the runtime."""
        return self.sent(self.signed(self.request(method, path, body, **query)), code)

    def put(self, group: str, told: Mapping[str, Any], code: int = 200) -> Any:
        record = [
            {"FeatureName": name, "ValueAsStringList" if isinstance(value, list) else "ValueAsString": value}
            for name, value in told.items()
        ]
        return self.call("PUT", f"/FeatureGroup/{group}", {"Record": record}, code)

    def get(self, group: str, identifier: str, code: int = 200, **query: Any) -> Any:
        found = self.call("GET", f"/FeatureGroup/{group}", code=code, RecordIdentifierValueAsString=identifier, **query)
        return values(found["Record"]) if code == 200 and found else found

    def sent(self, request: httpx.Request, code: int) -> Any:
        answer = self._http.send(request)
        assert answer.status_code == code, answer.text
        told = answer.json() if answer.content else None
        return told if code < 400 else {**(told or {}), "code": answer.headers["x-amzn-errortype"]}

    def signed(self, request: httpx.Request, key: str | None = None, **changes: Any) -> httpx.Request:
        """The request, signed as the documentation of AWS has it, apart from the server's own code."""
        time = changes.get("time", datetime.now(UTC))
        stamp, day = f"{time:%Y%m%dT%H%M%SZ}", f"{time:%Y%m%d}"
        request.headers["x-amz-date"] = stamp
        names = sorted(changes.get("names", ["host", *(name for name in request.headers if name.startswith("x-amz-"))]))
        path, _, query = request.url.raw_path.decode().partition("?")
        pairs = sorted(f"{quote(name, '')}={quote(value, '')}" for name, value in request.url.params.multi_items())
        canonical = "\n".join(
            [request.method, quote(path), "&".join(pairs) if query else ""]
            + [f"{name}:{request.headers[name]}" for name in names]
            + ["", ";".join(names), hashlib.sha256(request.content).hexdigest()]
        )
        scope = changes.get("scope", f"{day}/us-east-1/sagemaker/aws4_request")
        text = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
        derived = f"AWS4{key or KEYS[self._caller]}".encode()
        for part in [*scope.split("/"), text]:
            derived = hmac.new(derived, part.encode(), hashlib.sha256).digest()
        request.headers["authorization"] = (
            f"AWS4-HMAC-SHA256 Credential={self._caller}/{scope}, SignedHeaders={';'.join(names)}, "
            f"Signature={derived.hex()}"
        )
        return request


def values(record: list[Mapping[str, Any]]) -> dict[str, Any]:
    return {each["FeatureName"]: each.get("ValueAsString", each.get("ValueAsStringList")) for each in record}


@contextmanager
def shop(folder: Path) -> Iterator[tuple[Path, Server, Client]]:
    project(folder, filled=False)
    with (folder / "features.py").open("a", encoding="utf-8") as file:
        file.write(VIEWS)
    with Platform.open(folder) as platform:
        platform.apply()
    with (folder / "twinbeam.toml").open("a", encoding="utf-8") as file:
        file.write(SETTINGS)
    environment = {f"{name.upper()}_KEY": key for name, key in KEYS.items()}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        with serving(folder, workers=2) as server, httpx.Client(base_url=server.url, timeout=120) as http:
            yield folder, server, Client(http)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Server, Client]]:
    with shop(tmp_path_factory.mktemp("sagemaker") / "shop") as (folder, server, client):
        client.control("CreateFeatureGroup", **GROUP)
        first = {"order-id": "a", "at": "2026-01-01T10:30:00Z", "price": "1.50", "now": "3"}
        for record in (first, {"order-id": "b", "at": "2026-01-01T12:00:00.25Z", "price": "2"}):
            client.put("orders", record)
        remove: dict[str, Any] = {"RecordIdentifierValueAsString": "b", "EventTime": "2026-01-01T12:00:01Z"}
        client.call("DELETE", "/FeatureGroup/orders", **remove)
        marks = {"user_id": "7", "ts": "2026-01-01T10:00:00Z", "level": "3", "rate": "0.5", "marks": ["1", "2"]}
        client.put("profile", marks)
        with Platform.open(folder) as platform:
            platform.run_stream(until="caught_up")
        yield folder, server, client


@pytest.fixture
def client(made: tuple[Path, Server, Client]) -> Client:
    return made[2]


@pytest.mark.parametrize(
    ("target", "service", "headers", "expected"),
    [
        (
            "/?Action=ListUsers&Version=2010-05-08",
            "iam",
            {"content-type": "application/x-www-form-urlencoded; charset=utf-8", "host": "iam.amazonaws.com"},
            "5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7",
        ),
        (
            "/",
            "service",
            {"host": "example.amazonaws.com"},
            "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
        ),
        (
            "/?Param2=value2&Param1=value1",
            "service",
            {"host": "example.amazonaws.com"},
            "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
        ),
    ],
)
def test_published_signatures(target: str, service: str, headers: Mapping[str, str], expected: str) -> None:
    request = Request("GET", target, {**headers, "x-amz-date": "20150830T123600Z"}, b"")
    scope = ("20150830", "us-east-1", service, "aws4_request")
    authorization = Authorization("AKIDEXAMPLE", scope, (*headers, "x-amz-date"), expected)
    assert signature(request, authorization, EXAMPLE_KEY).decode() == expected


def test_what_was_signed_otherwise_is_refused(client: Client) -> None:
    def get() -> httpx.Request:
        return client.request("GET", "/FeatureGroup/orders", RecordIdentifierValueAsString="a")

    def refused(request: httpx.Request) -> str:
        told = client.sent(request, 403)
        assert told["code"] == "InvalidSignatureException"
        return str(told["Message"])

    now = datetime.now(UTC)
    mismatch = refused(client.signed(get(), key="another-key-altogether"))
    assert mismatch == refused(client.by("reader").signed(get(), key=KEYS["writer"]))
    nobody = client.by("nobody").signed(get(), key="whatever-it-is")
    assert mismatch == refused(nobody)
    for age in (timedelta(minutes=-6), timedelta(minutes=6)):
        assert "expired" in refused(client.signed(get(), time=now + age))
    scope = f"{now:%Y%m%d}/us-east-1/{{}}/aws4_request"
    assert "sagemaker" in refused(client.signed(get(), scope=scope.format("s3")))
    yesterday = f"{now - timedelta(days=1):%Y%m%d}/us-east-1/sagemaker/aws4_request"
    assert "date" in refused(client.signed(get(), scope=yesterday))
    assert "x-amz-date" in refused(client.signed(get(), names=["host"]))
    altered = client.signed(get())
    altered.headers["x-amz-target"] = "SageMaker.DeleteFeatureGroup"
    assert "x-amz-target" in refused(altered)
    other = client.signed(client.request("PUT", "/FeatureGroup/orders", {"Record": []}))
    moved = httpx.Request("PUT", other.url, headers=other.headers, content=b'{"Record": {}}')
    assert refused(moved) == mismatch
    told = client.request("PUT", "/FeatureGroup/orders", {"Record": []})
    told.headers["x-amz-content-sha256"] = "UNSIGNED-PAYLOAD"
    assert "digest" in refused(client.signed(told))
    for text in (
        "AWS4-HMAC-SHA256",
        "AWS4-HMAC-SHA256 Credential=a/b, SignedHeaders=host, Signature=0",
        "AWS4-HMAC-SHA256 =,",
    ):
        bare = get()
        bare.headers["authorization"] = text
        refused(bare)
    unsigned = client.sent(get(), 403)
    assert unsigned["code"] == "MissingAuthenticationTokenException"
    with_key = get()
    with_key.headers["authorization"] = f"Bearer {KEYS['reader']}"
    assert client.sent(with_key, 200)["Record"]


def test_rights(client: Client) -> None:
    reader, writer, stranger = (client.by(name) for name in ("reader", "writer", "stranger"))
    asked: dict[str, Any] = {"FeatureGroupName": "orders"}
    assert reader.get("orders", "a")["price"] == "1.50"
    assert writer.get("orders", "a", 403)["code"] == "AccessForbidden"
    assert reader.put("orders", {"order-id": "x", "at": "2026-01-01T00:00:00Z"}, 403)["code"] == "AccessForbidden"
    nothing = stranger.get("orders", "a", 404)
    assert nothing["Message"].replace("orders", "nope") == stranger.get("nope", "a", 404)["Message"]
    assert stranger.control("DescribeFeatureGroup", 400, **asked)["__type"] == "ResourceNotFound"
    assert stranger.control("ListFeatureGroups")["FeatureGroupSummaries"] == []
    shown = [each["FeatureGroupName"] for each in reader.control("ListFeatureGroups")["FeatureGroupSummaries"]]
    assert shown == ["orders", "profile"]
    for operation, body in (
        ("CreateFeatureGroup", {**GROUP, "FeatureGroupName": "mine"}),
        ("DeleteFeatureGroup", asked),
        ("UpdateFeatureGroup", asked),
        ("UpdateFeatureMetadata", asked | {"FeatureName": "price"}),
    ):
        assert writer.control(operation, 403, **body)["__type"] == "AccessDeniedException"
    identifiers = [
        {"FeatureGroupName": name, "RecordIdentifiersValueAsString": ["a"]} for name in ("orders", "profile")
    ]
    answer = writer.call("POST", "/BatchGetRecord", {"Identifiers": identifiers})
    assert [each["ErrorCode"] for each in answer["Errors"]] == ["AccessForbidden", "ResourceNotFound"]


@pytest.mark.parametrize(
    ("method", "path", "query", "body", "text"),
    [
        ("GET", "/FeatureGroup/orders", {}, None, "RecordIdentifierValueAsString is missing"),
        ("GET", "/FeatureGroup/orders", {"RecordIdentifierValueAsString": ["a", "b"]}, None, "more than once"),
        (
            "GET",
            "/FeatureGroup/orders",
            {"RecordIdentifierValueAsString": "a", "FeatureName": "x"},
            None,
            "no feature 'x'",
        ),
        (
            "GET",
            "/FeatureGroup/o%20s",
            {"RecordIdentifierValueAsString": "a"},
            None,
            "'o s' is neither a name of a feature group nor an ARN of one: legal is a name (1 to 64 of A-Z",
        ),
        (
            "GET",
            "/FeatureGroup/orders",
            {"RecordIdentifierValueAsString": "a", "ExpirationTimeResponse": "x"},
            None,
            "Enabled",
        ),
        ("DELETE", "/FeatureGroup/orders", {"RecordIdentifierValueAsString": "a"}, None, "EventTime is missing"),
        (
            "DELETE",
            "/FeatureGroup/orders",
            {"RecordIdentifierValueAsString": "a", "EventTime": "2026-01-01T00:00:00Z", "DeletionMode": "Never"},
            None,
            "legal are SoftDelete and HardDelete",
        ),
        (
            "DELETE",
            "/FeatureGroup/orders",
            {"RecordIdentifierValueAsString": "a", "EventTime": "2026-01-01T00:00:00Z", "DeletionMode": "HardDelete"},
            None,
            "is not later than that of the record, 2026-01-01T10:30:00Z",
        ),
        ("PUT", "/FeatureGroup/orders", {}, {"Record": []}, "Record"),
        (
            "PUT",
            "/FeatureGroup/orders",
            {},
            {"Record": [{"FeatureName": "at", "ValueAsString": "x"}, {"FeatureName": "price", "ValueAsString": 1}]},
            "Record[1].ValueAsString: 1 is not legal: legal is str",
        ),
        ("PUT", "/FeatureGroup/orders", {}, {"Record": [{"FeatureName": "at"}] * 2}, "twice"),
        ("POST", "/BatchGetRecord", {}, {"Identifiers": []}, "Identifiers"),
        ("POST", "/FeatureGroup/orders/ListRecords", {}, {"NextToken": "?"}, "NextToken"),
    ],
)
def test_what_is_not_legal_is_told(
    client: Client, method: str, path: str, query: Mapping[str, Any], body: Any, text: str
) -> None:
    told = client.call(method, path, body, 400, **query)
    assert told["code"] == "ValidationError"
    assert text in told["Message"]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"FeatureGroupName": "my group"}, f"FeatureGroupName: 'my group' is not legal: legal is {LEGAL_NAME}"),
        ({"FeatureGroupName": "g" * 65}, f"FeatureGroupName: '{'g' * 65}' is not legal: legal is {LEGAL_NAME}"),
        (
            {"FeatureDefinitions": [GROUP["FeatureDefinitions"][0], {"FeatureName": "é", "FeatureType": "String"}]},
            f"FeatureDefinitions[1].FeatureName: 'é' is not legal: legal is {LEGAL_NAME}",
        ),
        (
            {"FeatureDefinitions": [{"FeatureName": "a", "FeatureType": "Text"}]},
            "FeatureDefinitions[0].FeatureType: 'Text' is not legal: legal are Integral, Fractional, String",
        ),
        (
            {"FeatureDefinitions": [{"FeatureName": "a"}]},
            "FeatureDefinitions[0]: Object missing required field FeatureType",
        ),
        ({"EventTimeFeatureName": "then"}, "'then' is none of the FeatureDefinitions: legal are order-id, at, price"),
        ({"RoleArn": "me"}, "RoleArn: 'me' is not legal: legal is arn:aws:iam::ACCOUNT:role/NAME"),
        ({"Description": ["x" * 300]}, f'Description: ["{"x" * 198}... is not legal: legal is str'),
    ],
)
def test_what_a_group_may_not_be_is_told(client: Client, changes: Mapping[str, Any], told: str) -> None:
    assert (
        told
        in client.control("CreateFeatureGroup", 400, **{**GROUP, "FeatureGroupName": "other", **changes})["Message"]
    )


def test_a_view_is_a_group_as_it_is(made: tuple[Path, Server, Client]) -> None:
    folder, _, client = made
    assert client.get("profile", "7") == {
        "user_id": "7",
        "ts": "2026-01-01T10:00:00Z",
        "level": "3",
        "rate": "0.5",
        "marks": ["1", "2"],
    }
    told = client.control("DescribeFeatureGroup", FeatureGroupName="profile")
    assert [each["FeatureName"] for each in told["FeatureDefinitions"]] == [
        "user_id",
        "ts",
        "level",
        "rate",
        "marks",
        "note",
    ]
    later: dict[str, Any] = {"user_id": "7", "ts": "2026-01-01T11:00:00Z"}
    assert "int32" in client.put("profile", {**later, "level": str(2**31)}, 400)["Message"]
    record = [{"FeatureName": name, "ValueAsString": value} for name, value in later.items()]
    ttl = {"Record": record, "TtlDuration": {"Unit": "Days", "Value": 1}}
    for answer in (
        client.call("PUT", "/FeatureGroup/profile", ttl, 400),
        client.call(
            "DELETE",
            "/FeatureGroup/profile",
            code=400,
            RecordIdentifierValueAsString="7",
            EventTime="2026-01-02T00:00:00Z",
        ),
        client.control("DeleteFeatureGroup", 400, FeatureGroupName="profile"),
    ):
        assert "view of the definitions" in answer["Message"]
    with Platform.open(folder) as platform:
        found = platform.get("profile", {"user_id": [7]}).to_dict()
    assert (found["profile:level"], found["profile:marks"]) == ([3], [[1, 2]])


def test_a_group_is_a_view_for_all_others(made: tuple[Path, Server, Client]) -> None:
    folder, _, client = made
    with Platform.open(folder) as platform:
        (group,) = platform.registry.groups
        key, now = group.key.column, group.by_name["now"].column
        assert (key, now) == (f"order_id_{key[9:17]}_", f"now_{now[4:12]}_")
        served = platform.get("orders", {key: ["a", "b"]})
        assert served.to_dict()["orders:price"] == [1.5, None]
        assert served.statuses["orders:price"] == ["PRESENT", "NOT_FOUND"]
        noon = datetime(2026, 1, 1, 12, tzinfo=UTC)
        spine = {key: ["a", "b", "b"], "t": [noon, noon + timedelta(seconds=0.5), noon + timedelta(seconds=1)]}
        assert platform.training_set(spine, "orders").to_dict()["orders:price"] == [1.5, 2.0, None]
    listed = client.call("POST", "/FeatureGroup/orders/ListRecords", {"MaxResults": 1})
    assert listed["RecordIdentifiers"] == ["a"]
    deleted = client.call("POST", "/FeatureGroup/orders/ListRecords", {"IncludeSoftDeletedRecords": True})
    assert {"a", "b"} <= set(deleted["RecordIdentifiers"])


def test_a_group_without_an_online_store_is_offline_only(made: tuple[Path, Server, Client]) -> None:
    folder, _, client = made
    asked: dict[str, Any] = {"FeatureGroupName": "ledger"}
    client.control("CreateFeatureGroup", **{**GROUP, **asked, "OnlineStoreConfig": {"EnableOnlineStore": False}})
    try:
        assert client.control("DescribeFeatureGroup", **asked)["FeatureGroupStatus"] == "Created"
        client.put("ledger", {"order-id": "a", "at": "2026-01-01T10:30:00Z", "price": "1.50"})
        assert "has no online store" in client.get("ledger", "a", 400)["Message"]
        with Platform.open(folder) as platform:
            platform.run_stream(until="caught_up")
            (group,) = [group for group in platform.registry.groups if group.name == "ledger"]
            spine = {group.key.column: ["a"], "t": [datetime(2026, 1, 1, 12, tzinfo=UTC)]}
            assert platform.training_set(spine, "ledger").to_dict()["ledger:price"] == [1.5]
            assert Deployment.load(platform.offline).blocks["ledger"] == ()
    finally:
        client.control("DeleteFeatureGroup", **asked)


def test_times_to_live_and_stores_and_updates(made: tuple[Path, Server, Client]) -> None:
    folder, _, client = made
    now = datetime.now(UTC).replace(microsecond=0)

    def record(identifier: str, at: datetime, price: str = "1") -> list[dict[str, str]]:
        told = {"order-id": identifier, "at": f"{at:%Y-%m-%dT%H:%M:%SZ}", "price": price}
        return [{"FeatureName": name, "ValueAsString": value} for name, value in told.items()]

    hour, path = {"Unit": "Hours", "Value": 1}, "/FeatureGroup/orders"
    entries: list[dict[str, Any]] = [
        {"Record": record("alive", now), "TtlDuration": {"Unit": "Days", "Value": 2}},
        {"Record": record("expired", now - timedelta(minutes=61))},
        {"Record": record("cold", now), "TargetStores": ["OfflineStore"]},
        {"Record": record("warm", now), "TargetStores": ["OnlineStore"]},
        {"Record": record("gone", now)},
        {"Record": record("changed", now)},
    ]
    named = [{"FeatureGroupName": "orders", **entry} for entry in entries]
    answer = client.call("POST", "/BatchWriteRecord", {"Entries": named, "TtlDuration": hour})
    assert answer == {"Errors": [], "UnprocessedEntries": []}

    def caught_up() -> dict[str, Any]:
        """Prices by identifier, and whatever else is asked for."""
        with Platform.open(folder) as platform:
            platform.run_stream(until="caught_up")
        identifiers = [entry["Record"][0]["ValueAsString"] for entry in entries]
        asked = {"FeatureGroupName": "orders", "RecordIdentifiersValueAsString": identifiers}
        found = client.call("POST", "/BatchGetRecord", {"Identifiers": [asked], "ExpirationTimeResponse": "Enabled"})
        return {
            each["RecordIdentifierValueAsString"]: (
                values(each["Record"])["price"],
                datetime.fromisoformat(each["ExpiresAt"]) - now,
            )
            for each in found["Records"]
        }

    one = timedelta(hours=1)
    first = {"alive": ("1", timedelta(days=2)), "warm": ("1", one), "gone": ("1", one), "changed": ("1", one)}
    assert caught_up() == first
    with Platform.open(folder) as platform:
        (group,) = [group for group in platform.registry.groups if group.name == "orders"]
        keys = {group.key.column: ["alive", "expired", "cold"]}
        native = platform.get("orders", keys)
        assert native.to_dict()["orders:price"] == [1.0, None, None]
        assert native.statuses["orders:price"] == ["PRESENT", "OUTSIDE_MAX_AGE", "NOT_FOUND"]
        spine = {group.key.column: ["expired"] * 3, "t": [now - timedelta(seconds=each) for each in (61, 60, 3_700)]}
        trained = platform.training_set(spine, "orders:price").statuses["orders:price"]
        assert trained == ["PRESENT", "OUTSIDE_MAX_AGE", "NOT_FOUND"]
    later = f"{now + timedelta(seconds=1):%Y-%m-%dT%H:%M:%SZ}"
    remove: dict[str, Any] = {"RecordIdentifierValueAsString": "gone", "EventTime": later, "DeletionMode": "HardDelete"}
    client.call("DELETE", path, **remove)
    price = [{"FeatureName": "price", "ValueAsString": "2"}]
    update = {"RecordIdentifierValueAsString": "changed", "Features": price}
    client.call("POST", f"{path}/Record", update)
    older = [*price, {"FeatureName": "at", "ValueAsString": "2026-01-01T00:00:00Z"}]
    assert client.call("POST", f"{path}/Record", update | {"Features": older}, 409)["code"] == "ConflictException"
    assert caught_up() == {name: each for name, each in first.items() if name != "gone"} | {"changed": ("2", one)}
    # A hard delete of the time of the deletion is that deletion, sent again; one that is older changes nothing.
    client.call("DELETE", path, **remove)
    for identifier, at in (("gone", now), ("expired", now - timedelta(minutes=62))):
        older_one = remove | {"RecordIdentifierValueAsString": identifier, "EventTime": f"{at:%Y-%m-%dT%H:%M:%SZ}"}
        told = client.call("DELETE", path, code=400, **older_one)
        assert (told["code"], "nothing is deleted" in told["Message"]) == ("ValidationError", True)
    client.call("PUT", path, {"Record": record("changed", now, "3")})
    client.call("PUT", path, {"Record": record("gone", now, "3")})
    assert caught_up() == {name: each for name, each in first.items() if name != "gone"} | {"changed": ("2", one)}


def test_the_offline_store_is_exported_as_sagemaker_has_it(
    made: tuple[Path, Server, Client], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["export", "sagemaker", "--group", "orders", "--out", str(tmp_path), "--project", str(made[0])]
    for _ in range(2):
        assert main(words) == 0
    assert " rows" in capsys.readouterr().out
    (data,) = tmp_path.glob("orders-*/data")
    files = data.rglob("year=2026/month=01/**/*.parquet")
    hours = {path.parent.relative_to(data).as_posix(): pl.read_parquet(path) for path in files}
    assert sorted(hours) == [f"year=2026/month=01/day=01/hour={hour}" for hour in (10, 12)]
    rows = pl.concat([hours[hour] for hour in sorted(hours)])
    assert rows.columns == ["order-id", "at", "price", "now", "write_time", "api_invocation_time", "is_deleted"]
    assert rows.drop("write_time", "api_invocation_time").rows() == [
        ("a", "2026-01-01T10:30:00Z", 1.5, 3, False),
        ("b", "2026-01-01T12:00:00.25Z", 2.0, None, False),
        ("b", "2026-01-01T12:00:01Z", None, None, True),
    ]
    assert (rows["write_time"] >= rows["api_invocation_time"]).all()
    assert main([*words[:3], "nope", *words[4:]]) == 1
    assert "legal is orders" in capsys.readouterr().err


def test_definitions_that_wait_to_be_applied_are_not_applied_with_a_group(tmp_path: Path) -> None:
    with shop(tmp_path / "shop") as (folder, _, client):
        file = folder / "features.py"
        before = file.read_text(encoding="utf-8")
        file.write_text(before.replace('features=["level", "rate"', 'features=["rate"'), encoding="utf-8")
        told = client.control("CreateFeatureGroup", 400, **GROUP)
        assert "profile" in told["Message"]
        assert "twinbeam apply" in told["Message"]
        file.write_text(before, encoding="utf-8")
        wrong = [*GROUP["FeatureDefinitions"], {"FeatureName": "price_", "FeatureType": "String"}]
        assert (
            client.control("CreateFeatureGroup", 400, **{**GROUP, "FeatureDefinitions": wrong})["__type"]
            == "ValidationException"
        )
        twin = {**GROUP, "FeatureGroupName": "PROFILE"}
        assert "by more than case" in client.control("CreateFeatureGroup", 400, **twin)["Message"]
        assert not list((folder / "feature_groups").glob("*.json"))
        client.control("CreateFeatureGroup", **GROUP)
        assert client.control("CreateFeatureGroup", 400, **GROUP)["__type"] == "ResourceInUse"
        assert client.control("DescribeFeatureGroup", FeatureGroupName="orders")["FeatureGroupStatus"] == "Created"
        with Platform.open(folder) as platform:
            assert not platform.plan().changes
        # Both workers know a group at once, and know at once that it is gone.
        for _ in range(6):
            assert client.get("orders", "a") == {}
        client.control("DeleteFeatureGroup", FeatureGroupName="orders")
        for _ in range(6):
            assert client.get("orders", "a", 404)["code"] == "ResourceNotFound"
