"""Descriptions of groups, as the control plane's answers have them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from schemas.feature_group import FeatureGroup
from serving.server.messages import Request

ACCOUNT = "000000000000"
CREATING, CREATED = "Creating", "Created"
_REGION = re.compile(r"Credential=[^/,]+/\d{8}/([a-z0-9-]+)/")
_KEPT = ("OnlineStoreConfig", "OfflineStoreConfig", "ThroughputConfig", "RoleArn", "Description")


def arn_of(request: Request, name: str) -> str:
    """ARN of a group, in the region that the client believes it is in."""
    found = _REGION.search(request.headers.get("authorization", ""))
    return f"arn:aws:sagemaker:{found[1] if found else 'local'}:{ACCOUNT}:feature-group/{name}"


def offline_status(group: FeatureGroup) -> str:
    """Status of a group's offline store."""
    return "Active" if group.offline else "Disabled"


def description(request: Request, group: FeatureGroup, status: str) -> dict[str, Any]:
    """What DescribeFeatureGroup and Search say of a group."""
    document = group.document
    found = {
        "FeatureGroupArn": arn_of(request, group.name),
        "FeatureGroupName": group.name,
        "RecordIdentifierFeatureName": document["RecordIdentifierFeatureName"],
        "EventTimeFeatureName": document["EventTimeFeatureName"],
        "FeatureDefinitions": document["FeatureDefinitions"],
        "CreationTime": group.created / 1_000,
        "LastModifiedTime": group.modified / 1_000,
        "FeatureGroupStatus": CREATED if "Changed" in document else status,
        "OfflineStoreStatus": {"Status": offline_status(group)},
    }
    found |= {name: document[name] for name in _KEPT if document.get(name) is not None}
    if "Modified" in document:
        found["LastUpdateStatus"] = {"Status": "Successful" if status == CREATED else "InProgress"}
    return found


def summary(request: Request, group: FeatureGroup, status: str) -> dict[str, Any]:
    """What ListFeatureGroups says of a group."""
    return {
        "FeatureGroupName": group.name,
        "FeatureGroupArn": arn_of(request, group.name),
        "CreationTime": group.created / 1_000,
        "FeatureGroupStatus": status,
        "OfflineStoreStatus": {"Status": offline_status(group)},
    }


def feature_description(request: Request, group: FeatureGroup, name: str) -> dict[str, Any]:
    """What DescribeFeatureMetadata says of a feature."""
    noted: Mapping[str, Any] = (group.document.get("FeatureMetadata") or {}).get(name, {})
    found: dict[str, Any] = {
        "FeatureGroupArn": arn_of(request, group.name),
        "FeatureGroupName": group.name,
        "FeatureName": name,
        "FeatureType": group.by_name[name].kind,
        "CreationTime": group.created / 1_000,
        "LastModifiedTime": noted.get("Modified", group.created) / 1_000,
        "Parameters": [{"Key": key, "Value": value} for key, value in noted.get("Parameters", {}).items()],
    }
    if noted.get("Description") is not None:
        found["Description"] = noted["Description"]
    return found
