"""Requests to a Cassandra cluster: as many under way at once as may be, and all answered before a call returns."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from cassandra import OperationTimedOut

from serving.stores.cassandra_session import FAULTS, MOST_RETRIES, Link, refusal

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
        driver, flight = self._link.session.driver, _Flight(self._release)
        patience = self._link.access.timeout * (MOST_RETRIES + 2)
        for statement, parameters, size, take in requests:
            if not self._acquire(size, patience):
                flight.error = flight.error or OperationTimedOut()
                break
            sent = flight.begin(size)
            if flight.error is not None:
                flight.end(sent, None)
                break
            future = driver.execute_async(statement, parameters)

            def answered(rows: Any, future: Any = future, sent: int = sent, take: Take | None = take) -> None:
                try:
                    if take is not None:
                        take(rows)
                    if future.has_more_pages:
                        future.start_fetching_next_page()
                        return
                except Exception as error:  # noqa: BLE001 (a callback has nobody to raise to)
                    flight.end(sent, error)
                    return
                flight.end(sent, None)

            def failed(error: Any, sent: int = sent) -> None:
                flight.end(sent, error)

            future.add_callbacks(answered, failed)
        error = flight.wait(patience)
        if isinstance(error, FAULTS):
            raise refusal(self._link.access, error) from error
        if error is not None:
            raise error

    def _acquire(self, size: int, patience: float) -> bool:
        """Waits until a request of that size may be sent; False if none is answered for so many seconds."""
        most = self._link.access.in_flight
        with self._free:
            free = self._free.wait_for(
                lambda: not self._under_way or (self._under_way < most and self._bytes + size <= MOST_BYTES), patience
            )
            if free:
                self._under_way += 1
                self._bytes += size
            return free

    def _release(self, size: int) -> None:
        with self._free:
            self._under_way -= 1
            self._bytes -= size
            self._free.notify_all()


class _Flight:
    """Requests of one call that are not answered yet.

    A node that stalls makes the driver answer some requests twice, first with an error; the first answer counts.

    Args:
        release: told of the size of each request that ended.

    Attributes:
        error: the first.
    """

    def __init__(self, release: Callable[[int], None]) -> None:
        self.error: Any = None
        self._release = release
        self._sent = 0
        self._open: dict[int, int] = {}
        self._changed = threading.Condition()

    def begin(self, size: int) -> int:
        """Number of a request that is about to be sent."""
        with self._changed:
            self._sent += 1
            self._open[self._sent] = size
            return self._sent

    def end(self, sent: int, error: Any) -> None:
        """Takes the answer to a request, its error or None."""
        with self._changed:
            size = self._open.pop(sent, None)
            if size is None:
                return
            self.error = self.error or error
            if not self._open:
                self._changed.notify_all()
        self._release(size)

    def wait(self, patience: float) -> Any:
        """The first error, or None, once all are answered; those that are not after so many seconds have failed."""
        with self._changed:
            answered = self._changed.wait_for(lambda: not self._open, patience)
            lost = [] if answered else list(self._open)
        for sent in lost:
            self.end(sent, OperationTimedOut())
        return self.error
