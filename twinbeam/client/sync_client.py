"""The client for code without `await`."""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, Self, TypeVar

import httpx

from twinbeam.client.calls import Calls
from twinbeam.client.connecting import Connecting
from twinbeam.client.definitions import Definitions, FeatureEntry, Readiness
from twinbeam.client.exchange import Heard, Pause, Send, Step, Steps
from twinbeam.client.feature_table import FeatureTable
from twinbeam.client.pushed import Pushed

T = TypeVar("T")


class Client:
    """Reads features from a server, and pushes events to it; threads may share one.

    Connections are kept and used again, and a call that fails on the way is tried again until its deadline: reads
    whenever that may help, pushes where it is sure that nothing was taken.

    Args:
        url: of the server, as in "http://127.0.0.1:6570".
        key: a caller's key.
        token: a bearer token, or a function that gives the one of now.
        ca: file of the authorities (PEM) that the server's certificate may be signed by, or an `ssl.SSLContext`.
        deadline: seconds that a call may take, all its tries and pauses together.
        timeout: seconds that one try may take.
        retries: tries after the first, at most.
        connections: that are open at once, at most.
        chunk: rows of one read and events of one push, at most; more are sent in several requests.

    Raises:
        SettingsError: one of them is not legal.
    """

    def __init__(
        self,
        url: str,
        *,
        key: str | None = None,
        token: str | Callable[[], str] | None = None,
        ca: str | Path | ssl.SSLContext | None = None,
        deadline: float = 10.0,
        timeout: float = 5.0,
        retries: int = 10,
        connections: int = 10,
        chunk: int = 5_000,
    ) -> None:
        self._connecting = Connecting(url, key, token, ca, deadline, timeout, retries, connections, chunk)
        self._calls = Calls(self._connecting)
        self._http = httpx.Client(**self._connecting.options())

    def get(
        self,
        features: str | Iterable[str],
        keys: Any,
        request: Mapping[str, Any] | None = None,
        now: datetime | str | int | None = None,
        fingerprint: str | None = None,
        deadline: float | None = None,
    ) -> FeatureTable:
        """Features of entities now.

        More rows than a chunk are read in several requests, one after the other; each row's `as_of` is that of its
        request.

        Args:
            features: a service, a view, or addresses `view:feature`.
            keys: columns (a scalar is repeated), rows as dicts, or a frame.
            request: values that on-demand features ask for, as columns.
            now: a datetime (naive is UTC), ISO 8601 text, µs since the epoch, or "latest": the newest event; by default
                the server's clock.
            fingerprint: of the training set of the model that asks.
            deadline: seconds, instead of the client's.

        Raises:
            FingerprintMismatch: the features are others now than those of the fingerprint.
            RequestError: something asked for does not exist, or a key does not fit; says which, and what is legal.
            DeadlineExceeded: there was no answer in time.
            Unreachable, Unavailable: there was none, however often it was tried.
        """
        return self._run(self._calls.get(features, keys, request, now, fingerprint, deadline))

    def push(
        self,
        source: str,
        events: Iterable[Mapping[str, Any]],
        wait: Literal["served"] | None = None,
        deadline: float | None = None,
    ) -> Pushed:
        """Appends events to the topic of a source; returns once they are durable.

        More events than a chunk are sent in several requests, one after the other, each taken whole or not at all. What
        was durable before an error is in its `pushed`.

        Args:
            source: its name.
            events: dicts by the source's fields.
            wait: "served": returns once they can be read, as long as a stream runs.
            deadline: seconds, instead of the client's.

        Raises:
            UnfitEvents: an event does not fit; nothing of its request was taken.
            NotServed: the events are durable, and could not be read in time; they are not to be sent again.
            Unconfirmed: the connection or the server failed, and whether the events were taken is not known.
            RequestError: there is no such source, or it has no topic.
            DeadlineExceeded, Unreachable, Unavailable: nothing was taken.
        """
        return self._run(self._calls.push(source, events, wait, deadline))

    def search(
        self,
        words: str = "",
        *,
        entity: str | None = None,
        owner: str | None = None,
        tag: str | None = None,
        limit: int | None = None,
    ) -> list[FeatureEntry]:
        """Features that hold every word in address, description, owner, tags, entity or sources.

        Args:
            words: with blanks between them.
            entity: only of this one.
            owner: only of this one.
            tag: only with this one, NAME=VALUE.
            limit: how many at most.
        """
        return self._run(self._calls.search(words, entity, owner, tag, limit))

    def feature(self, address: str) -> FeatureEntry:
        """One feature with its lineage.

        Raises:
            NotFound: there is none of this address `view:feature`.
        """
        return self._run(self._calls.feature(address))

    def registry(self) -> Definitions:
        """All definitions that this caller may see."""
        return self._run(self._calls.registry())

    def ready(self) -> Readiness:
        """Whether the server can answer; asked once."""
        return self._run(self._calls.ready())

    def close(self) -> None:
        """Closes the connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Client({self._connecting.url!r})"

    def _run(self, steps: Steps[T]) -> T:
        outcome: Any = None
        try:
            while True:
                outcome = self._do(steps.send(outcome))
        except StopIteration as end:
            result: T = end.value
            return result

    def _do(self, step: Step) -> Any:
        if isinstance(step, Send):
            return self._send(step)
        if isinstance(step, Pause):
            return time.sleep(step.seconds)
        return [self._run(call) for call in step.calls]

    def _send(self, step: Send) -> Heard | httpx.RequestError:
        call, parts = step.call, []
        headers = {**step.headers, **self._connecting.credentials()}
        request = self._http.build_request(
            call.method, call.target, content=call.body, headers=headers, extensions={"timeout": step.time}
        )
        try:
            response = self._http.send(request, stream=True)
            try:
                for part in response.iter_bytes():
                    parts.append(part)
                    if step.time.over:
                        return httpx.ReadTimeout("the answer took too long", request=request)
            finally:
                response.close()
        except httpx.RequestError as error:
            return error
        return Heard(response.status_code, response.headers, b"".join(parts))
