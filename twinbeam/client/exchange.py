"""Exchanges: what a call asks of the network, step by step, without any input or output of its own.

A call is a generator: it yields what is to be done next, and is sent what came of it. What drives it waits or awaits.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import count
from typing import Any, TypeVar
from uuid import uuid4

import httpx

from twinbeam.client.deadline import Deadline, TryTime
from twinbeam.client.errors import DeadlineExceeded, Unconfirmed, Unreachable, error_of
from twinbeam.client.problem import Problem
from twinbeam.client.retries import Retries, seconds_told

T = TypeVar("T")
_AGAIN = (502, 503, 504)
_NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)


class Repeat(Enum):
    """When a call may be tried again."""

    ALWAYS = "always"
    UNLESS_BEGUN = "unless begun"
    NEVER = "never"


@dataclass(frozen=True)
class Call:
    """One request, as often as it is tried.

    Attributes:
        method: in capitals.
        target: path and query, percent-encoded.
        body: as sent, or None for none.
        kind: of the body.
        repeat: when it may be tried again.
    """

    method: str
    target: str
    body: bytes | None = None
    kind: str = "application/json"
    repeat: Repeat = Repeat.ALWAYS


@dataclass(frozen=True)
class Send:
    """A step: a request to send; a `Heard` or the `httpx.RequestError` comes of it.

    Attributes:
        call: the request.
        headers: of this try.
        time: of this try.
    """

    call: Call
    headers: Mapping[str, str]
    time: TryTime


@dataclass(frozen=True)
class Pause:
    """A step: nothing for some seconds."""

    seconds: float


@dataclass(frozen=True)
class Together:
    """A step: calls that do not depend on each other; a list of their results comes of it."""

    calls: Sequence[Steps[Any]]


@dataclass(frozen=True)
class Heard:
    """An answer.

    Attributes:
        status: HTTP status.
        headers: by name, in small letters.
        body: whole.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def request_id(self) -> str:
        """Id of the request, as the server's log has it."""
        return self.headers.get("x-request-id", "")


Step = Send | Pause | Together
Steps = Generator[Step, Any, T]


def exchange(call: Call, deadline: Deadline, most: float, retries: Retries) -> Steps[Heard]:
    """Steps to the answer of a call.

    Args:
        call: the request.
        deadline: of all its tries.
        most: seconds that one try may take.
        retries: how often, and when.

    Raises:
        ClientError: no good answer came.
    """
    ids = _ids()
    last: Exception | None = None
    for tried in count(1):
        if deadline.left <= 0:
            raise _late(call, deadline, tried - 1, last)
        name = next(ids)
        outcome = yield Send(call, _headers(call, name), deadline.of_try(most))
        told = 0.0
        if isinstance(outcome, Heard):
            if outcome.status < 300:
                return outcome
            last = _refused(call, outcome, name)
            told = seconds_told(outcome.headers.get("retry-after"))
        else:
            last = _failed(call, outcome, name)
        if tried > retries.times or call.repeat is Repeat.NEVER:
            raise last
        pause = retries.pause(tried, told)
        if pause >= deadline.left:
            raise _late(call, deadline, tried, last) from last
        yield Pause(pause)
    raise AssertionError("unreachable")


def _ids() -> Iterator[str]:
    """Ids of the tries of one call, which the server's log has."""
    whole = uuid4().hex
    return (f"{whole}.{number}" for number in count(1))


def _headers(call: Call, name: str) -> dict[str, str]:
    return {"x-request-id": name} if call.body is None else {"x-request-id": name, "content-type": call.kind}


def _refused(call: Call, heard: Heard, name: str) -> Exception:
    """What was wrong with an answer after which the call may be tried again.

    Raises:
        ClientError: it may not.
    """
    problem = Problem.of(heard.status, heard.body, heard.request_id or name)
    error = error_of(problem)
    if heard.status in _AGAIN and (call.repeat is Repeat.ALWAYS or problem.not_begun):
        return error
    if call.repeat is Repeat.UNLESS_BEGUN and heard.status >= 500 and "lanes" not in problem.members:
        raise Unconfirmed(f"whether the events were taken is not known: {problem}", problem.request_id)
    raise error


def _failed(call: Call, error: httpx.RequestError, name: str) -> Exception:
    """What went wrong on the way to an answer, after which the call may be tried again.

    Raises:
        ClientError: it may not.
    """
    text = f"{call.method} {error.request.url}: {str(error) or 'no answer'} ({type(error).__name__}, request {name})"
    if call.repeat is Repeat.UNLESS_BEGUN and not isinstance(error, _NEVER_SENT):
        raise Unconfirmed(f"whether the events were taken is not known: {text}", name) from error
    found = Unreachable(text, name)
    found.__cause__ = error
    return found


def _late(call: Call, deadline: Deadline, tried: int, last: Exception | None) -> DeadlineExceeded:
    tries = f"{tried} {'try' if tried == 1 else 'tries'}"
    why = f"; the last: {last}" if last is not None else ""
    text = f"{call.method} {call.target}: no answer within {deadline.seconds:g} s, after {tries}{why}"
    return DeadlineExceeded(text, getattr(last, "request_id", ""))
