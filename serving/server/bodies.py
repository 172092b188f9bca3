"""Bodies of requests, decoded and checked against what is legal."""

from __future__ import annotations

import re
from typing import Any, TypeVar

import msgspec
import pyarrow as pa

from serving.server.messages import ARROW, JSON, Request
from serving.server.problems import Problem

T = TypeVar("T")
_PLACE = re.compile(r" - at `\$\.?([^`]*)`$")
_UNKNOWN = re.compile(r"Object contains unknown field `([^`]*)`")


class Body(msgspec.Struct, forbid_unknown_fields=True):
    """Base of the bodies of the native API: a field that is not known is an error."""


class BodyDecoder:
    """Decodes JSON bodies of one kind.

    Args:
        kind: what they are decoded to, a `msgspec.Struct`.
    """

    def __init__(self, kind: type[Any]) -> None:
        self._fields = [field.encode_name for field in msgspec.structs.fields(kind)]
        self._decode = msgspec.json.Decoder(kind).decode

    def decode(self, body: bytes) -> Any:
        """The body.

        Raises:
            Problem: it is no JSON, or none that is legal here; says where.
        """
        try:
            return self._decode(body)
        except msgspec.ValidationError as error:
            text = str(error)
            place = _PLACE.search(text)
            where = place[1] if place else "body"
            text = _PLACE.sub("", text).replace("`", "")
            if (unknown := _UNKNOWN.match(str(error))) is not None:
                raise Problem(
                    400, f"unknown field {unknown[1]!r}", where=where, legal=self._fields, given=unknown[1]
                ) from None
            raise Problem(400, text[0].lower() + text[1:], where=where) from None
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
            raise Problem(400, f"the body is no JSON: {error}", where="body") from None


def check_type(request: Request, *legal: str) -> str:
    """Kind of a request's body; one that is not told counts as the first.

    Raises:
        Problem: it is not legal here.
    """
    if request.headers.get("content-type", JSON) == JSON:
        return JSON
    kind = request.content_type or JSON
    if kind == "application/x-www-form-urlencoded":  # What curl says of whatever is sent with -d.
        return JSON
    if kind not in legal:
        raise Problem(415, f"content of type {kind!r} is not taken", where="header content-type", legal=legal)
    return kind


def arrow_table(body: bytes) -> pa.Table:
    """Table of an Arrow IPC stream.

    Raises:
        Problem: the body is none.
    """
    try:
        with pa.ipc.open_stream(body) as reader:
            table = reader.read_all()
        table.validate(full=True)
    except (pa.ArrowException, OSError, ValueError, MemoryError) as error:
        raise Problem(400, f"the body is no Arrow IPC stream ({ARROW}): {error}", where="body") from None
    return table
