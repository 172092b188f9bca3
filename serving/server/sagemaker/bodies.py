"""Bodies of requests; fields that are not known are passed over, as newer clients may send more."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from serving.server.sagemaker.errors import invalid
from serving.server.sagemaker.refusals import refusal

ARN = r"(arn:aws[a-z-]*:sagemaker:[a-z0-9-]*:[0-9]{12}:feature-group/)?"
NAME = r"[a-zA-Z0-9](?:[_-]*[a-zA-Z0-9]){0,63}"
LEGAL_NAME = "1 to 64 of A-Z, a-z, 0-9, - and _, a letter or digit first and last"
LEGAL_ARN = f"a name ({LEGAL_NAME}), or arn:aws:sagemaker:REGION:ACCOUNT:feature-group/NAME"
GroupName = Annotated[str, Meta(pattern=f"^{NAME}$", max_length=64, description=LEGAL_NAME)]
NameOrArn = Annotated[str, Meta(pattern=f"^{ARN}{NAME}$", max_length=256, description=LEGAL_ARN)]
FeatureName = Annotated[str, Meta(pattern=f"^{NAME}$", max_length=64, description=LEGAL_NAME)]
Value = Annotated[str, Meta(max_length=358_400)]
Store = Literal["OnlineStore", "OfflineStore"]
Stores = Annotated[list[Store], Meta(min_length=1, max_length=2)]
Unit = Literal["Seconds", "Minutes", "Hours", "Days", "Weeks"]
Switch = Literal["Enabled", "Disabled"]


class SageMakerBody(msgspec.Struct, rename="pascal"):
    """Base of the bodies."""


class TtlDuration(SageMakerBody):
    """How long a record lives."""

    unit: Unit
    value: Annotated[int, Meta(ge=1)]


class FeatureValue(SageMakerBody):
    """One feature of a record."""

    feature_name: FeatureName
    value_as_string: Value | None = None
    value_as_string_list: list[Value] | None = None


Record = Annotated[list[FeatureValue], Meta(min_length=1)]


class PutBody(SageMakerBody):
    """Body of PutRecord."""

    record: Record
    target_stores: Stores | None = None
    ttl_duration: TtlDuration | None = None


class WriteEntry(PutBody):
    """One entry of BatchWriteRecord."""

    feature_group_name: str = ""


class BatchWriteBody(SageMakerBody):
    """Body of BatchWriteRecord."""

    entries: Annotated[list[WriteEntry], Meta(min_length=1, max_length=25)]
    ttl_duration: TtlDuration | None = None


class UpdateBody(SageMakerBody):
    """Body of UpdateRecord."""

    record_identifier_value_as_string: Value
    features: Annotated[list[FeatureValue], Meta(min_length=1, max_length=100)]
    target_stores: Stores | None = None
    ttl_duration: TtlDuration | None = None


class BatchIdentifier(SageMakerBody):
    """Records of one group that BatchGetRecord is to get."""

    feature_group_name: NameOrArn
    record_identifiers_value_as_string: Annotated[list[Value], Meta(min_length=1, max_length=100)]
    feature_names: Annotated[list[FeatureName], Meta(min_length=1)] | None = None


class BatchGetBody(SageMakerBody):
    """Body of BatchGetRecord."""

    identifiers: Annotated[list[BatchIdentifier], Meta(min_length=1, max_length=100)]
    expiration_time_response: Switch | None = None


class ListRecordsBody(SageMakerBody):
    """Body of ListRecords."""

    max_results: Annotated[int, Meta(ge=1, le=100)] = 100
    next_token: Annotated[str, Meta(max_length=8_192)] | None = None
    include_soft_deleted_records: bool = False


class Bodies:
    """Decodes bodies of one kind.

    Args:
        kind: of them.
    """

    def __init__(self, kind: type[SageMakerBody]) -> None:
        self._kind, self._decode = kind, msgspec.json.Decoder(kind).decode

    def decode(self, body: bytes) -> Any:
        """The body; none at all is an empty one.

        Raises:
            Problem: it is no JSON, or not what the operation takes.
        """
        try:
            return self._decode(body or b"{}")
        except msgspec.ValidationError as error:
            raise invalid(refusal(error, body or b"{}", self._kind)) from None
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
            raise invalid(f"the body is no JSON: {error}") from None
