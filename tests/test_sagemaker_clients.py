"""SageMaker's Feature Store: boto3, awscli and the SageMaker Python SDK, unmodified, at real servers of ours.

One is over SQLite and asks nobody who they are; one is over Cassandra, and all that is asked of it must be signed.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import chain
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from examples.flights.nyc import read_year
from tests.sagemaker_clients import (
    ROLE,
    START,
    Boto,
    Deployment,
    Refused,
    create,
    created,
    definition,
    delete,
    deployed,
    features,
    installed,
    offline,
    record,
    refused,
    text,
    until,
    values,
)
from tests.served import over_cassandra
from tests.servers import drop_keyspaces

pytestmark = pytest.mark.xdist_group("sagemaker")
SEED = int(os.environ.get("TWINBEAM_SOAK_SEED", "1"))
SCRIPT = Path(__file__).with_name("sagemaker_notebook.py")
KINDS = {pl.String: "String", pl.Int32: "Integral", pl.Float64: "Fractional"}
SQLITE = pytest.mark.parametrize("deployment", ["sqlite"], indirect=True)
LISTS = [
    {"FeatureName": "customer", "FeatureType": "Integral"},
    {"FeatureName": "seen", "FeatureType": "Fractional"},
    {"FeatureName": "pages", "FeatureType": "String", "CollectionType": "List"},
    {"FeatureName": "days", "FeatureType": "Integral", "CollectionType": "Set"},
    {
        "FeatureName": "taste",
        "FeatureType": "Fractional",
        "CollectionType": "Vector",
        "CollectionConfig": {"VectorConfig": {"Dimension": 3}},
    },
]
GROUPS = [
    definition("g-orders", Description="Orders", Tags=[{"Key": "team", "Value": "crm"}]),
    definition("g-brief", OnlineStoreConfig={"EnableOnlineStore": True, "TtlDuration": {"Unit": "Days", "Value": 1}}),
    definition("g-lists", FeatureDefinitions=LISTS),
    definition("g-cold", OnlineStoreConfig={"EnableOnlineStore": False}),
]


@pytest.fixture(scope="module", params=["sqlite", "cassandra"])
def deployment(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """A server with the groups above."""
    python, folder = installed(), tmp_path_factory.mktemp("sagemaker") / "shop"
    if request.param == "sqlite":
        with deployed(python, folder, "", guarded=False) as found:
            create(found.boto, *GROUPS)
            yield found
        return
    cassandra, keyspace = request.getfixturevalue("cassandra"), f"t{uuid.uuid4().hex[:12]}"
    try:
        with deployed(python, folder, over_cassandra(cassandra, keyspace), guarded=True) as found:
            create(found.boto, *GROUPS)
            yield found
    finally:
        drop_keyspaces(cassandra, keyspace)


@pytest.fixture
def boto(deployment: Deployment) -> Boto:
    return deployment.boto


def test_groups_are_described_and_listed(boto: Boto) -> None:
    told = boto.control("describe_feature_group", FeatureGroupName="g-orders")
    asked = GROUPS[0]
    for name in ("FeatureDefinitions", "RecordIdentifierFeatureName", "EventTimeFeatureName", "RoleArn", "Description"):
        assert told[name] == asked[name]
    assert told["OfflineStoreConfig"]["S3StorageConfig"]["S3Uri"] == "s3://bucket/features"
    assert told["OnlineStoreConfig"] == asked["OnlineStoreConfig"]
    assert told["FeatureGroupArn"].endswith(":feature-group/g-orders")
    assert boto.control("describe_feature_group", FeatureGroupName=told["FeatureGroupArn"]) == told
    assert boto.control("describe_feature_group", FeatureGroupName="g-lists")["FeatureDefinitions"] == LISTS
    assert boto.control("list_tags", ResourceArn=told["FeatureGroupArn"])["Tags"] == asked["Tags"]
    again = refused(boto.control, "create_feature_group", **definition("g-orders", Description="Others"))
    assert (again.kind, again.status) == ("ResourceInUse", 400)
    pages = boto.control(
        "list_feature_groups*",
        NameContains="g-",
        SortBy="Name",
        SortOrder="Descending",
        PaginationConfig={"PageSize": 3},
    )
    found = [[each["FeatureGroupName"] for each in page["FeatureGroupSummaries"]] for page in pages]
    assert found == [["g-orders", "g-lists", "g-cold"], ["g-brief"]]
    assert pages[0]["FeatureGroupSummaries"][0]["FeatureGroupStatus"] == "Created"
    by_age = boto.control("list_feature_groups", NameContains="g-", SortBy="CreationTime", SortOrder="Ascending")
    listed = by_age["FeatureGroupSummaries"]
    assert [each["FeatureGroupName"] for each in listed] == [each["FeatureGroupName"] for each in GROUPS]
    assert [each["CreationTime"] for each in listed] == sorted(each["CreationTime"] for each in listed)
    assert abs(datetime.now(UTC).timestamp() - listed[0]["CreationTime"]) < 3600
    later = listed[-1]["CreationTime"] + 3600
    assert boto.control("list_feature_groups", CreationTimeAfter=later)["FeatureGroupSummaries"] == []


def test_groups_are_tagged_and_found(boto: Boto) -> None:
    told = boto.control("describe_feature_group", FeatureGroupName="g-brief")
    arn = told["FeatureGroupArn"]
    added = boto.control(
        "add_tags", ResourceArn=arn, Tags=[{"Key": "team", "Value": "web"}, {"Key": "a", "Value": "b"}]
    )
    assert {each["Key"]: each["Value"] for each in added["Tags"]} == {"team": "web", "a": "b"}
    boto.control("delete_tags", ResourceArn=arn, TagKeys=["a"])
    assert boto.control("list_tags", ResourceArn=arn)["Tags"] == [{"Key": "team", "Value": "web"}]

    def found(*conditions: tuple[str, str, str | None], what: str = "FeatureGroup", joined: str = "And") -> list[str]:
        filters = [
            {"Name": name, "Operator": by, **({} if value is None else {"Value": value})}
            for name, by, value in [("FeatureGroupName", "Contains", "g-"), *conditions]
        ]
        # One that holds of all stands outside of those that are joined.
        expression = {
            "Filters": filters[:1],
            "SubExpressions": [{"Filters": filters[1:] or filters, "Operator": joined}],
        }
        asked = {
            "SearchExpression": expression,
            "SortBy": f"{what.removesuffix('Metadata')}Name",
            "SortOrder": "Ascending",
        }
        pages = boto.control("search*", Resource=what, PaginationConfig={"PageSize": 2}, **asked)
        return [each[what][asked["SortBy"]] for page in pages for each in page["Results"]]

    made = datetime.fromtimestamp(told["CreationTime"], UTC)
    before, after = (f"{made + timedelta(days=days):%Y-%m-%dT%H:%M:%S}" for days in (-1, 1))
    everything = sorted(each["FeatureGroupName"] for each in GROUPS)
    assert found() == everything
    assert found(("Tags.team", "Equals", "web")) == ["g-brief"]
    assert found(("Tags.team", "Exists", None)) == ["g-brief", "g-orders"]
    assert found(("Tags.team", "NotExists", None)) == ["g-cold", "g-lists"]
    assert found(("FeatureGroupName", "In", "g-cold,g-none")) == ["g-cold"]
    assert found(("Tags.team", "Equals", "web"), ("Tags.team", "Equals", "crm"), joined="Or") == ["g-brief", "g-orders"]
    assert found(("CreationTime", "GreaterThan", before), ("LastModifiedTime", "LessThan", after)) == everything
    exact = made.isoformat()
    assert "g-brief" in found(
        ("CreationTime", "GreaterThanOrEqualTo", exact), ("CreationTime", "LessThanOrEqualTo", exact)
    )
    assert "g-brief" not in found(("CreationTime", "GreaterThan", exact))
    assert found(("FeatureName", "Equals", "taste"), what="FeatureMetadata") == ["taste"]
    for name, value in (("FeatureGroupName", "a"), ("CreationTime", "yesterday")):
        error = refused(found, (name, "GreaterThan", value))
        assert (error.code, error.status) == ("ValidationException", 400)
        assert name in error.text


def test_records_are_put_and_got(boto: Boto) -> None:
    arn = boto.control("describe_feature_group", FeatureGroupName="g-orders")["FeatureGroupArn"]
    boto.put("g-orders", record("put", city='Zoë\'s \U0001f600 "inn"\n'))
    assert boto.record("g-orders", "put") == record("put", city='Zoë\'s \U0001f600 "inn"\n')
    some = boto.record(arn, "put", FeatureNames=["spent", "customer"])
    assert some == {"spent": "2.5", "customer": "put"}
    assert boto.runtime("get_record", FeatureGroupName="g-orders", RecordIdentifierValueAsString="nobody") == {}
    # A put is of the whole record: what it does not tell is no more.
    boto.put(arn, {"customer": "put", "seen": text(START + timedelta(seconds=1)), "visits": "8"})
    assert boto.record("g-orders", "put") == {"customer": "put", "seen": "2025-03-01T12:00:01.000Z", "visits": "8"}
    extremes: dict[str, Any] = {"seen": "2025-03-01T12:00:00Z", "visits": str(-(2**63)), "spent": "-1e-300"}
    odd = [record(identifier, **extremes) for identifier in ("Zoë/ü 1+&~*%2F", "a=b?c#d", "x" * 500, "..", "\n")]
    entries = [{"FeatureGroupName": arn, "Record": features(row)} for row in odd]
    assert boto.runtime("batch_write_record", Entries=entries) == {"Errors": [], "UnprocessedEntries": []}
    assert [boto.record("g-orders", row["customer"]) for row in odd] == odd


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"visits": "1.5"}, "visits"),
        ({"visits": str(2**63)}, "visits"),
        ({"spent": "much"}, "spent"),
        ({"nope": "1"}, "nope"),
        ({"visits": ["1"]}, "visits"),
        ({"seen": "yesterday"}, "seen"),
        ({"seen": None}, "seen"),
        ({"customer": None}, "customer"),
        ({"customer": ""}, "customer"),
    ],
)
@SQLITE
def test_a_bad_record_is_refused(boto: Boto, changes: dict[str, Any], named: str) -> None:
    bad = {name: value for name, value in (record("bad") | changes).items() if value is not None}
    error = refused(boto.runtime, "put_record", FeatureGroupName="g-orders", Record=features(bad))
    assert (error.kind, error.code, error.status) == ("ValidationError", "ValidationError", 400)
    assert named in error.text
    assert boto.record("g-orders", "bad") is None


def test_collections_and_times_as_numbers(boto: Boto) -> None:
    small = {"customer": "2", "seen": "1740830400", "pages": [], "taste": ["0", "1", "2.50"]}
    boto.put("g-lists", small)
    assert boto.record("g-lists", "2") == small
    whole = {"customer": "1", "seen": "1740830400.5", "pages": ["b", "a", "b"], "days": ["3", "1"]}
    boto.put("g-lists", whole | {"taste": ["0.5", "-1.0", "2.0"]})
    found = boto.record("g-lists", "1")
    assert found is not None
    assert (found.pop("taste"), sorted(found.pop("days"))) == (["0.5", "-1.0", "2.0"], ["1", "3"])
    assert found == {"customer": "1", "seen": "1740830400.5", "pages": ["b", "a", "b"]}
    for name, value in (("taste", ["0.5"]), ("days", ["x"]), ("pages", "a")):
        error = refused(boto.put, "g-lists", whole | {"taste": ["1.0", "1.0", "1.0"], name: value})
        assert error.kind == "ValidationError"
        assert name in error.text


def test_only_a_greater_event_time_replaces(deployment: Deployment, boto: Boto) -> None:
    rng = random.Random(SEED)
    identifiers = [f"order{number}" for number in range(6)]
    seconds = (0, 1, 1.5, 2, 2, 0.5, 1)
    writes = [(identifier, second, rng.random() < 0.2) for identifier in identifiers for second in seconds]
    rng.shuffle(writes)
    expected: dict[str, tuple[float, dict[str, Any] | None]] = {}
    waiting: list[dict[str, Any]] = []

    def write_waiting() -> None:
        if waiting:
            answer = boto.runtime("batch_write_record", Entries=waiting)
            assert answer == {"Errors": [], "UnprocessedEntries": []}
            waiting.clear()

    for number, (identifier, second, deleted) in enumerate(writes):
        row = record(identifier, second, visits=str(number))
        if not deleted and rng.random() < 0.7:
            waiting.append({"FeatureGroupName": "g-orders", "Record": features(row)})
        else:
            write_waiting()
            if deleted:
                delete(boto, "g-orders", identifier, second)
            else:
                boto.put("g-orders", row)
        if identifier not in expected or second > expected[identifier][0]:
            expected[identifier] = second, None if deleted else row
    write_waiting()
    live = {identifier: row for identifier, (_, row) in expected.items() if row is not None}
    asked = {"FeatureGroupName": "g-orders", "RecordIdentifiersValueAsString": identifiers}
    answer = boto.runtime("batch_get_record", Identifiers=[asked])
    found = {each["RecordIdentifierValueAsString"]: values(each["Record"]) for each in answer["Records"]}
    assert found == live, f"seed {SEED}"
    kept = offline(deployment, "g-orders", len(writes), "order")
    assert sorted(kept.select("customer", "seen", "is_deleted").rows()) == sorted(
        (identifier, text(START + timedelta(seconds=second)), deleted) for identifier, second, deleted in writes
    )


def test_records_are_deleted_softly_and_hard(deployment: Deployment, boto: Boto) -> None:
    for identifier in ("del-soft", "del-hard"):
        boto.put("g-orders", record(identifier, 5))
    delete(boto, "g-orders", "del-soft", 4)
    assert boto.record("g-orders", "del-soft") == record("del-soft", 5)
    delete(boto, "g-orders", "del-soft", 6)
    assert boto.record("g-orders", "del-soft") is None
    # The tombstone keeps its time.
    boto.put("g-orders", record("del-soft", 5.5))
    assert boto.record("g-orders", "del-soft") is None
    late = refused(delete, boto, "g-orders", "del-hard", 4, DeletionMode="HardDelete")
    assert (late.kind, late.status) == ("ValidationError", 400)
    assert "EventTime" in late.text
    assert boto.record("g-orders", "del-hard") == record("del-hard", 5)
    delete(boto, "g-orders", "del-hard", 6, DeletionMode="HardDelete")
    assert boto.record("g-orders", "del-hard") is None
    delete(boto, "g-orders", "del-none", 3600)
    boto.put("g-orders", record("del-soft", 7))
    assert boto.record("g-orders", "del-soft") == record("del-soft", 7)
    kept = offline(deployment, "g-orders", 8, "del-")
    expected = [
        *(("del-soft", 5, False), ("del-soft", 4, True), ("del-soft", 6, True), ("del-soft", 5.5, False)),
        *(("del-soft", 7, False), ("del-hard", 5, False), ("del-hard", 6, True), ("del-none", 3600, True)),
    ]
    assert set(kept.select("customer", "seen", "is_deleted", "visits", "spent", "city").rows()) == {
        (identifier, text(START + timedelta(seconds=second)), gone, *((None,) * 3 if gone else (7, 2.5, "Ulm")))
        for identifier, second, gone in expected
    }
    hours = kept.select(pl.format("{}-{}-{}T{}", *(pl.col(each).cast(pl.String).str.zfill(2) for each in PARTS)))
    assert hours.to_series().to_list() == kept["seen"].str.slice(0, 13).to_list()
    assert kept.select((pl.col("api_invocation_time") <= pl.col("write_time")).all()).item()


PARTS = ("year", "month", "day", "hour")


def test_records_expire(boto: Boto) -> None:
    now = datetime.now(UTC).replace(microsecond=0)
    before = {"seen": text(now - timedelta(days=2))}
    boto.put("g-brief", record("a", seen=text(now - timedelta(seconds=60))))
    boto.put("g-brief", record("old") | before)
    boto.put("g-brief", record("long") | before, TtlDuration={"Unit": "Weeks", "Value": 1})
    expected = {"a": now - timedelta(seconds=60) + timedelta(days=1), "old": None, "long": now + timedelta(days=5)}
    for identifier, moment in expected.items():
        asked = {"FeatureGroupName": "g-brief", "RecordIdentifierValueAsString": identifier}
        answer = boto.runtime("get_record", ExpirationTimeResponse="Enabled", **asked)
        assert ("Record" in answer) == (moment is not None)
        assert "ExpiresAt" not in boto.runtime("get_record", **asked)
        if moment is not None:
            assert datetime.fromisoformat(answer["ExpiresAt"]) == moment
    boto.put("g-brief", record("a", seen=text(datetime.now(UTC))), TtlDuration={"Unit": "Seconds", "Value": 3})
    # What it replaced, which would live for a day, does not come back.
    until(lambda: boto.record("g-brief", "a") is None)
    both = {"FeatureGroupName": "g-brief", "RecordIdentifiersValueAsString": ["a", "long"]}
    answer = boto.runtime("batch_get_record", Identifiers=[both], ExpirationTimeResponse="Enabled")
    assert [each["RecordIdentifierValueAsString"] for each in answer["Records"]] == ["long"]
    assert datetime.fromisoformat(answer["Records"][0]["ExpiresAt"]) == expected["long"]


def test_many_records_of_many_groups_at_once(boto: Boto) -> None:
    arn = boto.control("describe_feature_group", FeatureGroupName="g-orders")["FeatureGroupArn"]
    now = text(datetime.now(UTC))
    rows = {f"many{number}": record(f"many{number}", seen=now, visits=str(number)) for number in range(10)}
    entries = [
        {"FeatureGroupName": name, "Record": features(row)} for row in rows.values() for name in ("g-orders", "g-brief")
    ]
    bad = {"FeatureGroupName": "g-orders", "Record": features(record("bad", visits="many"))}
    answer = boto.runtime("batch_write_record", Entries=[*entries, bad])
    assert answer["UnprocessedEntries"] == []
    assert [(each["Entry"], each["ErrorCode"]) for each in answer["Errors"]] == [(bad, "ValidationError")]
    assert "visits" in answer["Errors"][0]["ErrorMessage"]
    asked = [
        {"FeatureGroupName": arn, "RecordIdentifiersValueAsString": [*rows, "many10", "many11"]},
        {"FeatureGroupName": "g-brief", "RecordIdentifiersValueAsString": ["many3"], "FeatureNames": ["visits"]},
        {"FeatureGroupName": "nope", "RecordIdentifiersValueAsString": ["many1"]},
    ]
    answer = boto.runtime("batch_get_record", Identifiers=asked)
    found = {
        (each["FeatureGroupName"], each["RecordIdentifierValueAsString"]): values(each["Record"])
        for each in answer["Records"]
    }
    assert found == {(arn, name): row for name, row in rows.items()} | {("g-brief", "many3"): {"visits": "3"}}
    errors = [(each["FeatureGroupName"], each["ErrorCode"]) for each in answer["Errors"]]
    assert (errors, answer["UnprocessedIdentifiers"]) == ([("nope", "ResourceNotFound")], [])
    too_many = [{"FeatureGroupName": "g-orders", "RecordIdentifiersValueAsString": ["x"] * 101}]
    assert refused(boto.runtime, "batch_get_record", Identifiers=too_many).kind == "ValidationError"
    assert refused(boto.runtime, "batch_write_record", Entries=entries * 2).kind == "ValidationError"


def test_records_are_listed(boto: Boto) -> None:
    rows = [{"customer": str(number), "seen": "1740830400.0", "pages": ["a"]} for number in range(100, 107)]
    entries = [{"FeatureGroupName": "g-lists", "Record": features(row)} for row in rows]
    assert boto.runtime("batch_write_record", Entries=entries)["Errors"] == []
    gone = {"FeatureGroupName": "g-lists", "RecordIdentifierValueAsString": "103", "EventTime": "1740830401.0"}
    assert boto.runtime("delete_record", **gone) == {}

    def listed(**switches: Any) -> list[str]:
        pages: list[list[str]] = []
        token: dict[str, str] = {}
        while not pages or token:
            page = boto.runtime("list_records", FeatureGroupName="g-lists", MaxResults=4, **switches, **token)
            pages.append(page["RecordIdentifiers"])
            token = {"NextToken": page["NextToken"]} if page.get("NextToken") else {}
        assert max(map(len, pages)) <= 4
        return sorted(each for each in chain.from_iterable(pages) if len(each) == 3)

    until(lambda: listed() == ["100", "101", "102", "104", "105", "106"])
    assert listed(IncludeSoftDeletedRecords=True) == [row["customer"] for row in rows]


def test_a_record_is_updated(boto: Boto) -> None:
    def update(identifier: str, **changes: Any) -> Any:
        asked = {"FeatureGroupName": "g-orders", "RecordIdentifierValueAsString": identifier}
        return boto.runtime("update_record", Features=features(changes), **asked)

    boto.put("g-orders", record("upd", 5))
    assert update("upd", city="Bonn") == {}
    assert boto.record("g-orders", "upd") == record("upd", 5, city="Bonn")
    update("upd", visits="9", seen=text(START + timedelta(seconds=6)))
    assert boto.record("g-orders", "upd") == record("upd", 6, city="Bonn", visits="9")
    old = refused(update, "upd", visits="1", seen=text(START))
    assert (old.kind, old.status) == ("ConflictException", 409)
    assert refused(update, "upd-none", visits="1").kind == "ResourceNotFound"
    delete(boto, "g-orders", "upd", 7)
    assert refused(update, "upd", visits="1").kind == "ResourceNotFound"


def test_a_put_goes_to_the_stores_that_it_names(deployment: Deployment, boto: Boto) -> None:
    for store in ("OnlineStore", "OfflineStore"):
        boto.put("g-orders", record(f"to-{store}"), TargetStores=[store])
    boto.put("g-orders", record("to-both"), TargetStores=["OnlineStore", "OfflineStore"])
    read = {name: boto.record("g-orders", f"to-{name}") is not None for name in ("OnlineStore", "OfflineStore", "both")}
    assert read == {"OnlineStore": True, "OfflineStore": False, "both": True}
    boto.put("g-cold", record("a"))
    error = refused(boto.record, "g-cold", "a")
    assert (error.kind, error.status) == ("ValidationError", 400)
    kept = offline(deployment, "g-orders", 2, "to-")
    assert sorted(kept["customer"]) == ["to-OfflineStore", "to-both"]
    assert offline(deployment, "g-cold", 1)["city"].to_list() == ["Ulm"]


def test_the_life_of_a_group(boto: Boto) -> None:
    (told,) = create(boto, definition("life"))
    boto.put("life", record("a"))
    addition = {"FeatureName": "age", "FeatureType": "Integral"}
    updated = boto.control("update_feature_group", FeatureGroupName="life", FeatureAdditions=[addition])
    assert updated == {"FeatureGroupArn": told["FeatureGroupArn"]}

    def described() -> Any:
        return boto.control("describe_feature_group", FeatureGroupName="life")

    until(lambda: described()["LastUpdateStatus"]["Status"] == "Successful")
    assert described()["FeatureDefinitions"] == [*told["FeatureDefinitions"], addition]
    boto.put("life", record("b", age="33"))
    until(lambda: boto.record("life", "b") == record("b", age="33"))
    until(lambda: boto.record("life", "a") == record("a"))
    feature = {"FeatureGroupName": "life", "FeatureName": "age"}
    parameters = [{"Key": "unit", "Value": "year"}, {"Key": "pii", "Value": "yes"}]
    boto.control("update_feature_metadata", Description="In years", ParameterAdditions=parameters, **feature)
    boto.control("update_feature_metadata", ParameterRemovals=["pii"], **feature)
    about = boto.control("describe_feature_metadata", **feature)
    assert (about["FeatureType"], about["Description"]) == ("Integral", "In years")
    assert about["Parameters"] == [{"Key": "unit", "Value": "year"}]
    boto.control("delete_feature_group", FeatureGroupName="life")
    until(lambda: gone(boto, "life"))
    assert refused(boto.runtime, "list_records", FeatureGroupName="life").kind == "ResourceNotFound"
    create(boto, definition("life"))
    boto.put("life", record("c"))
    assert [boto.record("life", name) for name in ("b", "c")] == [None, record("c")]


def gone(boto: Boto, name: str) -> bool:
    """Whether there is no group of a name any more."""
    try:
        status = boto.control("describe_feature_group", FeatureGroupName=name)["FeatureGroupStatus"]
    except Refused as error:
        if error.kind != "ResourceNotFound":
            raise
        return True
    assert status == "Deleting"
    return False


def test_a_view_of_the_definitions_is_a_group(boto: Boto) -> None:
    told = boto.control("describe_feature_group", FeatureGroupName="visit")
    kinds = [(each["FeatureName"], each["FeatureType"]) for each in told["FeatureDefinitions"]]
    assert sorted(kinds) == [("page", "String"), ("ts", "String"), ("user_id", "Integral")]
    for minute, page in ((5, "home"), (4, "cart")):
        boto.put("visit", {"user_id": "7", "ts": f"2025-03-01T12:0{minute}:00Z", "page": page})
    assert boto.record("visit", "7") == {"user_id": "7", "ts": "2025-03-01T12:05:00Z", "page": "home"}
    gone = {"FeatureGroupName": "visit", "RecordIdentifierValueAsString": "7", "EventTime": "2025-03-01T13:00:00Z"}
    assert refused(boto.runtime, "delete_record", **gone).kind == "ValidationError"
    assert refused(boto.control, "delete_feature_group", FeatureGroupName="visit").code == "ValidationException"


def test_awscli(deployment: Deployment) -> None:
    def aws(*words: str, fails: bool = False) -> Any:
        command = [str(deployment.python), "-m", "awscli", *words, "--output", "json"]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=deployment.environment)
        assert (done.returncode != 0) == fails, done.stderr
        return done.stderr if fails else json.loads(done.stdout or "null")

    runtime, group = "sagemaker-featurestore-runtime", ("--feature-group-name", "cli")
    made = aws(
        *("sagemaker", "create-feature-group", *group),
        *("--record-identifier-feature-name", "customer", "--event-time-feature-name", "seen"),
        *("--feature-definitions", "FeatureName=customer,FeatureType=String", "FeatureName=seen,FeatureType=String"),
        *("FeatureName=visits,FeatureType=Integral", "FeatureName=city,FeatureType=String"),
        *("--online-store-config", "EnableOnlineStore=true", "--role-arn", ROLE),
        *("--offline-store-config", "S3StorageConfig={S3Uri=s3://bucket/features}"),
    )
    assert created(deployment.boto, "cli")["FeatureGroupArn"] == made["FeatureGroupArn"]
    listed = aws("sagemaker", "list-feature-groups", "--name-contains", "cli", "--max-items", "5")
    assert [each["FeatureGroupName"] for each in listed["FeatureGroupSummaries"]] == ["cli"]
    told = {"customer": "a", "seen": "2025-03-01T12:00:00Z", "visits": "7", "city": "Bad Ems"}
    given = [f"FeatureName={name},ValueAsString={value}" for name, value in told.items()]
    assert aws(runtime, "put-record", *group, "--record", *given) is None
    key = ("--record-identifier-value-as-string", "a")
    found = aws(runtime, "get-record", *group, *key, "--feature-names", "city", "visits")
    assert values(found["Record"]) == {"city": "Bad Ems", "visits": "7"}
    identifiers = "FeatureGroupName=cli,RecordIdentifiersValueAsString=a,b"
    found = aws(runtime, "batch-get-record", "--identifiers", identifiers)
    assert [values(each["Record"]) for each in found["Records"]] == [told]
    assert aws(runtime, "delete-record", *group, *key, "--event-time", "2025-03-01T12:00:01Z") is None
    assert not aws(runtime, "get-record", *group, *key)
    said = aws(runtime, "get-record", "--feature-group-name", "nope", *key, fails=True)
    assert "(ResourceNotFound) when calling the GetRecord operation" in said


def test_a_notebook_of_the_sdk(deployment: Deployment, tmp_path: Path) -> None:
    flights = busiest_aircraft()
    flights.write_csv(tmp_path / "flights.csv")
    aircraft = sorted(set(flights["tailnum"]))
    command = [str(deployment.python), str(SCRIPT), str(tmp_path / "flights.csv"), "flights", *aircraft, "N0"]
    with (tmp_path / "notebook.err").open("w") as err:
        done = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=err, text=True, check=False, env=deployment.environment
        )
    assert done.returncode == 0, (tmp_path / "notebook.err").read_text()[-2000:]
    shown = json.loads(done.stdout.splitlines()[-1])  # The SDK writes there too.
    assert shown["definitions"] == {name: KINDS[type(kind)] for name, kind in flights.schema.items()}
    assert (shown["status"], shown["failed"], shown["refused"]) == ("Created", [], [0, 1])
    assert (shown["metadata"], shown["parameters"]) == ("In miles", [{"Key": "unit", "Value": "mile"}])
    assert "  distance INT\n" in shown["ddl"]
    # Two processes of two threads put the rows in no order; each aircraft's latest flight is what is read.
    expected = {
        row["tailnum"]: {name: str(value) for name, value in row.items() if value is not None}
        for row in flights.sort("departed").group_by("tailnum").last().iter_rows(named=True)
    }
    for found in (shown["sdk"], shown["boto"]):
        assert found.pop("N0") is None
        assert {tailnum: values(told) for tailnum, told in found.items()} == expected
    batch = {each["RecordIdentifierValueAsString"]: each["Record"][0]["ValueAsString"] for each in shown["batch"]}
    assert batch == {tailnum: row["origin"] for tailnum, row in expected.items()}
    assert "flights" in shown["groups"]
    assert (shown["tags"], shown["found"]["features"]) == ([{"Key": "team", "Value": "ops"}], ["distance"])
    assert list(shown["found"]["groups"].values()) == [["flights"], []]
    single, refused_sets = shown["single"], shown["datasets"]
    assert (single["updated"], single["deleted"]) == ("Successful", None)
    assert single["features"] == [*flights.columns, "seats"]
    assert values(single["kept"]) == {"seats": "189"}
    # Athena is not here, and nothing says that it is.
    assert refused_sets["bare"] == "RuntimeError: No metastore is configured with FeatureGroup flights-bare."
    said = (
        "scoped to 'athena'" if deployment.credentials else "there is no operation 'AmazonAthena.StartQueryExecution'"
    )
    for told in (refused_sets["catalogued"], refused_sets["query"]):
        assert said in told
        assert "when calling the StartQueryExecution operation" in told
    assert shown["removed"] in ("Deleting", "ResourceNotFound")
    until(lambda: gone(deployment.boto, "flights-bare"))
    kept = offline(deployment, "flights", flights.height + 2, key="tailnum")
    one = pl.col("tailnum") == "N1"
    assert sorted(kept.filter(one).select("seats", "is_deleted").rows(), key=repr) == [(189, False), (None, True)]
    kept = kept.filter(~one)
    assert not kept["is_deleted"].any()
    assert sorted(kept.select(flights.columns).rows(), key=repr) == sorted(flights.rows(), key=repr)


def busiest_aircraft() -> pl.DataFrame:
    """The last flights of some aircraft, shuffled."""
    flown = read_year(every=3).flights.filter(pl.col("tailnum").is_not_null())
    busy = flown["tailnum"].value_counts(sort=True)["tailnum"][:12].implode()
    return (
        flown.filter(pl.col("tailnum").is_in(busy))
        .with_columns(departed=pl.col("departed").dt.epoch("s").cast(pl.Float64))
        .select("tailnum", "departed", "carrier", "flight", "origin", "dest", "distance", "dep_delay")
        .unique(["tailnum", "departed"], keep="first", maintain_order=True)
        .group_by("tailnum", maintain_order=True)
        .tail(6)
        .sample(fraction=1, shuffle=True, seed=SEED)
    )
