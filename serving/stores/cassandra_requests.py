"""Requests to a Cassandra cluster: as many under way at once as may be, and all answered before a call returns."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from serving.stores.cassandra_session import FAULTS, Link, refusal

MOST_BYTES = 16 << 20
Take = Callable[[Any], None]
Request = tuple[Any, Sequence[Any] | None, int, Take | None]


class Requests:
    """Requests of one store; threads may share it.

    Args:
        link: to the cluster.
    """

    def __init__(self, link: Link) -> None:
        self._link = link
        self._prepared: dict[tuple[int, str], Any] = {}
        self._free = threading.Condition()
        self._under_way = self._bytes = 0

    def prepare(self, query: str, page: int | None = None) -> Any:
        """The statement of a query, prepared once for a session.

        Args:
            query: CQL.
            page: rows of one page of its answers.

        Raises:
            DriverException: the cluster refuses it, for instance since its table does not exist.
        """
        session = self._link.session
        place = (id(session), query)
        found = self._prepared.get(place)
        if found is None:
            found = session.driver.prepare(query)
            found.is_idempotent, found.fetch_size = True, page
            self._prepared[place] = found
        return found

    def one(self, statement: Any, parameters: Sequence[Any]) -> list[Any]:
        """Rows of one request."""
        return list(self._link.session.driver.execute(statement, parameters).all())

    def many(self, requests: Iterable[Request]) -> None:
        """Sends requests and takes the rows of each; returns when all are answered.

        Args:
            requests: of each the statement, its parameters, how many bytes it has, and what takes the rows of each
                page of its answer, on the driver's own thread.

        Raises:
            StoreError: one failed; the others were answered, or never sent.
        """
        driver, flight = self._link.session.driver, _Flight()
        for statement, parameters, size, take in requests:
            self._acquire(size)
            if flight.error is not None:
                self._release(size)
                break
            flight.begin()
            future = driver.execute_async(statement, parameters)

            def answered(rows: Any, future: Any = future, size: int = size, take: Take | None = take) -> None:
                try:
                    if take is not None:
                        take(rows)
                    if future.has_more_pages:
                        future.start_fetching_next_page()
                        return
                except Exception as error:  # noqa: BLE001 (a callback has nobody to raise to)
                    failed(error, size)
                    return
                self._release(size)
                flight.end(None)

            def failed(error: Any, size: int = size) -> None:
                self._release(size)
                flight.end(error)

            future.add_callbacks(answered, failed)
        error = flight.wait()
        if isinstance(error, FAULTS):
            raise refusal(self._link.access, error) from error
        if error is not None:
            raise error

    def _acquire(self, size: int) -> None:
        """Waits until a request of that size may be sent."""
        most = self._link.access.in_flight
        with self._free:
            self._free.wait_for(
                lambda: not self._under_way or (self._under_way < most and self._bytes + size <= MOST_BYTES)
            )
            self._under_way += 1
            self._bytes += size

    def _release(self, size: int) -> None:
        with self._free:
            self._under_way -= 1
            self._bytes -= size
            self._free.notify_all()


class _Flight:
    """Requests of one call that are not answered yet.

    Attributes:
        error: the first that failed.
    """

    def __init__(self) -> None:
        self.error: Any = None
        self._left = 0
        self._changed = threading.Condition()

    def begin(self) -> None:
        with self._changed:
            self._left += 1

    def end(self, error: Any) -> None:
        with self._changed:
            self._left -= 1
            self.error = self.error or error
            if not self._left:
                self._changed.notify_all()

    def wait(self) -> Any:
        """The first error, or None, once all are answered."""
        with self._changed:
            self._changed.wait_for(lambda: not self._left)
            return self.error
