"""A process that can be watched while it runs a job: it serves its metrics, and its heartbeat says where."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from pipelines.heartbeat import Heartbeat, beating
from pipelines.metrics import served_metrics
from pipelines.work import Work


@contextmanager
def watched(work: Work, kind: str, name: str | None = None) -> Iterator[None]:
    """Serves the metrics of a process's work, and says that it is alive, while the block lasts.

    Args:
        work: of the process.
        kind: "batch" or "stream".
        name: that of the run, of which other processes may do a part; None for the job's own.
    """
    job = work.job
    sources = sorted({task.lane.source for task in job.lanes})
    with served_metrics(work, job.metrics) as url:
        run = name or job.name
        heartbeat = Heartbeat(run, kind, sources, job.clock, lambda: (work.monitor.events, work.lag()), url)
        with beating(heartbeat, job.stores.online):
            yield
