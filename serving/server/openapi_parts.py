"""Parts of the OpenAPI page: the operations of the native API and the schemas that they use."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from transforms.answers import STATUSES

JSON = "application/json"
ARROW = "application/vnd.apache.arrow.stream"
PROBLEM = "application/problem+json"


def reference(name: str) -> dict[str, str]:
    """Reference to a schema of `SCHEMAS`."""
    return {"$ref": f"#/components/schemas/{name}"}


def _answers(*statuses: int, **good: Mapping[str, Any]) -> dict[str, Any]:
    """Responses of an operation: good ones by "_STATUS", and problems by their status."""
    captions = {
        400: "The request is not legal",
        401: "Credentials are missing or not known",
        404: "There is no such thing that the caller may see",
        409: "Definitions are others now than the caller's, or do not allow this",
        413: "More is asked or sent than is taken at once",
        415: "The body is of a kind that is not taken",
        422: "Events do not fit their source; nothing was sent",
        503: "More is asked than can be answered now, or a store does not answer; Retry-After says when to come again",
        504: "The events are durable but cannot be read yet",
    }
    found: dict[str, Any] = {name.removeprefix("_"): dict(answer) for name, answer in good.items()}
    for status in statuses:
        content = {PROBLEM: {"schema": reference("Problem")}}
        found[str(status)] = {"description": captions[status], "content": content}
    return found


def _json(description: str, schema: Mapping[str, Any], **others: Any) -> dict[str, Any]:
    return {"description": description, "content": {JSON: {"schema": schema}} | others}


_TEXT = {"type": "string"}
_COUNT = {"type": "integer", "minimum": 0}
_BINARY = {"schema": {"type": "string", "format": "binary"}}
_TEXTS = {"type": "array", "items": _TEXT}

FEATURES = {
    "operationId": "getFeatures",
    "summary": "Features of entities now",
    "description": (
        "Reads a service, a view, or `view:feature` addresses for rows of keys. With `Accept: "
        f"{ARROW}` the answer is an Arrow IPC stream; keys may come as one too, the other members then in the query."
    ),
    "tags": ["features"],
    "requestBody": {
        "required": True,
        "content": {
            JSON: {
                "schema": reference("FeatureRequest"),
                "example": {"features": "fraud_v1", "keys": {"user_id": [7, 8]}},
            }
        },
    },
    "responses": _answers(
        400,
        401,
        404,
        409,
        413,
        415,
        503,
        _200=_json("Values, by the column or by the row", reference("FeatureAnswer"), **{ARROW: _BINARY}),
    ),
}
PUSH = {
    "operationId": "pushEvents",
    "summary": "Events of a source, to its topic",
    "description": (
        "Answers 202 once the events are durable in the topic; with `wait=served` 200 once they can be read, as long "
        "as a stream runs. One event that does not fit refuses all of them."
    ),
    "tags": ["push"],
    "parameters": [
        {"name": "source", "in": "path", "required": True, "schema": _TEXT, "description": "Name of the source"},
        {"name": "wait", "in": "query", "schema": {"type": "string", "enum": ["served"]}},
        {
            "name": "timeout",
            "in": "query",
            "schema": {"type": "number", "exclusiveMinimum": 0},
            "description": "Seconds to wait at most, up to what the server allows",
        },
    ],
    "requestBody": {
        "required": True,
        "content": {
            JSON: {"schema": reference("PushRequest")},
            "application/x-ndjson": {"schema": _TEXT},
            ARROW: _BINARY,
        },
    },
    "responses": _answers(
        400,
        401,
        404,
        409,
        413,
        415,
        422,
        503,
        504,
        _200=_json("The events can be read", reference("Pushed")),
        _202=_json("The events are durable", reference("Pushed")),
    ),
}
REGISTRY = {
    "operationId": "getRegistry",
    "summary": "Views, aliases, on-demand functions, services and sources",
    "tags": ["registry"],
    "responses": _answers(401, 503, _200=_json("What the caller may see", reference("Registry"))),
}
SEARCH = {
    "operationId": "searchFeatures",
    "summary": "Features that hold every word",
    "description": "Words are looked for in address, description, owner, tags, entity and sources.",
    "tags": ["registry"],
    "parameters": [
        {"name": "q", "in": "query", "schema": _TEXT, "description": "Words"},
        {"name": "entity", "in": "query", "schema": _TEXT},
        {"name": "owner", "in": "query", "schema": _TEXT},
        {"name": "tag", "in": "query", "schema": _TEXT, "description": "NAME=VALUE"},
        {"name": "limit", "in": "query", "schema": {"type": "integer", "minimum": 1, "maximum": 1000}},
    ],
    "responses": _answers(
        400,
        401,
        503,
        _200=_json("What was found", reference("Found")),
    ),
}
SHOW = {
    "operationId": "getFeature",
    "summary": "One feature with its lineage",
    "tags": ["registry"],
    "parameters": [
        {"name": "address", "in": "path", "required": True, "schema": _TEXT, "description": "view:feature"},
    ],
    "responses": _answers(400, 401, 404, 503, _200=_json("The feature", reference("Feature"))),
}
HEALTHY = {
    "operationId": "getHealth",
    "summary": "Whether the process lives",
    "tags": ["health"],
    "security": [],
    "responses": _answers(_200={"description": "It does", "content": {"text/plain": {"schema": _TEXT}}}),
}
READY = {
    "operationId": "getReadiness",
    "summary": "Whether the stores answer",
    "tags": ["health"],
    "security": [],
    "responses": _answers(
        _200=_json("They do", reference("Readiness")), _503=_json("They do not", reference("Readiness"))
    ),
}
METRICS = {
    "operationId": "getMetrics",
    "summary": "What all processes counted, for Prometheus",
    "tags": ["health"],
    "responses": _answers(401, 404, 503, _200={"description": "Metrics", "content": {"text/plain": {"schema": _TEXT}}}),
}

_OBJECT = {"type": "object", "additionalProperties": True}
_BY_NAME = {"type": "object", "additionalProperties": _TEXT}
_COLUMNS = {"type": "object", "additionalProperties": {"type": "array"}}
_ROWS = {"type": "array", "items": _OBJECT}
_TIME = {"type": ["string", "null"]}


def _by_column_or_row(cell: Mapping[str, Any]) -> dict[str, Any]:
    """Schema of what stands beside each value."""
    columns = {"type": "object", "additionalProperties": {"type": "array", "items": cell}}
    return {"anyOf": [columns, {"type": "array", "items": {"type": "object", "additionalProperties": cell}}]}


def _all_of(**members: Mapping[str, Any]) -> dict[str, Any]:
    """Schema of an object that has all of its members."""
    return {"type": "object", "required": list(members), "properties": members}


def _list_of(name: str) -> dict[str, Any]:
    return {"type": "array", "items": reference(name)}


_KEPT = {
    "events": {**_COUNT, "description": "How many"},
    "lanes": {
        "type": "object",
        "additionalProperties": {"type": "integer"},
        "description": "Last offset in each lane that got some",
    },
}
SCHEMAS: Mapping[str, Any] = {
    "FeatureRequest": {
        "type": "object",
        "additionalProperties": False,
        "required": ["features", "keys"],
        "properties": {
            "features": {"anyOf": [_TEXT, _TEXTS], "description": "Service, view, or addresses view:feature"},
            "keys": {
                "anyOf": [_OBJECT, _ROWS],
                "description": "Columns (a scalar repeats) or rows; request values may stand among them",
            },
            "request": {"anyOf": [_OBJECT, {"type": "null"}], "description": "Values that on-demand features ask for"},
            "now": {
                "type": ["string", "integer", "null"],
                "description": "ISO 8601, µs since the epoch, or latest: the newest event; by default the clock",
            },
            "fingerprint": {
                "type": ["string", "null"],
                "description": "Of the training set of the model that asks; refused if definitions have changed",
            },
            "orient": {"type": "string", "enum": ["columns", "rows"]},
            "include": {
                "anyOf": [
                    {"type": "array", "items": {"type": "string", "enum": ["statuses", "event_times", "types"]}},
                    {"type": "null"},
                ],
                "description": "Beside the values; by default statuses and event_times, as Arrow nothing",
            },
        },
    },
    "FeatureAnswer": {
        "type": "object",
        "required": ["as_of", "fingerprint"],
        "properties": {
            "values": {**_COLUMNS, "description": "By the column: keys first, then features by address"},
            "rows": {**_ROWS, "description": "By the row"},
            "statuses": _by_column_or_row(reference("Status")),
            "event_times": _by_column_or_row(_TIME),
            "as_of": {"type": "array", "items": _TIME},
            "fingerprint": _TEXT,
            "types": {**_BY_NAME, "description": "Types of keys, request values and features, if they are included"},
        },
    },
    "Status": {"type": "string", "enum": list(STATUSES)},
    "PushRequest": {
        "type": "object",
        "additionalProperties": False,
        "required": ["events"],
        "properties": {"events": _ROWS},
    },
    "Pushed": {
        "type": "object",
        "required": ["events", "lanes"],
        "properties": {
            **_KEPT,
            "served": {"type": "boolean"},
        },
    },
    "Registry": _all_of(
        project=_TEXT,
        version=_COUNT,
        views=_list_of("View"),
        aliases=_list_of("Alias"),
        on_demand=_list_of("OnDemand"),
        services=_list_of("Service"),
        sources=_list_of("Source"),
    ),
    "View": _all_of(
        name=_TEXT,
        entity=_TEXT,
        keys=_BY_NAME,
        sources=_TEXTS,
        owner=_TEXT,
        tags=_BY_NAME,
        description=_TEXT,
        online={"type": "boolean"},
        features={"type": "array", "items": _all_of(address=_TEXT, kind=_TEXT, type=_TEXT, description=_TEXT)},
    ),
    "Alias": _all_of(name=_TEXT, view=_TEXT, keys=_BY_NAME),
    "OnDemand": _all_of(name=_TEXT, inputs=_TEXTS, request=_BY_NAME, features=_TEXTS),
    "Service": _all_of(name=_TEXT, features=_TEXTS, keys=_BY_NAME, request=_BY_NAME, fingerprint=_TEXT),
    "Source": _all_of(
        name=_TEXT,
        fields=_BY_NAME,
        event_time=_TEXT,
        topic={"type": "boolean"},
    ),
    "Found": _all_of(found=_COUNT, features=_list_of("Feature")),
    "Feature": {
        "type": "object",
        "required": ["address", "kind", "type", "upstream", "downstream", "fingerprint"],
        "properties": {
            **dict.fromkeys(("address", "kind", "type", "entity", "window", "owner", "description"), _TEXT),
            "fingerprint": _TEXT,
            "online": {"type": "boolean"},
            "keys": _TEXTS,
            "roles": _TEXTS,
            "tags": _BY_NAME,
            "default": {},
            "upstream": _TEXTS,
            "downstream": _TEXTS,
        },
    },
    "Readiness": {
        "type": "object",
        "required": ["status"],
        "properties": {
            "status": {"type": "string", "enum": ["ready", "not ready"]},
            "reasons": {"type": "object", "additionalProperties": _TEXT},
        },
    },
    "Problem": {
        "type": "object",
        "description": "RFC 9457 problem details",
        "required": ["type", "title", "status", "detail"],
        "properties": {
            **dict.fromkeys(("type", "title", "detail", "where", "hint", "instance"), _TEXT),
            "status": {"type": "integer"},
            "legal": {**_TEXTS, "description": "Legal values"},
            "limit": {"type": "number", "description": "The most that is taken at once"},
            "begun": {
                "type": "boolean",
                "description": "false: nothing was done for the request; it may be sent again as it is",
            },
            "errors": {
                "type": "array",
                "items": _all_of(row=_COUNT, reason=_TEXT),
                "description": "Events that do not fit",
            },
            **_KEPT,
        },
    },
}
