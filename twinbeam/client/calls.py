"""Calls: what a client can ask, as steps that the clients with and without `await` both drive."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

import httpx

from schemas.errors import RequestError
from twinbeam.client.connecting import Connecting
from twinbeam.client.deadline import Deadline
from twinbeam.client.definitions import Definitions, FeatureEntry, Readiness, built
from twinbeam.client.errors import (
    BadRequest,
    ClientError,
    FingerprintMismatch,
    NotServed,
    ProblemError,
    TooLarge,
    Unavailable,
    WrongAnswer,
)
from twinbeam.client.exchange import Call, Heard, Pause, Repeat, Send, Steps, Together, exchange
from twinbeam.client.feature_table import FeatureTable
from twinbeam.client.given import Given
from twinbeam.client.pushed import Pushed
from twinbeam.client.written import body_bytes, event_lines, has_beyond_finite, instant_text

T = TypeVar("T")
LINES = "application/x-ndjson"
SERVED = "served"
PARTS = ["statuses", "event_times", "types"]
MOST_BYTES = 8 << 20
_AGAIN_SECONDS = 0.05
_OF_WAIT = 0.8


class Calls:
    """Calls of one client.

    Args:
        connecting: where to, and how.
    """

    def __init__(self, connecting: Connecting) -> None:
        self._connecting = connecting
        self._rows = self._events = connecting.chunk
        self._wait = float("inf")

    def get(
        self,
        features: str | Iterable[str],
        keys: Any,
        request: Mapping[str, Any] | None,
        now: datetime | str | int | None,
        fingerprint: str | None,
        deadline: float | None,
    ) -> Steps[FeatureTable]:
        """See `Client.get`."""
        until = self._deadline(deadline)
        given = Given.of(keys, request)
        asked: dict[str, Any] = {
            "features": features if isinstance(features, str) else list(features),
            "include": PARTS,
        }
        if now is not None:
            asked["now"] = instant_text(now) if isinstance(now, datetime) else now
        if fingerprint is not None:
            asked["fingerprint"] = fingerprint
        while True:
            pieces = list(given.pieces(self._rows))
            if len(pieces) == 1:
                parts = yield from self._read(asked, pieces[0], until)
            else:
                found = yield Together([self._read(asked, piece, until) for piece in pieces])
                parts = [part for of_piece in found for part in of_piece]
            if len({part.fingerprint for part in parts}) == 1:
                return FeatureTable.joined(parts)
            # Definitions were applied between the pieces: all of them are read anew.
            yield Pause(min(_AGAIN_SECONDS, until.left))

    def push(
        self, source: str, events: Iterable[Mapping[str, Any]], wait: str | None, deadline: float | None
    ) -> Steps[Pushed]:
        """See `Client.push`."""
        if wait not in (None, SERVED):
            raise RequestError(f"wait: {wait!r} is not legal: give {SERVED!r}, or None")
        until = self._deadline(deadline)
        lines = event_lines(source, events)
        done = Pushed(served=wait is not None)
        while done.events < len(lines):
            part = _fitting(lines, done.events, self._events)
            try:
                done = done.followed_by((yield from self._send(source, part, wait, until)))
            except TooLarge as error:
                if len(part) == 1:
                    raise error.after(done) from None
                self._events = _smaller(error, "events", len(part))
            except ClientError as error:
                raise error.after(done) from error.__cause__
        return done

    def search(
        self, words: str, entity: str | None, owner: str | None, tag: str | None, limit: int | None
    ) -> Steps[list[FeatureEntry]]:
        """See `Client.search`."""
        given = {"q": words, "entity": entity, "owner": owner, "tag": tag, "limit": limit}
        query = urlencode({name: value for name, value in given.items() if value is not None})
        found = yield from self._json(Call("GET", f"/v1/registry/search?{query}"))
        return [_read(FeatureEntry, entry) for entry in found["features"]]

    def feature(self, address: str) -> Steps[FeatureEntry]:
        """See `Client.feature`."""
        found = yield from self._json(Call("GET", f"/v1/registry/features/{quote(address, safe='')}"))
        return _read(FeatureEntry, found)

    def registry(self) -> Steps[Definitions]:
        """See `Client.registry`."""
        found = yield from self._json(Call("GET", "/v1/registry"))
        return _read(Definitions, found)

    def ready(self) -> Steps[Readiness]:
        """See `Client.ready`."""
        outcome = yield Send(Call("GET", "/readyz"), {}, self._deadline(None).of_try(self._connecting.timeout))
        if not isinstance(outcome, Heard):
            return Readiness(False, {"server": str(outcome) or type(outcome).__name__})
        found = _parsed(outcome)
        if found.get("status") not in ("ready", "not ready"):
            raise WrongAnswer(f"/readyz: what answers is no Twinbeam server (HTTP {outcome.status})")
        return Readiness(outcome.status == httpx.codes.OK, found.get("reasons", {}))

    def _read(self, asked: Mapping[str, Any], given: Given, until: Deadline) -> Steps[list[FeatureTable]]:
        """Tables of one piece; several, if it is more than the server takes at once."""
        body = {**asked, "keys": given.keys}
        if given.request is not None:
            body["request"] = given.request
        call = Call("POST", "/v1/features", body_bytes(body))
        try:
            heard = yield from exchange(call, until, self._connecting.timeout, self._connecting.policy)
        except TooLarge as error:
            if given.rows <= 1:
                raise
            size = _smaller(error, "keys", given.rows)
            if error.where == "keys":
                self._rows = min(self._rows, size)
            tables: list[FeatureTable] = []
            for piece in given.pieces(size):
                tables += yield from self._read(asked, piece, until)
            return tables
        except BadRequest as error:
            if error.status == httpx.codes.CONFLICT:
                raise FingerprintMismatch(error.reason, error.request_id) from None
            raise
        try:
            table = FeatureTable.of(_parsed(heard))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise WrongAnswer(f"/v1/features: the answer cannot be read: {error!r}", heard.request_id) from error
        _check_texts(given, table)
        return [table]

    def _send(self, source: str, lines: list[bytes], wait: str | None, until: Deadline) -> Steps[Pushed]:
        """Pushes events that fit into one request."""
        connecting = self._connecting
        while True:
            target, most = f"/v1/push/{quote(source, safe='')}", connecting.timeout
            if wait is not None:
                seconds = max(min(self._wait, until.left * _OF_WAIT), 0.001)
                target, most = f"{target}?{urlencode({'wait': wait, 'timeout': f'{seconds:.3f}'})}", until.left
            call = Call("POST", target, b"\n".join(lines), LINES, Repeat.UNLESS_BEGUN)
            try:
                found = _parsed((yield from exchange(call, until, most, connecting.policy)))
                return Pushed(found["events"], found["lanes"], bool(found.get("served")))
            except Unavailable as error:
                if "lanes" in error.problem.members:
                    raise NotServed(error.problem, error.request_id) from None
                raise
            except BadRequest as error:
                limit = error.problem.limit
                if error.where != "query timeout" or limit is None or limit >= self._wait:
                    raise
                self._wait = limit

    def _json(self, call: Call) -> Steps[dict[str, Any]]:
        """Members of an answer."""
        connecting = self._connecting
        heard = yield from exchange(call, self._deadline(None), connecting.timeout, connecting.policy)
        return _parsed(heard)

    def _deadline(self, seconds: float | None) -> Deadline:
        return Deadline(self._connecting.deadline if seconds is None else seconds)


def _parsed(heard: Heard) -> dict[str, Any]:
    """Members of an answer's body.

    Raises:
        WrongAnswer: it is no JSON object.
    """
    try:
        found = json.loads(heard.body)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise WrongAnswer(f"what answers is no Twinbeam server (HTTP {heard.status})", heard.request_id)
    return found


def _read(kind: type[T], members: Mapping[str, Any]) -> T:
    try:
        return built(kind, members)
    except TypeError as error:
        raise WrongAnswer(f"the answer cannot be read: {error}") from error


def _fitting(lines: list[bytes], start: int, most: int) -> list[bytes]:
    """The next events: so many, and so few bytes, that one request holds them; at least one."""
    size, end = 0, start
    while end < min(len(lines), start + most) and (end == start or size + len(lines[end]) < MOST_BYTES):
        size += len(lines[end]) + 1
        end += 1
    return lines[start:end]


def _smaller(error: ProblemError, where: str, given: int) -> int:
    """How much to send at once, after so much was too much."""
    limit = error.problem.limit if error.where == where else None
    return int(limit) if limit is not None and 1 <= limit < given else max(given // 2, 1)


def _check_texts(given: Given, table: FeatureTable) -> None:
    """Refuses a NaN that was taken for a text, which it is written as.

    Raises:
        RequestError: there is one; says in which column.
    """
    for what, columns in (("keys", given.keys), ("request", given.request or {})):
        for name, column in columns.items():
            kind = table.types.get(name, "")
            if ("string" in kind or "bytes" in kind) and "float" not in kind and has_beyond_finite(column):
                raise RequestError(f"{what}.{name}: NaN or an infinity is no {kind}; give None where there is no value")
