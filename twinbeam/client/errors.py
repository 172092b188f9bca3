"""Errors of the client: what failed, where, what would be legal, and the id of the request to look for in the log."""

from __future__ import annotations

from typing import Any, Self

from schemas.errors import DefinitionChanged, EventError, RequestError, StoreAway, StoreError, TwinbeamError
from twinbeam.client.problem import Problem
from twinbeam.client.pushed import Pushed


class ClientError(TwinbeamError):
    """A call that failed.

    Args:
        reason: what is wrong, as text or as the server's problem.
        request_id: of the last try.
        pushed: of a push, what was durable before it failed.
    """

    def __init__(self, reason: Any, request_id: str = "", pushed: Pushed | None = None) -> None:
        super().__init__(reason, request_id, pushed)
        self.reason, self.request_id, self.pushed = reason, request_id, pushed

    def after(self, pushed: Pushed) -> Self:
        """The same error of a push that had done something before."""
        return type(self)(self.reason, self.request_id, pushed)

    def __str__(self) -> str:
        before = (
            f"; the {self.pushed.events} events before these are durable" if self.pushed and self.pushed.events else ""
        )
        return f"{self.reason}{before}"


class Unreachable(ClientError, StoreAway):
    """The server did not answer, however often it was tried."""


class DeadlineExceeded(Unreachable):
    """The call's deadline came before an answer."""


class Unconfirmed(ClientError, StoreError):
    """Whether the events of a push are in the topic is not known: the connection failed, or the server, meanwhile."""


class WrongAnswer(ClientError):
    """What answers is no server of this kind, or one of another version."""


class ProblemError(ClientError):
    """The server answered with a problem."""

    @property
    def problem(self) -> Problem:
        """All that the server said."""
        found: Problem = self.reason
        return found

    @property
    def status(self) -> int:
        """HTTP status."""
        return self.problem.status

    @property
    def detail(self) -> str:
        """What is wrong."""
        return self.problem.detail

    @property
    def where(self) -> str:
        """Place in the request."""
        return self.problem.where

    @property
    def legal(self) -> tuple[str, ...]:
        """Legal values there."""
        return self.problem.legal

    @property
    def hint(self) -> str:
        """The nearest legal value, in a sentence."""
        return self.problem.hint


class BadRequest(ProblemError, RequestError):
    """The request is not legal."""


class NotFound(BadRequest):
    """There is no such thing, for all that this caller may know."""


class TooLarge(BadRequest):
    """More is asked or sent than the server takes at once."""


class Unauthorized(ProblemError, RequestError):
    """The key or token is missing, not known, or does not allow this."""


class FingerprintMismatch(ProblemError, DefinitionChanged):
    """The features are others now than those of the training set whose fingerprint was given."""


class UnfitEvents(ProblemError, EventError):
    """Events do not fit their source; none of the same request was taken."""

    @property
    def rows(self) -> dict[int, str]:
        """Reasons by the number of the event among those given to `push`, of the first that do not fit."""
        start = self.pushed.events if self.pushed else 0
        return {start + error["row"]: str(error["reason"]) for error in self.problem.members.get("errors", ())}


class Unavailable(ProblemError, StoreAway):
    """More is asked than the server can answer now, or a store does not answer."""


class NotServed(ProblemError, StoreAway):
    """The events are durable and cannot be read yet; they are not to be sent again."""


class ServerFault(ProblemError):
    """A fault of the server itself; its log says more."""


_BY_STATUS: dict[int, type[ProblemError]] = {
    401: Unauthorized,
    403: Unauthorized,
    404: NotFound,
    413: TooLarge,
    422: UnfitEvents,
    502: Unavailable,
    503: Unavailable,
    504: Unavailable,
}


def error_of(problem: Problem) -> ProblemError:
    """The error that a problem is."""
    kind = _BY_STATUS.get(problem.status, BadRequest if problem.status < 500 else ServerFault)
    return kind(problem, problem.request_id)
