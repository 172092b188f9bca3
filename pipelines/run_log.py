"""The log of runs: the offline table `runs`, one row for each run that ended well."""

from __future__ import annotations

import json
from dataclasses import asdict

import pyarrow as pa

from pipelines.envelope import TIME
from pipelines.report import RunReport
from serving.stores.offline import OfflineStore

TABLE = "runs"
COUNTS = ("events", "rows", "skipped", "dead_letters", "late")
SCHEMA = pa.schema(
    [
        pa.field("run", pa.string()),
        pa.field("kind", pa.string()),
        pa.field("started", TIME),
        pa.field("seconds", pa.float64()),
        *(pa.field(name, pa.int64()) for name in COUNTS),
        pa.field("views", pa.string()),
        pa.field("late_by_age", pa.string()),
    ]
)


def log_run(offline: OfflineStore, name: str, bounded: bool, started: int, report: RunReport) -> None:
    """Appends a run.

    Args:
        offline: the offline store.
        name: unique name of the run.
        bounded: whether it was a batch run.
        started: µs, when it began.
        report: what it did.
    """
    views = json.dumps({view: asdict(counts) for view, counts in report.views.items()})
    row = [name, "batch" if bounded else "stream", started, report.seconds]
    row += [getattr(report, count) for count in COUNTS]
    row += [views, json.dumps(report.late_by_age)]
    arrays = [pa.array([value], field.type) for value, field in zip(row, SCHEMA, strict=True)]
    offline.append(TABLE, [pa.RecordBatch.from_arrays(arrays, schema=SCHEMA)], {})
