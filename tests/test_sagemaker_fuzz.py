"""SageMaker's routes under requests that nobody should send: told what is wrong, and never 500."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import httpx
import pytest

from pipelines.platform import Platform
from tests.served import project, serving

pytestmark = pytest.mark.xdist_group("server")
REQUESTS = 3_000
GROWTH = 10_000_000
VALUES: list[Any] = [
    None, True, 0, -1, 10**30, 2**63, 1.5, 1e308, "", "x", "\x00", "2026-11-30T00:00:00Z", "2026-11-30T00:00:00.123Z",
    "9999-12-31T23:59:59.999999999Z", "0001-01-01T00:00:00+14:00", "NaN", "inf", "1e400", "-9223372036854775809", [],
    ["1", "2"], {}, {"a": 1}, [[1]], "12.5", "\ud83d", "\U0001f600", "1e19", "١", "7", "a" * 300,
]  # fmt: skip
NAMES = [
    "wide",
    "person",
    "spending",
    "purchases",
    "nope",
    "",
    "..",
    "a b",
    "é",
    "arn:aws:sagemaker:x:000000000000:feature-group/wide",
]
FEATURES = ["id", "at", "price", "count", "tags", "vec", "name", "user_id", "ts", "score", "nope", "is_deleted", ""]
OPERATIONS = [
    "CreateFeatureGroup", "DescribeFeatureGroup", "ListFeatureGroups", "UpdateFeatureGroup", "DeleteFeatureGroup",
    "DescribeFeatureMetadata", "UpdateFeatureMetadata", "ListTags", "AddTags", "DeleteTags", "Search", "Nope",
]  # fmt: skip
FIELDS = [
    "FeatureGroupName", "RecordIdentifierFeatureName", "EventTimeFeatureName", "FeatureName", "NameContains", "SortBy",
    "MaxResults", "NextToken", "ResourceArn", "Tags", "TagKeys", "Resource", "Description", "OnlineStoreConfig",
    "OfflineStoreConfig", "SearchExpression", "ParameterAdditions", "ParameterRemovals", "CreationTimeAfter",
]  # fmt: skip
DEFINITIONS = [
    {"FeatureName": "id", "FeatureType": "Integral"},
    {"FeatureName": "at", "FeatureType": "Fractional"},
    {"FeatureName": "price", "FeatureType": "Fractional"},
    {"FeatureName": "count", "FeatureType": "Integral"},
    {"FeatureName": "name", "FeatureType": "String"},
    {"FeatureName": "tags", "FeatureType": "String", "CollectionType": "Set"},
    {
        "FeatureName": "vec",
        "FeatureType": "Fractional",
        "CollectionType": "Vector",
        "CollectionConfig": {"VectorConfig": {"Dimension": 2}},
    },
]
GROUP = {
    "FeatureGroupName": "wide",
    "RecordIdentifierFeatureName": "id",
    "EventTimeFeatureName": "at",
    "FeatureDefinitions": DEFINITIONS,
    "OnlineStoreConfig": {"EnableOnlineStore": True},
    "OfflineStoreConfig": {"S3StorageConfig": {"S3Uri": "s3://b/p"}},
    "Created": 1_700_000_000_000,
}


def record(draw: random.Random) -> list[Any]:
    found = []
    for name in ["id", "at", *draw.sample(FEATURES, draw.randint(0, 4))]:
        value = draw.choice([*VALUES, "1", "1700000000"])
        several = isinstance(value, list) or draw.random() < 0.1
        found.append({"FeatureName": name, "ValueAsStringList" if several else "ValueAsString": value})
    if draw.random() < 0.3:
        whole = {"id": "1", "at": "1700000000.5", "price": draw.choice(["NaN", "1e308", "-0"])}
        return [{"FeatureName": name, "ValueAsString": value} for name, value in whole.items()]
    return found


def request(draw: random.Random) -> tuple[str, str, dict[str, Any], Any]:
    """Method, path, query and body."""
    name = draw.choice(NAMES) if draw.random() < 0.5 else "wide"
    path = f"/FeatureGroup/{httpx.QueryParams({'n': name}).__str__()[2:].replace('+', '%20') or '%20'}"
    query: dict[str, Any] = {"RecordIdentifierValueAsString": str(draw.choice(VALUES)).replace("\ud83d", "")}
    body: dict[str, Any] = {}
    kind = draw.choice(["put", "put", "get", "delete", "batch", "write", "update", "list", "control", "control"])
    if kind == "put":
        body = {
            "Record": record(draw),
            "TtlDuration": draw.choice([None, None, {"Unit": "Days", "Value": draw.choice([1, 0, 10**9, None])}]),
        }
        method = "PUT"
    elif kind in ("get", "delete"):
        method = kind.upper()
        query |= {"EventTime": draw.choice(["1700000000", "x", "", "1e300"]), "FeatureName": draw.sample(FEATURES, 2)}
        query |= {"DeletionMode": draw.choice(["SoftDelete", "HardDelete", "x"]), "TargetStores": ["OnlineStore"]}
        if draw.random() < 0.4:
            query["RecordIdentifierValueAsString"], query["FeatureName"] = "1", draw.choice([["id"], ["price", "at"]])
        for each in draw.sample(list(query), draw.randint(0, len(query))):
            del query[each]
    else:
        method = "POST"
        if kind == "batch":
            path = "/BatchGetRecord"
            ids = [str(draw.choice(VALUES)).replace("\ud83d", "") for _ in range(draw.choice([1, 3, 101]))]
            body = {"Identifiers": [{"FeatureGroupName": name, "RecordIdentifiersValueAsString": ids}]}
            body["Identifiers"][0]["FeatureNames"] = draw.choice([None, ["id"], draw.sample(FEATURES, 2)])
        elif kind == "write":
            path, body = "/BatchWriteRecord", {"Entries": [{"FeatureGroupName": name, "Record": record(draw)}]}
        elif kind == "update":
            path += "/Record"
            body = {"RecordIdentifierValueAsString": draw.choice(["1", "x"]), "Features": record(draw)[1:]}
        elif kind == "list":
            path, body = (
                path + "/ListRecords",
                {"MaxResults": draw.choice([1, 100, 0]), "NextToken": draw.choice(VALUES)},
            )
        else:
            path, body = "/", {each: draw.choice([*VALUES, *NAMES]) for each in draw.sample(FIELDS, draw.randint(0, 8))}
            if draw.random() < 0.5:
                body |= {
                    "FeatureGroupName": draw.choice(NAMES),
                    "FeatureDefinitions": draw.choice([DEFINITIONS, [], [{}]]),
                }
            body |= {"RoleArn": "x"}  # So that none is made.
    if body and draw.random() < 0.15:
        body[draw.choice(list(body))] = draw.choice(VALUES)
    return method, path, query, body


def test_whatever_is_sent_is_answered_and_never_500(tmp_path: Path) -> None:
    folder = project(tmp_path / "shop", filled=False)
    (folder / "feature_groups").mkdir()
    (folder / "feature_groups" / "wide.json").write_text(json.dumps(GROUP), encoding="utf-8")
    with Platform.open(folder) as platform:
        platform.apply()
    draw, statuses = random.Random(7), set()
    with serving(folder) as server, httpx.Client(base_url=server.url, timeout=300) as http:
        for number in range(REQUESTS):
            if number == REQUESTS // 2:
                held = server.memory()
            method, path, query, body = request(draw)
            content = json.dumps(body).encode() if draw.random() < 0.97 else draw.randbytes(30)
            target = draw.choice(OPERATIONS)
            answer = http.request(
                method, path, params=query, content=content, headers={"x-amz-target": f"SageMaker.{target}"}
            )
            statuses.add((method, answer.status_code))
            assert answer.status_code < 500, (method, path, query, target, body, answer.text)
            if answer.status_code >= 400 and "x-amzn-errortype" in answer.headers:
                assert answer.json()["Message"], (method, path, body)
        assert server.memory() < held + GROWTH
        assert "Traceback" not in server.err()
    assert statuses >= {
        ("PUT", 200),
        ("PUT", 400),
        ("PUT", 404),
        ("GET", 200),
        ("GET", 404),
        ("POST", 200),
        ("POST", 400),
    }
