"""Problems: what a request got wrong, or what keeps it from an answer, as RFC 9457 problem details."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from schemas.errors import (
    DefinitionChanged,
    EventError,
    LaneError,
    RequestError,
    StoreAway,
    StoreError,
    TwinbeamError,
    did_you_mean,
)

CONTENT_TYPE = "application/problem+json"
NOT_BEGUN = {"begun": False}  # In a problem: nothing was done for the request, so it may be sent again as it is.
_BASE = "urn:twinbeam:problem:"
_KINDS = {
    400: "bad-request",
    401: "unauthorized",
    403: "forbidden",
    404: "not-found",
    405: "method-not-allowed",
    408: "too-slow",
    409: "definition-changed",
    411: "length-required",
    413: "too-large",
    414: "target-too-long",
    415: "unsupported-content",
    422: "unfit-event",
    431: "headers-too-large",
    500: "fault",
    501: "not-implemented",
    503: "unavailable",
    504: "not-yet",
}


class Problem(TwinbeamError):
    """An answer that is an error.

    Args:
        status: HTTP status.
        detail: what is wrong, in a sentence.
        where: place in the request, as in "keys" or "query wait".
        legal: values that would be legal there.
        given: what was given there, for a hint at the nearest legal value.
        retry: seconds after which to try again.
        headers: further ones of the answer.
        extra: further members of the problem.
    """

    def __init__(
        self,
        status: int,
        detail: str,
        where: str = "",
        legal: Sequence[str] = (),
        given: str = "",
        retry: int | None = None,
        headers: dict[str, str] | None = None,
        extra: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(status, detail, where, legal, given, retry, headers, extra)
        self.status, self.detail, self.where, self.legal = status, detail, where, tuple(legal)
        self.hint = did_you_mean(given, legal).strip() if given else ""
        self.retry, self.headers, self.extra = retry, headers or {}, extra or {}

    def __str__(self) -> str:
        legal = f": legal is {', '.join(self.legal)}" if self.legal else ""
        return f"{self.where + ': ' if self.where else ''}{self.detail}{legal}{' ' + self.hint if self.hint else ''}"

    def members(self, request_id: str) -> dict[str, Any]:
        """Members of the problem as JSON has them.

        Args:
            request_id: of the request.
        """
        kind = _KINDS.get(self.status, "error")
        found: dict[str, Any] = {
            "type": _BASE + kind,
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail,
        }
        if self.where:
            found["where"] = self.where
        if self.legal:
            found["legal"] = list(self.legal)
        if self.hint:
            found["hint"] = self.hint
        if request_id:
            found["instance"] = f"urn:request:{request_id}"
        return found | self.extra


def problem_of(error: Exception) -> Problem:
    """The problem that an error is to a client; what is not the client's to mend says no more than that."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, DefinitionChanged):
        return Problem(409, str(error))
    if isinstance(error, EventError):
        return Problem(422, str(error))
    if isinstance(error, RequestError):
        return Problem(400, str(error))
    if isinstance(error, StoreAway):
        return Problem(503, "a store does not answer now; the same request may succeed later", retry=1)
    if isinstance(error, StoreError | LaneError):
        return Problem(503, "a store cannot be used now; the server's log says why", retry=5)
    return Problem(500, "a fault of the server itself; its log says more, by the id of the request")
