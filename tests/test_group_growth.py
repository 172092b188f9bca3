"""Features added to a group: boto3 reads the records as they were, until the new features are filled from history."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from pipelines.commands.main import main
from pipelines.platform import Platform
from tests.sagemaker_clients import (
    ANYBODY,
    DEFINITIONS,
    Boto,
    asking,
    client_environment,
    create,
    definition,
    delete,
    installed,
    record,
    values,
)
from tests.served import serving

pytestmark = pytest.mark.xdist_group("sagemaker")
Make = Callable[..., Path]
SETTINGS = """
[run]
max_skew = "36525d"
[serving]
log_sample = 1.0
"""
COUNTRY = {"FeatureName": "country", "FeatureType": "String"}


@contextmanager
def served(folder: Path) -> Iterator[Boto]:
    with serving(folder) as server:
        environment = client_environment(server.url, ANYBODY, folder)
        with asking(installed(), environment, folder, ANYBODY) as boto:
            yield boto


def caught_up(folder: Path) -> None:
    with Platform.open(folder) as platform:
        platform.run_stream(until="caught_up")


def updated(boto: Boto) -> str:
    told = boto.control("describe_feature_group", FeatureGroupName="orders")
    assert told["FeatureGroupStatus"] == "Created"
    return str(told["LastUpdateStatus"]["Status"])


def test_records_are_read_while_new_features_are_filled(project: Make) -> None:
    folder = project("shop", DEFINITIONS, SETTINGS)
    with Platform.open(folder) as platform:
        platform.apply()
    asked: dict[str, Any] = {"FeatureGroupName": "orders"}
    both = {**asked, "RecordIdentifiersValueAsString": ["a", "b", "c"]}

    def found() -> dict[str, Any]:
        answer = boto.runtime("batch_get_record", Identifiers=[both])
        assert answer["Errors"] == []
        many = {each["RecordIdentifierValueAsString"]: values(each["Record"]) for each in answer["Records"]}
        single = {name: boto.record("orders", name) for name in ("a", "b", "c")}
        assert many == {name: each for name, each in single.items() if each is not None}
        return many

    with served(folder) as boto:
        create(boto, definition("orders"))
        for identifier in ("a", "b", "c"):
            boto.put("orders", record(identifier))
        delete(boto, "orders", "c", 1)
        caught_up(folder)
        before = {"a": record("a"), "b": record("b")}
        assert found() == before
        boto.control("update_feature_group", FeatureAdditions=[COUNTRY], **asked)
        assert (found(), updated(boto)) == (before, "InProgress")
        assert sorted(boto.runtime("list_records", **asked)["RecordIdentifiers"]) == ["a", "b"]
        out = folder / "out"
        assert main(["export", "sagemaker", "--group", "orders", "--out", str(out), "--project", str(folder)]) == 0
        exported = pl.read_parquet(sorted(out.rglob("*.parquet")), hive_partitioning=False)
        assert (len(exported), exported["country"].null_count()) == (4, 4)
        boto.put("orders", record("a", 2, country="DE"))
        assert found() == before
    with served(folder) as boto:
        assert (found(), updated(boto)) == (before, "InProgress")
        only = boto.record("orders", "b", FeatureNames=["country", "city"])
        assert only == {"city": "Ulm"}
        caught_up(folder)
        after = {"a": record("a", 2, country="DE"), "b": record("b")}
        assert (found(), updated(boto)) == (after, "Successful")
        # A group that is made anew has nothing of the former one.
        boto.control("delete_feature_group", **asked)
        create(boto, definition("orders"))
        boto.control("update_feature_group", FeatureAdditions=[COUNTRY], **asked)
        assert found() == {}
    with Platform.open(folder) as platform:
        assert platform.audit().mismatches == ()
