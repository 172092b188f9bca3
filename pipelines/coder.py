"""Coder of record batches: Arrow IPC, so that a slice is as small as its rows and an envelope stays with its batch."""

from __future__ import annotations

from typing import Any

import apache_beam as beam
import pyarrow as pa


class BatchCoder(beam.coders.Coder):
    """`pa.RecordBatch` as one Arrow IPC stream, the schema's metadata included."""

    def encode(self, value: pa.RecordBatch) -> bytes:
        """Bytes of a batch."""
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, value.schema) as stream:
            stream.write_batch(value)
        return bytes(sink.getvalue().to_pybytes())

    def decode(self, encoded: bytes) -> pa.RecordBatch:
        """Batch of bytes."""
        with pa.ipc.open_stream(encoded) as stream:
            return stream.read_next_batch()

    def is_deterministic(self) -> bool:
        """False: equal batches may have other buffers."""
        return False

    def to_type_hint(self) -> Any:
        """Type that it encodes."""
        return pa.RecordBatch


beam.coders.registry.register_coder(pa.RecordBatch, BatchCoder)
