"""Requests to a Cassandra cluster: as many under way at once as may be, and all answered before a call returns."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from cassandra import OperationTimedOut
from cassandra.cluster import NoHostAvailable
from cassandra.connection import ConnectionBusy

from serving.fiber import Condition, aside, current, pause
from serving.stores.cassandra_session import FAULTS, MOST_RETRIES, Link, refusal

MOST_BYTES = 16 << 20
_BUSY_SECONDS = 0.002
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
            found = aside(lambda: session.driver.prepare(query))
            found.is_idempotent, found.fetch_size = True, page
            self._prepared[place] = found
        return found

    def one(self, statement: Any, parameters: Sequence[Any]) -> list[Any]:
        """Rows of one request."""
        if current() is not None:
            rows: list[Any] = []
            self.many([(statement, parameters, 0, rows.extend)])
            return rows
        until = time.monotonic() + self._link.access.timeout
        while True:
            try:
                return list(self._link.session.driver.execute(statement, parameters).all())
            except NoHostAvailable as error:
                if not _busy(error) or time.monotonic() > until:
                    raise
            time.sleep(_BUSY_SECONDS)

    def many(self, requests: Iterable[Request]) -> None:
        """Sends requests and takes the rows of each; returns when all are answered.

        Args:
            requests: of each the statement, its parameters, how many bytes it has, and what takes the rows of each
                page of its answer, on the driver's own thread.

        Raises:
            StoreError: one failed; the others were answered, or never sent.
        """
        flight = _Flight(self._release)
        patience = self._link.access.timeout * (MOST_RETRIES + 2)
        for request in requests:
            if not self._acquire(request[2], patience):
                flight.error = flight.error or OperationTimedOut()
                break
            sent = flight.begin(request[2])
            if flight.error is not None:
                flight.end(sent, None)
                break
            self._send(flight, sent, request)
            self._send_again(flight, patience, 0.0)
        self._send_again(flight, patience, patience)
        error = flight.finish()
        if isinstance(error, FAULTS):
            raise refusal(self._link.access, error) from error
        if error is not None:
            raise error

    def _send(self, flight: _Flight, sent: int, request: Request) -> None:
        statement, parameters, _, take = request
        future = self._link.session.driver.execute_async(statement, parameters)
        begun = False

        def answered(rows: Any) -> None:
            nonlocal begun
            begun = True
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

        def failed(error: Any) -> None:
            if _busy(error) and not begun:
                flight.give_back(sent, request)
            else:
                flight.end(sent, error)

        future.add_callbacks(answered, failed)

    def _send_again(self, flight: _Flight, patience: float, wait: float) -> None:
        """Sends what the driver has given back, until it takes it; waits for all answers, if so long."""
        until = time.monotonic() + patience
        while back := flight.given_back(wait):
            pause(_BUSY_SECONDS)
            for sent, request in back:
                if flight.error is not None or time.monotonic() > until:
                    flight.end(sent, OperationTimedOut())
                else:
                    self._send(flight, sent, request)

    def _acquire(self, size: int, patience: float) -> bool:
        """Waits until a request of that size may be sent; False if none is answered for so many seconds."""
        most = self._link.access.in_flight
        until, fiber = time.monotonic() + patience, current()

        def free() -> bool:
            return not self._under_way or (self._under_way < most and self._bytes + size <= MOST_BYTES)

        while True:
            with self._free:
                if fiber is None:
                    self._free.wait_for(free, patience)
                if free():
                    self._under_way += 1
                    self._bytes += size
                    return True
            if fiber is None or time.monotonic() > until:
                return False
            fiber.pause(_BUSY_SECONDS)

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
        self._back: list[tuple[int, Request]] = []
        self._changed = Condition()

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
                self._changed.notify()
        self._release(size)

    def give_back(self, sent: int, request: Request) -> None:
        """Takes back a request that the driver has not sent."""
        with self._changed:
            if sent in self._open:
                self._back.append((sent, request))
                self._changed.notify()

    def given_back(self, wait: float) -> list[tuple[int, Request]]:
        """Requests that are to be sent again; waits so many seconds for one, or until all are answered."""
        with self._changed:
            self._changed.wait_for(lambda: self._back or not self._open, wait)
            back, self._back = self._back, []
            return back

    def finish(self) -> Any:
        """The first error, or None; requests that are not answered have failed."""
        with self._changed:
            lost = list(self._open)
        for sent in lost:
            self.end(sent, OperationTimedOut())
        return self.error


def _busy(error: Any) -> bool:
    """Whether a request was not sent since the driver's socket is full: a node reads slower than it is written to."""
    causes = list(error.errors.values()) if isinstance(error, NoHostAvailable) and error.errors else [error]
    return all(isinstance(cause, ConnectionBusy) for cause in causes)
