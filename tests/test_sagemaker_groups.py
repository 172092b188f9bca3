"""Who may ask for feature groups, and what is refused, at a server that asks who they are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from tests.sagemaker_clients import (
    Boto,
    Credentials,
    Deployment,
    create,
    definition,
    delete,
    deployed,
    installed,
    record,
    refused,
)

pytestmark = pytest.mark.xdist_group("sagemaker")


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
