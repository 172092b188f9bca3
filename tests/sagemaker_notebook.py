"""A notebook of the SageMaker Python SDK, as a script: a table becomes a feature group. Run by an interpreter with it.

It is told the table's file, the name of the group and the identifiers to look up, and prints what it saw, as JSON. It
puts the record `N1` besides, and deletes it; it makes the group NAME-bare, and removes it.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3  # type: ignore[import-not-found]
import pandas as pd
from botocore.exceptions import ClientError  # type: ignore[import-not-found]
from sagemaker.feature_store.feature_definition import (  # type: ignore[import-not-found]
    IntegralFeatureDefinition,
)
from sagemaker.feature_store.feature_group import (  # type: ignore[import-not-found]
    FeatureGroup,
    IngestionError,
)
from sagemaker.feature_store.feature_store import FeatureStore  # type: ignore[import-not-found]
from sagemaker.feature_store.inputs import (  # type: ignore[import-not-found]
    DataCatalogConfig,
    DeletionModeEnum,
    FeatureParameter,
    FeatureValue,
    Filter,
    FilterOperatorEnum,
    Identifier,
    ResourceEnum,
    SearchOperatorEnum,
    SortOrderEnum,
    TargetStoreEnum,
    TtlDuration,
)
from sagemaker.session import Session  # type: ignore[import-not-found]

ROLE = "arn:aws:iam::123456789012:role/notebook"


def notebook(table: Path, name: str, identifiers: list[str]) -> dict[str, Any]:
    """What the cells of the notebook show."""
    session = Session(
        boto_session=boto3.Session(),
        sagemaker_client=boto3.client("sagemaker"),
        sagemaker_featurestore_runtime_client=boto3.client("sagemaker-featurestore-runtime"),
    )
    flights = pd.read_csv(table)
    for column in flights.select_dtypes(exclude="number"):
        flights[column] = flights[column].astype("string")
    group = FeatureGroup(name=name, sagemaker_session=session)
    group.load_feature_definitions(data_frame=flights)
    bare = FeatureGroup(f"{name}-bare", session, group.feature_definitions)
    bare.create("s3://flights/offline", "tailnum", "departed", ROLE)
    group.create(
        s3_uri="s3://flights/offline",
        record_identifier_name="tailnum",
        event_time_feature_name="departed",
        role_arn=ROLE,
        enable_online_store=True,
        data_catalog_config=DataCatalogConfig("flights", "AwsDataCatalog", "sagemaker_featurestore"),
        description="Flights of an aircraft",
        tags=[{"Key": "team", "Value": "ops"}],
    )
    statuses: list[str] = []
    while not statuses or statuses[-1] == "Creating":
        statuses.append(group.describe()["FeatureGroupStatus"])
        time.sleep(0.5)
    ingested = group.ingest(data_frame=flights, max_workers=2, max_processes=2, wait=True)
    bad = flights.head(2).assign(distance="far")
    try:
        group.ingest(data_frame=bad, max_workers=1, wait=True)
        refused = []
    except IngestionError as error:
        refused = error.failed_rows
    group.update_feature_metadata("distance", "In miles", [FeatureParameter(key="unit", value="mile")])
    runtime = boto3.client("sagemaker-featurestore-runtime")
    store = FeatureStore(session)
    return {
        "definitions": {each.feature_name: each.feature_type.value for each in group.feature_definitions},
        "status": statuses[-1],
        "failed": ingested.failed_rows,
        "refused": refused,
        "metadata": group.describe_feature_metadata("distance")["Description"],
        "parameters": group.list_parameters_for_feature_metadata("distance"),
        "ddl": group.as_hive_ddl(),
        "sdk": {value: group.get_record(value) for value in identifiers},
        "boto": {
            value: runtime.get_record(FeatureGroupName=name, RecordIdentifierValueAsString=value).get("Record")
            for value in identifiers
        },
        "batch": store.batch_get_record([Identifier(name, identifiers, ["origin"])])["Records"],
        "groups": [each["FeatureGroupName"] for each in store.list_feature_groups()["FeatureGroupSummaries"]],
        "tags": group.list_tags(),
        "found": found(store, name),
        "single": single(group),
        "datasets": datasets(store, group, bare),
        "removed": removed(bare),
    }


def found(store: FeatureStore, name: str) -> dict[str, Any]:
    """What the searches find: groups by name and age, features by a parameter."""
    groups = {}
    for since in ("2020-01-01T00:00:00", "2120-01-01T00:00:00"):
        filters = [
            Filter("FeatureGroupName", name, FilterOperatorEnum.EQUALS),
            Filter("CreationTime", since, FilterOperatorEnum.GREATER_THAN),
        ]
        answer = store.search(ResourceEnum.FEATURE_GROUP, filters, SearchOperatorEnum.AND, "CreationTime")
        groups[since] = [each["FeatureGroup"]["FeatureGroupName"] for each in answer["Results"]]
    filters = [Filter("Parameters.unit", "mile"), Filter("FeatureGroupName", name)]
    features = store.search(ResourceEnum.FEATURE_METADATA, filters, sort_order=SortOrderEnum.ASCENDING)["Results"]
    return {"groups": groups, "features": [each["FeatureMetadata"]["FeatureName"] for each in features]}


def single(group: FeatureGroup) -> dict[str, Any]:
    """What comes of one record of a group that gets one more feature."""
    group.update(feature_additions=[IntegralFeatureDefinition("seats")])
    while (updated := group.describe())["LastUpdateStatus"]["Status"] == "InProgress":
        time.sleep(0.5)
    now = time.time()
    told = {"tailnum": "N1", "departed": str(now), "seats": "189"}
    record = [FeatureValue(name, value) for name, value in told.items()]
    both = [TargetStoreEnum.ONLINE_STORE, TargetStoreEnum.OFFLINE_STORE]
    group.put_record(record, target_stores=both, ttl_duration=TtlDuration("Hours", 1))
    kept = group.get_record("N1", ["seats"])
    group.delete_record("N1", str(now + 1), DeletionModeEnum.HARD_DELETE)
    return {
        "updated": updated["LastUpdateStatus"]["Status"],
        "features": [each["FeatureName"] for each in updated["FeatureDefinitions"]],
        "kept": kept,
        "deleted": group.get_record("N1"),
    }


def datasets(store: FeatureStore, group: FeatureGroup, bare: FeatureGroup) -> dict[str, str]:
    """How datasets are refused, which Athena would make: of a group that names a catalog, and of one that does not."""
    return {
        "bare": refusal(store.create_dataset(bare, "s3://flights/sets").to_dataframe),
        "catalogued": refusal(store.create_dataset(group, "s3://flights/sets").to_dataframe),
        "query": refusal(group.athena_query().run, "SELECT 1", "s3://flights/sets"),
    }


def removed(group: FeatureGroup) -> str:
    """What is said of a group just after it was removed."""
    group.delete()
    try:
        return str(group.describe()["FeatureGroupStatus"])
    except ClientError as error:
        return str(error.response["Error"]["Code"])


def refusal(call: Callable[..., Any], *words: str) -> str:
    """How a call is refused; nothing if it is not."""
    try:
        call(*words)
    except (RuntimeError, ClientError) as error:
        return f"{type(error).__name__}: {error}"
    return ""


def main() -> None:
    """Runs the notebook."""
    out, sys.stdout = sys.stdout, sys.stderr
    shown = notebook(Path(sys.argv[1]), sys.argv[2], sys.argv[3:])
    out.write(json.dumps(shown, default=str))


if __name__ == "__main__":
    main()
