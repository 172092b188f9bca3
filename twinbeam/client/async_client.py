"""The client for code with `await`, on asyncio."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Iterable, Mapping, Sequence
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


class AsyncClient:
    """`Client` with `await`: the same calls, results and errors; requests of one read go out together.

    Tasks of one event loop may share one. Arguments are those of `Client`.
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
        self._http = httpx.AsyncClient(**self._connecting.options())

    async def get(
        self,
        features: str | Iterable[str],
        keys: Any,
        request: Mapping[str, Any] | None = None,
        now: datetime | str | int | None = None,
        fingerprint: str | None = None,
        deadline: float | None = None,
    ) -> FeatureTable:
        """See `Client.get`; more rows than a chunk are read by several requests at once."""
        return await self._run(self._calls.get(features, keys, request, now, fingerprint, deadline))

    async def push(
        self,
        source: str,
        events: Iterable[Mapping[str, Any]],
        wait: Literal["served"] | None = None,
        deadline: float | None = None,
    ) -> Pushed:
        """See `Client.push`; requests of one push go out one after the other, so that their order is kept."""
        return await self._run(self._calls.push(source, events, wait, deadline))

    async def search(
        self,
        words: str = "",
        *,
        entity: str | None = None,
        owner: str | None = None,
        tag: str | None = None,
        limit: int | None = None,
    ) -> list[FeatureEntry]:
        """See `Client.search`."""
        return await self._run(self._calls.search(words, entity, owner, tag, limit))

    async def feature(self, address: str) -> FeatureEntry:
        """See `Client.feature`."""
        return await self._run(self._calls.feature(address))

    async def registry(self) -> Definitions:
        """See `Client.registry`."""
        return await self._run(self._calls.registry())

    async def ready(self) -> Readiness:
        """See `Client.ready`."""
        return await self._run(self._calls.ready())

    async def close(self) -> None:
        """Closes the connections."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"AsyncClient({self._connecting.url!r})"

    async def _run(self, steps: Steps[T]) -> T:
        outcome: Any = None
        try:
            while True:
                outcome = await self._do(steps.send(outcome))
        except StopIteration as end:
            result: T = end.value
            return result

    async def _do(self, step: Step) -> Any:
        if isinstance(step, Send):
            return await self._send(step)
        if isinstance(step, Pause):
            return await asyncio.sleep(step.seconds)
        return await self._together(step.calls)

    async def _together(self, calls: Sequence[Steps[Any]]) -> list[Any]:
        """Results of calls, as many at once as there may be connections; the first error ends them all."""
        gate = asyncio.Semaphore(self._connecting.connections)

        async def through(call: Steps[Any]) -> Any:
            async with gate:
                return await self._run(call)

        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(through(call)) for call in calls]
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from None
        return [task.result() for task in tasks]

    async def _send(self, step: Send) -> Heard | httpx.RequestError:
        call, parts = step.call, []
        headers = {**step.headers, **self._connecting.credentials()}
        request = self._http.build_request(
            call.method, call.target, content=call.body, headers=headers, extensions={"timeout": step.time}
        )
        try:
            response = await self._http.send(request, stream=True)
            try:
                async for part in response.aiter_bytes():
                    parts.append(part)
                    if step.time.over:
                        return httpx.ReadTimeout("the answer took too long", request=request)
            finally:
                await response.aclose()
        except httpx.RequestError as error:
            return error
        return Heard(response.status_code, response.headers, b"".join(parts))
