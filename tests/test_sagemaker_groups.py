"""The life of feature groups, awscli, and a notebook of the SageMaker SDK, at a server that asks who they are."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from examples.flights.nyc import read_year
from tests.sagemaker_clients import (
    ROLE,
    Boto,
    Credentials,
    Deployment,
    Refused,
    create,
    created,
    definition,
    delete,
    deployed,
    installed,
    offline,
    record,
    refused,
    until,
    values,
)

pytestmark = pytest.mark.xdist_group("sagemaker")
SEED = int(os.environ.get("TWINBEAM_SOAK_SEED", "1"))
SCRIPT = Path(__file__).with_name("sagemaker_notebook.py")
KINDS = {pl.String: "String", pl.Int32: "Integral", pl.Float64: "Fractional"}


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    with deployed(installed(), tmp_path_factory.mktemp("sagemaker") / "shop", "", guarded=True) as found:
        yield found


@pytest.fixture
def boto(deployment: Deployment) -> Boto:
    return deployment.boto


def test_only_a_right_signature_passes(deployment: Deployment) -> None:
    boto, writer, reader = deployment.boto, deployment.credentials["writer"], deployment.credentials["reader"]
    odd = "Zoë/ü 1+&~*%2F"
    create(boto, definition("signed"))
    boto.put("signed", record(odd))
    wrong = {
        Credentials("writer", reader.secret): "InvalidSignatureException",
        Credentials("nobody", writer.secret): "InvalidSignatureException",
        Credentials("reader", f"{reader.secret}x"): "InvalidSignatureException",
        Credentials(None): "MissingAuthenticationTokenException",
    }
    identifiers = [{"FeatureGroupName": "signed", "RecordIdentifiersValueAsString": [odd]}]
    told = set()
    for credentials, code in wrong.items():
        stranger = boto.signing_as(credentials)
        errors = [
            refused(stranger.record, "signed", odd),
            refused(stranger.put, "signed", record("b")),
            refused(stranger.runtime, "batch_get_record", Identifiers=identifiers),
            refused(stranger.control, "describe_feature_group", FeatureGroupName="signed"),
            refused(stranger.control, "create_feature_group", **definition("stranger")),
        ]
        assert {(error.status, error.code) for error in errors} == {(403, code)}
        told |= {(code, error.text) for error in errors}
    # Nothing tells a wrong secret from an unknown key.
    assert len(told) == 2
    assert boto.record("signed", "b") is None
    of_session = boto.signing_as(Credentials("writer", writer.secret, "token"))
    arn = of_session.control("describe_feature_group", FeatureGroupName="signed")["FeatureGroupArn"]
    assert of_session.record(arn, odd) == record(odd)
    reading = boto.signing_as(reader)
    assert reading.record(arn, odd) == record(odd)
    assert refused(reading.put, "signed", record("b")).kind == "AccessForbidden"
    error = refused(reading.control, "delete_feature_group", FeatureGroupName="signed")
    assert (error.code, error.status) == ("AccessDeniedException", 403)
    assert reading.control("describe_feature_group", FeatureGroupName="signed")["FeatureGroupStatus"] == "Created"


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


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"RecordIdentifierFeatureName": "nobody"}, "nobody"),
        ({"EventTimeFeatureName": "visits"}, "visits"),
        ({"OnlineStoreConfig": {"EnableOnlineStore": False}, "OfflineStoreConfig": None}, "StoreConfig"),
        ({"FeatureDefinitions": [{"FeatureName": "write_time", "FeatureType": "String"}]}, "write_time"),
        ({"FeatureDefinitions": [{"FeatureName": "a", "FeatureType": "Double"}]}, "FeatureType"),
        ({"FeatureGroupName": "b" * 65}, "FeatureGroupName"),
        ({"FeatureGroupName": "bad_"}, "FeatureGroupName"),
    ],
)
def test_a_bad_group_is_refused(boto: Boto, changes: Mapping[str, Any], named: str) -> None:
    asked = {name: value for name, value in definition("bad", **changes).items() if value is not None}
    if len(asked["FeatureDefinitions"]) == 1:
        asked["FeatureDefinitions"] += definition("bad")["FeatureDefinitions"]
    error = refused(boto.control, "create_feature_group", **asked)
    assert (error.code, error.status) == ("ValidationException", 400)
    assert named in error.text
    assert boto.control("list_feature_groups", NameContains="ba")["FeatureGroupSummaries"] == []


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


def test_what_there_is_not(boto: Boto) -> None:
    for call in (
        lambda: boto.record("nope", "a"),
        lambda: boto.runtime("list_records", FeatureGroupName="nope"),
        lambda: boto.put("nope", record("a")),
        lambda: delete(boto, "nope", "a", 1),
    ):
        error = refused(call)
        assert (error.code, error.status) == ("ResourceNotFound", 404)
        assert "nope" in error.text
    assert refused(boto.control, "delete_feature_group", FeatureGroupName="nope").kind == "ResourceNotFound"
    error = refused(boto.control, "list_endpoints")
    assert (error.code, error.status) == ("UnknownOperationException", 400)


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
    # Four threads put the rows in no order; each aircraft's latest flight is what is read.
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
    kept = offline(deployment, "flights", flights.height, key="tailnum")
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
        .tail(12)
        .sample(fraction=1, shuffle=True, seed=SEED)
    )
