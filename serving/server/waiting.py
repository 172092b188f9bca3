"""Waiting until events that are durable can be read."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from concurrent.futures import Executor

from serving.server.ports import Publishing

_LOOK = 0.02
_LONGEST = 0.5


async def readable(
    publishing: Publishing, source: str, lanes: Mapping[str, int], seconds: float, pool: Executor | None
) -> bool:
    """Whether events up to these offsets can be read, looked at for so many seconds at most.

    Args:
        publishing: what published them.
        source: name of their source.
        lanes: last offset of each lane.
        seconds: to wait.
        pool: threads that look; None for the loop's own.
    """
    loop = asyncio.get_running_loop()
    until, pause = loop.time() + seconds, _LOOK
    while not await loop.run_in_executor(pool, publishing.readable, source, lanes):
        if loop.time() + pause > until:
            return False
        await asyncio.sleep(pause)
        pause = min(pause * 1.5, _LONGEST)
    return True
