"""The graph: everything past the reader, the same in batch and in streaming."""

from __future__ import annotations

from typing import Any

import apache_beam as beam
import pyarrow as pa

from pipelines.coder import BatchCoder
from pipelines.envelope import Envelope
from pipelines.work import JobRef, Work

COMPOSITE = "features"
CODERS = {pa.RecordBatch: BatchCoder}


class FeaturePipeline(beam.PTransform[Any, Any]):
    """Batches of all lanes into both stores: decode, row rules of every view, offline and online sink.

    One stream of batches through one chain; each step takes the kinds of batch that it knows, by their envelopes.

    Args:
        job: the job.
    """

    def __init__(self, job: JobRef) -> None:
        super().__init__()
        self._job = job

    def expand(self, batches: Any) -> Any:
        events = batches | "decode" >> beam.ParDo(Decode(self._job)).with_output_types(pa.RecordBatch)
        rows = events | "views" >> beam.ParDo(Views(self._job)).with_output_types(pa.RecordBatch)
        rows | "offline" >> beam.ParDo(OfflineSink(self._job)).with_output_types(pa.RecordBatch)
        rows | "online" >> beam.ParDo(OnlineSink(self._job)).with_output_types(pa.RecordBatch)
        return rows


class _Step(beam.DoFn):
    """A step with the work of its process."""

    def __init__(self, job: JobRef) -> None:
        self._job = job
        self._work: Work | None = None

    def setup(self) -> None:
        self._work = self._job.open()

    def current(self) -> Work:
        """The work of this process."""
        if self._work is None or (self._work.error is not None and self._job.restarts):
            self._work = self._job.open()
        return self._work


class Decode(_Step):
    """Log records into checked events and dead letters."""

    def process(self, batch: pa.RecordBatch) -> list[pa.RecordBatch]:
        envelope = Envelope.of(batch)
        with self.current().alone() as work:
            return list(work.intakes[envelope.source].take(batch, envelope))


class Views(_Step):
    """Events into rows of every view; other batches pass."""

    def process(self, batch: pa.RecordBatch) -> list[pa.RecordBatch]:
        envelope = Envelope.of(batch)
        if envelope.kind != "events":
            return [batch]
        with self.current().alone() as work:
            return list(work.views[envelope.source].apply(batch, envelope))


class OfflineSink(_Step):
    """Events, rows and dead letters into the offline store, when a commit is due."""

    def process(self, batch: pa.RecordBatch) -> None:
        with self.current().alone() as work:
            work.buffer.add(batch, Envelope.of(batch))

    def finish_bundle(self) -> None:
        with self.current().alone() as work:
            work.flush_offline()

    def teardown(self) -> None:
        if self._work is not None and self._work.error is None:
            with self._work.alone() as work:
                work.flush_offline(everything=True)


class OnlineSink(_Step):
    """Rows into the online store, at the end of every bundle."""

    def process(self, batch: pa.RecordBatch) -> None:
        envelope = Envelope.of(batch)
        if envelope.kind == "rows":
            with self.current().alone() as work:
                work.fold.add(batch, envelope)

    def finish_bundle(self) -> None:
        with self.current().alone() as work:
            work.flush_online()
