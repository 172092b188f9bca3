"""Upkeep beside a run: small files of the tables that it fills are joined, and what they replace is deleted."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from pipelines.job import Job
from schemas.errors import StoreError
from serving.stores.offline import OfflineStore
from serving.tables import dead_table, events_table

LOG = logging.getLogger("twinbeam.upkeep")


def tables_of(job: Job) -> list[str]:
    """Offline tables that a job fills."""
    names = [table for source in job.sources for table in (events_table(source), dead_table(source))]
    return [*names, *(fed.table for fed in job.views)]


@contextmanager
def kept_tidy(job: Job) -> Iterator[None]:
    """While the block lasts, a thread looks after the job's tables, once every `job.upkeep` µs.

    So the files of a table are as many as come in the time that old ones are kept (`job.keep`), however long a
    stream lasts. A fault of the upkeep is logged and does not touch the run.
    """
    over = threading.Event()
    thread = threading.Thread(target=_look_after, args=(job, over), name="twinbeam-upkeep")
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _look_after(job: Job, over: threading.Event) -> None:
    offline, tables = job.stores.offline(), tables_of(job)
    while not over.wait(job.upkeep / 1e6):
        tidy(offline, tables, max(job.keep, 2 * job.upkeep), job.clock.now(), over)


def tidy(offline: OfflineStore, tables: Sequence[str], keep: int, now: int, over: threading.Event) -> None:
    """One round over the tables that exist.

    Args:
        offline: the offline store.
        tables: their names.
        keep: µs that replaced files and log entries stay.
        now: µs since the epoch.
        over: ends the round between two tables.
    """
    for table in tables:
        if over.is_set():
            return
        try:
            if offline.exists(table):
                offline.tidy(table, keep, now)
        except StoreError as error:
            LOG.warning("%s was not looked after: %s", table, error)
