"""The control plane: feature groups made, described, changed and removed; one route, the operation in a header."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from schemas.errors import DefinitionError, RequestError, StoreAway, StoreError
from schemas.feature_group import RESERVED, FeatureGroup
from serving.server.messages import Later, Request, Response, encode_json
from serving.server.problems import Problem
from serving.server.routing import Queue, Route
from serving.server.sagemaker.bodies import Bodies, SageMakerBody
from serving.server.sagemaker.control_bodies import (
    AddTagsBody,
    CreateBody,
    Definition,
    DeleteTagsBody,
    FeatureBody,
    ListBody,
    MetadataBody,
    NamedBody,
    SearchBody,
    TagsBody,
    UpdateGroupBody,
)
from serving.server.sagemaker.descriptions import (
    ACCOUNT,
    CREATED,
    CREATING,
    arn_of,
    description,
    feature_description,
    offline_status,
    summary,
)
from serving.server.sagemaker.errors import AMZ_JSON, CONTROL_PATH, IN_USE, failure, forbidden, invalid, missing
from serving.server.sagemaker.groups import ROLES, allowed, may, plain_name
from serving.server.sagemaker.ports import GroupStore
from serving.server.sagemaker.records import read
from serving.server.sagemaker.searching import matches
from serving.server.site import Site

PREFIX = "SageMaker."
ADMIN = "admin"
_MOST_FEATURES, _MOST_PARAMETERS, _MOST_TAGS = 2_500, 25, 50
Operation = Callable[[Request, Any], Mapping[str, Any]]


class SageMakerControl:
    """Answers the control plane's requests.

    Args:
        site: what is served.
        store: where groups are kept.
    """

    def __init__(self, site: Site, store: GroupStore) -> None:
        self._site, self._store = site, store
        operations: Mapping[str, tuple[type[SageMakerBody], Operation]] = {
            "CreateFeatureGroup": (CreateBody, self.create),
            "DescribeFeatureGroup": (NamedBody, self.describe),
            "ListFeatureGroups": (ListBody, self.list),
            "UpdateFeatureGroup": (UpdateGroupBody, self.update),
            "DeleteFeatureGroup": (NamedBody, self.delete),
            "DescribeFeatureMetadata": (FeatureBody, self.describe_feature),
            "UpdateFeatureMetadata": (MetadataBody, self.update_feature),
            "ListTags": (TagsBody, self.tags),
            "AddTags": (AddTagsBody, self.add_tags),
            "DeleteTags": (DeleteTagsBody, self.delete_tags),
            "Search": (SearchBody, self.search),
        }
        self._operations = {name: (Bodies(kind), operation) for name, (kind, operation) in operations.items()}

    def routes(self) -> list[Route]:
        """The routes."""
        return [Route("POST", CONTROL_PATH, self.answer, Queue.NONE, protocol="sagemaker")]

    def answer(self, request: Request) -> Later:
        """Answers the operation that the header names, in a thread: it waits for disks."""
        target = request.headers.get("x-amz-target", "")
        found = self._operations.get(target.removeprefix(PREFIX))
        if found is None or not target.startswith(PREFIX):
            raise failure("UnknownOperationException", 400, f"there is no operation {target[:100]!r} here")
        bodies, operation = found
        body = bodies.decode(request.body)

        def work() -> Response:
            try:
                return Response(200, encode_json(operation(request, body)), AMZ_JSON)
            except (DefinitionError, RequestError) as error:
                raise invalid(str(error)) from None
            except StoreAway:
                raise
            except StoreError as error:
                raise failure("ConflictException", 409, str(error)) from None

        return Later(work)

    def create(self, request: Request, body: CreateBody) -> Mapping[str, Any]:
        """CreateFeatureGroup."""
        name = body.feature_group_name
        if not request.caller.may(ADMIN, name):
            raise forbidden(f"the caller {request.caller.name!r} has no grant {ADMIN}:{name}")
        if self._store.find(name) is not None:
            raise failure(IN_USE, 400, f"Resource Already Exists: there is a feature group {name!r}")
        _checked(body.feature_definitions)
        _whole(body)
        document: dict[str, Any] = msgspec.to_builtins(body)
        stored = document.get("OfflineStoreConfig")
        if stored is not None:
            uri = stored["S3StorageConfig"]["S3Uri"].rstrip("/")
            stored["S3StorageConfig"]["ResolvedOutputS3Uri"] = (
                f"{uri}/{ACCOUNT}/sagemaker/offline-store/{name}-{_now() // 1_000}/data"
            )
        if document.get("OnlineStoreConfig"):
            document["OnlineStoreConfig"]["EnableOnlineStore"] = body.online_store_config.enable_online_store  # type: ignore[union-attr]
        tags = document.pop("Tags", None) or []
        document |= {"Tags": {tag["Key"]: tag["Value"] for tag in tags}, "Created": _now()}
        self._store.create(document)
        return {"FeatureGroupArn": arn_of(request, name)}

    def describe(self, request: Request, body: NamedBody) -> Mapping[str, Any]:
        """DescribeFeatureGroup."""
        group = self._seen(request, body.feature_group_name)
        return description(request, group, self._status(group)) | {"NextToken": ""}

    def list(self, request: Request, body: ListBody) -> Mapping[str, Any]:
        """ListFeatureGroups."""
        found = []
        for group in self._visible(request):
            made = group.created / 1_000
            if body.name_contains is not None and body.name_contains.lower() not in group.name.lower():
                continue
            if body.creation_time_after is not None and made <= body.creation_time_after:
                continue
            if body.creation_time_before is not None and made >= body.creation_time_before:
                continue
            if body.offline_store_status_equals not in (None, offline_status(group)):
                continue
            status = self._status(group)
            if body.feature_group_status_equals in (None, status):
                found.append(summary(request, group, status))
        sorts: Mapping[str, Callable[[Mapping[str, Any]], Any]] = {
            "Name": lambda each: each["FeatureGroupName"],
            "FeatureGroupStatus": lambda each: each["FeatureGroupStatus"],
            "OfflineStoreStatus": lambda each: each["OfflineStoreStatus"]["Status"],
            "CreationTime": lambda each: each["CreationTime"],
        }
        found.sort(key=lambda each: (sorts[body.sort_by](each), each["FeatureGroupName"]))
        if body.sort_order == "Descending":
            found.reverse()
        return _page("FeatureGroupSummaries", found, body.max_results, body.next_token)

    def update(self, request: Request, body: UpdateGroupBody) -> Mapping[str, Any]:
        """UpdateFeatureGroup: features added, or settings changed."""
        group = self._governed(request, body.feature_group_name)
        document = dict(group.document)
        if body.feature_additions:
            _checked(body.feature_additions)
            for feature in body.feature_additions:
                if feature.feature_name in group.by_name:
                    raise invalid(f"the feature {feature.feature_name!r} is there already")
            added = msgspec.to_builtins(body.feature_additions)
            document["Changed"] = _now()
            document["FeatureDefinitions"] = [*document["FeatureDefinitions"], *added]
            if len(document["FeatureDefinitions"]) > _MOST_FEATURES:
                raise failure("ResourceLimitExceeded", 400, f"a feature group has at most {_MOST_FEATURES} features")
        if body.online_store_config is not None:
            if not group.online:
                raise invalid(f"feature group {group.name!r} has no online store")
            changed = msgspec.to_builtins(body.online_store_config)
            online = {name: value for name, value in changed.items() if value is not None}
            document["OnlineStoreConfig"] = {**document["OnlineStoreConfig"], **online}
        if body.throughput_config is not None:
            document["ThroughputConfig"] = {
                **(document.get("ThroughputConfig") or {}),
                **msgspec.to_builtins(body.throughput_config),
            }
        self._store.change(group.name, document | {"Modified": _now()})
        return {"FeatureGroupArn": arn_of(request, group.name)}

    def delete(self, request: Request, body: NamedBody) -> Mapping[str, Any]:
        """DeleteFeatureGroup; what the offline store holds stays."""
        self._store.remove(self._governed(request, body.feature_group_name).name)
        return {}

    def describe_feature(self, request: Request, body: FeatureBody) -> Mapping[str, Any]:
        """DescribeFeatureMetadata."""
        group = self._seen(request, body.feature_group_name)
        return feature_description(request, group, _feature(group, body.feature_name))

    def update_feature(self, request: Request, body: MetadataBody) -> Mapping[str, Any]:
        """UpdateFeatureMetadata."""
        group = self._governed(request, body.feature_group_name)
        name = _feature(group, body.feature_name)
        noted = dict((group.document.get("FeatureMetadata") or {}).get(name, {}))
        parameters = dict(noted.get("Parameters", {}))
        for key in body.parameter_removals:
            parameters.pop(key, None)
        parameters |= {each.key: each.value for each in body.parameter_additions}
        if len(parameters) > _MOST_PARAMETERS:
            raise invalid(f"a feature has at most {_MOST_PARAMETERS} parameters, this one would have {len(parameters)}")
        noted |= {"Parameters": parameters, "Modified": _now()}
        if isinstance(body.description, str):
            noted["Description"] = body.description
        metadata = {**(group.document.get("FeatureMetadata") or {}), name: noted}
        self._store.change(group.name, {**group.document, "FeatureMetadata": metadata})
        return {}

    def tags(self, request: Request, body: TagsBody) -> Mapping[str, Any]:
        """ListTags."""
        group = self._seen(request, body.resource_arn)
        return {"Tags": _tags(group)}

    def add_tags(self, request: Request, body: AddTagsBody) -> Mapping[str, Any]:
        """AddTags."""
        group = self._governed(request, body.resource_arn)
        tags = {**(group.document.get("Tags") or {}), **{tag.key: tag.value for tag in body.tags}}
        if len(tags) > _MOST_TAGS:
            raise failure("ResourceLimitExceeded", 400, f"a feature group has at most {_MOST_TAGS} tags")
        return {"Tags": _tags(self._store.change(group.name, {**group.document, "Tags": tags}))}

    def delete_tags(self, request: Request, body: DeleteTagsBody) -> Mapping[str, Any]:
        """DeleteTags."""
        group = self._governed(request, body.resource_arn)
        tags = {key: value for key, value in (group.document.get("Tags") or {}).items() if key not in body.tag_keys}
        self._store.change(group.name, {**group.document, "Tags": tags})
        return {}

    def search(self, request: Request, body: SearchBody) -> Mapping[str, Any]:
        """Search, of feature groups and of their features."""
        found: list[dict[str, Any]] = []
        for group in self._visible(request):
            if body.resource == "FeatureGroup":
                told = description(request, group, self._status(group)) | {"Tags": _tags(group)}
                found.append({"FeatureGroup": told})
            elif body.resource == "FeatureMetadata":
                found += [{"FeatureMetadata": feature_description(request, group, name)} for name in group.by_name]
            else:
                raise invalid(f"Resource: {body.resource[:100]!r} is not here: FeatureGroup and FeatureMetadata are")
        found = [each for each in found if matches(body.search_expression, each[body.resource])]
        found.sort(key=lambda each: str(each[body.resource].get(body.sort_by, "")))
        if body.sort_order == "Descending":
            found.reverse()
        return _page("Results", found, body.max_results, body.next_token) | {
            "TotalHits": {"Value": len(found), "Relation": "EqualTo"}
        }

    def _status(self, group: FeatureGroup) -> str:
        """Status of a group: created once it is applied and filled, and whatever stream runs has taken it up."""
        self._store.recover()
        if self._store.stale(group.name):
            self._store.take_up()
        served = self._store.served(group.name)
        if served is None or served.view != group.view or not self._store.taken_up(group):
            return CREATING
        if not group.online:
            return CREATED
        try:
            read(self._site.backend.reads.reader((group.view_name,)), group, [group.example])
        except (Problem, RequestError):
            return CREATING
        return CREATED

    def _visible(self, request: Request) -> Sequence[FeatureGroup]:
        groups = [self._store.find(name) for name in self._store.names()]
        return [group for group in groups if group and any(may(request.caller, group, role) for role in ROLES)]

    def _seen(self, request: Request, given: str) -> FeatureGroup:
        """A group that a caller may know of."""
        name = plain_name(given)
        group = self._store.find(name)
        if group is None or not any(may(request.caller, group, role) for role in ROLES):
            raise missing(name)
        return group

    def _governed(self, request: Request, given: str) -> FeatureGroup:
        """A group that a caller may change."""
        name = plain_name(given)
        return allowed(request.caller, self._store.find(name), name, ADMIN)


def _checked(definitions: Sequence[Definition]) -> None:
    """Refuses features that contradict themselves or one another."""
    names: set[str] = set()
    for each in definitions:
        name, vector = each.feature_name, each.collection_config and each.collection_config.vector_config
        if name.lower() in RESERVED:
            raise invalid(f"FeatureName: {name!r} is reserved: not legal are {', '.join(RESERVED)}")
        if name.lower() in names:
            raise invalid(f"FeatureDefinitions: the feature {name!r} is there twice")
        names.add(name.lower())
        if (vector is not None) != (each.collection_type == "Vector"):
            raise invalid(f"{name}: CollectionConfig.VectorConfig goes with CollectionType Vector, and it with that")
        if vector is not None and each.feature_type != "Fractional":
            raise invalid(f"{name}: the elements of a Vector are Fractional")


def _whole(body: CreateBody) -> None:
    """Refuses groups that lack something."""
    named = {each.feature_name: each for each in body.feature_definitions}
    for what, name, kinds in (
        ("RecordIdentifierFeatureName", body.record_identifier_feature_name, ("Integral", "Fractional", "String")),
        ("EventTimeFeatureName", body.event_time_feature_name, ("Fractional", "String")),
    ):
        feature = named.get(name)
        if feature is None:
            raise invalid(f"{what}: {name!r} is none of the FeatureDefinitions: legal are {', '.join(named)}")
        if feature.collection_type is not None or feature.feature_type not in kinds:
            raise invalid(f"{what}: {name!r} must be of type {' or '.join(kinds)}, and no collection")
    if body.record_identifier_feature_name == body.event_time_feature_name:
        raise invalid("RecordIdentifierFeatureName and EventTimeFeatureName are two features")
    online = body.online_store_config is not None and body.online_store_config.enable_online_store
    if not online and body.offline_store_config is None:
        raise invalid("a feature group has an OnlineStoreConfig that enables it, an OfflineStoreConfig, or both")
    if body.offline_store_config is not None and body.role_arn is None:
        raise invalid("RoleArn is needed with an OfflineStoreConfig")


def _feature(group: FeatureGroup, name: str) -> str:
    if name not in group.by_name:
        legal = ", ".join(group.by_name)
        raise failure(
            "ResourceNotFound", 404, f"feature group {group.name!r} has no feature {name!r}: legal are {legal}"
        )
    return name


def _tags(group: FeatureGroup) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in (group.document.get("Tags") or {}).items()]


def _page(what: str, found: Sequence[Any], most: int, token: str | None) -> dict[str, Any]:
    """One page of what was found; a token is the number of what comes first."""
    if token and not (token.isascii() and token.isdigit() and len(token) < 10):
        raise invalid(f"NextToken: {token[:100]!r} was not given here")
    first = int(token or 0)
    page: dict[str, Any] = {what: list(found[first : first + most])}
    if first + most < len(found):
        page["NextToken"] = str(first + most)
    return page


def _now() -> int:
    return time.time_ns() // 1_000_000
