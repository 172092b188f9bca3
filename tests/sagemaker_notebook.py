"""A notebook of the SageMaker Python SDK, as a script: a table becomes a feature group. Run by an interpreter with it.

It is told the table's file, the name of the group and the identifiers to look up, and prints what it saw, as JSON.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import boto3  # type: ignore[import-not-found]
import pandas as pd
from sagemaker.feature_store.feature_group import (  # type: ignore[import-not-found]
    FeatureGroup,
    IngestionError,
)
from sagemaker.feature_store.feature_store import FeatureStore  # type: ignore[import-not-found]
from sagemaker.feature_store.inputs import FeatureParameter, Identifier  # type: ignore[import-not-found]
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
    group.create(
        s3_uri="s3://flights/offline",
        record_identifier_name="tailnum",
        event_time_feature_name="departed",
        role_arn=ROLE,
        enable_online_store=True,
        description="Flights of an aircraft",
        tags=[{"Key": "team", "Value": "ops"}],
    )
    statuses: list[str] = []
    while not statuses or statuses[-1] == "Creating":
        statuses.append(group.describe()["FeatureGroupStatus"])
        time.sleep(0.2)
    ingested = group.ingest(data_frame=flights, max_workers=4, wait=True)
    bad = flights.head(2).assign(distance="far")
    try:
        group.ingest(data_frame=bad, max_workers=1, wait=True)
        refused = []
    except IngestionError as error:
        refused = error.failed_rows
    group.update_feature_metadata("distance", "In miles", [FeatureParameter(key="unit", value="mile")])
    runtime = boto3.client("sagemaker-featurestore-runtime")
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
        "batch": FeatureStore(session).batch_get_record([Identifier(name, identifiers, ["origin"])])["Records"],
        "groups": [
            each["FeatureGroupName"] for each in FeatureStore(session).list_feature_groups()["FeatureGroupSummaries"]
        ],
    }


def main() -> None:
    """Runs the notebook."""
    out, sys.stdout = sys.stdout, sys.stderr
    shown = notebook(Path(sys.argv[1]), sys.argv[2], sys.argv[3:])
    out.write(json.dumps(shown, default=str))


if __name__ == "__main__":
    main()
