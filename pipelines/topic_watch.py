"""The watch over topics: a stream that runs learns of new partitions, and says when the broker is away and back."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Self

from pipelines.brokers.base import Broker
from pipelines.display import note
from pipelines.project import Project
from schemas.errors import LaneError, StoreError
from schemas.lane import Lane

LOOK_SECONDS = 2.0


class TopicWatch:
    """Looks every few seconds, in a thread of its own, at the topics that a stream follows.

    While the broker is away, readers have nothing and go on by themselves when it is back; that is said here, once
    each. If a topic has more partitions, the stream is told, so that it begins anew with them.

    Args:
        project: what the stream runs by.
        lanes: of the topics that it follows.
        tell: called once, with nothing, when `grown` is true.

    Attributes:
        grown: whether a topic has got partitions.
    """

    def __init__(self, project: Project, lanes: Iterable[Lane], tell: Callable[[], None]) -> None:
        self.grown = False
        self._project, self._tell = project, tell
        counts = Counter(lane.source for lane in lanes if lane.kind == "topic")
        self._counts = {topic: count for name, count in counts.items() if (topic := project.topic(name)) is not None}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="twinbeam-topics", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        away = False
        broker = self._project.stores.broker(LOOK_SECONDS)
        try:
            while not self._over.wait(LOOK_SECONDS):
                try:
                    self.grown = self._more(broker)
                except LaneError:
                    continue  # What became of a topic, its readers will say.
                except StoreError as error:
                    if not away and not self._over.is_set():
                        note(self._project.out, f"waiting for the broker: {error}")
                    away = True
                    continue
                if away:
                    note(self._project.out, "the broker is back; the stream goes on where it was")
                away = False
                if self.grown:
                    self._tell()
                    return
        finally:
            broker.close()

    def _more(self, broker: Broker) -> bool:
        return any(len(broker.ends(topic)) > count for topic, count in self._counts.items())
