"""Bodies of the control plane's requests."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, field

from serving.server.sagemaker.bodies import FeatureName, GroupName, NameOrArn, SageMakerBody, TtlDuration

Kind = Literal["Integral", "Fractional", "String"]
Collection = Literal["List", "Set", "Vector"]
Token = Annotated[str, Meta(max_length=8_192)]
Order = Literal["Ascending", "Descending"]
Resource = Annotated[str, Meta(max_length=256)]
RoleArn = Annotated[
    str,
    Meta(
        min_length=20,
        max_length=2_048,
        pattern=r"^arn:aws[a-z-]*:iam::\d{12}:role/",
        description="arn:aws:iam::ACCOUNT:role/NAME, ACCOUNT of 12 digits",
    ),
]


class VectorConfig(SageMakerBody):
    """Of a vector."""

    dimension: Annotated[int, Meta(ge=1, le=8_192)]


class CollectionConfig(SageMakerBody):
    """Of a collection."""

    vector_config: VectorConfig | None = None


class Definition(SageMakerBody, omit_defaults=True):
    """One feature."""

    feature_name: FeatureName
    feature_type: Kind
    collection_type: Collection | None = None
    collection_config: CollectionConfig | None = None


class OnlineStoreConfig(SageMakerBody, omit_defaults=True):
    """Of the online store."""

    enable_online_store: bool = False
    security_config: dict[str, Any] | None = None
    ttl_duration: TtlDuration | None = None
    storage_type: Literal["Standard", "Standard_V2", "InMemory"] | None = None


class S3StorageConfig(SageMakerBody, omit_defaults=True):
    """Where the offline store would be in S3."""

    s3_uri: Annotated[
        str, Meta(max_length=1_024, pattern=r"^(https|s3)://([^/]+)/?(.*)$", description="s3://BUCKET/PREFIX")
    ]
    kms_key_id: str | None = None
    resolved_output_s3_uri: str | None = None


class OfflineStoreConfig(SageMakerBody, omit_defaults=True):
    """Of the offline store."""

    s3_storage_config: S3StorageConfig
    disable_glue_table_creation: bool | None = None
    data_catalog_config: dict[str, Any] | None = None
    table_format: Literal["Default", "Glue", "Iceberg"] | None = None


class ThroughputConfig(SageMakerBody, omit_defaults=True):
    """How much is expected."""

    throughput_mode: Literal["OnDemand", "Provisioned"] | None = None
    provisioned_read_capacity_units: Annotated[int, Meta(ge=0, le=10_000_000)] | None = None
    provisioned_write_capacity_units: Annotated[int, Meta(ge=0, le=10_000_000)] | None = None


class Tag(SageMakerBody):
    """One tag."""

    key: Annotated[str, Meta(min_length=1, max_length=128)]
    value: Annotated[str, Meta(max_length=256)]


class CreateBody(SageMakerBody, omit_defaults=True):
    """Body of CreateFeatureGroup."""

    feature_group_name: GroupName
    record_identifier_feature_name: FeatureName
    event_time_feature_name: FeatureName
    feature_definitions: Annotated[list[Definition], Meta(min_length=1, max_length=2_500)]
    online_store_config: OnlineStoreConfig | None = None
    offline_store_config: OfflineStoreConfig | None = None
    throughput_config: ThroughputConfig | None = None
    role_arn: RoleArn | None = None
    description: Annotated[str, Meta(max_length=128)] | None = None
    tags: Annotated[list[Tag], Meta(max_length=50)] | None = None


class NamedBody(SageMakerBody):
    """Body of DescribeFeatureGroup and DeleteFeatureGroup."""

    feature_group_name: NameOrArn
    next_token: Token | None = None


class OnlineStoreUpdate(SageMakerBody):
    """What UpdateFeatureGroup changes of the online store."""

    ttl_duration: TtlDuration | None = None
    storage_type: Literal["Standard", "Standard_V2", "InMemory"] | None = None


class UpdateGroupBody(SageMakerBody):
    """Body of UpdateFeatureGroup."""

    feature_group_name: NameOrArn
    feature_additions: Annotated[list[Definition], Meta(min_length=1, max_length=100)] | None = None
    online_store_config: OnlineStoreUpdate | None = None
    throughput_config: ThroughputConfig | None = None


class ListBody(SageMakerBody):
    """Body of ListFeatureGroups."""

    name_contains: Annotated[str, Meta(min_length=1, max_length=64)] | None = None
    feature_group_status_equals: Literal["Creating", "Created", "CreateFailed", "Deleting", "DeleteFailed"] | None = (
        None
    )
    offline_store_status_equals: Literal["Active", "Blocked", "Disabled"] | None = None
    creation_time_after: float | None = None
    creation_time_before: float | None = None
    sort_order: Order = "Ascending"
    sort_by: Literal["Name", "FeatureGroupStatus", "OfflineStoreStatus", "CreationTime"] = "Name"
    max_results: Annotated[int, Meta(ge=1, le=100)] = 100
    next_token: Token | None = None


class FeatureBody(SageMakerBody):
    """Body of DescribeFeatureMetadata."""

    feature_group_name: NameOrArn
    feature_name: FeatureName


class Parameter(SageMakerBody):
    """One parameter of a feature."""

    key: Annotated[str, Meta(min_length=1, max_length=255)]
    value: Annotated[str, Meta(min_length=1, max_length=255)]


class MetadataBody(FeatureBody):
    """Body of UpdateFeatureMetadata."""

    description: Annotated[str, Meta(max_length=255)] | None = None
    parameter_additions: Annotated[list[Parameter], Meta(max_length=25)] = field(default_factory=list)
    parameter_removals: Annotated[list[str], Meta(max_length=25)] = field(default_factory=list)


class TagsBody(SageMakerBody):
    """Body of ListTags."""

    resource_arn: Resource
    next_token: Token | None = None


class AddTagsBody(SageMakerBody):
    """Body of AddTags."""

    resource_arn: Resource
    tags: Annotated[list[Tag], Meta(max_length=50)]


class DeleteTagsBody(SageMakerBody):
    """Body of DeleteTags."""

    resource_arn: Resource
    tag_keys: Annotated[list[str], Meta(min_length=1, max_length=50)]


class Filter(SageMakerBody):
    """One condition of Search."""

    name: str
    operator: Literal[
        "Equals",
        "NotEquals",
        "Contains",
        "Exists",
        "NotExists",
        "In",
        "GreaterThan",
        "GreaterThanOrEqualTo",
        "LessThan",
        "LessThanOrEqualTo",
    ] = "Equals"
    value: str | None = None


class SearchExpression(SageMakerBody):
    """Conditions of Search."""

    filters: Annotated[list[Filter], Meta(max_length=20)] = field(default_factory=list)
    sub_expressions: Annotated[list[SearchExpression], Meta(max_length=20)] = field(default_factory=list)
    operator: Literal["And", "Or"] = "And"


class SearchBody(SageMakerBody):
    """Body of Search."""

    resource: str
    search_expression: SearchExpression | None = None
    sort_by: str = "LastModifiedTime"
    sort_order: Order = "Descending"
    max_results: Annotated[int, Meta(ge=1, le=100)] = 100
    next_token: Token | None = None
