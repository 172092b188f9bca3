"""Bodies of Feast's requests; fields that are not known are passed over, as its server does."""

from __future__ import annotations

import re
from typing import Any, TypeVar

import msgspec

from serving.server.feast.errors import malformed

T = TypeVar("T", bound="FeastBody")
_PLACE = re.compile(r" - at `\$\.?([^`]*)`$")


class FeastBody(msgspec.Struct):
    """Base of the bodies."""


class ReadBody(FeastBody):
    """Body of POST /get-online-features."""

    entities: dict[str, list[Any]]
    features: list[str] = []
    feature_service: str | None = None
    full_feature_names: bool = False
    include_feature_view_version_metadata: bool = False


class WriteBody(FeastBody):
    """Body of POST /write-to-online-store."""

    feature_view_name: str
    df: dict[str, list[Any]]


class PushBody(FeastBody):
    """Body of POST /push."""

    push_source_name: str
    df: dict[str, list[Any]]
    to: str = "online"


class MaterializeBody(FeastBody):
    """Body of POST /materialize."""

    start_ts: str | None = None
    end_ts: str | None = None
    feature_views: list[str] | None = None
    disable_event_timestamp: bool = False
    version: str | None = None


class IncrementalBody(FeastBody):
    """Body of POST /materialize-incremental."""

    end_ts: str
    feature_views: list[str] | None = None
    version: str | None = None


class Bodies:
    """Decodes bodies of one kind.

    Args:
        kind: of them.
    """

    def __init__(self, kind: type[FeastBody]) -> None:
        self._decode = msgspec.json.Decoder(kind).decode

    def decode(self, body: bytes) -> Any:
        """The body.

        Raises:
            Problem: 422, it is no JSON or not what the route takes.
        """
        try:
            return self._decode(body)
        except msgspec.ValidationError as error:
            text = str(error)
            place = _PLACE.search(text)
            raise malformed(_PLACE.sub("", text).replace("`", ""), place[1].split(".") if place else []) from None
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
            raise malformed(f"JSON decode error: {error}", []) from None
